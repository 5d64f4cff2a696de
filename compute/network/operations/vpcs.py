"""Verbs on VPCs, subnets and ports: rows change at once, the fabric follows within seconds. The caller has checked access.

Locks are always taken in this order, so that nobody waits in a circle: project (for its default group), security groups by
id, organization (`reserve`), VPCs by id (`changing`), address pool, then ports and floating IPs.
"""
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from compute.network.addressing import allocate, free_address, gateway_of, give_back, new_mac, open_pool
from compute.network.apply import changing
from compute.network.errors import CidrOverlaps, InUse, NoNetwork, TooMany
from compute.network.models import AddressPool, Fabric, FloatingIp, Port, SecurityGroup, Subnet, Vpc
from portal.kernel import audit, live
from portal.kernel.errors import Busy, InvalidInput, StateConflict
from portal.kernel.models import Hold, Region, Resource
from portal.kernel.states import database_now
from tenants.models import Project
from tenants.quotas import reserve

# RFC 1918, and RFC 6598's shared space: nothing that a guest may want to reach outside is shadowed by a VPC.
PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
LARGEST_VPC, SMALLEST_SUBNET = 16, 29
# A VPC's document is computed and compared whole: 2,000 ports take about 0.4 s.
MOST_PORTS, MOST_SUBNETS, MOST_GROUPS = 2000, 100, 10
DEFAULT_CIDR = IPv4Network("10.0.0.0/16")


@transaction.atomic
def create_vpc(project: Project, region: Region, *, name: str, actor, cidr: IPv4Network | None = None, description: str = "",
               tags: dict[str, str] | None = None, is_default: bool = False) -> Vpc:
    """A private network with a router; it goes out by the region's public network when there is one."""
    cidr = cidr or DEFAULT_CIDR
    _check_vpc(region, cidr)
    reserve(project, region, {"vpcs": 1})
    pool = open_pool(region, lock=True)
    vpc = Vpc.objects.create(project=project, region=region, name=name, description=description, tags=tags or {}, cidr=cidr,
                             pool=pool, is_default=is_default)
    if pool is not None:
        allocate(pool, vpc)
    changing(vpc.pk)
    audit.record("vpc.create", vpc, actor=actor, after={"name": name, "cidr": str(cidr)})
    live.touch(vpc)
    return vpc


def _check_vpc(region: Region, cidr: IPv4Network) -> None:
    if not Fabric.objects.filter(region=region).exists():
        raise NoNetwork(region=region.name)
    if not region.is_open:
        raise InvalidInput.field("region", str(_("This region takes no new resources.")))
    if not any(cidr.subnet_of(range_) for range_ in PRIVATE):
        raise InvalidInput.field("cidr", str(_("A VPC lies in a private range: 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 "
                                               "or 100.64.0.0/10.")))
    if not LARGEST_VPC <= cidr.prefixlen <= SMALLEST_SUBNET - 1:
        raise InvalidInput.field("cidr", str(_("A VPC is between /16 and /28.")))
    for pool in AddressPool.objects.filter(region=region):
        if pool.cidr.overlaps(cidr):
            raise CidrOverlaps(cidr=str(cidr), other=str(pool.cidr), name=pool.name)


@transaction.atomic
def delete_vpc(vpc: Vpc, *, actor) -> None:
    """The VPC with its subnets is gone. Raises InUse while ports are in it."""
    [vpc] = changing(vpc.pk)
    refuse_gone(vpc)
    ports = Port.objects.live().filter(subnet__vpc=vpc).count()
    if ports:
        raise InUse(name=vpc.name, count=ports, users=str(_("ports")))
    now = database_now()
    for subnet in Subnet.objects.live().filter(vpc=vpc):
        _end_subnet(subnet, now)
    give_back(vpc)
    Vpc.objects.filter(pk=vpc.pk).update(deleted_at=now)
    live.touch(vpc)
    audit.record("vpc.delete", vpc, actor=actor, before={"name": vpc.name, "cidr": str(vpc.cidr)})


@transaction.atomic
def create_subnet(vpc: Vpc, *, name: str, cidr: IPv4Network, actor, gateway: IPv4Address | None = None, dhcp: bool = True,
                  dns: Iterable[IPv4Address] = (), description: str = "", tags: dict[str, str] | None = None) -> Subnet:
    """A range of the VPC. Raises CidrOverlaps with what is there, InvalidInput for what cannot be."""
    reserve(vpc.project, vpc.region, {"subnets": 1})
    [vpc] = changing(vpc.pk)
    refuse_gone(vpc)
    if Subnet.objects.live().filter(vpc=vpc).count() >= MOST_SUBNETS:
        raise TooMany(name=vpc.name, most=MOST_SUBNETS, things=str(_("subnets")))
    _check_subnet(vpc, cidr, gateway)
    subnet = Subnet.objects.create(
        project=vpc.project, region=vpc.region, vpc=vpc, name=name, description=description, tags=tags or {}, cidr=cidr,
        gateway=str(gateway) if gateway else gateway_of(cidr), dhcp=dhcp, dns=[str(server) for server in dns])
    audit.record("subnet.create", subnet, actor=actor, after={"name": name, "cidr": str(cidr), "gateway": subnet.gateway})
    live.touch(subnet)
    return subnet


