"""Who sends what when: claims with leases, back-off, and what becomes of a webhook that fails.

The row is the truth, as for operations: a worker takes deliveries in a transaction of its own, posts them in threads that
never touch the database, and writes each outcome only while the token is still its own. Killed anywhere it loses nothing: the
lease ends, the next worker sends the event again under the same `webhook-id`. Receivers may hear of an event twice, never
of none. A slow receiver holds one thread; an organization never holds more than MOST_OF_ONE.
"""
import random
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta

import structlog
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from portal.kernel import audit, crash
from portal.kernel.states import database_now
from tenants.webhooks.delivery import Outcome, outcome_of, send
from tenants.webhooks.events import TEST
from tenants.webhooks.models import Delivery, Webhook

log = structlog.get_logger(__name__)
# After the first try: 5 s … a day, three days in all.
BACKOFF_S = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.1
LEASE_S, AT_ONCE, MOST_OF_ONE, KEPT_ATTEMPTS = 60, 32, 4, 20
LOOK_AGAIN_S, TURN_S = 0.5, 60
CLAIM = """
WITH busy AS (SELECT w.organization_id, count(*) AS taken FROM webhooks_delivery d JOIN webhooks_webhook w ON w.id = d.webhook_id
               WHERE d.state = 'pending' AND d.lease_until > clock_timestamp() GROUP BY w.organization_id),
     ranked AS (SELECT n.id, coalesce(b.taken, 0) + row_number() OVER (PARTITION BY w.organization_id ORDER BY n.next_at) AS place
                  FROM webhooks_webhook w LEFT JOIN busy b ON b.organization_id = w.organization_id
                 CROSS JOIN LATERAL (SELECT d.id, d.next_at FROM webhooks_delivery d
                                      WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.next_at <= clock_timestamp()
                                        AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
                                      ORDER BY d.next_at LIMIT %(of_one)s) n
                 WHERE w.state IN ('enabled', 'failing') AND w.deleted_at IS NULL),
     due AS (SELECT d.id FROM webhooks_delivery d
              WHERE d.id IN (SELECT id FROM ranked WHERE place <= %(of_one)s)
                AND d.state = 'pending' AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
                AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
              ORDER BY d.next_at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
UPDATE webhooks_delivery d SET token = token + 1, lease_until = clock_timestamp() + make_interval(secs => %(lease)s)
  FROM due WHERE d.id = due.id
RETURNING d.id
"""


def claim(most: int) -> list[Delivery]:
    """Take up to so many due deliveries, the longest due first, in a transaction of its own. None during maintenance."""
    if most < 1:
        return []
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(CLAIM, {"most": most, "of_one": MOST_OF_ONE, "lease": LEASE_S})
        taken = [pk for (pk,) in cursor.fetchall()]
    found = list(Delivery.objects.filter(pk__in=taken).select_related("webhook").order_by("next_at")) if taken else []
    # Disabled or deleted since: without its secret anybody could have signed what is sent.
    if ended := [delivery.pk for delivery in found if not delivery.webhook.is_sending]:
        Delivery.objects.filter(pk__in=ended).update(lease_until=None)
    return [delivery for delivery in found if delivery.pk not in ended]


def run() -> int:
    """Send what is due, and what becomes due meanwhile, for at most TURN_S; how many attempts were made."""
    ends, made = time.monotonic() + TURN_S, 0
    flying: dict[Future[Outcome], Delivery] = {}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        while True:
            taken = claim(AT_ONCE - len(flying)) if time.monotonic() < ends else []
            crash.point("claimed deliveries")
            now = database_now() if taken else None
            flying |= {threads.submit(send, delivery, now): delivery for delivery in taken}
            if not flying:
                return made
            for done in wait(flying, timeout=LOOK_AGAIN_S, return_when=FIRST_COMPLETED).done:
                crash.point("posted a delivery")
                settle(flying.pop(done), outcome_of(done, "webhooks.unexpected"))
                crash.point("settled a delivery")
                made += 1


@transaction.atomic
def settle(delivery: Delivery, outcome: Outcome) -> bool:
    """Write what came of the attempt: delivered, given up, or due again. False when another worker has it by now."""
    row = (Delivery.objects.select_for_update(of=("self",)).select_related("webhook")
           .filter(pk=delivery.pk, token=delivery.token, state=Delivery.State.PENDING).first())
    if row is None:
        log.warning("webhooks.lease_lost", delivery=str(delivery.pk))
        return False
    now = database_now()
    row.attempts = [*row.attempts, {"at": now.isoformat(), "status": outcome.status, "ms": outcome.ms, "error": outcome.error,
                                    "answer": outcome.answer}][-KEPT_ATTEMPTS:]
    row.tries, row.lease_until = row.tries + 1, None
    if not outcome.error:
        row.state, row.finished_at = Delivery.State.SUCCEEDED, now
        Webhook.objects.filter(pk=row.webhook_id, state=Webhook.State.FAILING).update(
            state=Webhook.State.ENABLED, told_at=None, updated_at=Now())
    elif outcome.error == "gone" or row.type == TEST or row.tries > len(BACKOFF_S):
        row.state, row.finished_at = Delivery.State.FAILED, now
        _give_up(row.webhook, outcome, row.type)
    else:
        row.next_at = now + timedelta(seconds=BACKOFF_S[row.tries - 1] * random.uniform(1 - JITTER, 1 + JITTER))
    row.save(update_fields=["attempts", "tries", "lease_until", "state", "finished_at", "next_at"])
    log.info("webhooks.attempt", delivery=str(row.pk), webhook=str(row.webhook_id), status=outcome.status, error=outcome.error,
             state=row.state, ms=outcome.ms)
    return True


def _give_up(webhook: Webhook, outcome: Outcome, event_type: str) -> None:
    """The receiver is gone, or did not listen for three days; its maker is told by `telling`. A test says it at once."""
    if outcome.error == "gone":
        changed = Webhook.objects.filter(pk=webhook.pk, state__in=Webhook.SENDING).update(
            state=Webhook.State.DISABLED, is_gone=True, told_at=None, updated_at=Now())
        action = "webhook.gone"
    elif event_type != TEST:
        changed = Webhook.objects.filter(pk=webhook.pk, state=Webhook.State.ENABLED).update(
            state=Webhook.State.FAILING, told_at=None, updated_at=Now())
        action = "webhook.failing"
    else:
        return
    if changed:
        audit.record(action, webhook, actor=None, after={"error": outcome.error, "status": outcome.status})


@transaction.atomic
def resend(delivery: Delivery) -> None:
    """Due now, with all tries before it again, under the same id."""
    Delivery.objects.filter(pk=delivery.pk).update(
        state=Delivery.State.PENDING, tries=0, next_at=Now(), finished_at=None, lease_until=None, token=F("token") + 1)
