"""Celery's clock for billing. The task may run never, twice or late."""
from celery import shared_task

from billing import budgets, closing, ladder, mailing
from billing.budgets.verbs import WATCH
from billing.exports import delivery, schedules
from billing.models import Issuer
from billing.outbox import SEND
from portal.kernel.alone import alone
from portal.kernel.states import database_now

ONE_AT_A_TIME = 0x4D61696E_6E636C6F
ONE_COLLECTS = 0x4D61696E_6E64756E
ONE_WATCHES_BUDGETS = 0x4D61696E_6E627564
ONE_EXPORTS = 0x4D61696E_6E657870
ONE_SENDS_BILLS = 0x4D61696E_6E626C6D


@shared_task(name="billing.close")
def close() -> None:
    """Close the month that is over, and what failed before, unless another worker is at it; nobody bills until an issuer is
    entered."""
    with alone(ONE_AT_A_TIME) as is_ours:
        if is_ours and Issuer.objects.exists():
            closing.close_due(database_now())


@shared_task(name="billing.collect")
def collect() -> None:
    """Follow whoever owes something or pays by credit up and down the ladder, unless another worker is at it."""
    with alone(ONE_COLLECTS) as is_ours:
        if is_ours:
            ladder.follow_all()


@shared_task(name=SEND)
def send() -> None:
    """Send the bills that are due, unless another worker is at it: the clock rings again."""
    with alone(ONE_SENDS_BILLS) as is_ours:
        if is_ours:
            mailing.run()


@shared_task(name=WATCH)
def watch_budgets() -> None:
    """Count budgets, fire what is reached, and stop what shall not run, unless another worker is at it."""
    with alone(ONE_WATCHES_BUDGETS) as is_ours:
        if is_ours:
            budgets.watch()
            budgets.stop_over(now=database_now())


@shared_task(name="billing.exports")
def exports() -> None:
    """Ask for the files that are due, and bring those that are ready where they belong, unless another worker is at it."""
    with alone(ONE_EXPORTS) as is_ours:
        if is_ours:
            schedules.start_due(database_now())
            delivery.run()
