"""The audit trail's only writer. `record` joins the transaction of the change; `refuse` commits alone."""
from django.db import transaction

from portal.kernel import requests
from portal.kernel.models import AuditEvent, Operation, Resource

MASKED = ("password", "secret", "private_key", "user_data", "token")


def record(action: str, subject: object, *, actor, before: dict | None = None, after: dict | None = None,
           operation: Operation | None = None, result: str = "ok") -> AuditEvent:
    """Write what `actor` did to `subject` (any row, or None)."""
    context = requests.current()
    project = _project_of(subject)
    return AuditEvent.objects.create(
        action=action, actor=actor if getattr(actor, "pk", None) else None, result=result, operation=operation,
        address=context.address, request_id=context.id, api_key=context.api_key,
        project=project, organization_id=project.organization_id if project else _organization_id(subject),
        resource=subject if isinstance(subject, Resource) else None,
        target_type=_type_of(subject), target_id=str(getattr(subject, "pk", "")), target_name=str(subject or "")[:200],
        before=_masked(before), after=_masked(after),
    )


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


def _masked(values: dict | None) -> dict | None:
    if values is None:
        return None
    return {name: "***" if any(word in name for word in MASKED) and value else
            value if isinstance(value, (int, bool, list, dict, type(None))) else str(value)
            for name, value in values.items()}
