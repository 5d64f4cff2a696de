"""Celery's side of webhooks: doorbell and clocks. Each task may run never, twice or late."""
from celery import shared_task
from django.db.models.functions import Now

from portal.kernel.alone import alone
from tenants.webhooks import dispatch, telling
from tenants.webhooks.events import DELIVER
from tenants.webhooks.models import Webhook

# Receivers may be slow: whatever they do, they keep one worker from everything else and no more.
ONE_AT_A_TIME = 0x4D61696E_77686B73


@shared_task(name=DELIVER)
def deliver() -> None:
    """Send what is due, unless another worker is at it: that one looks again before it ends, and the clock rings again."""
    with alone(ONE_AT_A_TIME) as is_ours:
        if is_ours:
            dispatch.run()


@shared_task(name="webhooks.minute")
def minute() -> None:
    """Tell makers of what fails; forget secrets that sign no longer."""
    telling.tell()
    Webhook.objects.filter(previous_until__lt=Now()).update(previous_secret="", previous_until=None)
