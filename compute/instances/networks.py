"""Which networks new instances are on: what was asked for, what that takes, and the ports that come of it."""
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils.translation import gettext as _

from compute.instances.models import Instance
from compute.instances.seed import hostname_of
from compute.network.addressing import open_pool
from compute.network.apply import changing
from compute.network.errors import AlreadyAssociated, NoPublicNetwork
from compute.network.models import AddressPool, Fabric, FloatingIp, Port, SecurityGroup, Subnet
from compute.network.operations.defaults import default_group, default_subnet
from compute.network.operations.floating import add_floating_ip
from compute.network.operations.vpcs import add_port, own_groups, refuse_gone
from portal.kernel.composed import Composed
from portal.kernel.declarations import Reading
from portal.kernel.errors import StateConflict
from portal.kernel.models import Region
from tenants.models import Project

MOST_CARDS = 8


@dataclass(frozen=True, kw_only=True)
class Networks:
    """New ports in `subnets`, or ports made before; without both, the project's default subnet. `groups` None: the default."""

    subnets: tuple[Subnet, ...] = ()
    ports: tuple[Port, ...] = ()
    groups: tuple[SecurityGroup, ...] | None = None
    has_floating_ip: bool = False
    _known: dict[UUID, AddressPool | None] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Region → its public network, looked up once."""

    def wanted(self, region: Region) -> dict[str, int]:
        """By quota dimension, for one instance."""
        if not has_fabric(region):
            return {}
        cards = len(self.subnets) or int(not self.ports)
        return {**({"ports": cards} if cards else {}), **({"floating_ips": 1} if self.has_floating_ip else {})}

    def readings(self, region: Region) -> list[Reading]:
        pool = self._public_network(region) if self.has_floating_ip else None
        return [*FloatingIp(pool=pool).readings(FloatingIp.State.ATTACHED)] if pool else []

    def errors(self, project: Project, region: Region, count: int) -> dict[str, list[str]]:
        """By field, what can never work."""
        found: dict[str, list[str]] = {}
        asked = {"subnets": self.subnets, "ports": self.ports, "security_groups": self.groups or ()}
        for name, rows in asked.items():
            if any((row.project_id, row.region_id) != (project.pk, region.pk) for row in rows):
                found[name] = [_("One of these belongs to another project or region.")]
            elif rows and not has_fabric(region):
                found[name] = [_("This region has no networks.")]
        if self.ports and count > 1:
            found["ports"] = [_("Several instances cannot share a port: name subnets instead.")]
        if len(set(self.ports)) < len(self.ports):
            found["ports"] = [_("A port is named twice.")]
        if len(self.subnets) + len(self.ports) > MOST_CARDS:
            found["subnets"] = [_("An instance has at most %(most)s network cards.") % {"most": MOST_CARDS}]
        if self.ports and not self.subnets and self.groups is not None:
            found["security_groups"] = [_("Ports made before keep their own security groups: change them at the port.")]
        if self.has_floating_ip and self._public_network(region) is None:
            found["floating_ip"] = [_("The network has no public addresses.")]
        elif self.has_floating_ip and FloatingIp.objects.filter(port__in=self.ports[:1]).exists():
            found["floating_ip"] = [_("The first port has a floating IP already.")]
        return found

    def obstacles(self, region: Region, count: int) -> list[str]:
        """Codes of what has too few free addresses now; empty when nothing has."""
        found = []
        wanted = Counter(self.subnets)
        taken = dict(Port.objects.live().filter(subnet__in=wanted).order_by().values_list("subnet").annotate(
            Count("pk"))) if wanted else {}
        if any(taken.get(subnet.pk, 0) + count * cards > subnet.size for subnet, cards in wanted.items()):
            found.append("subnet_full")
        pool = self._public_network(region) if self.has_floating_ip else None
        if pool is not None and pool.allocations.count() + count > pool.size:
            found.append("address_pool_full")
        return found

    def _public_network(self, region: Region) -> AddressPool | None:
        """Where the floating IP of the first card comes from: the public network that its VPC goes out by."""
        if not has_fabric(region):
            return None
        if region.pk not in self._known:
            subnets = [*(port.subnet for port in self.ports), *self.subnets]
            self._known[region.pk] = subnets[0].vpc.pool if subnets else open_pool(region)
        pool = self._known[region.pk]
        return pool if pool is not None and pool.is_open else None

    def settled(self, project: Project, region: Region, *, actor) -> Self:
        """The same with nothing left to defaults; makes the project's default network when it has none."""
        if not has_fabric(region):
            return self
        if self.ports and not self.subnets:
            return self
        groups = self.groups if self.groups is not None else (default_group(project, region, actor=actor),)
        groups = tuple(own_groups(project.pk, region.pk, groups))  # locks them: before the organization, as everywhere
        return replace(self, subnets=self.subnets or (default_subnet(project, region, actor=actor),), groups=groups)

    def lock(self) -> None:
        """Lock the VPCs, whose documents will have more ports. Of settled networks, in the transaction of the order."""
        changing(*{subnet.vpc_id for subnet in self.subnets}, *{port.subnet.vpc_id for port in self.ports})
        refuse_gone(*self.subnets)

    def add_to(self, instance: Instance) -> list:
        """Give the instance its ports and address; ids of all that its operation must hold."""
        hostname = hostname_of(instance.name, f"i-{instance.pk.hex[:8]}")
        cards = [take_port(port, instance, hostname, position) for position, port in enumerate(self.ports)]
        for subnet in self.subnets:
            cards.append(add_port(subnet, self.groups or (), name=f"{instance.name} {len(cards)}", hostname=hostname,
                                  domain=instance.pk, position=len(cards), goes_with_instance=True))
        held = [port.pk for port in cards]
        if self.has_floating_ip and cards:
            pool = self._public_network(instance.region)
            if pool is None:  # the default VPC is older than the public network
                raise NoPublicNetwork(region=instance.region.name)
            other = FloatingIp.objects.filter(port=cards[0]).select_related("allocation").first()
            if other is not None:  # it came to a port made before after we looked
                raise AlreadyAssociated(address=other.address)
            held.append(add_floating_ip(instance.project, instance.region, pool=pool, port=cards[0]).pk)
        return held


