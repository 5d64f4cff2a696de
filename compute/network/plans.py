"""What the fabric is to be, computed from rows: values in, nothing decided. Call with the VPC's row locked."""
from ipaddress import IPv4Address
from uuid import UUID

from compute.hosts.models import Host
from compute.network.fabric.plan import (
    FloatingPlan,
    GatewayPlan,
    GroupPlan,
    GroupRule,
    PortPlan,
    PublicPlan,
    SubnetPlan,
    VpcPlan,
)
from compute.network.models import AddressPool, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc

# Answered by OVN inside a VPC: web.mains.internal.
DOMAIN = "mains.internal"


def vpc_plan(vpc: Vpc) -> VpcPlan:
    subnets = list(Subnet.objects.live().filter(vpc=vpc).order_by("pk"))
    ports = list(Port.objects.live().filter(subnet__in=subnets, ip__isnull=False).order_by("pk"))
    groups = _groups_of(ports)
    return VpcPlan(
        id=vpc.pk, revision=vpc.revision,
        subnets=tuple(_subnet(subnet) for subnet in subnets),
        ports=tuple(_port(port, groups.get(port.pk, frozenset())) for port in ports),
        groups=_group_plans(frozenset().union(*groups.values())),
        floating=_floating(ports), gateway=_gateway(vpc))


def public_plan(pool: AddressPool) -> PublicPlan:
    return PublicPlan(id=pool.pk, name=pool.slug, cidr=pool.cidr, gateway=IPv4Address(pool.gateway),
                      physical_network=pool.physical_network, revision=pool.revision)


def _subnet(subnet: Subnet) -> SubnetPlan:
    return SubnetPlan(id=subnet.pk, cidr=subnet.cidr, gateway=IPv4Address(subnet.gateway), has_dhcp=subnet.dhcp,
                      dns=tuple(IPv4Address(server) for server in subnet.dns), domain=DOMAIN)


def _groups_of(ports: list[Port]) -> dict[UUID, frozenset[UUID]]:
    found: dict[UUID, set[UUID]] = {}
    rows = Port.groups.through.objects.filter(port__in=ports, securitygroup__deleted_at=None)
    for port_id, group_id in rows.values_list("port_id", "securitygroup_id"):
        found.setdefault(port_id, set()).add(group_id)
    return {port_id: frozenset(group_ids) for port_id, group_ids in found.items()}


def _port(port: Port, groups: frozenset[UUID]) -> PortPlan:
    return PortPlan(id=port.pk, mac=port.mac, ip=IPv4Address(port.ip), subnet=port.subnet_id, groups=groups,
                    hostname=port.hostname)


def _group_plans(used: frozenset[UUID]) -> tuple[GroupPlan, ...]:
    """The groups that ports here have, and those that their rules name (empty here, so that nobody is let in by them)."""
    rules: dict[UUID, list[GroupRule]] = {pk: [] for pk in used}
    for rule in SecurityGroupRule.objects.filter(group__in=used).order_by("pk"):
        rules[rule.group_id].append(GroupRule(
            id=rule.pk, direction=rule.direction, protocol=rule.protocol, port_min=rule.port_min, port_max=rule.port_max,
            remote_cidr=rule.remote_cidr, remote_group=rule.remote_group_id))
    named = {rule.remote_group for group in rules.values() for rule in group if rule.remote_group} - set(rules)
    alive = SecurityGroup.objects.live().filter(pk__in=named).values_list("pk", flat=True)
    return tuple(GroupPlan(id=pk, rules=tuple(rules.get(pk, ()))) for pk in sorted({*rules, *alive}))


def _floating(ports: list[Port]) -> tuple[FloatingPlan, ...]:
    rows = FloatingIp.objects.live().filter(port__in=ports).select_related("allocation").order_by("pk")
    return tuple(FloatingPlan(id=row.pk, address=IPv4Address(row.allocation.address), port=row.port_id) for row in rows)


def _gateway(vpc: Vpc) -> GatewayPlan | None:
    if vpc.pool is None or vpc.router_address is None:
        return None
    chassis = Host.objects.filter(region_id=vpc.region_id, is_gateway=True).exclude(chassis="")
    return GatewayPlan(public=public_plan(vpc.pool), address=IPv4Address(vpc.router_address),
                       chassis=tuple(chassis.order_by("chassis").values_list("chassis", flat=True)))
