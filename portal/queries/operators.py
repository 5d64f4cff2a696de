"""The operators' dashboard: capacity, hosts, operations that need somebody, who takes most; a fixed number of statements."""
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BigIntegerField, Count, Q, QuerySet, Sum, Value
from django.db.models.functions import Cast
from django.utils.translation import gettext

from compute.hosts.models import Claim, Host
from compute.instances.models import Instance, InstanceState
from portal.kernel.models import AuditChain, AuditEvent, Operation
from portal.kernel.remembered import remembered
from storage.models import GIB, Pool, Volume
from tenants.models import QuotaRequest

from .attention import MOST, failed, needing_a_person

TOP, RECENT = 8, 6
LEVELS = 10
POOL, VOLUME = "of a pool", "of a volume"  # beside the classes of claims
BIG = BigIntegerField()
OF_HOST = ("name", "state", "health", "is_in_maintenance", "vcpus", "vcpu_ratio", "memory_mib", "reserved_memory_mib", "fault",
           "health_reason", "region__name", "zone__name")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A host in the heat map: how much of its scarcest class is claimed, and whether it can be counted on."""

    host: Host
    share: float
    tone: str

    @property
    def level(self) -> int:
        return min(LEVELS, round(self.share * LEVELS))

    @property
    def text(self) -> str:
        """How full it is, or why that does not matter."""
        if self.host.state == Host.State.ERROR or self.host.state == Host.State.PREPARING:
            return self.host.get_state_display()
        if self.host.health != Host.Health.UP:
            return self.host.get_health_display()
        return gettext("maintenance") if self.host.is_in_maintenance else f"{round(self.share * 100)} %"


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """One dimension of a region: `claimed` is promised to tenants, `used` what is taken for real (None: not measured)."""

    name: str
    claimed: int
    total: int
    used: int | None = None


@dataclass(frozen=True, kw_only=True)
class RegionState:
    """A region with its capacity and its hosts."""

    name: str
    capacities: tuple[Capacity, ...]
    cells: tuple[Cell, ...]
    unreachable: int


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """An organization and what its instances take."""

    id: UUID
    name: str
    instances: int
    vcpus: int
    memory_mib: int


@dataclass(frozen=True, kw_only=True)
class Population:
    """All live instances, by state and by tenant."""

    by_state: tuple[tuple[str, int], ...]
    total: int
    tenants: tuple[Tenant, ...]

    @property
    def states(self) -> list[tuple[str, str, int]]:
        """Tone, label in the reader's language, how many."""
        return [(Instance.TONES.get(state, "off"), str(InstanceState(state).label), amount) for state, amount in self.by_state]


@dataclass(frozen=True, kw_only=True)
class OperatorBoard:
    """Everything on the first page of an operator."""

    regions: list[RegionState]
    hosts: list[Host]
    """Those in error or out of reach, at most six."""
    host_count: int
    bad_hosts: int
    population: Population
    stuck: int
    failed: list[Operation]
    failures: list[tuple[str, int]]
    """Operation kind, how often it failed within a day; most often first."""
    in_flight: int
    events: list[AuditEvent]
    broken_chains: int
    """Of the audit trail."""
    quota_requests: int
    """Open ones of organizations, which nobody else answers."""

    @property
    def failure_count(self) -> int:
        return sum(times for _kind, times in self.failures)


def operator_board(*, in_flight: int, now: datetime) -> OperatorBoard:
    """What whoever runs the cloud looks at first; `in_flight` operations have been counted already."""
    rows = Host.objects.select_related("region", "zone").only(*OF_HOST)
    hosts = list(rows.order_by("region__name", "zone__name", "name", "pk"))
    bad = [host for host in hosts if _is_bad(host)]
    failures = _failures(now)
    return OperatorBoard(
        regions=_regions(hosts), hosts=bad[:MOST], host_count=len(hosts), bad_hosts=len(bad),
        population=remembered(("population",), _population), stuck=needing_a_person().count(),
        failed=list(failures.select_related("target", "actor", "project")[:MOST]),
        failures=list(failures.order_by().values_list("kind").annotate(times=Count("pk")).order_by("-times", "kind")),
        events=list(AuditEvent.objects.select_related("actor").order_by("-at", "-pk")[:RECENT]), in_flight=in_flight,
        broken_chains=AuditChain.objects.exclude(fault="").count(),
        quota_requests=QuotaRequest.objects.open().filter(project=None).count())


