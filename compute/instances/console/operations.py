"""Verbs on consoles: issue a ticket, redeem it, note that its session ended. The relay is not here.

A ticket is 256 random bits of which only the hash is stored, good for TICKET_LIFE, for the principal that asked for it,
for this start of the instance, and once: one UPDATE decides who was first.
"""
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from compute.instances.console import links, sessions
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.console.principals import Principal, principal_of
from compute.instances.errors import NotSupported
from compute.instances.models import ON_SCREEN, Instance
from portal.kernel import audit, requests
from portal.kernel.errors import NotFound, PortalError, StateConflict, TooManyRequests
from portal.kernel.secrets import digest, random_secret
from portal.kernel.states import database_now
from tenants import access
from tenants.models import User

__all__ = ["TicketRefused", "close_console", "issue_ticket", "open_console", "principal_of", "ticket_answer"]

TICKET_LIFE = timedelta(seconds=30)
# Nobody opens so many screens at once; a loop that mints tickets is stopped here.
UNUSED_LIMIT = 30
# Where on the instance's page it is.
VIEWS = {ConsoleTicket.Type.VNC: "", ConsoleTicket.Type.SERIAL: "&view=serial"}
KEPT = timedelta(days=30)


class TicketRefused(PortalError):
    """Unknown, used, late, or somebody else's: deliberately the same answer."""

    code, status = "ticket_refused", 403
    title = _("Ticket refused")
    text = _("This console ticket is unknown, used or expired, or it was issued to somebody else. Ask for a new one.")


def issue_ticket(instance: Instance, *, actor: User, principal: Principal, type: str = ConsoleTicket.Type.VNC,
                 takes_over: bool = False, link: ConsoleLink | None = None) -> tuple[ConsoleTicket, str]:
    """The ticket's row and its text, which is told once and stored nowhere; with a link, to look and not to type.

    Raises StateConflict unless it runs, NotSupported where its host has no such console, and TooManyConsoles."""
    if instance.state not in ON_SCREEN:
        raise StateConflict(state=instance.state, legal=",".join(sorted(ON_SCREEN)))
    if type == ConsoleTicket.Type.SERIAL and not has_serial(instance):
        raise NotSupported(name=instance.name)
    now = database_now()
    mine = ConsoleTicket.objects.filter(user=actor)
    if mine.filter(used_at=None, expires_at__gt=now).count() >= UNUSED_LIMIT:
        raise TooManyRequests(retry_after=int(TICKET_LIFE.total_seconds()))
    sessions.require_room(instance.pk, actor.pk, is_view_only=link is not None)
    mine.filter(created_at__lt=now - KEPT).delete()
    text = random_secret(256)
    row = ConsoleTicket.objects.create(
        instance=instance, user=actor, session_hash=principal.session_hash, api_key=principal.api_key, type=type,
        secret_hash=digest(text), generation=instance.generation, expires_at=now + TICKET_LIFE, link=link,
        takes_over=takes_over and link is None)
    return row, text


def has_serial(instance: Instance) -> bool:
    """Whether its host lets us at its serial port."""
    return instance.host is not None and bool(instance.host.endpoint.capabilities.get("has_serial"))


def ticket_answer(row: ConsoleTicket, text: str, request: HttpRequest) -> dict[str, object]:
    """What the caller is told; `ticket` goes into the websocket's subprotocol as `ticket.<text>`, beside `binary`."""
    scheme = "wss" if request.is_secure() else "ws"
    return {"url": f"{reverse('instances:detail', args=[row.instance_id])}?tab=console{VIEWS[row.type]}",
            "ws": f"{scheme}://{request.get_host()}/ws/console/", "ticket": text, "expires_at": row.expires_at}


def open_console(text: str, principal: Principal) -> ConsoleTicket:
    """Burn the ticket for the session that it opens. Raises TicketRefused, TooManyConsoles, LinkRefused, NotFound, Forbidden or
    StateConflict."""
    try:
        ticket = _redeem(text, principal)
        _require_open(ticket, principal)
    except PortalError as error:
        about = error.facts.get("instance")
        audit.refuse("console.open", Instance.objects.filter(pk=about).first(), actor=principal.user, reason=error.code)
        raise
    audit.record("console.open", ticket.instance, actor=principal.user,
                 after={"console": ticket.type} | ({"view_only": True} if ticket.is_view_only else {})
                 | ({"takes_over": True} if ticket.takes_over else {}))
    return ticket


def _redeem(text: str, principal: Principal) -> ConsoleTicket:
    """Single use by one UPDATE that commits alone, whatever happens to the session afterwards."""
    known = ConsoleTicket.objects.filter(secret_hash=digest(text))
    mine = known.filter(used_at=None, expires_at__gt=Now(), user=principal.user, session_hash=principal.session_hash,
                        api_key=principal.api_key)
    with transaction.atomic(durable=True):
        # What counts open sessions and what adds one take turns, or a hundred tickets at once would all find room.
        for row in mine.only("instance_id", "user_id", "link_id"):
            sessions.in_turn(row.instance_id, row.user_id)
            sessions.require_room(row.instance_id, row.user_id, is_view_only=row.is_view_only)
        won = mine.update(used_at=Now(), seen_at=Now(), address=requests.current().address)
    ticket = (known.select_related("instance__host__endpoint", "instance__project", "user", "link__maker", "link__api_key")
              # Loading would decrypt them; the relay reads the password when it logs in.
              .defer("instance__vnc_password", "instance__user_data", "instance__next_user_data").first())
    if not won or ticket is None:
        raise TicketRefused(**({"instance": ticket.instance_id} if ticket else {}))
    return ticket


def _require_open(ticket: ConsoleTicket, principal: Principal) -> None:
    """The rights and the state of now, not of when the ticket was issued."""
    try:
        access.fetch(principal.user, Instance.objects, ticket.permission, pk=ticket.instance_id)
        _require_running(ticket)
        if ticket.link is not None and links.why_dead(ticket.link, ticket.instance, database_now()):
            raise links.LinkRefused
    except PortalError as error:
        error.facts["instance"] = ticket.instance_id
        _mark_closed(ticket)
        raise


def _require_running(ticket: ConsoleTicket) -> None:
    instance = ticket.instance
    if instance.host is None:
        raise NotFound
    if instance.state not in ON_SCREEN or instance.generation != ticket.generation:
        raise StateConflict(state=instance.state)


def close_console(ticket: ConsoleTicket, *, reason: str) -> None:
    """The session has ended; again is success."""
    with transaction.atomic():
        if _mark_closed(ticket):
            seconds = round((database_now() - ticket.used_at).total_seconds())
            audit.record("console.close", ticket.instance, actor=ticket.user,
                         after={"console": ticket.type, "seconds": seconds, "reason": reason})


def _mark_closed(ticket: ConsoleTicket) -> bool:
    return ConsoleTicket.objects.filter(pk=ticket.pk, closed_at=None).update(closed_at=Now()) == 1
