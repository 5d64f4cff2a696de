"""Celery's side of the kernel: doorbell and clocks. Each task may run never, twice or late."""
from datetime import timedelta

import structlog
from celery import shared_task
from django.db import connection
from django.db.models.functions import Now

from portal.kernel.models import IdempotencyKey
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
SELECT r.slug, count(*) FROM kernel_operation o JOIN kernel_region r ON r.id = o.region_id
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
            ring(f"region.{slug}")
    return sum(count for _slug, count in due)


@shared_task(name="kernel.retain")
def retain() -> None:
    """Forget answers older than 24 h (API.md)."""
    IdempotencyKey.objects.filter(created_at__lt=Now() - timedelta(hours=24)).delete()


