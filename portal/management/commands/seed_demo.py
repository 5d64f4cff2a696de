"""Fill an empty portal so that a newcomer has something to touch: catalogue, prices, users, the lab's hosts, an image.

Idempotent. Writes `var/demo.json` (API.md) for programs. Refuses to run outside a demo stage.
"""
import hashlib
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from billing.seed import seed_prices
from compute.hosts.models import Endpoint, Host
from compute.hosts.operations import prepare_host
from compute.instances.models import InstanceType
from compute.lab.image import DemoImage, build
from portal.kernel.models import Region, Zone
from storage.models import Image, Pool
from tenants import operations as tenants
from tenants.models import Organization, Project, Quota, User
from tenants.roles import bind

TYPES = (("nano", "Nano", 1, 192, 1), ("small", "Small", 1, 512, 2), ("medium", "Medium", 2, 1024, 4),
         ("large", "Large", 4, 4096, 10))
RUNNING_A_MIB = Decimal("0.00005")  # per hour; makes nano about 7 CNY a month
STOPPED_SHARE = Decimal("0.1")
VOLUME_A_GIB = Decimal("0.0007")
QUOTAS = {"instances": 10, "vcpus": 12, "memory_mib": 8192, "volumes": 20, "volume_gib": 100}
PASSWORD = "mains demo only"
HOST_POOL_NAME = "mains"


