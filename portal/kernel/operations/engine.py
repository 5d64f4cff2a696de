"""The engine's loop: claim a row, run its steps, renew its lease, settle it.

Everything here may be run twice, by two workers, or be killed at any statement. The token decides who may write;
the database's clock decides leases and deadlines. The only `except Exception` around room code is here.
"""
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import DateTimeField
from django.db.models.expressions import RawSQL

from portal.kernel import crash, live
from portal.kernel.declarations import registry
from portal.kernel.errors import Cancelled, DeadlineExceeded, OtherVersion, PortalError
from portal.kernel.models import Hold, Operation
from portal.kernel.states import database_now

from .kinds import Kind, LeaseLost, Run, Wait, error_row, kinds

log = structlog.get_logger(__name__)
LIMIT_OF_THE_UNKNOWN_S = 3600

# Time that an operation waited for a worker (none ran, an upgrade, maintenance) counts against none of its limits.
CLAIM = """
WITH due AS (SELECT id, clock_timestamp() - greatest(run_after, lease_until, updated_at) AS waited FROM kernel_operation
              WHERE state IN ('queued', 'running') AND run_after <= clock_timestamp()
                AND (lease_until IS NULL OR lease_until < clock_timestamp())
                AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
                AND (%(id)s::uuid IS NULL OR id = %(id)s::uuid) AND (%(queue)s::text IS NULL OR region_id =
                     (SELECT r.id FROM kernel_region r WHERE 'region.' || r.slug = %(queue)s::text)
                     OR (region_id IS NULL AND %(queue)s::text = %(hub)s::text))
              ORDER BY run_after LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE kernel_operation o SET token = token + 1, state = 'running', updated_at = clock_timestamp(),
       lease_until = clock_timestamp() + make_interval(secs => %(lease)s),
       started_at = coalesce(started_at, clock_timestamp()), step_since = coalesce(step_since + waited, clock_timestamp()),
       deadline = deadline + waited
  FROM due WHERE o.id = due.id
RETURNING o.id
"""
RENEW = """
UPDATE kernel_operation SET lease_until = clock_timestamp() + make_interval(secs => %s)
 WHERE id = %s AND token = %s AND state = 'running'
RETURNING cancel_requested_at IS NOT NULL, deadline < clock_timestamp(),
          extract(epoch FROM clock_timestamp() - step_since),
          EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
"""


