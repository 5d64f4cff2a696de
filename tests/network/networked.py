"""A small world with networks: a simulated fabric in its region, a public network with prices, and who asks by REST."""
from dataclasses import dataclass, field
from decimal import Decimal
from ipaddress import IPv4Network
from typing import Any
from uuid import uuid4

from rest_framework.test import APIClient, ForceAuthClientHandler

from billing.seed import seed_prices
from compute.hosts.models import Host
from compute.network.apply import apply_vpc
from compute.network.fabric.simulated import SimulatedHand
from compute.network.models import AddressPool, Fabric, SecurityGroup, Subnet
from compute.network.operations import default_group, default_subnet
from compute.network.tasks import due
from portal.kernel.models import Resource
from tests.world import World

API = "/api/v1"


@dataclass
class Networked:
    """The world, its fabric and its public network."""

    world: World
    fabric: Fabric
    pool: AddressPool
    hand: SimulatedHand
    # One for all clients: each of its own would read the folder of static files again.
    handler: ForceAuthClientHandler = field(default_factory=lambda: ForceAuthClientHandler(enforce_csrf_checks=False))

    def api(self, name: str | None = "alice") -> APIClient:
        client = APIClient(raise_request_exception=False)
        client.handler = self.handler
        if name is not None:
            client.force_login(self.world.people[name])
        return client

    def post(self, path: str, body: dict[str, Any] | None = None, *, by: str = "alice", **headers: str) -> Any:
        return self.api(by).post(f"{API}/{path}/", body or {}, format="json", **headers)

    def get(self, path: str, *, by: str = "alice", **query: Any) -> Any:
        return self.api(by).get(f"{API}/{path}/", query)

    def listed(self, path: str, *, by: str = "alice", **query: Any) -> list[dict[str, Any]]:
        response = self.get(path, by=by, **query)
        assert response.status_code == 200, response.content
        return response.json()["results"]

    def made(self, path: str, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        response = self.post(path, body, **options)
        assert response.status_code == 201, response.content
        return response.json()

    # -- bodies that are accepted --

    @property
    def scope(self) -> dict[str, str]:
        return {"project": str(self.world.project.pk), "region": str(self.world.region.pk)}

    def vpc(self, cidr: str = "10.1.0.0/16", **further: Any) -> dict[str, Any]:
        return self.made("vpcs", self.scope | {"name": "net", "cidr": cidr} | further)

    def subnet(self, cidr: str = "10.1.0.0/24", vpc: str | None = None, **further: Any) -> dict[str, Any]:
        return self.made("subnets", {"vpc": vpc or self.vpc()["id"], "name": "lan", "cidr": cidr} | further)

    def port(self, subnet: str | None = None, **further: Any) -> dict[str, Any]:
        return self.made("ports", {"subnet": subnet or self.subnet()["id"], "name": "card"} | further)

    def group(self, **further: Any) -> dict[str, Any]:
        return self.made("security-groups", self.scope | {"name": "web"} | further)

    def floating_ip(self, **further: Any) -> dict[str, Any]:
        return self.made("floating-ips", self.scope | further)

    # -- what every project has --

    def default_subnet(self) -> Subnet:
        return default_subnet(self.world.project, self.world.region, actor=None)

    def default_group(self) -> SecurityGroup:
        return default_group(self.world.project, self.world.region, actor=None)

    # -- what is left --

    def census(self) -> tuple[dict[str, int], int]:
        """What the fabric holds once it has followed, and how many live rows there are."""
        settle()
        return self.hand.census(), Resource.objects.filter(deleted_at=None).count()


def settle() -> None:
    """The fabric follows the rows, as its doorbells would make it."""
    for vpc_id in list(due().values_list("pk", flat=True)):
        apply_vpc(vpc_id)


def add_network(world: World, *, first: str = "198.18.200.10", last: str = "198.18.200.250", uri: str = "") -> Networked:
    """A fabric and a public network for the world's region; its hosts are part of them."""
    uri = uri or f"simulated:memory/{uuid4()}"
    fabric = Fabric.objects.create(region=world.region, driver="simulated", uri=uri)
    pool = AddressPool.objects.create(region=world.region, slug="public", name="Public", cidr=IPv4Network("198.18.200.0/24"),
                                      gateway="198.18.200.1", first=first, last=last)
    Host.objects.filter(region=world.region).update(chassis="sim-1", is_gateway=True)
    seed_prices(world.region, [("floating_ip.attached", "public", Decimal("0.01")),
                               ("floating_ip.idle", "public", Decimal("0.02"))])
    return Networked(world=world, fabric=fabric, pool=pool, hand=SimulatedHand(uri))
