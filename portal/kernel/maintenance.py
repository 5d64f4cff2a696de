"""Maintenance: while it is on, changes are accepted and wait; no operation goes on and no host is made to match.

The engine asks in the statements with which it claims and renews, so there is no window in which a worker
has not heard of it: a step that is at work ends, the next one does not begin. Nothing is lost and nothing is undone by
waiting, since the engine does not count time in which it was away (`engine.CLAIM`).
"""
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from portal.kernel import audit
from portal.kernel.models import Operation, PortalState


def current() -> PortalState:
    """The portal's condition; an unsaved row when none was ever written."""
    return rows().first() or PortalState()


def rows() -> QuerySet[PortalState]:
    """The one row, or none, for statements that ask more than this."""
    return PortalState.objects.filter(pk=PortalState.ONLY)


def is_on() -> bool:
    """Whether work waits. One query."""
    return PortalState.objects.filter(draining_since__isnull=False).exists()


@transaction.atomic
def begin(reason: str = "") -> None:
    """Let no further step begin. Said again, only the reason changes."""
    row, _made = PortalState.objects.get_or_create(pk=PortalState.ONLY)
    since = row.draining_since or Now()
    PortalState.objects.filter(pk=row.pk).update(draining_since=since, reason=reason[:200])
    audit.record("portal.drain", None, actor=None, after={"reason": reason[:200]})


@transaction.atomic
def end() -> bool:
    """Let work go on; False when it did already. Sweeps ring for what waits within seconds."""
    if not PortalState.objects.filter(draining_since__isnull=False).update(draining_since=None, reason=""):
        return False
    audit.record("portal.resume", None, actor=None)
    return True


def at_work() -> list[Operation]:
    """Operations whose step is being done just now: their lease still runs."""
    return list(Operation.objects.unfinished().filter(lease_until__gt=Now()).order_by("lease_until"))