def claim(operation_id: UUID | str | None = None, queue: str | None = None) -> Operation | None:
    """Take a due operation (a given one, or the longest due of a queue) in a transaction of its own."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM, {"lease": settings.ENGINE["lease_s"], "id": operation_id, "queue": queue,
                               "hub": settings.CELERY_TASK_DEFAULT_QUEUE})
        row = cursor.fetchone()
    return Operation.objects.select_related("region").get(pk=row[0]) if row else None


def advance(operation_id: UUID | str | None = None, queue: str | None = None) -> bool:
    """Run one operation as far as it goes now. False when there was nothing to claim."""
    operation = claim(operation_id, queue)
    if operation is None:
        return False
    with structlog.contextvars.bound_contextvars(operation_id=str(operation.pk), kind=operation.kind,
                                                 request_id=operation.request_id):
        try:
            while _turn(operation):
                pass
        except LeaseLost:
            log.warning("operation.lease_lost", lease_token=operation.token)
    return True


def _turn(operation: Operation) -> bool:
    """One step forward or backward. False when the row was released or settled."""
    kind = kinds.get(operation.kind)
    cancelled, late, step_age, draining = _renew(operation)
    if draining:
        return _release(operation, 0, facts=operation.facts)
    if kind is None or (unknown := kind.unknown_steps(operation)):
        return _strand(operation, kind, operation.kind if kind is None else ", ".join(unknown))
    may_turn_back = not operation.undoing and not kind.is_past_pivot(operation)
    if operation.undoing:
        return _undo_one(operation, kind)
    if may_turn_back and cancelled and kind.is_cancellable(operation):
        return _turn_back(operation, Cancelled(), kind)
    if cancelled and kind.may_give_up(operation):
        return _give_up(operation)
    if operation.step == len(operation.plan):
        return _end(operation, kind)
    if may_turn_back and (late or step_age > kind.step(operation.plan[operation.step]).limit_s):
        return _turn_back(operation, DeadlineExceeded(last=(operation.error or {}).get("detail", "")), kind)
    return _do_one(operation, kind)


def _strand(operation: Operation, kind: Kind | None, steps: str) -> bool:
    """Accepted by another version of the code: touch nothing, tell a person, look again slowly, since a later one may know it.

    Its limits begin anew each time: this wait is no fault of the operation's. The cause of an undo stays what tenants read.
    """
    error = error_row(OtherVersion(kind=operation.kind, steps=steps))
    if operation.person_since is None:
        log.error("operation.other_version", steps=steps)
    told = {"facts": operation.facts | {"undo_error": error}} if operation.undoing else {"error": error}
    _write(operation, lease_until=None, run_after=("in", settings.ENGINE["backoff_s"][-1]), step=operation.step,
           deadline=("in", kind.deadline_s if kind else LIMIT_OF_THE_UNKNOWN_S), **told,
           **({} if operation.person_since else {"person_since": "clock"}))
    return False


def _renew(operation: Operation) -> tuple[bool, bool, float, bool]:
    with connection.cursor() as cursor:
        cursor.execute(RENEW, [settings.ENGINE["lease_s"], operation.pk, operation.token])
        row = cursor.fetchone()
    if row is None:
        raise LeaseLost(operation.pk)
    return row[0], row[1], float(row[2] or 0), row[3]


def _do_one(operation: Operation, kind: Kind) -> bool:
    step, run = kind.step(operation.plan[operation.step]), Run(operation)
    crash.point(f"before step {step.name}")
    try:
        outcome = step.do(run)
    except Exception as error:
        return _after_failure(operation, kind, error)
    crash.point(f"after step {step.name}")
    if isinstance(outcome, Wait):
        return _release(operation, outcome.seconds, progress=outcome.progress, facts=run.facts)
    done = operation.step + 1
    _write(operation, step=done, attempts=0, facts=run.facts, progress=round(100 * done / len(operation.plan)),
           history=_log(operation, step.name, "done"), person_since=None)
    return True


def _after_failure(operation: Operation, kind: Kind, error: Exception) -> bool:
    """Before the pivot: transient faults are tried again until the step's limit, others turn back. After it: only forward."""
    expected = isinstance(error, PortalError)
    log.log(30 if expected else 40, "operation.step_failed", step=operation.step_name, error=str(error),
            exc_info=None if expected else error)
    # A restarted database or a lock time-out says nothing about the step: try again.
    passing = isinstance(error, (OperationalError, InterfaceError)) or (expected and error.transient)
    if kind.is_past_pivot(operation) or passing:
        return _back_off(operation, error)
    return _turn_back(operation, error, kind)


def _back_off(operation: Operation, error: Exception) -> bool:
    waits, attempts = settings.ENGINE["backoff_s"], operation.attempts + 1
    needs_person = attempts >= settings.ENGINE["person_after"]
    if needs_person and operation.person_since is None:
        log.error("operation.needs_person", step=operation.step_name, error=str(error))
    # Forward-only work and undo are never given up: slowly for ever, so that it settles once the cause is mended.
    return _release(operation, waits[min(attempts, len(waits)) - 1], attempts=attempts, error=error_row(error),
                    person=needs_person, facts=operation.facts)


def _turn_back(operation: Operation, error: Exception, kind: Kind) -> bool:
    if operation.step >= len(operation.plan):
        operation.step = len(operation.plan) - 1
    _write(operation, undoing=True, attempts=0, step=operation.step, error=error_row(error), facts=operation.facts,
           history=_log(operation, operation.plan[operation.step], error_row(error)["code"]))
    return True


def _give_up(operation: Operation) -> bool:
    """Past the pivot nothing is undone: what is left is for the kind to say, and for whoever asked."""
    error = error_row(Cancelled())
    _write(operation, undoing=True, attempts=0, step=-1, error=error, facts=operation.facts,
           history=_log(operation, operation.step_name or "", error["code"]))
    return True


