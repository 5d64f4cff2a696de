"""A world on the stage's real lab host: libvirt over SSH, QEMU, a dir pool of its own."""
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from compute.hosts.models import Endpoint, Host
from compute.hosts.operations import prepare_host
from compute.lab import Lab
from compute.lab.image import DemoImage, build
from storage.models import Image, Pool
from tests.stories.conftest import LabHost
from tests.world import World, drain, make_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, settings) -> Iterator[World]:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    stage = Path(os.environ["MAINS_STATE_DIR"])
    facts = Lab(os.environ["MAINS_LAB"], stage).up()[0]
    world = make_world(tmp_path)
    Host.objects.all().update(state="error")  # the simulated one: nothing is placed there
    endpoint = Endpoint.objects.create(
        name="real", driver="libvirt", uri=f"qemu+ssh://{facts.user}@{facts.address}/system",
        private_key=Path(facts.private_key).read_text(), host_key=f"{facts.address} {facts.public_host_key}")
    world.host = Host.objects.create(region=world.region, zone=world.zone, name="real", endpoint=endpoint)
    folder = Path(facts.pool_path).with_name(f"crash-{os.getpid()}-{uuid4().hex[:6]}")
    world.pool = Pool.objects.create(region=world.region, host=world.host, name=folder.name, path=str(folder))
    world.image = _image(world, tmp_path)
    prepare_host(world.host, actor=world.people["root"])
    drain()
    world.host.refresh_from_db()
    assert world.host.state == "ready", world.host.state_reason
    yield world
    for verb in ("pool-destroy", "pool-undefine"):
        LabHost(facts).run("virsh", verb, folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _image(world: World, state: Path) -> Image:
    built: DemoImage = build(ROOT / "var/cache/demo-image")
    parts = {"disk": (built.disk, "qcow2"), "kernel": (built.kernel, "raw"), "initrd": (built.initrd, "raw")}
    files = {}
    for part, (path, format) in parts.items():
        shutil.copyfile(path, state / "images" / path.name)
        files[part] = {"file": path.name, "size": path.stat().st_size, "format": format,
                       "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    Image.objects.all().update(visibility="private")
    return Image.objects.create(
        project=world.project, region=world.region, name="real", state="active", visibility="public", min_disk_gib=1,
        virtual_size=built.virtual_size, kernel_cmdline=built.cmdline, files=files)
