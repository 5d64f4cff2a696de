"""What happened, as notices for those who are to hear of it: rows written in the transaction of the change itself.

So none is lost, and none is told that did not happen. What nobody hears of by mail costs a look-up in a table of this process;
the end of an operation costs one query for its kinds' receivers.
"""
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from portal.kernel.declarations import NoticeKind, registry
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations.doorbell import ring_task
from portal.notices.models import How, Notice, Preferences
from portal.notices.preferences import how, next_digest
from tenants.models import Project

DELIVER, QUEUE = "notices.deliver", "default"
ERASED = "user.delete"
LONGEST_FACT = 300


def operation_settled(operation: Operation) -> None:
    """An operation of a project has ended; parts of others are theirs to tell."""
    if operation.project_id is None or operation.parent_id is not None:
        return
    kinds = [kind for kind in registry.notices.values() if operation.state in kind.endings]
    _write(operation, kinds, {
        "event_id": operation.pk, "act": f"{operation.kind}.{operation.state}"[:120], "actor_id": operation.actor_id,
        "project_id": operation.project_id, "organization_id": None,
        "facts": {"operation": operation.kind, "state": operation.state, "target": _name(operation.target),
                  "error": operation.error and {name: operation.error.get(name) for name in ("code", "facts")}}})


def audited(event: AuditEvent) -> None:
    """Somebody did something. Whoever is erased is told nothing more, and what was to be told to them is forgotten."""
    if event.result != "ok":
        return
    if event.action == ERASED and event.actor_id:
        Notice.objects.filter(user=event.actor_id).delete()
        Preferences.objects.filter(user=event.actor_id).delete()
    if kinds := [kind for kind in registry.notices.values() if event.action in kind.acts]:
        said = (event.before or {}) | (event.after or {})
        _write(event, kinds, {
            "event_id": event.pk, "act": event.action, "actor_id": event.actor_id, "project_id": event.project_id,
            "organization_id": event.organization_id,
            "facts": {name: said[name] for kind in kinds for name in kind.keeps if name in said} | {
                "target": event.target_name, "target_id": event.target_id, "role": said.get("role"),
                "reason": str(said.get("suspension_reason") or said.get("reason") or "")[:LONGEST_FACT]}})


def _name(target: Any) -> str:
    return target.name if target is not None else ""


def _write(happened: Any, kinds: list[NoticeKind], what: dict[str, Any]) -> None:
    """One notice for each person who wants a mail, as soon as any of the kinds says."""
    now, due = timezone.now(), {}
    for kind, user_id, preferences in _hearing(happened, kinds):
        if (wanted := how(preferences, kind)) != How.NEVER:
            at = now if wanted == How.NOW else next_digest(preferences, now)
            if user_id not in due or at < due[user_id][0]:
                due[user_id] = (at, kind.name)
    if not due:
        return
    _insert(due, what, now)
    if any(at <= now for at, _kind in due.values()):
        ring_task(DELIVER, QUEUE)


def _hearing(happened: Any, kinds: list[NoticeKind]) -> Iterable[tuple[NoticeKind, UUID, Preferences | None]]:
    found: dict[str, list[UUID]] = defaultdict(list)
    for kind in kinds:
        found[kind.name] = list(kind.receivers(happened).values_list("pk", flat=True))
    everybody = {pk for ids in found.values() for pk in ids}
    known = Preferences.objects.in_bulk(everybody) if everybody else {}
    return [(kind, pk, known.get(pk)) for kind in kinds for pk in found[kind.name]]


def _insert(due: dict[UUID, tuple[datetime, str]], what: dict[str, Any], now: datetime) -> None:
    if what["organization_id"] is None and what["project_id"] is not None:
        what["organization_id"] = Project.objects.values_list("organization_id", flat=True).get(pk=what["project_id"])
    Notice.objects.bulk_create([Notice(user_id=user_id, kind=kind, due_at=at, at=now, **what)
                                for user_id, (at, kind) in due.items()], ignore_conflicts=True)
