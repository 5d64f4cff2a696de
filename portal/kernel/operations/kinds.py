"""What an operation is made of: kinds, steps, their outcomes, and the `Run` that a step works through.

Steps know their resources; nothing here knows a room.
"""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from portal.kernel import crash
from portal.kernel.errors import PortalError
from portal.kernel.models import Operation
from portal.kernel.states import database_now


class LeaseLost(BaseException):
    """Another worker has the operation now: stop at once, change nothing. Not an Exception, so that no step swallows it."""


@dataclass(frozen=True)
class Done:
    """The step's effect is there."""


@dataclass(frozen=True)
class Wait:
    """An outside job is running, its handle is in `facts`; call the step again in `seconds`."""

    seconds: float
    progress: int | None = None


Outcome = Done | Wait | None


@dataclass(frozen=True)
class Step:
    """One thing made so. `do` and `undo` are safe to repeat. `limit_s` bounds the step with its waits and retries.

    `formerly` are names that older versions gave it: operations that were accepted under those find it by them.
    """

    name: str
    do: Callable[["Run"], Outcome]
    undo: Callable[["Run"], Outcome] | None = None
    limit_s: int = 120
    formerly: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A sort of operation. `pivot` names the first step that is never undone (None: all are).

    `succeeded` and `failed` run in the transaction that settles the operation: they move the target to its settled
    state. `succeeded` returns the operation's public result.

    `makes`: something new comes of it, and it counts among a project's operations in flight. Whatever works on a thing that is
    there does not: of that there is one at a time for each thing, and nobody is to be kept from stopping or deleting.

    `stands`: from these steps on nobody cancels it any more, though it may still fail and be undone.

    `gives_up`: past its pivot too who asks for it is let go while its step fails or is late. Nothing is undone then; `failed`
    says what the target is as things are.
    """

    name: str
    label: Any
    steps: tuple[Step, ...]
    succeeded: Callable[["Run"], dict | None]
    failed: Callable[["Run", dict], None]
    pivot: str | None = None
    deadline_s: int = 600
    makes: bool = False
    stands: tuple[str, ...] = ()
    gives_up: bool = False
    step_labels: dict[str, Any] = field(default_factory=dict)

    def step(self, name: str) -> Step:
        """The step of that name, also of a former one. Raises StopIteration for one that this version does not know."""
        return next(step for step in self.steps if name in _names(step))

    @property
    def plan(self) -> list[str]:
        return [step.name for step in self.steps]

    def is_past_pivot(self, operation: Operation) -> bool:
        """Whether what was done is not undone any more. Never for a plan in which the pivot is not found."""
        return self._is_at(self.pivot, operation)

    def is_cancellable(self, operation: Operation) -> bool:
        """Whether the engine would turn back now because somebody asked."""
        stays = any(self._is_at(step, operation) for step in (self.pivot, *self.stands))
        return not stays or self.may_give_up(operation)

    def may_give_up(self, operation: Operation) -> bool:
        """Whether it is past its pivot, does not get on there (its step fails, or takes longer than it may), and may be left as
        it is."""
        if not self.gives_up or not self.is_past_pivot(operation):
            return False
        return operation.attempts > 0 or self._is_overdue(operation)

    def _is_overdue(self, operation: Operation) -> bool:
        if operation.step_since is None or not 0 <= operation.step < len(operation.plan):
            return False
        step = next((step for step in self.steps if operation.plan[operation.step] in _names(step)), None)
        return step is not None and database_now() - operation.step_since > timedelta(seconds=step.limit_s)

    def _is_at(self, step: str | None, operation: Operation) -> bool:
        """Whether the step has begun. Never for a plan in which it is not found."""
        if step is None:
            return False
        names = _names(self.step(step))
        return operation.step >= next((at for at, name in enumerate(operation.plan) if name in names), len(operation.plan) + 1)

    def unknown_steps(self, operation: Operation) -> list[str]:
        """What the operation's plan, made by the version that accepted it, names and this version does not have.

        What is done already matters only where it may have to be undone.
        """
        plan = operation.plan
        if operation.undoing:
            plan = plan[:operation.step + 1]
        elif self.is_past_pivot(operation):
            plan = plan[operation.step:]
        known = {name for step in self.steps for name in _names(step)}
        unknown = [name for name in plan if name not in known]
        if self.pivot is not None and not operation.undoing and not _names(self.step(self.pivot)) & set(operation.plan):
            unknown.append(self.pivot)
        return unknown


def _names(step: Step) -> set[str]:
    return {step.name, *step.formerly}


kinds: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Declare a kind; a second one of the same name is a programmer's error."""
    if kinds.setdefault(kind.name, kind) is not kind:
        raise ValueError(f"operation kind {kind.name} is registered twice")
    return kind


def making() -> QuerySet[Operation]:
    """Live operations that something new comes of."""
    return Operation.objects.unfinished().filter(kind__in=[kind.name for kind in kinds.values() if kind.makes])


class Run:
    """One worker's turn on one operation: what steps read, write and check themselves against."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.facts: dict[str, Any] = operation.facts

    @property
    def arguments(self) -> dict[str, Any]:
        return self.operation.arguments

    def target(self, model: type, **select: object):
        """The operation's target as its typed row, read afresh."""
        return model._base_manager.get(pk=self.operation.target_id)

    # -- the fence: nothing outside is touched by a worker that lost its lease --

    def check(self) -> None:
        """Raise LeaseLost unless this worker still has the operation."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM kernel_operation WHERE id = %s AND token = %s AND lease_until > clock_timestamp()",
                           [self.operation.pk, self.operation.token])
            if cursor.fetchone() is None:
                raise LeaseLost(self.operation.pk)

    def extend(self, seconds: int) -> None:
        """Keep the operation for so long, before one statement of PostgreSQL's that may outlast a lease. Whoever is killed in it
        is replaced only then. Raises LeaseLost."""
        with connection.cursor() as cursor:
            cursor.execute("UPDATE kernel_operation SET lease_until = clock_timestamp() + make_interval(secs => %s)"
                           " WHERE id = %s AND token = %s AND state = 'running'",
                           [seconds, self.operation.pk, self.operation.token])
            if not cursor.rowcount:
                raise LeaseLost(self.operation.pk)

    def before(self, verb: str) -> None:
        """Called by drivers before every outside call."""
        self.check()
        crash.point(f"before {verb}")

    def after(self, verb: str) -> None:
        crash.point(f"after {verb}")

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """A transaction that commits only while the lease is ours: the operation's row is locked first."""
        with transaction.atomic():
            self._lock()
            yield

    def _lock(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT token FROM kernel_operation WHERE id = %s FOR UPDATE", [self.operation.pk])
            if cursor.fetchone() != (self.operation.token,):
                raise LeaseLost(self.operation.pk)

    def remember(self, **facts: object) -> None:
        """Store handles at once, before the outside job that they name is begun."""
        self.facts.update(facts)
        with self.guarded():
            Operation.objects.filter(pk=self.operation.pk).update(facts=self.facts)


def error_row(error: BaseException) -> dict[str, Any]:
    """What the operation stores of a failure; unexpected ones show no internals to tenants."""
    if isinstance(error, PortalError):
        return error.as_row()
    return {"code": "unexpected", "detail": "An unexpected fault; the operators have been told.",
            "facts": {"exception": type(error).__name__}}
