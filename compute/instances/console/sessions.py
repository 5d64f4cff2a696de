"""Open console sessions: how many there may be, and ending one that somebody else has open.

Ending is a mark on the row; the watch of the process that has the socket sees it within seconds and closes.
"""
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from compute.instances.console.models import ConsoleTicket
from compute.instances.models import Instance
from portal.kernel import audit
from portal.kernel.errors import NotFound, PortalError
from tenants.models import User

IN_TURN = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


class TooManyConsoles(PortalError):
    """A limit of open sessions is reached: of the user, or of the instance."""

    code, status = "too_many_consoles", 409
    title = _("Too many open consoles")
    text = _("{used} consoles are open, and no more than {limit} may be. Close one first.")


def sessions_of(instance: Instance) -> QuerySet[ConsoleTicket]:
    """Who has its console open, longest first. One that was ended is being closed, and counts as gone; of a process that was
    killed they vanish after a while."""
    return (ConsoleTicket.objects.alive().filter(instance=instance, ended_at=None).select_related("user")
            .order_by("used_at", "pk"))


def require_room(instance_id: UUID, user_id: UUID, *, is_view_only: bool) -> None:
    """Raise TooManyConsoles where one more would pass a limit. Those who only look are counted by themselves: a crowd of them
    keeps nobody from the keyboard. Who must be sure takes `in_turn` first."""
    alive = ConsoleTicket.objects.alive()
    for scope, limit, rows in (
            ("user", settings.CONSOLES_PER_USER, alive.filter(user=user_id)),
            ("instance", settings.CONSOLES_PER_INSTANCE,
             alive.filter(instance=instance_id, link__isnull=not is_view_only))):
        if limit and (used := rows.count()) >= limit:
            raise TooManyConsoles(scope=scope, limit=limit, used=used, instance=str(instance_id))


def in_turn(*ids: UUID) -> None:
    """Whoever else opens consoles of these waits until this transaction ends."""
    with connection.cursor() as cursor:
        for one in sorted(map(str, ids)):
            cursor.execute(IN_TURN, [f"console {one}"])


def end_session(instance: Instance, session: UUID, *, actor: User) -> ConsoleTicket:
    """Have it closed within seconds; again, or when it is over already, is success. Raises NotFound for another instance's."""
    with transaction.atomic():
        ticket = (ConsoleTicket.objects.select_for_update(of=("self",)).select_related("user")
                  .filter(instance=instance, pk=session, used_at__isnull=False).first())
        if ticket is None:
            raise NotFound
        if ticket.closed_at is None and ticket.ended_at is None:
            ConsoleTicket.objects.filter(pk=ticket.pk).update(ended_at=Now(), ended_by=actor)
            audit.record("console.end", instance, actor=actor, after={"console": ticket.type, "user": ticket.user.username})
        return ticket
