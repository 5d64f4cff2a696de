"""The audit trail's only writer. `record` joins the transaction of the change; `refuse` commits alone."""
from typing import Any

from django.db import transaction

from portal.kernel import requests
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent, Operation, Resource

MASKED = ("password", "secret", "private_key", "user_data", "token")


def record(action: str, subject: object, *, actor, before: dict | None = None, after: dict | None = None,
           operation: Operation | None = None, result: str = "ok") -> AuditEvent:
    """Write what `actor` did to `subject` (any row, or None); secrets in `before` and `after` are masked, however deep."""
    context = requests.current()
    project = _project_of(subject)
    event = AuditEvent.objects.create(
        action=action, actor=actor if getattr(actor, "pk", None) else None, result=result, operation=operation,
        address=context.address, request_id=context.id, route=context.route, api_key=context.api_key,
        on_behalf_of_id=context.on_behalf_of,
        project=project, organization_id=project.organization_id if project else _organization_id(subject),
        resource=subject if isinstance(subject, Resource) else None,
        target_type=_type_of(subject), target_id=str(getattr(subject, "pk", "")), target_name=str(subject or "")[:200],
        before=_masked(before), after=_masked(after),
    )
    for hook in registry.audit_hooks:
        hook(event)
    return event


def refuse(action: str, subject: object, *, actor, reason: str) -> None:
    """Write a refused attempt; survives because it runs after the refused transaction rolled back."""
    with transaction.atomic():
        record(action, subject, actor=actor, after={"reason": reason}, result="refused")


def _type_of(subject: object) -> str:
    return getattr(subject, "kind", "") or (subject._meta.model_name if hasattr(subject, "_meta") else "")


def _project_of(subject: object):
    if subject is None or not hasattr(subject, "_meta"):
        return None
    if subject._meta.label == "tenants.Project":
        return subject
    return getattr(subject, "project", None)


def _organization_id(subject: object):
    if hasattr(subject, "_meta") and subject._meta.label == "tenants.Organization":
        return subject.pk
    return getattr(subject, "organization_id", None)


def _masked(value: Any) -> Any:
    """As JSON, without the values of fields whose names say secret."""
    if isinstance(value, dict):
        return {str(name): "***" if found and _is_secret(name) else _masked(found) for name, found in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(one) for one in value]
    return value if isinstance(value, (int, bool, type(None))) else str(value)


def _is_secret(name: object) -> bool:
    return any(word in str(name).lower() for word in MASKED)
