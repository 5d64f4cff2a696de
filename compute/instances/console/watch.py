"""Watching open consoles: rights, sign-in, key and power are asked anew every LOOK_S, from PostgreSQL alone.

One look serves all consoles of the process, so two hundred of them cost as many queries as one, and no consumer of
Redis has to be alive for a revocation to bite.
"""
import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async
from django.db import Error as DatabaseFault
from django.db.models.functions import Now
from django.utils import timezone

from compute.instances.console.links import why_dead
from compute.instances.console.models import ConsoleTicket
from compute.instances.models import ON_SCREEN, InstanceState
from portal.kernel.handshake import users_of_sessions
from tenants.access import Grants
from tenants.models import User

log = structlog.get_logger(__name__)

LOOK_S = 2
# A database that is down cannot record a revocation either; but not for ever.
BLIND_LIMIT_S = 30
# A browser that takes nothing for so long is gone, whatever its connection says.
STALL_LIMIT_S = 60
LONGEST = timedelta(hours=8)
# The guest is still on while it shuts down, and its last words matter.
OPEN_STATES = ON_SCREEN | {InstanceState.STOPPING, InstanceState.RESIZING, InstanceState.SNAPSHOTTING}


@dataclass(eq=False)
class OpenConsole:
    """A console session of this process."""

    ticket_id: UUID
    session_key: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    close_code: int = 0
    reason: str = ""
    sending_since: float = 0.0
    is_view_only: bool = False

    def end(self, code: int, reason: str) -> None:
        if not self.ended.is_set():
            self.close_code, self.reason = code, reason
            self.ended.set()


class Watch:
    """All open consoles of one event loop."""

    _of_loop: WeakKeyDictionary = WeakKeyDictionary()

    def __init__(self) -> None:
        self._consoles: set[OpenConsole] = set()
        self._task: asyncio.Task | None = None

    @classmethod
    def of_this_loop(cls) -> "Watch":
        loop = asyncio.get_running_loop()
        if loop not in cls._of_loop:
            cls._of_loop[loop] = cls()
        return cls._of_loop[loop]

    def add(self, console: OpenConsole) -> None:
        self._consoles.add(console)
        if self._task is None or self._task.done():  # whatever ended it, no console stays unwatched
            self._task = asyncio.ensure_future(self._look())

    def discard(self, console: OpenConsole) -> None:
        self._consoles.discard(console)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        sighted = loop.time()
        while True:
            await asyncio.sleep(LOOK_S)
            consoles = list(self._consoles)
            if consoles:
                try:
                    async with asyncio.timeout(BLIND_LIMIT_S / 2):
                        self._end(consoles, await verdicts_on({one.ticket_id: one.session_key for one in consoles}))
                    sighted = loop.time()
                except (DatabaseFault, TimeoutError):
                    pass  # whoever stays blind ends them all
                except Exception:
                    log.exception("console.watch_failed")
            else:
                sighted = loop.time()
            self._end_hopeless(consoles, loop.time(), blind=loop.time() - sighted > BLIND_LIMIT_S)

    def _end(self, consoles: Iterable[OpenConsole], verdicts: dict[UUID, tuple[int, str]]) -> None:
        for console in consoles:
            if console.ticket_id in verdicts:
                console.end(*verdicts[console.ticket_id])

    def _end_hopeless(self, consoles: Iterable[OpenConsole], now: float, *, blind: bool) -> None:
        if blind:
            log.warning("console.blind", consoles=len(self._consoles))
        for console in consoles:
            if blind:
                console.end(4503, "unavailable")
            elif console.sending_since and now - console.sending_since > STALL_LIMIT_S:
                console.end(4408, "stalled")


def _verdicts_on(session_keys: dict[UUID, str]) -> dict[UUID, tuple[int, str]]:
    """ticket id → close code and reason, for those that must end now; notes that the others are alive."""
    rows = (ConsoleTicket.objects.filter(pk__in=session_keys)
            .select_related("instance", "user", "api_key", "link__maker", "link__api_key")
            # Neither is needed to judge, and loading them would decrypt them.
            .defer("instance__vnc_password", "instance__user_data", "instance__next_user_data"))
    signed_in = users_of_sessions(key for key in session_keys.values() if key)
    grants: dict[UUID, Grants] = {}
    verdicts = dict.fromkeys(session_keys, (4404, "not_found"))
    for ticket in rows:
        verdict = (_sign_in_verdict(ticket, signed_in.get(session_keys[ticket.pk])) or _instance_verdict(ticket)
                   or _rights_verdict(ticket, grants))
        if verdict:
            verdicts[ticket.pk] = verdict
        else:
            del verdicts[ticket.pk]
    ConsoleTicket.objects.filter(pk__in=session_keys.keys() - verdicts.keys()).update(seen_at=Now())
    return verdicts


def _sign_in_verdict(ticket: ConsoleTicket, session_user: User | None) -> tuple[int, str] | None:
    now, key = timezone.now(), ticket.api_key
    if ticket.ended_at is not None:
        return 4410, "ended"
    if now - ticket.used_at > LONGEST:
        return 4408, "too_long"
    if not ticket.user.is_active:
        return 4403, "deactivated"
    if key is None and (session_user is None or session_user.pk != ticket.user_id):
        return 4403, "signed_out"
    if key is not None and (key.revoked_at or (key.expires_at and key.expires_at <= now)):
        return 4403, "key_revoked"
    return None


def _instance_verdict(ticket: ConsoleTicket) -> tuple[int, str] | None:
    instance = ticket.instance
    if instance.deleted_at is not None:
        return 4404, "deleted"
    if instance.generation != ticket.generation:
        return 4409, "restarted"
    return None if instance.state in OPEN_STATES else (4409, "not_running")


def _rights_verdict(ticket: ConsoleTicket, known: dict[UUID, Grants]) -> tuple[int, str] | None:
    def of(user: User) -> Grants:
        return known.get(user.pk) or known.setdefault(user.pk, user.grants)

    grants = of(ticket.user)
    if ticket.api_key is not None:
        grants = grants.narrowed_by(ticket.api_key)
    if not grants.may("instance.view", ticket.instance.project_id):
        # It exists for who has been asked for a second factor meanwhile: as at any page, they are told what is missing.
        return (4403, "mfa_required") if grants.is_held_behind("instance.view", ticket.instance) else (4404, "not_found")
    if ticket.link is not None:
        reason = why_dead(ticket.link, ticket.instance, timezone.now(), of)
        return (4403, reason) if reason else None
    return None if grants.may("instance.console", ticket.instance.project_id) else (4403, "forbidden")


verdicts_on = database_sync_to_async(_verdicts_on, thread_sensitive=False)
