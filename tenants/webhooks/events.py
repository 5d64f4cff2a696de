"""What webhooks are told of, and who wants to hear it: rows written in the transaction of the change itself.

    <kind>.succeeded | .failed | .cancelled      an operation came to its end: instance.start.succeeded
    audit.<action>                               somebody did something, or was refused it: audit.instance.start
    webhook.test                                 somebody pressed the button

So none is lost and none is told that did not happen. An organization without webhooks pays one look-up by an index.
Payloads name things and never describe them: what they are now is asked from the API, with the asker's own rights.
"""
import re
import uuid
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone

from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import kinds
from portal.kernel.operations.doorbell import ring_task
from portal.kernel.rest.serializers import address_of
from tenants.models import Project
from tenants.webhooks.models import Delivery, Webhook

DELIVER, QUEUE = "webhooks.deliver", "default"
TEST, AUDIT = "webhook.test", "audit."
MOST_PATTERNS, LONGEST_PATTERN, MOST_STARS = 50, 100, 2
PATTERN = re.compile(r"[a-z0-9_*]+(\.[a-z0-9_*]+)*")


def is_pattern(text: str) -> bool:
    """`*` stands for any characters: `*`, `instance.*`, `*.failed`, `audit.apikey.create`."""
    return len(text) <= LONGEST_PATTERN and text.count("*") <= MOST_STARS and PATTERN.fullmatch(text) is not None


def matches(patterns: Iterable[str], event_type: str) -> bool:
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), event_type) for pattern in patterns)


def endings() -> list[str]:
    """Types of events about operations, of all kinds that the rooms declare."""
    return [f"{kind}.{state}" for kind in sorted(kinds) for state in ("succeeded", "failed", "cancelled")]


def can_happen(pattern: str) -> bool:
    """Whether the pattern may ever match: a misspelt one would be silent for ever."""
    return pattern.startswith(AUDIT) or any(matches([pattern], known) for known in (*endings(), f"{AUDIT}any"))


def hears_audit(pattern: str) -> bool:
    """Whether it may match what people do."""
    start, star, _rest = pattern.partition("*")
    return start.startswith(AUDIT) or (bool(star) and AUDIT.startswith(start))


# -- hooks of the kernel --

def operation_settled(operation: Operation) -> None:
    """An operation of a project has ended."""
    if operation.project_id is None:
        return
    event_type = f"{operation.kind}.{operation.state}"
    rows = Webhook.objects.sending().filter(organization__projects=operation.project_id)
    if found := _wanting(rows, event_type, operation.project_id):
        _write(found, operation.pk, event_type, {
            "operation": _thing("operation", operation.pk, reverse("operation-detail", args=[operation.pk])),
            "kind": operation.kind, "state": operation.state, "error": (operation.error or {}).get("code"),
            "target": operation.target and _thing(operation.target.kind, operation.target_id),
            "actor": operation.actor_id and str(operation.actor_id), "project": str(operation.project_id)})


def audited(event: AuditEvent) -> None:
    """Somebody did something in an organization, or was refused it. Never what was before and after."""
    if event.organization_id is None:
        return
    event_type = f"{AUDIT}{event.action}"
    rows = Webhook.objects.sending().filter(organization=event.organization_id)
    if found := _wanting(rows, event_type, event.project_id):
        _write(found, event.pk, event_type, {
            "audit": _thing("audit", event.pk, reverse("audit-detail", args=[event.pk])), "action": event.action,
            "result": event.result, "target": (event.target_id and _thing(event.target_type, event.target_id)) or None,
            "actor": event.actor_id and str(event.actor_id), "project": event.project_id and str(event.project_id),
            "operation": event.operation_id and str(event.operation_id)})


def test_event(webhook: Webhook) -> Delivery:
    """An event for this webhook alone, whatever its patterns."""
    named = _thing("webhook", webhook.pk, reverse("webhook-detail", args=[webhook.pk]))
    project_id = webhook.project_id and str(webhook.project_id)
    [delivery] = _write([webhook], uuid.uuid4(), TEST, {"webhook": named, "project": project_id})
    return delivery


# -- who hears of it --

def _wanting(rows: QuerySet[Webhook], event_type: str, project_id: UUID | None) -> list[Webhook]:
    """Those whose patterns and place fit. One query; another where some want to hear of one project's tree only."""
    found = [row for row in rows.only("organization_id", "project_id", "events") if matches(row.events, event_type)]
    if not any(row.project_id for row in found):
        return found
    path = Project.objects.filter(pk=project_id).values_list("path", flat=True).first() or []
    return [row for row in found if row.project_id is None or str(row.project_id) in path]


def _write(webhooks: list[Webhook], event_id: UUID, event_type: str, data: dict[str, Any]) -> list[Delivery]:
    now = timezone.now()
    ring_task(DELIVER, QUEUE)
    return Delivery.objects.bulk_create([Delivery(
        webhook=webhook, event_id=event_id, type=event_type, next_at=now, payload={
            "type": event_type, "timestamp": now.isoformat(),
            "data": {"id": str(event_id), "organization": str(webhook.organization_id), **data}}) for webhook in webhooks])


def _thing(kind: str, pk: object, path: str | None = None) -> dict[str, str | None]:
    """What something is, and where to read more of it."""
    path = path or address_of(kind, pk)
    return {"type": kind, "id": str(pk), "url": path and settings.SITE_URL + path}
