"""Celery's side of notifications by mail: doorbell and clock. The task may run never, twice or late."""
from celery import shared_task
from django.db import connection

from portal.notices import dispatch
from portal.notices.events import DELIVER

# A slow mail server keeps one worker from everything else and no more.
ONE_AT_A_TIME = 0x4D61696E_6E746373


@shared_task(name=DELIVER)
def deliver() -> None:
    """Send what is due, unless another worker is at it: the clock rings again."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [ONE_AT_A_TIME])
        if cursor.fetchone() != (True,):
            return
    try:
        dispatch.run()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_AT_A_TIME])
