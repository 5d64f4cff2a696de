"""Celery's side of notifications by mail: doorbell and clock. The task may run never, twice or late."""
from celery import shared_task

from portal.kernel.alone import alone
from portal.notices import dispatch
from portal.notices.events import DELIVER

# A slow mail server keeps one worker from everything else and no more.
ONE_AT_A_TIME = 0x4D61696E_6E746373


@shared_task(name=DELIVER)
def deliver() -> None:
    """Send what is due, unless another worker is at it: the clock rings again."""
    with alone(ONE_AT_A_TIME) as is_ours:
        if is_ours:
            dispatch.run()
