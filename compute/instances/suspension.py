"""Instances of suspended organizations are stopped where the suspension says so, by operations like any other."""
from contextlib import suppress

from django.conf import settings

from compute.instances.models import Instance, InstanceState
from compute.instances.operations import act
from portal.kernel.errors import Busy, StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations.doorbell import ring_task
from tenants.models import Organization

STOP = "instances.stop_suspended"
AT_ONCE = 500


def ring() -> None:
    """An organization was suspended: look at once. The clock looks again in ten seconds."""
    ring_task(STOP, settings.CELERY_TASK_DEFAULT_QUEUE)


def stop_suspended() -> list[Operation]:
    """Stop what runs; what something else is done to is stopped the next time."""
    rows = Instance.objects.live().filter(
        state=InstanceState.RUNNING, hold=None, project__organization__suspended_at__isnull=False,
        project__organization__while_suspended=Organization.WhileSuspended.STOP)
    begun = []
    for instance in rows.order_by("pk")[:AT_ONCE]:
        with suppress(Busy, StateConflict):
            begun.append(act(instance, "stop", actor=None))
    return begun