def take_port(port: Port, instance: Instance, hostname: str, position: int) -> Port:
    """A port made before; the VPC's lock keeps others from it."""
    free = Port.objects.live().filter(pk=port.pk, domain=None)
    if not free.update(domain=instance.pk, hostname=hostname, position=position):
        raise StateConflict(state=_("used by an instance"))
    return port


CARDS = Composed(lambda instances: Port.objects.live().filter(domain__any_of=instances).order_by("domain", "position")
                 .prefetch_related("floating_ip__allocation"), instances=list[UUID])


def ports_by_instance(instance_ids: Iterable[UUID]) -> dict[UUID, list[Port]]:
    """The network cards of many instances in their order, with their floating IPs; as many queries for 200 as for one."""
    found: dict[UUID, list[Port]] = {}
    for port in CARDS.models(instances=list(instance_ids)):
        found.setdefault(port.domain, []).append(port)
    return found


def cards_by_instance(instance_ids: Iterable[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    """What the API shows of the network cards of many instances, in their order: one query, and no rows but these values."""
    found: dict[UUID, list[dict[str, Any]]] = {}
    for domain, subnet, ip, mac, public in cards_of(instance_ids):
        found.setdefault(domain, []).append({"subnet": subnet, "ip": ip, "mac": mac, "floating_ip": public})
    return found


def cards_of(instance_ids: Iterable[UUID]) -> QuerySet[Port]:
    """(instance, subnet, ip, mac, floating IP) of each card."""
    return Port.objects.live().filter(domain__in=instance_ids).order_by("domain", "position").values_list(
        "domain", "subnet_id", "ip", "mac", "floating_ip__allocation__address")


def has_fabric(region: Region) -> bool:
    """Whether it has networks; the regions of an offer were asked about together."""
    known = region.__dict__.get("has_fabric")
    return Fabric.objects.filter(region=region).exists() if known is None else known
