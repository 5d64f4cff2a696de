"""Locks and termination protection: what keeps an instance from being changed, or deleted, by mistake.

A locked instance refuses every verb of the table, and its floating IPs, security groups and volumes stay as they are; a protected
one refuses the two that delete it, and to delete what it has. Both hold for everybody: who may lift them does that first, and the
audit trail tells. What operators locked, they alone unlock. The platform itself (an act without an actor: suspension, unpaid
bills, budgets that stop, the clock of the recycle bin) does not ask.

They settle at once, for nothing is done on a host. `operations.act` asks `require` under the lock of the instance's row that they
are changed under, so no verb slips past.
"""
from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from compute.instances.errors import InstanceLocked, InstanceProtected
from compute.instances.models import Instance
from portal.kernel import audit, live
from portal.kernel.errors import NotFound, PortalError
from portal.kernel.states import database_now

LOCK, PROTECT = "instance.operate", "instance.delete"
"""What they are done with: who may delete says whether that is possible."""
ENDING = frozenset({"delete", "purge"})
LONGEST_REASON = 200
ASKED = ("name", "locked_at", "lock_reason", "is_locked_by_operator", "is_protected", "locked_by__username")


def refusal(instance: Instance, verb: str) -> PortalError | None:
    """What keeps anybody from doing the verb to the instance; None when nothing does."""
    if instance.locked_at is not None:
        return _locked(instance)
    return InstanceProtected(name=instance.name) if instance.is_protected and verb in ENDING else None


def require(instance: Instance, verb: str) -> None:
    """Raise InstanceLocked or InstanceProtected."""
    if error := refusal(instance, verb):
        raise error


def keep(domains: Collection[UUID], ends: bool, holds: bool) -> dict[UUID, PortalError]:
    """What keeps people from changing what belongs to these instances (a change guard): the same, for its addresses, security
    groups and volumes."""
    rows = Instance.objects.filter(pk__in=domains).select_related("locked_by").only(*ASKED).order_by("pk")
    if holds:
        rows = rows.select_for_update(of=("self",), no_key=True)
    verb = "delete" if ends else ""
    return {row.pk: error for row in rows if (error := refusal(row, verb))}


def why_kept(instance: Instance) -> str:
    """A sentence why what belongs to it stays as it is; empty where it may be changed."""
    error = refusal(instance, "")
    return error.detail if error else ""


def _locked(instance: Instance) -> InstanceLocked:
    if instance.is_locked_by_operator:
        who = _("an operator")
    else:
        who = str(instance.locked_by) if instance.locked_by else _("somebody whose account is gone")
    return InstanceLocked(name=instance.name, by=who, at=f"{instance.locked_at:%Y-%m-%d %H:%M} UTC",
                          reason=instance.lock_reason or _("no reason was given"))


def why_not_unlock(instance: Instance, user: Any) -> str:
    """A sentence why this user does not lift the lock; empty where they may, or there is none."""
    return _("An operator locked it, and only operators unlock it.") if (
        instance.is_locked_by_operator and not user.is_superuser) else ""


@transaction.atomic
def lock(instance: Instance, *, actor: Any, reason: str = "") -> Instance:
    """Refuse all verbs from now on. Again is success and leaves the first lock as it is, but an operator's takes the place of a
    tenant's."""
    row = held(instance)
    if row.locked_at is None or (actor.is_superuser and not row.is_locked_by_operator):
        _set(row, locked_at=database_now(), locked_by=actor, lock_reason=reason.strip()[:LONGEST_REASON],
             is_locked_by_operator=actor.is_superuser)
        audit.record("instance.lock", row, actor=actor, after={"reason": row.lock_reason})
    return row


@transaction.atomic
def unlock(instance: Instance, *, actor: Any) -> Instance:
    """Lift the lock; again is success. Raises InstanceLocked where an operator locked it and `actor` is none."""
    row = held(instance)
    if why_not_unlock(row, actor):
        raise _locked(row)
    if row.locked_at is not None:
        # Tenants read this too, and are not told which operator it was.
        who = "" if row.is_locked_by_operator else str(row.locked_by or "")
        before = {"reason": row.lock_reason, "locked_at": row.locked_at, "locked_by": who,
                  "is_locked_by_operator": row.is_locked_by_operator}
        _set(row, locked_at=None, locked_by=None, lock_reason="", is_locked_by_operator=False)
        audit.record("instance.unlock", row, actor=actor, before=before)
    return row


@transaction.atomic
def protect(instance: Instance, *, actor: Any, is_protected: bool = True) -> Instance:
    """Refuse to delete it from now on, or no longer; again is success. Raises InstanceLocked."""
    row = held(instance)
    if row.is_protected != is_protected:
        require(row, "protect")
        _set(row, is_protected=is_protected)
        audit.record("instance.protect" if is_protected else "instance.unprotect", row, actor=actor)
    return row


def held(instance: Instance) -> Instance:
    """The row under the lock that verbs take. Raises NotFound when it was deleted meanwhile."""
    rows = Instance.objects.live().select_for_update(of=("self",), no_key=True)
    row = rows.select_related("project__organization", "locked_by").filter(pk=instance.pk).first()
    if row is None:
        raise NotFound
    return row


def _set(row: Instance, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))
    live.touch(row)
