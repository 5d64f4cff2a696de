"""A small world for tests: a region with a simulated host, a catalogue, prices, two organizations and their people."""
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.test import Client

from billing.seed import seed_prices
from compute.hosts.models import Endpoint, Host
from compute.hosts.operations import prepare_host
from compute.instances.models import InstanceType
from compute.instances.operations import Order
from portal.kernel.models import Operation, Region, Zone
from portal.kernel.operations import engine
from storage.models import GIB, Image, Pool
from tenants import operations as tenants
from tenants.models import Project, User
from tenants.roles import bind

# What the simulated pool reads of a qcow2: magic, version, and the size that a guest sees (256 MiB).
IMAGE_BYTES = b"QFI\xfb" + (3).to_bytes(4) + bytes(16) + (GIB // 4).to_bytes(8) + bytes(8160)
PASSWORD = "correct horse battery"


@dataclass
class World:
    """What a test needs at hand."""

    region: Region
    zone: Zone
    host: Host
    pool: Pool
    image: Image
    type: InstanceType
    project: Project
    people: dict[str, User] = field(default_factory=dict)
    rival_project: Project | None = None

    def order(self, **changes: object) -> Order:
        wanted = {"project": self.project, "region": self.region, "type": self.type, "image": self.image, "name": "web"}
        return Order(**(wanted | changes))


def make_world(state_dir: Path, *, driver_uri: str | None = None) -> World:
    """Everything ready to create an instance on the simulated driver, whose state lies under `state_dir`."""
    region = Region.objects.create(slug="lab", name="Lab")
    zone = Zone.objects.create(region=region, slug="a", name="A")
    endpoint = Endpoint.objects.create(name="sim-1", driver="simulated", uri=driver_uri or f"simulated://{state_dir}/sim-1")
    host = Host.objects.create(region=region, zone=zone, name="sim-1", endpoint=endpoint)
    pool = Pool.objects.create(region=region, host=host, name="mains", path="/pool")
    people = {name: User.objects.create(username=name, email=f"{name}@example.org", password=_hashed(PASSWORD),
                                        is_superuser=name == "root", is_staff=name == "root")
              for name in ("alice", "adam", "oscar", "vera", "mallory", "root")}
    acme = tenants.create_organization("Acme", owner=people["alice"], actor=None)
    project = tenants.create_project(acme, "web", actor=None)
    for name, role in (("adam", "admin"), ("oscar", "operator"), ("vera", "viewer")):
        bind(people[name], role, project)
    rival = tenants.create_organization("Rival", owner=people["mallory"], actor=None)
    rival_project = tenants.create_project(rival, "own", actor=None)
    small = InstanceType.objects.create(slug="small", name="Small", vcpus=1, memory_mib=256, root_disk_gib=1)
    seed_prices(region, [("instance.running", "small", Decimal("0.36")), ("volume", "local", Decimal("0.001")),
                         ("image", "standard", Decimal("0.0005")), ("snapshot", "local", Decimal("0.001")),
                         *((f"instance.{state}", "small", Decimal("0.036")) for state in (
                             "stopped", "paused", "suspended", "recycled"))])
    image = _image(state_dir, region, project)
    prepare_host(host, actor=people["root"])
    drain()
    host.refresh_from_db()
    return World(region=region, zone=zone, host=host, pool=pool, image=image, type=small,
                 project=project, people=people, rival_project=rival_project)


@cache
def _hashed(password: str) -> str:
    """Once a session: a good hash takes longer than all the rest of a world."""
    return make_password(password)


def _image(state_dir: Path, region: Region, project: Project) -> Image:
    folder = Path(settings.STATE_DIR) / "images"
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(IMAGE_BYTES).hexdigest()
    (folder / f"{digest}.qcow2").write_bytes(IMAGE_BYTES)
    part = {"file": f"{digest}.qcow2", "sha256": digest, "size": len(IMAGE_BYTES), "format": "qcow2"}
    return Image.objects.create(project=project, region=region, name="demo", state="active", visibility="public",
                                virtual_size=GIB // 4, min_disk_gib=1, files={"disk": part})


def browsers(world: World) -> Callable[[str], Client]:
    """Name → a browser in which that person is signed in."""
    def signed_in(name: str) -> Client:
        client = Client()
        client.force_login(world.people[name])
        return client

    return signed_in


def drain(limit: int = 200) -> None:
    """Run the engine until nothing is due; waiting operations are made due at once (time is not what is tested)."""
    for _turn in range(limit):
        if not engine.advance():
            if not Operation.objects.unfinished().filter(lease_until=None).exists():
                return
            Operation.objects.unfinished().filter(lease_until=None).update(run_after=Operation.objects.order_by(
                "created_at").first().created_at)
    stuck = list(Operation.objects.unfinished().values_list("kind", "step", "undoing", "error"))
    raise AssertionError(f"the engine did not come to rest: {stuck}")