class Command(BaseCommand):
    help = "Demo catalogue, users and lab hosts; prints nothing secret but the demo logins, which everybody knows."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("MAINS_DEMO is not 1: demo users have known passwords and never belong into production.")
        call_command("createcachetable", verbosity=0)
        region, zone = self.places()
        self.catalogue(region)
        admin = self.admin()
        tenant, rival = self.tenant("demo", "Demo Company"), self.tenant("rival", "Rival Company")
        image = self.image(region, admin)
        hosts = self.hosts(region, zone, admin)
        self.limits(region)
        nano = InstanceType.objects.get(slug="nano")
        self.write({"url": settings.SITE_URL, "admin": {"username": "admin", "password": PASSWORD}, "tenant": tenant,
                    "rival": rival, "region": str(region.pk), "zone": str(zone.pk), "image": str(image.pk),
                    "instance_type": str(nano.pk), "subnet": None})
        self.stdout.write(f"seeded: {hosts} host(s), image {image.name}, users admin, demo, rival")

    def places(self) -> tuple[Region, Zone]:
        region, _made = Region.objects.get_or_create(slug="lab", defaults={"name": "Lab"})
        zone, _made = Zone.objects.get_or_create(region=region, slug="a", defaults={"name": "Lab A"})
        return region, zone

    def catalogue(self, region: Region) -> None:
        prices: list[tuple[str, str, Decimal]] = [("volume", "local", VOLUME_A_GIB)]
        for slug, name, vcpus, memory_mib, disk in TYPES:
            InstanceType.objects.get_or_create(slug=slug, defaults={
                "name": name, "vcpus": vcpus, "memory_mib": memory_mib, "root_disk_gib": disk})
            hourly = memory_mib * RUNNING_A_MIB * (1 + vcpus) / 2
            prices += [("instance.running", slug, hourly), ("instance.stopped", slug, hourly * STOPPED_SHARE)]
        seed_prices(region, prices)

    def admin(self) -> User:
        admin = User.objects.filter(username="admin").first()
        return admin or User.objects.create_superuser("admin", "admin@example.org", PASSWORD)

    @transaction.atomic
    def tenant(self, username: str, organization_name: str) -> dict[str, str]:
        """A user who owns an organization with a project; its API key is made once and kept in demo.json only."""
        user = User.objects.filter(username=username).first()
        if user is None:
            user = User.objects.create_user(username, f"{username}@example.org", PASSWORD)
        organization = Organization.objects.filter(name=organization_name).first()
        if organization is None:
            organization = tenants.create_organization(organization_name, owner=user, actor=None)
            tenants.create_project(organization, "Default", actor=None)
            for name in ("viewer", "operator"):
                other = User.objects.create_user(f"{username}-{name}", f"{username}-{name}@example.org", PASSWORD)
                bind(other, name, organization)
        project = Project.objects.filter(organization=organization).order_by("created_at").first()
        return {"username": username, "password": PASSWORD, "api_key": self.key(user, username),
                "organization": str(organization.pk), "project": str(project.pk)}

    def key(self, user: User, username: str) -> str:
        text = self.known().get("tenant" if username == "demo" else "rival", {}).get("api_key")
        if text and tenants.find_api_key(text):
            return text
        return tenants.create_api_key(user, name="demo", actor=user)[1]

    def known(self) -> dict[str, Any]:
        try:
            return json.loads(self.path.read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def limits(self, region: Region) -> None:
        for organization in Organization.objects.filter(name__in=["Demo Company", "Rival Company"]):
            for dimension, limit in QUOTAS.items():
                Quota.objects.get_or_create(organization=organization, region=region, dimension=dimension,
                                            defaults={"limit": limit})

    def image(self, region: Region, admin: User) -> Image:
        """The demo image, public, in the portal's image store."""
        built = build(settings.BASE_DIR / "var" / "cache" / "demo-image", progress=self.stdout.write)
        files = {"disk": self.store(built.disk, "qcow2"), "kernel": self.store(built.kernel, "raw"),
                 "initrd": self.store(built.initrd, "raw")}
        image = Image.objects.live().filter(name="Mains demo", region=region).order_by("-created_at").first()
        if image is not None and image.files == files:
            return image
        operators = Organization.objects.filter(name="Operators").first()
        if operators is None:
            operators = tenants.create_organization("Operators", owner=admin, actor=None)
            tenants.create_project(operators, "Catalogue", actor=None)
        project = Project.objects.get(organization=operators, name="Catalogue")
        if image is not None:  # built anew from another recipe: the old one stays for the instances that have it
            Image.objects.filter(pk=image.pk).update(visibility="private", name="Mains demo (older)")
        return Image.objects.create(
            project=project, region=region, name="Mains demo",
            description="Small Linux, boots in seconds; demo / demo on the console.",
            os="linux", state=Image.State.ACTIVE, visibility=Image.Visibility.PUBLIC, min_disk_gib=1,
            virtual_size=self.virtual_size(built), files=files, kernel_cmdline=built.cmdline)

    def virtual_size(self, built: DemoImage) -> int:
        return built.virtual_size

    def store(self, source: Path, format: str) -> dict[str, Any]:
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        folder = settings.STATE_DIR / "images"
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{digest}.{format}"
        if not kept.exists():
            shutil.copyfile(source, kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
        return {"file": kept.name, "sha256": digest, "size": kept.stat().st_size, "format": format}

    def hosts(self, region: Region, zone: Zone, admin: User) -> int:
        """Add the lab's hosts as an operator would, and prepare those that are new or not ready."""
        document = json.loads((settings.STATE_DIR / "lab" / "lab.json").read_text())
        for found in document["hosts"]:
            endpoint, _made = Endpoint.objects.update_or_create(name=found["name"], defaults={
                "driver": "libvirt", "uri": f"qemu+ssh://{found['user']}@{found['address']}/system",
                "private_key": Path(found["private_key"]).read_text(),
                "host_key": f"{found['address']} {found['public_host_key']}"})
            host = Host.objects.filter(endpoint=endpoint).first() or Host.objects.create(
                region=region, zone=zone, name=found["name"], endpoint=endpoint, reserved_memory_mib=4096)
            Pool.objects.update_or_create(host=host, name=HOST_POOL_NAME, defaults={"region": region, "path": found["pool_path"]})
            if host.state != Host.State.READY:
                prepare_host(host, actor=admin)
        return len(document["hosts"])

    @property
    def path(self) -> Path:
        return settings.DEMO_FILE

    def write(self, document: dict[str, Any]) -> None:
        part = self.path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps(document, indent=2) + "\n")
        part.rename(self.path)
