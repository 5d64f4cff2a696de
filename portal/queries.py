"""Page-shaped reads over all rooms: the dashboard, in a fixed number of statements."""
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, F, Q, QuerySet, Sum

from billing import rating
from billing.models import Price, UsageInterval
from billing.money import Money
from billing.periods import Month
from compute.hosts.models import Host
from compute.instances.models import Instance, InstanceState
from compute.network.models import FloatingIp, Vpc
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from storage.models import Volume
from tenants.models import Project

RECENT = 6


@dataclass(frozen=True, kw_only=True)
class Running:
    """What exists now."""

    total: int
    running: int
    vcpus: int
    memory_mib: int
    volumes: int
    volume_gib: int
    vpcs: int
    floating_ips: int
    attached: int


@dataclass(frozen=True, kw_only=True)
class Spending:
    """This month: so far, and what the present rate makes of the rest."""

    so_far: Money
    hourly: Money
    forecast: Money
    dearest: tuple[rating.Total, ...]


@dataclass(frozen=True, kw_only=True)
class Attention:
    """What somebody should look at."""

    instances: list[Instance]
    operations: list[Operation]
    hosts: list[Host]
    persons: int

    def __bool__(self) -> bool:
        return bool(self.instances or self.operations or self.hosts or self.persons)


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """Everything on the first page."""

    running: Running
    spending: Spending | None
    attention: Attention
    instances: list[Instance]
    operations: list[Operation]
    events: list[AuditEvent]


def dashboard(user: Any, project: Project | None) -> Dashboard:
    """What `user` may see, of one project or of all."""
    instances = _narrow(Instance.objects.visible_to(user), project)
    operations = _narrow(Operation.objects.visible_to(user), project).select_related("target", "actor", "project")
    events = _narrow(AuditEvent.objects.visible_to(user), project).select_related("actor")
    rows = instances.defer("user_data", "vnc_password", "public_keys").select_related("type", "project")
    return Dashboard(
        running=_running(instances, *(_narrow(model.objects.visible_to(user), project) for model in (Volume, Vpc, FloatingIp))),
        spending=_spending(user, project),
        attention=_attention(user, instances, operations),
        instances=list(rows.order_by("-created_at", "-pk")[:RECENT]),
        operations=list(operations.order_by("-created_at", "-pk")[:RECENT]),
        events=list(events.order_by("-at", "-pk")[:RECENT]))


def _narrow(rows: QuerySet, project: Project | None) -> QuerySet:
    return rows if project is None else rows.filter(project=project)


def _running(instances: QuerySet[Instance], volumes: QuerySet[Volume], vpcs: QuerySet[Vpc],
             floating_ips: QuerySet[FloatingIp]) -> Running:
    is_running = Q(state=InstanceState.RUNNING)
    found = instances.aggregate(total=Count("pk"), running=Count("pk", filter=is_running),
                                vcpus=Sum("vcpus", filter=is_running), memory_mib=Sum("memory_mib", filter=is_running))
    stored = volumes.aggregate(volumes=Count("pk"), volume_gib=Sum("size_gib"))
    is_attached = Q(state=FloatingIp.State.ATTACHED)
    public = floating_ips.aggregate(floating_ips=Count("pk"), attached=Count("pk", filter=is_attached))
    return Running(vpcs=vpcs.count(), **{name: value or 0 for name, value in {**found, **stored, **public}.items()})


def _spending(user: Any, project: Project | None) -> Spending | None:
    """None for those who may not see usage."""
    if not user.grants.may_anywhere("usage.view"):
        return None
    projects = _paying(user, project)
    now = database_now()
    month = Month.of(now)
    period = {"start": month.start, "end": month.end, "now": now}
    selection = rating.Selection(projects=projects)
    totals = rating.totals(selection, ("project",), **period).totals
    dearest = rating.totals(selection, ("resource",), **period, dearest_first=True, limit=4).totals
    currency = (totals[0].currency if totals else None) or rating._currency(None)
    so_far = sum((total.amount for total in totals), Decimal(0))
    hourly = _hourly(projects, now)
    left = Decimal((month.end - now).total_seconds()) / 3600
    return Spending(so_far=Money(so_far, currency), hourly=Money(hourly, currency),
                    forecast=Money(so_far + hourly * left, currency), dearest=dearest)


def _paying(user: Any, project: Project | None) -> Collection[UUID] | None:
    if project is None:
        return None if user.grants.sees_everything else user.grants.projects("usage.view")
    return [project.pk] if user.grants.may("usage.view", project.pk) else []


def _hourly(projects: Collection[UUID] | None, now: Any) -> Decimal:
    """What all that runs now costs an hour."""
    open_now = UsageInterval.objects.running()
    if projects is not None:
        open_now = open_now.filter(project_id__in=projects)
    units = {(row["region"], row["meter"], row["sku"]): row["units"] for row in
             open_now.values("region", "meter", "sku").annotate(units=Sum("quantity")).order_by()}
    prices = Price.objects.at(now).filter(book__is_default=True).values_list("region", "meter", "sku", "price_per_hour")
    return sum((units.get((region, meter, sku), 0) * price for region, meter, sku, price in prices), Decimal(0))


def _attention(user: Any, instances: QuerySet[Instance], operations: QuerySet[Operation]) -> Attention:
    is_odd = Q(state=InstanceState.ERROR) | Q(fault__isnull=False) | (
        Q(state=InstanceState.RUNNING) & ~Q(observed_state__in=["", "running"]))
    odd = instances.defer("user_data", "vnc_password", "public_keys").filter(is_odd).select_related("project", "type")
    recent = database_now() - timedelta(hours=24)
    failed = operations.filter(Q(state=Operation.State.FAILED, finished_at__gt=recent, target__deleted_at=None)
                               & ~Q(target__in=odd.values("pk")))
    everything = user.grants.sees_everything
    return Attention(
        instances=list(odd.order_by("-state_changed_at")[:RECENT]), operations=list(failed.order_by("-created_at")[:3]),
        hosts=list(Host.objects.filter(Q(health=Host.Health.UNREACHABLE) | Q(state=Host.State.ERROR))[:RECENT])
        if everything else [],
        persons=needing_a_person().count() if everything else 0)


def needing_a_person() -> QuerySet[Operation]:
    """Live operations that were given up often enough, or are past their deadline."""
    is_stuck = Q(person_since__isnull=False) | Q(deadline__lt=database_now())
    return Operation.objects.unfinished().filter(is_stuck).order_by(
        F("person_since").asc(nulls_last=True), "created_at")
