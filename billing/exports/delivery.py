"""Bringing files where schedules say: to an address, by the rules and through the checks of webhooks, or into a folder.

The row is the truth, as for webhooks: claimed with a lease, tried again at longer and longer intervals, its log on the row. Files
are sent by threads that never touch the database; whoever is killed loses nothing, and a receiver may get a file twice, under
the same `webhook-id`. A slow receiver holds one thread, an organization never more than MOST_OF_ONE.
"""
import base64
import hashlib
import hmac
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from django.db import connection, transaction
from django.utils.translation import gettext_lazy as _

from billing.exports import files, folders
from billing.exports.writers import WRITERS
from billing.models import Export
from portal.kernel import audit, crash
from portal.kernel.states import database_now
from tenants.webhooks.delivery import ERRORS, PREFIX, Outcome, outcome_of, post

log = structlog.get_logger(__name__)
BACKOFF_S = (60, 300, 1800, 7200, 21600, 43200)
LIMIT_S, LEASE_S, TURN_S, AT_ONCE, MOST_OF_ONE, KEPT_ATTEMPTS, BLOCK = 60, 120, 40, 8, 2, 20, 64 * 1024
WORDS = ERRORS | {"too_slow": _("It was not taken within a minute."), "folder": _("The folder does not take it."),
                  "removed": _("The file is gone.")}
CLAIM = """
WITH busy AS (SELECT organization_id, count(*) AS taken FROM billing_export
               WHERE delivery = 'pending' AND lease_until > clock_timestamp() GROUP BY organization_id),
     ranked AS (SELECT id, coalesce(taken, 0) + row_number() OVER (PARTITION BY organization_id ORDER BY next_at) AS place
                  FROM billing_export LEFT JOIN busy USING (organization_id)
                 WHERE delivery = 'pending' AND state = 'ready' AND next_at <= clock_timestamp()
                   AND (lease_until IS NULL OR lease_until < clock_timestamp())),
     due AS (SELECT e.id FROM billing_export e JOIN ranked USING (id)
              WHERE place <= %(of_one)s AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
                -- Asked again of the row that is locked: another may have taken it since `ranked` was read.
                AND e.delivery = 'pending' AND (e.lease_until IS NULL OR e.lease_until < clock_timestamp())
              ORDER BY e.next_at LIMIT %(most)s FOR UPDATE OF e SKIP LOCKED)
UPDATE billing_export e SET token = token + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM due WHERE e.id = due.id
RETURNING e.id
"""


def claim(most: int) -> list[Export]:
    """Take up to so many that are due, in a transaction of its own."""
    if most < 1:
        return []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(CLAIM, {"most": most, "of_one": MOST_OF_ONE, "lease": LEASE_S})
        taken = [pk for (pk,) in cursor.fetchall()]
    return list(Export.objects.filter(pk__in=taken).select_related("schedule")) if taken else []


def run() -> int:
    """Bring what is due, for some time; how many attempts were made."""
    ends, made = time.monotonic() + TURN_S, 0
    flying: dict[Future[Outcome], Export] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while True:
            taken = claim(AT_ONCE - len(flying)) if time.monotonic() < ends else []
            now = database_now() if taken else None
            flying |= {threads.submit(send, export, now): export for export in taken}
            if not flying:
                return made
            for done in wait(flying, timeout=1, return_when=FIRST_COMPLETED).done:
                crash.point("brought an export")
                settle(flying.pop(done), outcome_of(done, "exports.unexpected"))
                made += 1


def send(export: Export, now: datetime) -> Outcome:
    """One attempt. Never raises for what a receiver does."""
    path, schedule = files.file_of(export.pk), export.schedule
    if schedule is None or not path.exists():
        return Outcome(error="removed")
    if schedule.url:
        return post(schedule.url, headers(export, path, now), _blocks(path), method=schedule.method, limit_s=LIMIT_S)
    started = time.monotonic()
    try:
        folders.leave(path, export.organization_id, schedule.folder, export.file_name)
    except OSError as error:
        log.warning("exports.folder", export=str(export.pk), error=str(error))
        return Outcome(error="folder")
    return Outcome(ms=round((time.monotonic() - started) * 1000))


def headers(export: Export, path: Path, now: datetime) -> dict[str, str]:
    """As Standard Webhooks: the signature is over id, time and all of the file."""
    timestamp = int(now.timestamp())
    mac = hmac.new(base64.b64decode(export.schedule.secret.removeprefix(PREFIX)),
                   f"{export.message_id}.{timestamp}.".encode(), hashlib.sha256)
    for block in _blocks(path):
        mac.update(block)
    return {"content-type": WRITERS[export.format].media_type, "content-length": str(path.stat().st_size),
            "content-disposition": f'attachment; filename="{export.file_name}"', "user-agent": "Mains-Exports/1", "accept": "*/*",
            "accept-encoding": "identity", "connection": "close", "webhook-id": export.message_id,
            "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{base64.b64encode(mac.digest()).decode()}"}


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


@transaction.atomic
def settle(export: Export, outcome: Outcome) -> bool:
    """Write what came of the attempt. False when another worker has it by now."""
    row = (Export.objects.select_for_update(of=("self",))
           .filter(pk=export.pk, token=export.token, delivery=Export.Delivery.PENDING).first())
    if row is None:
        return False
    now = database_now()
    row.attempts = [*row.attempts, {"at": now.isoformat(), "status": outcome.status, "ms": outcome.ms, "error": outcome.error,
                                    "answer": outcome.answer}][-KEPT_ATTEMPTS:]
    row.tries, row.lease_until = row.tries + 1, None
    if not outcome.error:
        row.delivery, row.next_at = Export.Delivery.DELIVERED, None
    elif outcome.error in ("gone", "removed") or row.tries > len(BACKOFF_S):
        row.delivery, row.next_at = Export.Delivery.FAILED, None
    else:
        row.next_at = now + timedelta(seconds=BACKOFF_S[row.tries - 1])
    row.save(update_fields=["attempts", "tries", "lease_until", "delivery", "next_at"])
    if row.next_at is None:
        audit.record("export.deliver", row, actor=None, after={
            "delivery": str(row.delivery), "tries": row.tries, "error": outcome.error, "status": outcome.status})
    return True


def words(attempt: dict) -> str:
    """`200`, `503: The receiver refused it.`"""
    return ": ".join(filter(None, (str(attempt["status"] or ""), str(WORDS.get(attempt["error"], attempt["error"])))))
