"""A world on one of the stage's real lab hosts and its OVN: libvirt over SSH, QEMU, a dir pool and a deployment of its own."""
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import uuid4

import pytest

from billing.seed import seed_prices
from compute.hosts.models import Endpoint, Host
from compute.hosts.operations import prepare_host
from compute.lab import Lab
from compute.lab.image import DemoImage, build
from compute.network.connections import fabric
from compute.network.models import AddressPool, Fabric, FloatingIp, Port, Vpc
from compute.network.operations import default_group, default_subnet
from storage.models import Image, Pool
from tests.stories.cloud import LabHost
from tests.world import World, drain, make_world

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, settings) -> Iterator[World]:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    stage = Path(os.environ["MAINS_STATE_DIR"])
    facts = Lab(os.environ["MAINS_LAB"], stage).up()[0]
    LabHost(facts).forget()  # a test before that failed makes no other fail
    world = make_world(tmp_path)
    Host.objects.all().update(state="error")  # the simulated one: nothing is placed there
    endpoint = Endpoint.objects.create(
        name="real", driver="libvirt", uri=f"qemu+ssh://{facts.user}@{facts.address}/system",
        private_key=Path(facts.private_key).read_text(), host_key=f"{facts.address} {facts.public_host_key}")
    world.host = Host.objects.create(region=world.region, zone=world.zone, name="real", endpoint=endpoint)
    folder = Path(facts.pool_path).with_name(f"crash-{os.getpid()}-{uuid4().hex[:6]}")
    world.pool = Pool.objects.create(region=world.region, host=world.host, name=folder.name, path=str(folder))
    world.image = _image(world, tmp_path)
    network = _network(world, json.loads((stage / "lab" / "lab.json").read_text()))
    prepare_host(world.host, actor=world.people["root"])
    drain()
    world.host.refresh_from_db()
    assert world.host.state == "ready", world.host.state_reason
    default_group(world.project, world.region, actor=None)
    default_subnet(world.project, world.region, actor=None)
    yield world
    with fabric(network) as driver:
        for owner, revision in driver.owners().items():
            driver.remove(owner, revision)
        assert not driver.census()
    for verb in ("pool-destroy", "pool-undefine"):
        LabHost(facts).run("virsh", verb, folder.name)
    shutil.rmtree(folder, ignore_errors=True)


def _network(world: World, lab: dict) -> Fabric:
    """The lab's OVN, with rows marked as this test's own and the last addresses of its public network."""
    central, public = lab["central"], lab["public"]
    certificates = {name: Path(central[name]).read_text() for name in ("ca_certificate", "certificate", "private_key")}
    last = IPv4Address(public["last"])
    AddressPool.objects.create(region=world.region, slug="public", name="Public", cidr=IPv4Network(public["cidr"]),
                               gateway=public["gateway"], first=str(last - 20), last=str(last))
    seed_prices(world.region, [(f"floating_ip.{state}", "public", Decimal("0.01")) for state in ("attached", "idle")])
    return Fabric.objects.create(region=world.region, driver="ovn", uri=central["northbound"], **certificates)


def agrees(world: World) -> None:
    """OVN has what the rows say: as many ports as live instances, and nothing waits to be applied."""
    row = Fabric.objects.get(region=world.region)
    assert not [vpc for vpc in Vpc.objects.all() if vpc.state != "active"]
    with fabric(row) as driver:
        there, ports = driver.census(), Port.objects.live().count()
    assert there["Logical_Switch_Port"] == 3 + ports  # localnet, and two ends at routers
    assert there["NAT"] == 1 + FloatingIp.objects.live().exclude(port=None).count()


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
