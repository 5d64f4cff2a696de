"""What somebody should look at: operations that failed or are stuck, instances that are not as they should be."""
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, When

from compute.instances.models import ON_SCREEN, Instance, InstanceState
from portal.kernel.composed import Composed
from portal.kernel.models import Operation
from portal.kernel.states import CLOCK

RECENT, NEWEST, MOST = timedelta(hours=24), 6, 6
LONGEST_LIFE = timedelta(days=7)  # lets PostgreSQL read a project's newest operations off an index, and no others


# What is drawn of each: reading all of these tables takes twice as long.
OF_INSTANCE = ("kind", "name", "created_at", "state_changed_at", "state", "observed_state", "fault", "type__name")
OF_OPERATION = ("kind", "project", "state", "undoing", "plan", "step", "step_since", "history", "progress", "attempts",
                "person_since", "deadline", "cancel_requested_at", "error", "created_at", "started_at", "finished_at", "parent",
                "target__kind", "target__name", "target__deleted_at", "actor__username")


def needing_a_person() -> QuerySet[Operation]:
    """Live operations that were given up often enough, or are past their deadline."""
    is_stuck = Q(person_since__isnull=False) | Q(deadline__lt=CLOCK)
    return Operation.objects.unfinished().filter(is_stuck).order_by(
        F("person_since").asc(nulls_last=True), "created_at")


IS_ODD = Q(state=InstanceState.ERROR) | Q(fault__isnull=False) | (
    Q(state__in=ON_SCREEN) & ~Q(observed_state__in=["", "running"]))
"""In error, with a fault, or reported by their host to be something else than they should be."""


def newest_and_odd(projects: Collection[UUID]) -> tuple[list[Instance], list[Instance]]:
    """Of these projects' instances the newest, and those that are odd, the latest to become so first; in one statement."""
    rows = INSTANCES.models(projects=list(projects))
    return rows[:NEWEST], sorted((row for row in rows if row.is_odd), key=lambda row: row.state_changed_at, reverse=True)[:MOST]


def _instances(projects: list[UUID]) -> QuerySet[Instance]:
    rows = Instance.objects.live().filter(kind=Instance.KIND, project__any_of=projects).exclude(state=InstanceState.RECYCLED)
    newest, odd = rows.order_by("-created_at", "-pk")[:NEWEST], rows.filter(IS_ODD).order_by("-state_changed_at")[:MOST]
    return Instance.objects.filter(pk__in=newest.values("pk").union(odd.values("pk"))).annotate(
        is_odd=Case(When(IS_ODD, then=True), default=False)).select_related("type").only(*OF_INSTANCE).order_by(
        "-created_at", "-pk")


def newest_and_failed(projects: Collection[UUID], now: datetime) -> tuple[list[Operation], list[Operation]]:
    """Of these projects' operations the newest, and those that `failed`; in one statement."""
    rows = OPERATIONS.models(projects=list(projects), made_after=now - LONGEST_LIFE, ended_after=now - RECENT)
    return rows[:NEWEST], [row for row in rows if row.is_bad][:MOST]


def _operations(projects: list[UUID], made_after: datetime, ended_after: datetime) -> QuerySet[Operation]:
    rows = Operation.objects.filter(project__any_of=projects).order_by("-created_at", "-pk")
    has_failed = _has_failed(made_after, ended_after)
    shown = rows[:NEWEST].values("pk").union(rows.filter(has_failed)[:MOST].values("pk"))
    return Operation.objects.filter(pk__in=shown).annotate(
        is_bad=Case(When(has_failed, then=True), default=False)).select_related("target", "actor").only(*OF_OPERATION).order_by(
        "-created_at", "-pk")


INSTANCES = Composed(_instances, projects=list[UUID])
OPERATIONS = Composed(_operations, projects=list[UUID], made_after=datetime, ended_after=datetime)


def failed(operations: QuerySet[Operation], now: datetime) -> QuerySet[Operation]:
    """Failed within a day, whose target is still there."""
    return operations.filter(_has_failed(now - LONGEST_LIFE, now - RECENT)).order_by("-created_at", "-pk")


def _has_failed(made_after: datetime, ended_after: datetime) -> Q:
    return Q(state=Operation.State.FAILED, created_at__gt=made_after, finished_at__gt=ended_after, target__deleted_at=None)


def besides(operations: Iterable[Operation], instances: Iterable[Instance]) -> list[Operation]:
    """Those whose target is not shown with its own fault already."""
    shown: set[Any] = {instance.pk for instance in instances}
    return [operation for operation in operations if operation.target_id not in shown]
