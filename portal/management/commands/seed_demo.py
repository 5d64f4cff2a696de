"""Fill an empty portal so that a newcomer has something to touch: catalogue, prices, users, the lab's hosts, an image.

Idempotent. Writes `var/demo.json` (API.md) for programs. Refuses to run outside a demo stage.
"""
import hashlib
import json
import os
import shutil
from decimal import Decimal
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from billing.seed import seed_prices
from compute.hosts.identity import public_line
from compute.hosts.models import Endpoint, Host, SshIdentity
from compute.hosts.operations import prepare_host
from compute.instances.models import InstanceType
from compute.instances.offers import BILLED
from compute.instances.snapshots.models import METER, SKU
from compute.lab.image import DemoImage, build
from compute.network.models import AddressPool, Fabric
from compute.network.operations import default_group, default_subnet
from portal.kernel.models import Region, Zone
from storage.models import IMAGE_STORE, Image, Pool
from storage.operations import add_host, set_image_visibility
from tenants import operations as tenants
from tenants.models import Organization, Project, Quota, User
from tenants.roles import bind

# Each grows live into the next: memory is plugged in by blocks of 128 MiB (compute.instances.headroom).
TYPES = (("nano", "Nano", 1, 256, 1), ("small", "Small", 1, 512, 2), ("medium", "Medium", 2, 1024, 4),
         ("large", "Large", 4, 4096, 10))
# One whose size is chosen, by the vCPU and the GiB.
CUSTOM = ("custom", {"name": "Custom", "vcpus": 1, "memory_mib": 512, "max_vcpus": 8, "max_memory_mib": 8192,
                     "memory_step_mib": 256, "root_disk_gib": 4},
          {"vcpu": Decimal("0.02"), "memory": Decimal("0.04")})
RUNNING_A_MIB = Decimal("0.00005")  # per hour; makes nano about 9 CNY a month
STOPPED_SHARE = Decimal("0.1")
VOLUME_A_GIB = Decimal("0.0007")
IMAGE_A_GIB = Decimal("0.0002")
FLOATING_IP_HOURLY = {"floating_ip.attached": Decimal("0.004"), "floating_ip.idle": Decimal("0.008")}
TRAFFIC_A_GB = Decimal("0.5")
POOL_SLUG = "public"
QUOTAS = {"instances": 20, "vcpus": 24, "memory_mib": 16384, "volumes": 40, "volume_gib": 100, "vpcs": 5, "subnets": 20,
          "ports": 60, "security_groups": 20, "security_group_rules": 200, "floating_ips": 20}
PASSWORD = "mains demo only"
PORTAL_MIB = 4096  # what the portal and its databases need on the same machine


