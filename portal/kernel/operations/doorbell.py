"""Ringing Celery. A doorbell may be lost, doubled or late: the sweeper rings again and claiming decides."""
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction

log = structlog.get_logger(__name__)


def ring(queue: str, operation_id: UUID | None = None) -> None:
    """Ask a worker of `queue` to advance the operation (or whatever is due) once this transaction has committed."""
    if settings.DOORBELLS:
        transaction.on_commit(lambda: _ring(queue, operation_id), robust=True)


def _ring(queue: str, operation_id: UUID | None) -> None:
    from portal.kernel.tasks import advance

    try:
        advance.apply_async(args=[str(operation_id) if operation_id else None], queue=queue, expires=30, retry=False)
    except Exception as error:  # whatever the broker's client raises: the sweeper rings within 2 s
        log.warning("doorbell.lost", queue=queue, error=type(error).__name__)
