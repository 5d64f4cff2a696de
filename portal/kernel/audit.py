"""The audit trail's only writer. `record` joins the transaction of the change; `refuse` commits alone."""
import hashlib
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from portal.kernel import requests
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent, Operation, Resource

MASKED = ("password", "secret", "private_key", "user_data", "token")


def record(action: str, subject: object, *, actor, before: dict | None = None, after: dict | None = None,
           operation: Operation | None = None, result: str = "ok") -> AuditEvent:
    """Write what `actor` did to `subject` (any row, or None); secrets in `before` and `after` are masked, however deep."""
    context, name = requests.current(), str(subject or "")[:200]
    project, actor_id = _project_of(subject), getattr(actor, "pk", None)
    is_for_another = actor_id is not None and actor_id == context.on_behalf_of
    event = AuditEvent.objects.create(
        action=action, actor_id=context.operator if is_for_another else actor_id, result=result, operation=operation,
        address=context.address, request_id=context.id, route=context.route, api_key=context.api_key,
        on_behalf_of_id=actor_id if is_for_another else None,
        project=project, organization_id=project.organization_id if project else _organization_id(subject),
        resource=subject if isinstance(subject, Resource) else None,
        target_type=_type_of(subject), target_id=str(getattr(subject, "pk", "")), target_name=name,
        before=_masked(before), after=_masked(after), **(_erasable(name) if isinstance(subject, get_user_model()) else {}),
    )
    for hook in registry.audit_hooks:
        hook(event)
    return event


def refuse(action: str, subject: object, *, actor, reason: str) -> None:
    """Write a refused attempt; survives because it runs after the refused transaction rolled back."""
    with transaction.atomic():
        record(action, subject, actor=actor, after={"reason": reason}, result="refused")


def erase_names(user: Any) -> list[str]:
    """Take the name of a person whose account ends out of the rows that are about them; the rows' ids, for the row that tells of
    the end: by it, verifying knows that nobody else did. Rows of before names could be erased keep theirs."""
    rows = AuditEvent.objects.filter(target_id=str(user.pk), name_salt__isnull=False)
    found = [str(pk) for pk in rows.order_by("at", "pk").values_list("pk", flat=True)]
    AuditEvent.objects.filter(pk__in=found).update(target_name="", name_salt=None)
    return found


def _erasable(name: str) -> dict[str, bytes]:
    """The hash stays when the name goes; without the salt nobody can try names against it."""
    salt = secrets.token_bytes(16)
    return {"name_salt": salt, "name_hash": hashlib.sha256(salt + name.encode()).digest()}


def _type_of(subject: object) -> str:
    return getattr(subject, "kind", "") or (subject._meta.model_name if hasattr(subject, "_meta") else "")


def _project_of(subject: object):
    if subject is None or not hasattr(subject, "_meta"):
        return None
    if subject._meta.label == "tenants.Project":
        return subject
    return getattr(subject, "trail_project", None) or getattr(subject, "project", None)  # the first says it for its owner


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
