"""Page-shaped reads of networks: VPCs with their counts, ports with what is at them, rules in words. Nothing is decided here."""
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery

from billing.models import Price
from billing.money import Money
from billing.prices import HOURS_A_MONTH
from compute.network import topology, wording
from compute.network.models import AddressPool, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from compute.network.reconcile import why_pending
from compute.network.topology import Drawing, Guest, Network
from portal.kernel.models import Region
from portal.kernel.remembered import remembered
from portal.kernel.states import CLOCK
from tenants.models import Project
from tenants.quotas import Line, lines


@dataclass(frozen=True, kw_only=True)
class VpcRow:
    """One line of the list, and the header of a VPC's page."""

    vpc: Vpc
    tone: str
    state: Any
    why: str
    subnets: int
    ports: int

    @property
    def is_changing(self) -> bool:
        return self.tone == "busy"


def vpcs(user: Any) -> QuerySet[Vpc]:
    return Vpc.objects.visible_to(user).select_related("project__organization", "region", "pool", "allocation")


def vpc_rows(found: Collection[Vpc]) -> list[VpcRow]:
    subnets = _counted(Subnet.objects.live().filter(vpc__in=found), "vpc")
    ports = _counted(WITH_ADDRESS.filter(subnet__vpc__in=found), "subnet__vpc")
    return [vpc_row(vpc, subnets.get(vpc.pk, 0), ports.get(vpc.pk, 0)) for vpc in found]


def vpc_row(vpc: Vpc, subnets: int, ports: int) -> VpcRow:
    """Of one whose subnets and ports have been counted."""
    tone, state = wording.vpc_state(vpc)
    return VpcRow(vpc=vpc, tone=tone, state=state, why=why_pending(vpc), subnets=subnets, ports=ports)


# Which ports there are, told without the table of all resources: an index counts them.
WITH_ADDRESS = Port.objects.filter(ip__isnull=False)


def _counted(rows: QuerySet, by: str) -> dict[UUID, int]:
    return dict(rows.order_by().values_list(by).annotate(count=Count("pk")))


# -- ports --

def ports(rows: QuerySet[Port]) -> QuerySet[Port]:
    """With all that a page says of a port, in four statements however many there are."""
    # A reverse one-to-one between two kinds of resources: Django's `select_related` leaves out what they inherit.
    floating = FloatingIp.objects.select_related("allocation", "pool")
    return rows.select_related("subnet__vpc").prefetch_related("groups", Prefetch("floating_ip", floating))


@dataclass(frozen=True, kw_only=True)
class PortRow:
    """A port with whom it belongs to; `is_taken` also when that instance is not for the reader's eyes."""

    port: Port
    guest: Guest | None
    tone: str
    state: Any
    floating: str
    is_taken: bool

    @classmethod
    def of(cls, port: Port, guests: dict[UUID, Guest]) -> "PortRow":
        tone, state = wording.PORT_STATES[port.state]
        return cls(port=port, guest=guests.get(port.domain) if port.domain else None, tone=tone, state=state,
                   floating=topology.floating_address(port), is_taken=port.domain is not None)


# A page of the table below the drawing has fewer: most VPCs are told by these alone.
FIRST_PORTS = 50


@dataclass(frozen=True, kw_only=True)
class SubnetRow:
    """A subnet with how many of its addresses are taken, and its first ports by address."""

    subnet: Subnet
    used: int
    first: Sequence[UUID]


def subnet_rows(vpc: Vpc) -> list[SubnetRow]:
    here = WITH_ADDRESS.filter(subnet=OuterRef("pk"))
    count = here.order_by().values("subnet").annotate(count=Count("pk")).values("count")
    first = here.order_by("ip").values("pk")[:FIRST_PORTS]
    found = Subnet.objects.live().filter(vpc=vpc).annotate(used=Subquery(count), first=ArraySubquery(first))
    return [SubnetRow(subnet=subnet, used=subnet.used or 0, first=subnet.first) for subnet in found.order_by("cidr")]


def port_ids(subnets: Sequence[SubnetRow], places: range) -> list[UUID]:
    """The ports at these places among all of the subnets, by subnet and address. Subnets that have none of them are not read."""
    if all(row.used <= len(row.first) for row in subnets):
        return [pk for row in subnets for pk in row.first][places.start:places.stop]
    within, before, passed = [], 0, 0
    for row in subnets:
        if passed + row.used <= places.start:
            before = passed + row.used
        elif passed < places.stop:
            within.append(row.subnet)
        passed += row.used
    rows = WITH_ADDRESS.filter(subnet__in=within).order_by("subnet__cidr", "ip").values_list("pk", flat=True)
    return list(rows[places.start - before:places.stop - before])