def _check_subnet(vpc: Vpc, cidr: IPv4Network, gateway: IPv4Address | None) -> None:
    if not cidr.subnet_of(vpc.cidr):
        raise InvalidInput.field("cidr", str(_("The subnet lies outside its VPC (%(cidr)s).") % {"cidr": vpc.cidr}))
    if cidr.prefixlen > SMALLEST_SUBNET:
        raise InvalidInput.field("cidr", str(_("A subnet is at least a /29.")))
    if gateway is not None and (gateway not in cidr or gateway in (cidr.network_address, cidr.broadcast_address)):
        raise InvalidInput.field("gateway", str(_("The gateway is an address of the subnet %(cidr)s.") % {"cidr": cidr}))
    for other in Subnet.objects.live().filter(vpc=vpc):
        if other.cidr.overlaps(cidr):
            raise CidrOverlaps(cidr=str(cidr), other=str(other.cidr), name=other.name)


@transaction.atomic
def delete_subnet(subnet: Subnet, *, actor) -> None:
    """The range is free again. Raises InUse while ports are in it."""
    changing(subnet.vpc_id)
    refuse_gone(subnet)
    ports = Port.objects.live().filter(subnet=subnet).count()
    if ports:
        raise InUse(name=subnet.name, count=ports, users=str(_("ports")))
    _end_subnet(subnet, database_now())
    audit.record("subnet.delete", subnet, actor=actor, before={"name": subnet.name, "cidr": str(subnet.cidr)})


def _end_subnet(subnet: Subnet, now) -> None:
    Subnet.objects.filter(pk=subnet.pk).update(is_live=False, deleted_at=now)
    live.touch(subnet)


def add_port(subnet: Subnet, groups: Iterable[SecurityGroup], *, name: str, ip: IPv4Address | None = None,
             description: str = "", tags: dict[str, str] | None = None, **fields: object) -> Port:
    """A port's row with a free address. The caller has locked the VPC by `changing` and reserved the quota."""
    if Port.objects.live().filter(subnet__vpc=subnet.vpc_id).count() >= MOST_PORTS:
        raise TooMany(name=subnet.vpc.name, most=MOST_PORTS, things=str(_("ports")))
    port = Port.objects.create(project_id=subnet.project_id, region_id=subnet.region_id, subnet=subnet, name=name[:100],
                               description=description, tags=tags or {}, mac=new_mac(), ip=free_address(subnet, ip), **fields)
    port.groups.set(groups)
    live.touch(port)
    return port


@transaction.atomic
def create_port(subnet: Subnet, groups: Iterable[SecurityGroup], *, name: str, actor, ip: IPv4Address | None = None,
                description: str = "", tags: dict[str, str] | None = None) -> Port:
    """A port that an instance may be given later. Raises SubnetFull or AddressInUse."""
    groups = own_groups(subnet.project_id, subnet.region_id, groups)
    reserve(subnet.project, subnet.region, {"ports": 1})
    changing(subnet.vpc_id)
    refuse_gone(subnet)
    port = add_port(subnet, groups, name=name, ip=ip, description=description, tags=tags)
    audit.record("port.create", port, actor=actor, after={"name": name, "ip": port.ip, "mac": port.mac})
    return port


def own_groups(project_id: UUID, region_id: UUID, groups: Iterable[SecurityGroup]) -> list[SecurityGroup]:
    """The groups, locked: no rule is added or deleted while ports get them. InvalidInput if they are another project's."""
    groups = list(groups)
    if any((group.project_id, group.region_id) != (project_id, region_id) for group in groups):
        raise InvalidInput.field("security_groups", str(_("A security group belongs to another project or region.")))
    if len(groups) > MOST_GROUPS:
        raise InvalidInput.field("security_groups", str(_("A port has at most %(most)s security groups.") % {
            "most": MOST_GROUPS}))
    lock_groups(*groups)
    return groups


def lock_groups(*groups: SecurityGroup) -> None:
    """One change of a group at a time, and none of one that is gone."""
    ids = [group.pk for group in groups]
    list(SecurityGroup.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=ids).order_by("pk"))
    refuse_gone(*groups)


@transaction.atomic
def delete_port(port: Port, *, actor) -> None:
    """The address is free again; a floating IP at the port is idle from now on. Raises StateConflict while an instance has it."""
    changing(port.subnet.vpc_id)
    port = Port.objects.select_for_update(of=("self",), no_key=True).get(pk=port.pk)
    refuse_gone(port)
    if port.domain is not None:
        raise StateConflict(state=str(_("used by an instance")))
    refuse_held(port.pk)
    end_port(port)
    audit.record("port.delete", port, actor=actor, before={"name": port.name, "ip": port.ip, "mac": port.mac})


def end_port(port: Port) -> None:
    """Take the port away, and its floating IP off it. The caller has locked the VPC by `changing`."""
    for floating in FloatingIp.objects.live().filter(port=port).select_related("pool"):
        floating.move_to(FloatingIp.State.IDLE, port=None)
    port.groups.clear()
    Port.objects.filter(pk=port.pk).update(domain=None, ip=None, deleted_at=database_now())
    live.touch(port)


def refuse_held(*resource_ids: UUID) -> None:
    """Raise Busy when a live operation has one of the resources."""
    hold = Hold.objects.filter(resource__in=resource_ids).select_related("operation").first()
    if hold is not None:
        raise Busy(holder=hold.operation_id, holder_kind=hold.operation.kind, state=hold.operation.state)


def refuse_gone(*rows: Resource) -> None:
    """Somebody else deleted one between our look and our lock. In a statement of its own, or it would see what was before."""
    if Resource.objects.filter(pk__in=[row.pk for row in rows]).exclude(deleted_at=None).exists():
        raise StateConflict(state="deleted")
