"""Accepting work: the operation row, its holds and the doorbell, in the caller's transaction."""
from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from portal.kernel import live, requests
from portal.kernel.errors import Busy, StateConflict
from portal.kernel.models import Hold, Operation, Region, Resource
from portal.kernel.states import database_now

from .doorbell import ring
from .kinds import kinds


@transaction.atomic
def submit(kind: str, *, region: Region | None, actor, project=None, target: Resource | None = None,
           arguments: dict | None = None, holds: Iterable[UUID] = (), parent: Operation | None = None,
           steps: Sequence[str] | None = None) -> Operation:
    """Write the operation, hold `target` and `holds`, ring on commit; without a region it is the hub's. `steps`: those of its
    kind that it needs, where not all. Raises Busy naming the holder."""
    declared = kinds[kind]
    now = database_now()
    operation = Operation.objects.create(
        kind=kind, region=region, project=project, target=target, actor=actor if getattr(actor, "pk", None) else None,
        parent=parent, arguments=arguments or {}, plan=list(steps or declared.plan), request_id=requests.current().id,
        run_after=now, deadline=now + timedelta(seconds=declared.deadline_s),
    )
    _take_holds(operation, {*holds, *([target.pk] if target else [])})
    announce(operation)
    ring(operation.queue, operation.pk)
    return operation


def _take_holds(operation: Operation, resource_ids: set[UUID]) -> None:
    # Sorted, so that two operations never wait for each other in a circle.
    wanted = sorted(resource_ids)
    for _try in range(TRIES):
        Hold.objects.bulk_create([Hold(resource_id=pk, operation=operation) for pk in wanted], ignore_conflicts=True)
        found = list(Hold.objects.filter(resource_id__in=wanted).select_related("operation"))
        other = next((hold for hold in found if hold.operation_id != operation.pk), None)
        if other is not None:
            raise Busy(holder=other.operation_id, holder_kind=other.operation.kind, state=other.operation.state)
        if len(found) == len(wanted):
            return
        # Another operation held one when this one asked, and has ended since.
    raise Busy(holder=None, holder_kind="", state="")


TRIES = 3
"""To hold what operations that end meanwhile let go of."""


@transaction.atomic
def request_cancel(operation: Operation) -> None:
    """Ask the engine to undo; honoured between steps while its kind is cancellable, then StateConflict."""
    fresh = Operation.objects.select_for_update(no_key=True).get(pk=operation.pk)
    if not fresh.is_live or fresh.undoing:
        raise StateConflict(state=fresh.state)
    if fresh.kind not in kinds or not kinds[fresh.kind].is_cancellable(fresh):
        raise StateConflict(state=fresh.step_name)
    Operation.objects.filter(pk=fresh.pk).update(cancel_requested_at=Now(), run_after=Now(), updated_at=Now())
    announce(fresh)
    ring(fresh.queue, fresh.pk)


def announce(operation: Operation) -> None:
    """Hint at the operation on its project's live group."""
    live.hint(operation.project_id, kind="operation", id=operation.pk)


@transaction.atomic
def retry_now(operation: Operation) -> None:
    """An operator's push: due at once, attempts forgotten."""
    changed = Operation.objects.filter(pk=operation.pk, state__in=Operation.LIVE).update(
        run_after=Now(), attempts=0, person_since=None, deadline=F("deadline") + timedelta(minutes=10), updated_at=Now())
    if not changed:
        raise StateConflict(state=operation.state)
    ring(operation.queue, operation.pk)