def _failures(now: datetime) -> QuerySet[Operation]:
    return failed(Operation.objects.all(), now)


def _is_bad(host: Host) -> bool:
    return host.health == Host.Health.UNREACHABLE or host.state == Host.State.ERROR


def _regions(hosts: list[Host]) -> list[RegionState]:
    claims, pools, promised = remembered(("capacity",), _capacity)
    found = []
    for region in {host.region_id: host.region for host in hosts}.values():
        own = {host: host.capacity for host in hosts if host.region_id == region.pk}
        stored, taken = pools.get(region.pk, (0, 0))
        found.append(RegionState(
            name=region.name, cells=tuple(_cell(host, capacity, claims) for host, capacity in own.items()),
            unreachable=sum(host.health == Host.Health.UNREACHABLE for host in own),
            capacities=(*(Capacity(name=name, total=sum(capacity[name] for capacity in own.values()),
                                   claimed=sum(claims.get((host.pk, name), 0) for host in own))
                          for name in ("vcpu", "memory_mib")),
                        Capacity(name="disk_gib", total=stored // GIB, used=taken // GIB, claimed=promised.get(region.pk, 0)))))
    return found


def _cell(host: Host, capacity: dict[str, int], claims: dict[tuple[UUID, str], int]) -> Cell:
    shares = [claims.get((host.pk, name), 0) / total for name, total in capacity.items() if total]
    is_away = host.is_in_maintenance or host.state == Host.State.PREPARING or host.health == Host.Health.UNKNOWN
    return Cell(host=host, share=max(shares, default=0), tone="bad" if _is_bad(host) else "off" if is_away else "")


def _capacity() -> tuple[dict[Any, int], dict[UUID, tuple[int, int]], dict[UUID, int]]:
    """(host, class) → claimed; region → bytes in its pools and taken of them; region → GiB promised to volumes."""
    claims = Claim.objects.order_by().values_list("provider", "resource_class").annotate(
        total=Cast(Sum("amount"), BIG), free=Value(0))
    pools = Pool.objects.order_by().values_list("region", Value(POOL)).annotate(
        total=Cast(Sum("capacity"), BIG), free=Cast(Sum("available"), BIG))
    volumes = Volume.objects.filter(deleted_at=None).order_by().values_list("region", Value(VOLUME)).annotate(
        total=Cast(Sum("size_gib"), BIG), free=Value(0))
    sums: tuple[dict, dict, dict] = ({}, {}, {})
    for place, name, total, free in claims.union(pools, volumes, all=True):
        if name == POOL:
            sums[1][place] = (total, total - free)
        elif name == VOLUME:
            sums[2][place] = total
        else:
            sums[0][place, name] = total
    return sums


def _population() -> Population:
    """One pass over all instances, by organization and state."""
    states, tenants = Counter(), {}
    rows = (Instance.objects.filter(~Q(state=InstanceState.DELETED), deleted_at=None).order_by()
            .values_list("project__organization", "project__organization__name", "state")
            .annotate(amount=Count("pk"), vcpus=Sum("vcpus"), memory_mib=Sum("memory_mib")))
    for pk, name, state, amount, vcpus, memory_mib in rows:
        states[state] += amount
        so_far = tenants.get(pk, Tenant(id=pk, name=name, instances=0, vcpus=0, memory_mib=0))
        tenants[pk] = Tenant(id=pk, name=name, instances=so_far.instances + amount, vcpus=so_far.vcpus + vcpus,
                             memory_mib=so_far.memory_mib + memory_mib)
    top = sorted(tenants.values(), key=lambda one: (-one.vcpus, -one.memory_mib, one.name))[:TOP]
    return Population(total=states.total(), tenants=tuple(top), by_state=tuple(states.most_common()))