def _undo_one(operation: Operation, kind: Kind) -> bool:
    if operation.step < 0:
        return _end(operation, kind)
    step, run = kind.step(operation.plan[operation.step]), Run(operation)
    if step.undo is not None:
        try:
            outcome = step.undo(run)
        except Exception as error:
            log.warning("operation.undo_failed", step=step.name, error=str(error), exc_info=error)
            kept = operation.error  # the first cause is what the tenant reads
            return _back_off_undo(operation, error, kept)
        if isinstance(outcome, Wait):
            return _release(operation, outcome.seconds, facts=run.facts)
    history = _log(operation, step.name, "undone") if step.undo else operation.history
    _write(operation, step=operation.step - 1, attempts=0, facts=run.facts, history=history, person_since=None)
    return True


def _back_off_undo(operation: Operation, error: Exception, cause: dict[str, Any] | None) -> bool:
    operation.facts["undo_error"] = error_row(error)
    waits, attempts = settings.ENGINE["backoff_s"], operation.attempts + 1
    return _release(operation, waits[min(attempts, len(waits)) - 1], attempts=attempts, error=cause,
                    person=attempts >= settings.ENGINE["person_after"], facts=operation.facts)


def _end(operation: Operation, kind: Kind) -> bool:
    """Settle it. What a kind's hook or another room's raises undoes the settling alone, which is tried again ever more slowly."""
    try:
        (_settle_failed if operation.undoing else _settle_succeeded)(operation, kind)
    except Exception as error:
        log.error("operation.not_settled", error=str(error), exc_info=None if isinstance(error, PortalError) else error)
        # As it is stored: what was rolled back is still in memory. Never the token, by which a successor is told from us.
        operation.refresh_from_db(fields=["state", "facts", "error", "result", "progress", "attempts", "person_since"])
        return _back_off_undo(operation, error, operation.error) if operation.undoing else _back_off(operation, error)
    return False


def _settle_succeeded(operation: Operation, kind: Kind) -> None:
    run = Run(operation)
    with run.guarded():
        result = kind.succeeded(run)
        _settle(operation, "succeeded", result=result, error=None, progress=100, facts=run.facts)


def _settle_failed(operation: Operation, kind: Kind) -> None:
    run, error = Run(operation), operation.error or {}
    with run.guarded():
        kind.failed(run, error)
        _settle(operation, "cancelled" if error.get("code") == "cancelled" else "failed", error=error, facts=run.facts)


def _settle(operation: Operation, state: str, **columns: Any) -> None:
    Hold.objects.filter(operation=operation).delete()
    _write(operation, state=state, lease_until=None, finished_at="clock", person_since=None, **columns)
    for hook in registry.settle_hooks:
        hook(operation)
    log.info("operation.settled", state=state)


def _release(operation: Operation, seconds: float, *, facts: dict, progress: int | None = None, attempts: int | None = None,
             error: dict | None = None, person: bool = False) -> bool:
    columns: dict[str, Any] = {"lease_until": None, "run_after": ("in", seconds), "facts": facts}
    if progress is not None:
        columns["progress"] = progress
    if attempts is not None:
        columns |= {"attempts": attempts, "error": error}
    if person and operation.person_since is None:
        columns["person_since"] = "clock"
    _write(operation, **columns)
    return False


def _write(operation: Operation, **columns: Any) -> None:
    """Update the row if it is still ours (else LeaseLost), with times from the database's clock; hint on commit."""
    def column(value: Any) -> Any:
        if value == "clock":
            return RawSQL("clock_timestamp()", [], output_field=DateTimeField())
        if isinstance(value, tuple):
            return RawSQL("clock_timestamp() + make_interval(secs => %s)", [value[1]], output_field=DateTimeField())
        return value

    if "step" in columns:
        columns["step_since"] = "clock"
    stored = {name: column(value) for name, value in columns.items()}
    with transaction.atomic():
        changed = Operation.objects.filter(pk=operation.pk, token=operation.token, state="running").update(
            **stored, updated_at=column("clock"))
        if not changed:
            raise LeaseLost(operation.pk)
        live.hint(operation.project_id, kind="operation", id=operation.pk)
    for name, value in columns.items():
        if value != "clock" and not isinstance(value, tuple):
            setattr(operation, name, value)


def _log(operation: Operation, step: str, outcome: str) -> list[dict[str, Any]]:
    return [*operation.history, {"step": step, "outcome": outcome, "at": database_now().isoformat()}]