class Command(BaseCommand):
    help = "Demo catalogue, users and lab hosts; prints nothing secret but the demo logins, which everybody knows."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEMO:
            raise CommandError("MAINS_DEMO is not 1: demo users have known passwords and never belong into production.")
        call_command("createcachetable", verbosity=0)
        lab = json.loads((settings.STATE_DIR / "lab" / "lab.json").read_text())
        region, zone = self.places()
        self.catalogue(region)
        self.fabric(region, lab)  # before the tenants, whose projects get a default VPC in it
        admin = self.admin()
        tenant, rival = self.tenant("demo", "Demo Company"), self.tenant("rival", "Rival Company")
        image = self.image(region, admin)
        hosts = self.hosts(region, zone, admin, lab)
        self.limits(region)
        nano = InstanceType.objects.get(slug="nano")
        self.write({"url": settings.SITE_URL, "admin": {"username": "admin", "password": PASSWORD}, "tenant": tenant,
                    "rival": rival, "region": str(region.pk), "zone": str(zone.pk), "image": str(image.pk),
                    "instance_type": str(nano.pk), "subnet": self.subnet(tenant["project"], region)})
        self.stdout.write(f"seeded: {hosts} host(s), image {image.name}, users admin, demo, rival")

    def places(self) -> tuple[Region, Zone]:
        region, _made = Region.objects.get_or_create(slug="lab", defaults={"name": "Lab"})
        zone, _made = Zone.objects.get_or_create(region=region, slug="a", defaults={"name": "Lab A"})
        return region, zone

    def catalogue(self, region: Region) -> None:
        prices: list[tuple[str, str, Decimal]] = [("volume", "local", VOLUME_A_GIB), ("image", IMAGE_STORE, IMAGE_A_GIB),
                                                (METER, SKU, VOLUME_A_GIB)]
        prices += [(meter, POOL_SLUG, hourly) for meter, hourly in FLOATING_IP_HOURLY.items()]
        prices.append(("network.public_traffic", POOL_SLUG, TRAFFIC_A_GB))
        for slug, name, vcpus, memory_mib, disk in TYPES:
            InstanceType.objects.get_or_create(slug=slug, defaults={
                "name": name, "vcpus": vcpus, "memory_mib": memory_mib, "root_disk_gib": disk})
            hourly = memory_mib * RUNNING_A_MIB * (1 + vcpus) / 2
            # Who pauses keeps the host's memory.
            prices += [("instance.running", slug, hourly), ("instance.paused", slug, hourly)]
            prices += [(f"instance.{state}", slug, hourly * STOPPED_SHARE) for state in ("stopped", "suspended", "recycled")]
        slug, more, custom_prices = CUSTOM
        InstanceType.objects.get_or_create(slug=slug, defaults=more)
        prices += [(f"instance.{state}.{part}", slug, hourly * (1 if state in ("running", "paused") else STOPPED_SHARE))
                   for part, hourly in custom_prices.items() for state in BILLED]
        seed_prices(region, prices)

    def admin(self) -> User:
        admin = User.objects.filter(username="admin").first()
        return admin or User.objects.create_superuser("admin", "admin@example.org", PASSWORD)

    def fabric(self, region: Region, lab: dict[str, Any]) -> None:
        """The lab's OVN and its public network."""
        central, public = lab["central"], lab["public"]
        certificates = {name: Path(central[name]).read_text() for name in ("ca_certificate", "certificate", "private_key")}
        Fabric.objects.update_or_create(region=region, defaults={"driver": "ovn", "uri": central["northbound"], **certificates})
        pool = {name: public[name] for name in ("gateway", "first", "last", "physical_network")}
        AddressPool.objects.update_or_create(region=region, slug=POOL_SLUG, defaults={
            "name": "Lab public", "cidr": IPv4Network(public["cidr"]), **pool})

    def subnet(self, project_id: str, region: Region) -> str:
        """The tenant's default subnet; made here for projects from before the fabric."""
        project = Project.objects.get(pk=project_id)
        default_group(project, region, actor=None)
        return str(default_subnet(project, region, actor=None).pk)

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
            Image.objects.filter(pk=image.pk).update(name="Mains demo (older)")
            set_image_visibility(image, Image.Visibility.PRIVATE, actor=admin)
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

    def hosts(self, region: Region, zone: Zone, admin: User, document: dict[str, Any]) -> int:
        """Add the lab's hosts as an operator would, and prepare those that are new or not ready."""
        self.identity(region, Path(document["hosts"][0]["private_key"]).read_text())
        reserved = self.reserved_mib(len(document["hosts"]))
        for found in document["hosts"]:
            host = Host.objects.filter(name=found["name"]).select_related("endpoint", "region").first()
            address, key = f"{found['user']}@{found['address']}", found["public_host_key"]
            if host is None:
                add_host(found["name"], address, zone=zone, actor=admin, pool_path=found["pool_path"], host_key=key,
                         reserved_memory_mib=reserved)
                continue
            Endpoint.objects.filter(host=host).update(  # the lab may have another number than when it was added
                uri=f"qemu+ssh://{address}/system", host_key=f"{found['address']} {key}", private_key="")
            Host.objects.filter(pk=host.pk).update(reserved_memory_mib=reserved)
            Pool.objects.filter(host=host).update(path=found["pool_path"])
            if host.state != Host.State.READY or not host.chassis:
                prepare_host(host, actor=admin)
        return len(document["hosts"])

    def identity(self, region: Region, private_key: str) -> None:
        """The lab's hosts let its own key in, so that is the region's."""
        SshIdentity.objects.update_or_create(region=region, defaults={
            "private_key": private_key, "public_key": public_line(private_key, "mains-lab")})

    def reserved_mib(self, hosts: int) -> int:
        """Each host sees the whole machine: so much is kept that all together promise no more than it has beside the portal."""
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        return machine - max(0, machine - PORTAL_MIB) // hosts

    @property
    def path(self) -> Path:
        return settings.DEMO_FILE

    def write(self, document: dict[str, Any]) -> None:
        part = self.path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps(document, indent=2) + "\n")
        part.rename(self.path)
