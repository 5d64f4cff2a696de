"""One operation explained to whoever has to help it: what it waits for, what went wrong and what mends it, what a push would
do, and what of the cloud it touches. Reads only; joins what the kernel, hosts and instances know.
"""
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from compute.hosts.models import Claim, Host
from portal.kernel.models import Hold, Operation
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from portal.templatetags.ui import error_text, steps_of

FINISHED = gettext_lazy("It is finished.")


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What admin's page of an operation says above its columns."""

    waits_for: str
    since: datetime | None
    is_stuck: bool
    is_late: bool
    error: str
    undo_error: str
    steps: list[dict[str, str]]
    if_retried: str
    if_cancelled: str
    holds: list[Hold]
    claims: list[Claim]
    hosts: list[Host]
    lease: str


def explain(operation: Operation) -> Explained:
    """Everything the page says; a handful of statements, whatever the operation is."""
    now = database_now()
    holds = list(Hold.objects.filter(operation=operation).select_related("resource"))
    claims = list(Claim.objects.filter(consumer__in=_touched(operation, holds)).select_related("provider", "consumer"))
    return Explained(
        waits_for=_waits_for(operation, now), since=operation.step_since if operation.is_live else operation.finished_at,
        is_stuck=operation.is_live and operation.person_since is not None,
        is_late=operation.is_live and operation.deadline < now, error=error_text(operation.error),
        undo_error=error_text(operation.facts.get("undo_error")), steps=steps_of(operation),
        if_retried=_if_retried(operation), if_cancelled=_if_cancelled(operation), holds=holds, claims=claims,
        hosts=_hosts(operation, claims), lease=_lease(operation, now))


def why_no_retry(operation: Operation) -> Any:
    return "" if operation.is_live else FINISHED


def why_no_cancel(operation: Operation) -> Any:
    """A sentence why the engine would refuse; empty when it would turn back."""
    if not operation.is_live:
        return FINISHED
    if operation.undoing or operation.cancel_requested_at:
        return _("It is being undone already.")
    if operation.kind not in kinds:
        return _("This release does not know its kind.")
    return "" if kinds[operation.kind].is_cancellable(operation) else _("It is past the point of return and only goes forward.")


def step_word(operation: Operation, name: str) -> str:
    """A step's name in words."""
    labels = kinds[operation.kind].step_labels if operation.kind in kinds else {}
    return str(labels.get(name, name))


def _is_past_pivot(operation: Operation) -> bool:
    return operation.kind in kinds and kinds[operation.kind].is_past_pivot(operation)


def _waits_for(operation: Operation, now: datetime) -> str:
    if not operation.is_live:
        return _("Nothing: it is finished.")
    if operation.kind not in kinds:
        return _("A release of the portal that knows this kind: the one that runs does not.")
    if operation.lease_until and operation.lease_until > now:
        return _("Nothing: a worker is at it now.")
    if operation.lease_until:
        return _("Another worker: the one that had it is gone, and its lease is over. The sweeper rings for one within seconds.")
    if operation.run_after <= now:
        return _("A worker of the queue %(queue)s: it is due. If this lasts, none of that region's workers is running.") % {
            "queue": operation.queue}
    if operation.attempts and operation.step_name is None:
        text = _("The next try: its steps are done, and what keeps it from being settled came up %(attempts)s times in a row.")
        return text % {"attempts": operation.attempts}
    if operation.attempts:
        return _("The next try: the step failed %(attempts)s times in a row and is repeated at ever longer intervals.") % {
            "attempts": operation.attempts}
    return _("Work outside the portal that the step began: it looks again soon.")


def _if_retried(operation: Operation) -> str:
    if not operation.is_live:
        return _("Nothing: it is finished. Doing it again is a new operation.")
    if operation.undoing:
        return _("The failing undo is tried at once, and the count of failures begins anew.")
    return _("The step is tried at once, the count of failures begins anew, and the deadline is 10 minutes later.")


def _if_cancelled(operation: Operation) -> str:
    refused = why_no_cancel(operation)
    if refused:
        return str(refused)
    kind = kinds[operation.kind]
    undone = [step_word(operation, name) for name in reversed(operation.plan[:operation.step + 1]) if kind.step(name).undo]
    if not undone:
        return _("It ends at once: nothing of it has to be undone.")
    return _("Undone, in this order: %(steps)s. Then it ends as cancelled.") % {"steps": ", ".join(undone)}


def _lease(operation: Operation, now: datetime) -> str:
    if operation.lease_until is None:
        return _("None; claimed %(token)s times so far.") % {"token": operation.token}
    words = _("Until %(time)s UTC, token %(token)s.") if operation.lease_until > now else _(
        "Over since %(time)s UTC, token %(token)s.")
    return words % {"time": f"{operation.lease_until:%Y-%m-%d %H:%M:%S}", "token": operation.token}


def _touched(operation: Operation, holds: list[Hold]) -> set[UUID]:
    return {hold.resource_id for hold in holds} | ({operation.target_id} if operation.target_id else set())


def _hosts(operation: Operation, claims: list[Claim]) -> list[Host]:
    """Where it works: the host that it is about, its instances' hosts, and those whose capacity it has."""
    wanted = Q(pk__in=[claim.provider_id for claim in claims]) | Q(instances__pk=operation.target_id)
    if operation.arguments.get("host"):
        wanted |= Q(pk=operation.arguments["host"])
    return list(Host.objects.filter(wanted).distinct().order_by("name"))
