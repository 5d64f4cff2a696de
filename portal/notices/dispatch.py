"""Who writes and sends which mail when: letters are made of what is due, taken with leases, and tried again with back-off.

The row is the truth, as for webhooks. A worker killed between the mail server's yes and our own row sends that mail again,
under the same Message-ID: somebody may get it twice, never not at all. Nobody gets more than MOST_AN_HOUR: what comes beyond is
one mail when there is room again.
"""
import random
import time
from datetime import datetime, timedelta
from smtplib import SMTPException
from uuid import UUID

import structlog
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.db.models import F

from portal.kernel import crash
from portal.kernel.declarations import registry
from portal.kernel.states import database_now
from portal.notices.letters import address_of, hearable, message
from portal.notices.models import How, Letter, Notice, Preferences
from portal.notices.preferences import how, of

log = structlog.get_logger(__name__)
# After the first try: a minute … a day, two days in all.
BACKOFF_S = (60, 300, 1800, 7200, 18000, 36000, 86400)
JITTER = 0.1
MOST_AN_HOUR, MOST_LINES = 10, 200
PEOPLE_AT_ONCE, LETTERS_AT_ONCE, LEASE_S, TURN_S = 1000, 20, 120, 60
HOUR = timedelta(hours=1)
State = Letter.State
CLAIM = """
WITH due AS (SELECT id FROM notices_letter
              WHERE state = 'pending' AND next_at <= clock_timestamp()
                AND (lease_until IS NULL OR lease_until < clock_timestamp())
                AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
              ORDER BY next_at, created_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
UPDATE notices_letter letter SET token = token + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM due WHERE letter.id = due.id
RETURNING letter.id
"""


def run() -> int:
    """Write letters of what is due and send them, for at most TURN_S; how many were tried."""
    write()
    ends, tried = time.monotonic() + TURN_S, 0
    server = get_connection()
    try:
        while time.monotonic() < ends and (taken := claim()):
            crash.point("claimed letters")
            for letter in taken:
                tried += 1
                _send(letter, server)
    finally:
        server.close()
    return tried


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
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM, {"most": LETTERS_AT_ONCE, "lease": LEASE_S})
        taken = [pk for (pk,) in cursor.fetchall()]
    return list(Letter.objects.filter(pk__in=taken).select_related("user").order_by("next_at", "created_at")) if taken else []


def _send(letter: Letter, server: BaseEmailBackend) -> None:
    to = address_of(letter.user)
    rows = letter.notices.select_related("actor", "organization", "project").order_by("at", "pk")
    notices = hearable(letter.user, rows) if to else []
    if not notices:
        settle(letter, State.DROPPED, "" if to else "no proved address")
        return
    try:
        message(letter, letter.user, to, notices, server).send()
    except Exception as error:  # one letter that cannot be written or sent keeps no other waiting
        server.close()
        if not isinstance(error, (SMTPException, OSError)):
            log.error("notices.unexpected", letter=str(letter.pk), exc_info=error)
        settle(letter, State.PENDING if letter.tries < len(BACKOFF_S) else State.FAILED, type(error).__name__)
        return
    crash.point("sent a letter")
    settle(letter, State.SENT)


@transaction.atomic
def settle(letter: Letter, state: str, error: str = "") -> bool:
    """Write what came of it; False when another worker has it by now."""
    now = database_now()
    pause = BACKOFF_S[min(letter.tries, len(BACKOFF_S) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)
    mine = Letter.objects.filter(pk=letter.pk, token=letter.token, state=State.PENDING)
    changed = mine.update(state=state, error=error[:200], tries=F("tries") + 1, lease_until=None,
                          finished_at=None if state == State.PENDING else now,
                          next_at=now + timedelta(seconds=pause) if state == State.PENDING else letter.next_at)
    log.info("notices.letter", letter=str(letter.pk), state=state, error=error, tries=letter.tries + 1, kept=bool(changed))
    return bool(changed)
