"""What a person is told of an operation beside its state: how long it will take, whether it can be cancelled, what was undone.

Durations are those of the last operations of the same kind that went well, over the whole portal: times only, of nobody's
resources.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from portal.kernel.models import Operation
from portal.kernel.operations import kinds

SAMPLES, LEAST_SAMPLES = 20, 3
"""How many past durations the median is taken of; with fewer than LEAST_SAMPLES nothing is promised."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An operation as pages show it."""

    operation: Operation
    cancel_refusal: str | None
    """Why it cannot be cancelled; None when it can, empty when there is nothing to cancel any more."""
    may_retry: bool
    usual_s: float | None
    """How long its kind usually takes; None while that is unknown."""

    @property
    def can_cancel(self) -> bool:
        return self.cancel_refusal is None

    @property
    def left_s(self) -> int | None:
        """Seconds that are probably left; 0 when it takes longer than usual, None when nobody knows."""
        if self.usual_s is None or not self.operation.is_live or self.operation.undoing:
            return None
        return max(0, round(self.usual_s - _elapsed(self.operation, timezone.now())))

    @property
    def undone(self) -> list[str]:
        """The steps whose effect was taken back, in the order in which that was done."""
        labels = kinds[self.operation.kind].step_labels if self.operation.kind in kinds else {}
        return [str(labels.get(entry["step"], entry["step"])) for entry in self.operation.history
                if entry["outcome"] == "undone"]


def shown(operations: Iterable[Operation], user: Any) -> list[Shown]:
    """Each with what is told of it: one further statement, and none when nothing is under way."""
    rows = list(operations)
    usual = usual_durations({row.kind for row in rows if row.is_live})
    return [Shown(operation=row, cancel_refusal=cancel_refusal(row, user), usual_s=usual.get(row.kind),
                  may_retry=row.is_live and row.person_since is not None and user.grants.sees_everything) for row in rows]


def usual_durations(names: Iterable[str]) -> dict[str, float]:
    """Kind → the median of its last SAMPLES durations that went well, in seconds; kinds with too few are left out."""
    finished = Operation.objects.filter(state=Operation.State.SUCCEEDED, started_at__isnull=False)
    parts = [finished.filter(kind=name).order_by("-finished_at").values_list("kind", "started_at", "finished_at")[:SAMPLES]
             for name in sorted(names)]
    if not parts:
        return {}
    durations: dict[str, list[float]] = {}
    for kind, started, ended in parts[0].union(*parts[1:], all=True):
        durations.setdefault(kind, []).append((ended - started).total_seconds())
    return {kind: median(found) for kind, found in durations.items() if len(found) >= LEAST_SAMPLES}


def cancel_refusal(operation: Operation, user: Any) -> str | None:
    """Why cancelling would be refused; None when it would be honoured, empty for one that has ended."""
    if not operation.is_live:
        return ""
    if operation.undoing:
        return _("It is being undone already.")
    if operation.cancel_requested_at:
        return _("Cancelling has been asked for; it is honoured after the present step.")
    kind = kinds.get(operation.kind)
    if kind is None or not kind.is_cancellable(operation):
        return _("It is past the point of return: from here it only goes forward.")
    if not user.grants.allows("operation.cancel", operation):
        return _("Your role does not include cancelling operations.")
    return None


def _elapsed(operation: Operation, now: datetime) -> float:
    return (now - operation.started_at).total_seconds() if operation.started_at else 0.0
