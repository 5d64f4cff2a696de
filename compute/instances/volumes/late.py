"""Volumes that a guest lets go of long after it was asked to, when nobody waits any more: what runs gets them back, for they are
attached still."""
from datetime import datetime, timedelta

import structlog
from django.db import transaction

from compute.hosts.drivers.contract import Hypervisor, Power
from compute.hosts.models import Host
from compute.instances.design import disk_of, hardware_of
from compute.instances.models import Instance, InstanceState
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.models import Operation
from storage.models import Attachment, Volume

log = structlog.get_logger(__name__)
# For so long after it was asked in vain a guest is looked at; its next start defines all of its disks anyway.
LATE = timedelta(hours=1)
# Those that ask a guest to let go of a volume, and leave it attached where it does not.
ASKING = ("volume.create", "volume.attach", "volume.detach")


def give_back(host: Host, driver: Hypervisor, now: datetime) -> None:
    """Raises HostUnreachable."""
    asked = Operation.objects.filter(region=host.region_id, kind__in=ASKING, created_at__gt=now - LATE)
    asked = asked.exclude(state="succeeded")  # also one that was called off: the guest was asked
    here = Instance.objects.filter(host=host, hold=None, state=InstanceState.RUNNING)
    rows = Attachment.objects.filter(volume__in=asked.values("target"), volume__state=Volume.State.IN_USE,
                                     domain__in=here.values("pk"), is_boot=False)
    for row in rows if driver.capabilities.hot_plugs else ():
        _give_back(row, driver)


@transaction.atomic
def _give_back(row: Attachment, driver: Hypervisor) -> None:
    """Under the lock that verbs take, since one may be taking it away by now."""
    rows = Instance.objects.select_for_update(of=("self",), no_key=True).select_related("host", "type")
    fresh = rows.filter(pk=row.domain, hold=None, state=InstanceState.RUNNING).first()
    own = Attachment.objects.filter(pk=row.pk, domain=row.domain).select_related("volume").first()
    seen = driver.domain(row.domain) if fresh and own else None
    if seen is None or seen.power is not Power.RUNNING:
        return
    try:
        driver.ensure_plugged(fresh.pk, fresh.generation, hardware_of(fresh).disk(disk_of(own.volume, own.target)))
    except HostUnreachable:
        raise
    except HostFault as error:  # no slot is free until its next start
        log.warning("reconcile.no_volume_back", instance=str(fresh.pk), volume=str(own.volume_id), error=str(error))
