"""Instances of suspended organizations are stopped where the suspension says so, and those of organizations that do not pay from
the rung on which that is due; on the last rung what is stopped goes to the recycle bin, from which who has paid restores it, and
what a rebuild has left without its disk is deleted: there is nothing to restore, and it keeps a host's room.
"""
from django.conf import settings
from django.db.models import Q

from billing.ladder import STOPPING
from billing.models import Rung
from compute.instances.models import Instance, InstanceState
from compute.instances.stopping import AWAKE, act_on_all
from portal.kernel.models import Operation
from portal.kernel.operations.doorbell import ring_task
from tenants.models import Organization

STOP = "instances.stop_suspended"
ASLEEP = Q(state__in=(InstanceState.STOPPED, InstanceState.SUSPENDED))
# A create that failed has no host, and takes and costs nothing.
RUINED = Q(state=InstanceState.ERROR, host__isnull=False)


def ring() -> None:
    """An organization was suspended: look at once. The clock looks again in ten seconds."""
    ring_task(STOP, settings.CELERY_TASK_DEFAULT_QUEUE)


def unpaid(organization: Organization, rung: str) -> None:
    """An organization is to be stopped because it does not pay: the same look finds its instances."""
    ring()


def stop_suspended() -> list[Operation]:
    """Stop what runs, and recycle what is stopped where that is due; who is busy has a turn the next time."""
    suspended = Q(project__organization__suspended_at__isnull=False,
                  project__organization__while_suspended=Organization.WhileSuspended.STOP)
    unpaid = Q(project__organization__dunning__rung__in=STOPPING)
    last = Q(project__organization__dunning__rung=Rung.RECYCLED)
    live = Instance.objects.live()
    return [*act_on_all(live.filter(suspended | unpaid, state__in=AWAKE), "stop"),
            *act_on_all(live.filter(ASLEEP | RUINED, last), "delete")]
