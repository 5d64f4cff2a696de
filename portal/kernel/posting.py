"""Mails that wait in a table: taken with leases, tried again with back-off, each under one Message-ID. What they say is their
rooms'.

The row is the truth. Its table has `state` (pending, sent …), `tries`, `error`, `next_at`, `token`, `lease_until`, `created_at`
and `finished_at`. A worker killed between the mail server's yes and our own row sends that mail again, under the same
Message-ID: somebody may get it twice, never not at all.
"""
import random
import time
from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction
from django.db.models import F, Model
from psycopg import sql

from portal.kernel import crash
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
# After the first try: a minute … a day, two days in all.
BACKOFF_S = (60, 300, 1800, 7200, 18000, 36000, 86400)
JITTER = 0.1
AT_ONCE, LEASE_S, TURN_S = 20, 120, 60
PENDING, SENT, FAILED = "pending", "sent", "failed"
CLAIM = sql.SQL("""
WITH due AS (SELECT id FROM {table}
              WHERE state = 'pending' AND next_at <= clock_timestamp()
                AND (lease_until IS NULL OR lease_until < clock_timestamp())
                AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
              ORDER BY next_at, created_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
UPDATE {table} mail SET token = token + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM due WHERE mail.id = due.id
RETURNING mail.id
""")
Send = Callable[[Any, BaseEmailBackend], None]


def run(name: str, taking: Callable[[], list[Any]], send: Send) -> int:
    """Send what `taking` hands out, for at most TURN_S; how many were tried. `name` is that of crash points."""
    ends, tried = time.monotonic() + TURN_S, 0
    server = get_connection()
    try:
        while time.monotonic() < ends and (taken := taking()):
            crash.point(f"claimed {name}s")
            for row in taken:
                tried += 1
                send(row, server)
    finally:
        server.close()
    return tried


def claim(model: type[Model], *related: str) -> list[Any]:
    """Take some that are due in a transaction of its own. None during maintenance."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM.format(table=sql.Identifier(model._meta.db_table)), {"most": AT_ONCE, "lease": LEASE_S})
        taken = [pk for (pk,) in cursor.fetchall()]
    rows = model._default_manager.filter(pk__in=taken).select_related(*related).order_by("next_at", "created_at")
    return list(rows) if taken else []


def deliver(name: str, row: Any, server: BaseEmailBackend, message: Callable[[], EmailMessage],
            settled: Callable[[Any, str, str], bool]) -> None:
    """Write and send one; one that cannot be written or sent keeps no other waiting."""
    try:
        message().send()
    except Exception as error:
        server.close()
        if not isinstance(error, (SMTPException, OSError)):
            log.error("mail.unexpected", kind=name, mail=str(row.pk), exc_info=error)
        settled(row, PENDING if row.tries < len(BACKOFF_S) else FAILED, type(error).__name__)
        return
    crash.point(f"sent a {name}")
    settled(row, SENT, "")


@transaction.atomic
def settle(row: Any, state: str, error: str = "") -> bool:
    """Write what came of it; False when another worker has it by now."""
    now = database_now()
    pause = BACKOFF_S[min(row.tries, len(BACKOFF_S) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)
    mine = type(row)._default_manager.filter(pk=row.pk, token=row.token, state=PENDING)
    return bool(mine.update(state=state, error=error[:200], tries=F("tries") + 1, lease_until=None,
                            finished_at=None if state == PENDING else now,
                            next_at=now + timedelta(seconds=pause) if state == PENDING else row.next_at))


def headers(name: str, row: Any) -> dict[str, str]:
    """Of a mail that nobody answers; the same id however often it is sent."""
    return {"Message-ID": f"<{name}-{row.pk}@{urlsplit(settings.SITE_URL).hostname}>", "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All"}


def on_one_line(text: Any) -> str:
    """With nothing in it that is not seen: names that tenants gave, in subjects and sentences."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(text or "")).split())


def clipped(text: Any, longest: int) -> str:
    text = on_one_line(text)
    return text if len(text) <= longest else text[:longest - 1] + "…"