def drawings(vpc: Vpc, subnets: Sequence[SubnetRow], known: dict[UUID, Port], guests: dict[UUID, Guest]) -> list[Drawing]:
    """For wide screens and for narrow ones, of the ports that are known."""
    network = Network(vpc=vpc, subnets=[row.subnet for row in subnets], guests=guests,
                      ports={row.subnet.pk: [known[pk] for pk in drawn(row, subnets) if pk in known] for row in subnets},
                      counts={row.subnet.pk: row.used for row in subnets})
    return [topology.draw(network, sketch) for sketch in (topology.WIDE, topology.NARROW)]


def drawn(row: SubnetRow, subnets: Sequence[SubnetRow]) -> Sequence[UUID]:
    """Which of a subnet's ports the drawing of all the subnets shows."""
    return row.first[:topology.most_cards(len(subnets))]


# -- security groups --

@dataclass(frozen=True, kw_only=True)
class RuleRow:
    """A rule in words."""

    rule: SecurityGroupRule
    ports: str
    service: str
    is_open_sign_in: bool


def rule_rows(group: SecurityGroup) -> dict[str, list[RuleRow]]:
    """By direction."""
    found: dict[str, list[RuleRow]] = {"ingress": [], "egress": []}
    for rule in SecurityGroupRule.objects.filter(group=group).select_related("remote_group"):
        found[rule.direction].append(RuleRow(rule=rule, ports=wording.ports_of_rule(rule), service=wording.service_of(rule),
                                             is_open_sign_in=_is_open_sign_in(rule)))
    return found


def _is_open_sign_in(rule: SecurityGroupRule) -> bool:
    """Whether all the world may try to sign in by it."""
    is_anywhere = rule.remote_cidr is None or rule.remote_cidr.prefixlen == 0
    return is_anywhere and rule.port_min is not None and any(lets_in([rule], port) for port in wording.SIGN_IN_PORTS)


def lets_in(rules: Iterable[SecurityGroupRule], port: int) -> bool:
    """Whether somebody outside reaches this TCP port by the rules; a network that they name may be the reader's."""
    return any(rule.direction == "ingress" and rule.remote_group_id is None and rule.protocol in ("tcp", "any")
               and (rule.port_min is None or rule.port_min <= port <= rule.port_max) for rule in rules)


@dataclass(frozen=True, kw_only=True)
class GroupRow:
    """One line of the list."""

    group: SecurityGroup
    rules: int
    ports: int


def group_rows(found: Collection[SecurityGroup]) -> list[GroupRow]:
    rules = _counted(SecurityGroupRule.objects.filter(group__in=found), "group")
    used = _counted(Port.groups.through.objects.filter(securitygroup__in=found), "securitygroup")
    return [GroupRow(group=group, rules=rules.get(group.pk, 0), ports=used.get(group.pk, 0)) for group in found]


# -- money and limits --

def limited(project: Project, region: Region, wanted: dict[str, int]) -> list[Line]:
    """What making it takes of the quotas that have a limit."""
    return [line for line in lines(project, region, wanted) if line.limit is not None]


@dataclass(frozen=True)
class AddressPrices:
    """What public addresses cost a month, by pool and state; None where no price is set. To be shown: a new price is seen
    within seconds."""

    by_pool: dict[tuple[UUID, str], Money]

    @classmethod
    def now(cls, pools: Iterable[AddressPool]) -> "AddressPrices":
        pools = list(pools)
        return remembered(("address prices", frozenset(pool.pk for pool in pools)), lambda: cls._read(pools), least_s=5)

    @classmethod
    def _read(cls, pools: list[AddressPool]) -> "AddressPrices":
        rows = Price.objects.at(CLOCK).filter(
            book__is_default=True, meter__in=["floating_ip.attached", "floating_ip.idle"],
            sku__in={pool.slug for pool in pools}).select_related("book")
        monthly = {(row.region_id, row.sku, row.meter): Money(row.price_per_hour * HOURS_A_MONTH, row.book.currency)
                   for row in rows}
        found = {(pool.pk, meter): monthly[key] for pool in pools for meter in ("floating_ip.attached", "floating_ip.idle")
                 if (key := (pool.region_id, pool.slug, meter)) in monthly}
        return cls(found)

    def of(self, floating: FloatingIp) -> Money | None:
        """As what it is, or is about to be."""
        return self.attached(floating.pool) if floating.port_id else self.idle(floating.pool)

    def attached(self, pool: AddressPool) -> Money | None:
        return self.by_pool.get((pool.pk, "floating_ip.attached"))

    def idle(self, pool: AddressPool) -> Money | None:
        return self.by_pool.get((pool.pk, "floating_ip.idle"))
