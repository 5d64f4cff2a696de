"""Celery's clock for tenants. Each task may run never, twice or late."""
from celery import shared_task

from tenants import expiry


@shared_task(name="tenants.tell_expiring")
def tell_expiring() -> None:
    expiry.tell()
