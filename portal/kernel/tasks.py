"""Celery's side of the kernel: doorbell and clocks. Each task may run never, twice or late."""
from datetime import timedelta

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from portal.kernel import sealing, verifying
from portal.kernel.models import AuditChain, IdempotencyKey
from portal.kernel.operations import engine
from portal.kernel.operations.doorbell import ADVANCE, ring

log = structlog.get_logger(__name__)
# What one ring may work through before the worker's slot is offered to others.
BATCH = 50


@shared_task(name=ADVANCE)
def advance(operation_id: str | None = None, queue: str | None = None) -> None:
    """Advance the given operation, then whatever else is due."""
    more = engine.advance(operation_id, queue)
    for _turn in range(BATCH):
        if not more:
            return
        more = engine.advance(queue=queue)


DUE = """
SELECT r.slug, count(*) FROM kernel_operation o LEFT JOIN kernel_region r ON r.id = o.region_id
 WHERE o.state IN ('queued', 'running') AND o.run_after <= clock_timestamp()
   AND (o.lease_until IS NULL OR o.lease_until < clock_timestamp())
   AND NOT EXISTS (SELECT 1 FROM kernel_portalstate WHERE draining_since IS NOT NULL)
 GROUP BY r.slug
"""
RINGS_AT_ONCE = 16


@shared_task(name="kernel.sweep")
def sweep() -> int:
    """Ring once for every due row (no more than workers can use); returns how many were due."""
    with connection.cursor() as cursor:
        cursor.execute(DUE)
        due = cursor.fetchall()
    for slug, count in due:
        for _ring in range(min(count, RINGS_AT_ONCE)):
            ring(f"region.{slug}" if slug else settings.CELERY_TASK_DEFAULT_QUEUE)
    return sum(count for _slug, count in due)


@shared_task(name="kernel.retain")
def retain() -> None:
    """Forget answers older than 24 h (API.md)."""
    IdempotencyKey.objects.filter(created_at__lt=Now() - timedelta(hours=24)).delete()


@shared_task(name="kernel.seal")
def seal() -> None:
    """Seal what the audit trail got since the last tick."""
    sealing.seal()


@shared_task(name="kernel.look_at_audit")
def look_at_audit() -> None:
    """Look at a part of the audit trail, another one each time, so that what is broken shows long before the day is over."""
    for verdict in verifying.look():
        log.error("audit.broken", fault=str(verdict.found.fault), at=verdict.found.sequence, chain=str(verdict.chain.pk))


@shared_task(name="kernel.verify_audit")
def verify_audit() -> None:
    """Look at every row of the audit trail. The log has what the chains were: outside of the database, where nobody who
    rewrites all of a chain can change it."""
    for verdict in verifying.verify(AuditChain.objects.all()):
        chain, found = verdict.chain, verdict.found
        facts = {"chain": str(chain.pk), "organization": chain.organization_id and str(chain.organization_id),
                 "sequence": chain.sequence, "hash": bytes(chain.hash).hex()}
        if found:
            log.error("audit.broken", fault=str(found.fault), at=found.sequence, **facts)
        else:
            log.info("audit.verified", **facts)
