"""Page-shaped reads of networks: VPCs with their counts, ports with what is at them, rules in words. Nothing is decided here."""
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count, F, QuerySet, Window
from django.db.models.functions import RowNumber

from billing.models import Price, PriceBook
from billing.money import Money
from billing.prices import HOURS_A_MONTH
from compute.network import topology, wording
from compute.network.models import AddressPool, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from compute.network.reconcile import why_pending
from compute.network.topology import Drawing, Guest, Network
from portal.kernel.models import Region
from portal.kernel.states import database_now
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
    ports = _counted(Port.objects.live().filter(subnet__vpc__in=found), "subnet__vpc")
    rows = []
    for vpc in found:
        tone, state = wording.vpc_state(vpc)
        rows.append(VpcRow(vpc=vpc, tone=tone, state=state, why=why_pending(vpc), subnets=subnets.get(vpc.pk, 0),
                           ports=ports.get(vpc.pk, 0)))
    return rows


def _counted(rows: QuerySet, by: str) -> dict[UUID, int]:
    return dict(rows.order_by().values_list(by).annotate(count=Count("pk")))


# -- ports --

def ports(rows: QuerySet[Port]) -> QuerySet[Port]:
    """With all that a page says of a port, in three statements however many there are."""
    return rows.select_related("subnet__vpc", "floating_ip__allocation").prefetch_related("groups")


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


@dataclass(frozen=True, kw_only=True)
class SubnetRow:
    """A subnet with how many of its addresses are taken."""

    subnet: Subnet
    used: int


def subnet_rows(vpc: Vpc) -> list[SubnetRow]:
    found = list(Subnet.objects.live().filter(vpc=vpc).order_by("cidr"))
    counts = _counted(Port.objects.live().filter(subnet__in=found), "subnet")
    return [SubnetRow(subnet=subnet, used=counts.get(subnet.pk, 0)) for subnet in found]


def ports_to_draw(vpc: Vpc) -> list[Port]:
    """The first of every subnet, by address."""
    nth = Window(RowNumber(), partition_by=F("subnet"), order_by=["ip"])
    rows = Port.objects.live().filter(subnet__vpc=vpc).annotate(nth=nth).filter(nth__lte=topology.MOST_CARDS)
    return list(ports(rows).order_by("subnet", "ip"))


def drawings(vpc: Vpc, subnets: Sequence[SubnetRow], drawn: Iterable[Port], guests: dict[UUID, Guest]) -> list[Drawing]:
    """For wide screens and for narrow ones."""
    network = Network(vpc=vpc, subnets=[row.subnet for row in subnets], ports=topology.by_subnet(drawn), guests=guests,
                      counts={row.subnet.pk: row.used for row in subnets})
    return [topology.draw(network, sketch) for sketch in (topology.WIDE, topology.NARROW)]


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
    used = _counted(Port.groups.through.objects.filter(securitygroup__in=found, port__deleted_at=None), "securitygroup")
    return [GroupRow(group=group, rules=rules.get(group.pk, 0), ports=used.get(group.pk, 0)) for group in found]


# -- money and limits --

def limited(project: Project, region: Region, wanted: dict[str, int]) -> list[Line]:
    """What making it takes of the quotas that have a limit."""
    return [line for line in lines(project, region, wanted) if line.limit is not None]


@dataclass(frozen=True)
class AddressPrices:
    """What public addresses cost a month, by pool and state; None where no price is set."""

    by_pool: dict[tuple[UUID, str], Money]

    @classmethod
    def now(cls, pools: Iterable[AddressPool]) -> "AddressPrices":
        pools = list(pools)
        book = PriceBook.objects.filter(is_default=True).first()
        rows = Price.objects.at(database_now()).filter(
            book=book, meter__in=["floating_ip.attached", "floating_ip.idle"], sku__in={pool.slug for pool in pools})
        hourly = {(row.region_id, row.sku, row.meter): row.price_per_hour for row in rows}
        found = {(pool.pk, meter): Money(hourly[key] * HOURS_A_MONTH, book.currency) for pool in pools
                 for meter in ("floating_ip.attached", "floating_ip.idle")
                 if (key := (pool.region_id, pool.slug, meter)) in hourly}
        return cls(found)

    def of(self, floating: FloatingIp) -> Money | None:
        """As what it is, or is about to be."""
        return self.attached(floating.pool) if floating.port_id else self.idle(floating.pool)

    def attached(self, pool: AddressPool) -> Money | None:
        return self.by_pool.get((pool.pk, "floating_ip.attached"))

    def idle(self, pool: AddressPool) -> Money | None:
        return self.by_pool.get((pool.pk, "floating_ip.idle"))
