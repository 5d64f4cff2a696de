"""Celery's clock for the site as a whole."""
from celery import shared_task

from portal.upkeep import retention


@shared_task(name="portal.prune")
def prune() -> None:
    """Forget what the retention rules let go."""
    retention.prune()
