"""Where a volume may be: in which pool a new one is made, and as which disk an instance has it."""
from django.db.models import QuerySet

from compute.hosts import placement
from compute.hosts.models import Host
from compute.instances import guarding, plugging
from compute.instances.errors import ClassForbids, NotSupported
from compute.instances.headroom import FREE_SLOTS
from compute.instances.models import Instance, InstanceState
from compute.instances.volumes.errors import NoRoomForVolume, TooManyVolumes
from portal.kernel.errors import StateConflict
from portal.kernel.models import Region, Zone
from storage.models import Attachment, Pool, Volume

# In these, disks are put in and taken out. What is paused or asleep does not answer, and what is rescued is not itself.
READY = (InstanceState.RUNNING, InstanceState.STOPPED)
# As many as can be plugged in between two starts: vdb and the letters behind it.
MOST = FREE_SLOTS
DELETE = "volume.delete"
"""What it takes besides, to have an instance's volumes go with it: they may be worth more than that."""
TARGETS = tuple(f"vd{letter}" for letter in "bcdefghijklmnop"[:MOST])


def pools(region: Region, zone: Zone | None) -> QuerySet[Pool]:
    """Those of hosts that take something new, the emptiest first."""
    rows = Pool.objects.filter(region=region, host__state=Host.State.READY, host__health=Host.Health.UP,
                               host__is_in_maintenance=False, host__endpoint__mode="managed")
    return (rows.filter(host__zone=zone) if zone else rows).select_related("host").order_by("-available", "pk")


def pool_for(region: Region, zone: Zone | None, instance: Instance | None, size_gib: int) -> Pool:
    """The instance's own, or the one with most room. Raises NoRoomForVolume."""
    found = Pool.objects.filter(host=instance.host_id).select_related("host")[:1] if instance else pools(region, zone)
    for pool in found:
        if placement.has_disk(pool.host, size_gib):
            return pool
    raise NoRoomForVolume(reasons="no_disk")


def refusal(instance: Instance) -> StateConflict | NotSupported | None:
    """What keeps its disks as they are now; None when nothing does. A lock is `guarding`'s."""
    if instance.state not in READY:
        return StateConflict(state=instance.get_state_display(), legal=",".join(READY))
    return plugging.refusal(instance)


def require_open(instance: Instance, *, plugs: bool = True) -> None:
    """Raise StateConflict, NotWhileRunning, ClassForbids or InstanceLocked. `plugs`: a disk comes or goes."""
    error = refusal(instance)
    if error and (plugs or not isinstance(error, ClassForbids)):
        raise error
    guarding.require(instance, "attach")


def free_target(instance: Instance) -> str:
    """Raises TooManyVolumes."""
    taken = set(Attachment.objects.filter(domain=instance.pk, is_boot=False).values_list("target", flat=True))
    free = [target for target in TARGETS if target not in taken]
    if not free:
        raise TooManyVolumes(name=instance.name, count=len(taken), most=MOST)
    return free[0]


def owner_of(volume: Volume) -> Instance | None:
    """The instance that it is a disk of."""
    return Instance.objects.filter(pk__in=Attachment.objects.filter(volume=volume.pk).values("domain")).first()
