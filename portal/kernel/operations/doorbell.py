"""Ringing Celery. A doorbell may be lost, doubled or late: the sweeper rings again and claiming decides."""
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction

log = structlog.get_logger(__name__)
ADVANCE = "kernel.advance"


def ring_task(name: str, queue: str, *arguments: str) -> None:
    """Ask a worker of `queue` to run a level-triggered task once this transaction has committed; a sweep rings again."""
    if settings.DOORBELLS:
        transaction.on_commit(lambda: _send(name, queue, arguments), robust=True)


def _send(name: str, queue: str, arguments: tuple[str, ...]) -> None:
    try:
        current_app.send_task(name, args=arguments, queue=queue, expires=30, retry=False)
    except Exception as error:  # whatever the broker's client raises: a sweep rings within 2 s
        log.warning("doorbell.lost", queue=queue, task=name, error=type(error).__name__)


def ring(queue: str, operation_id: UUID | None = None) -> None:
    """Ask a worker of `queue` to advance the operation (or whatever is due) once this transaction has committed."""
    ring_task(ADVANCE, queue, *([str(operation_id)] if operation_id else []))
