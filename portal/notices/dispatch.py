"""Who writes and sends which mail when: letters are made of what is due, taken with leases, and tried again with back-off.

The row is the truth, as for webhooks. A worker killed between the mail server's yes and our own row sends that mail again,
under the same Message-ID: somebody may get it twice, never not at all. Nobody gets more than MOST_AN_HOUR: what comes beyond is
one mail when there is room again.
"""
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction

from portal.kernel import posting
from portal.kernel.declarations import registry
from portal.kernel.posting import BACKOFF_S
from portal.kernel.states import database_now
from portal.notices.letters import address_of, hearable, message
from portal.notices.models import How, Letter, Notice, Preferences
from portal.notices.preferences import how, of

__all__ = ["BACKOFF_S", "claim", "run", "settle", "write"]

log = structlog.get_logger(__name__)
MOST_AN_HOUR, MOST_LINES = 10, 200
PEOPLE_AT_ONCE = 1000
HOUR = timedelta(hours=1)
State = Letter.State


def run() -> int:
    """Write letters of what is due and send them; how many were tried."""
    write()
    return posting.run("letter", claim, _send)


# -- writing --

def write() -> int:
    """Make letters of what is due; how many."""
    now = database_now()
    due = Notice.objects.filter(letter=None, due_at__lte=now).order_by().values_list("user_id", flat=True).distinct()
    return sum(_write(user_id, now) for user_id in list(due[:PEOPLE_AT_ONCE]))


@transaction.atomic
def _write(user_id: UUID, now: datetime) -> int:
    """Each of one person's in a mail of its own, as long as there is room in this hour; the last one takes all that is left, and
    what was to be told once a day goes together."""
    rows = Notice.objects.select_for_update(skip_locked=True, of=("self",)).filter(user=user_id, letter=None, due_at__lte=now)
    found = list(rows.order_by("at", "pk")[:MOST_LINES])
    room = MOST_AN_HOUR - Letter.objects.filter(user=user_id, created_at__gt=now - HOUR).exclude(state=State.DROPPED).count()
    if not found or room < 1:
        return 0
    chosen = of(user_id)
    daily = [notice for notice in found if _is_daily(notice, chosen)]
    alone = [notice for notice in found if notice not in daily]
    bundles = [[notice] for notice in alone[:room - 1]] if len(alone) + bool(daily) > room else [[notice] for notice in alone]
    rest = [*alone[len(bundles):], *daily]
    for bundle in [*bundles, *([rest] if rest else [])]:
        letter = Letter.objects.create(user_id=user_id, next_at=now)
        Notice.objects.filter(pk__in=[notice.pk for notice in bundle]).update(letter=letter)
    return len(bundles) + bool(rest)


def _is_daily(notice: Notice, preferences: Preferences) -> bool:
    kind = registry.notices.get(notice.kind)
    return kind is not None and how(preferences, kind) != How.NOW


# -- sending --

def claim() -> list[Letter]:
    """Take some due letters in a transaction of its own. None during maintenance."""
    return posting.claim(Letter, "user")


def _send(letter: Letter, server: BaseEmailBackend) -> None:
    to = address_of(letter.user)
    rows = letter.notices.select_related("actor", "organization", "project").order_by("at", "pk")
    notices = hearable(letter.user, rows) if to else []
    if not notices:
        settle(letter, State.DROPPED, "" if to else "no proved address")
        return
    posting.deliver("letter", letter, server, lambda: message(letter, letter.user, to, notices, server), settle)


def settle(letter: Letter, state: str, error: str = "") -> bool:
    """Write what came of it; False when another worker has it by now."""
    is_kept = posting.settle(letter, state, error)
    log.info("notices.letter", letter=str(letter.pk), state=state, error=error, tries=letter.tries + 1, kept=is_kept)
    return is_kept
