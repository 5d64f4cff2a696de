"""Steps on volumes, alone or as disks of an instance. Each is safe to repeat.

`Attachment` rows say which disks an instance is defined with; what runs is changed after that, or before where something goes.
"""
from datetime import datetime
from typing import Any

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import DomainView, Hypervisor, Power
from compute.hosts.drivers.spec import Disk
from compute.instances import steps
from compute.instances.design import disk_of, hardware_of
from compute.instances.models import Instance
from compute.instances.volumes.errors import GuestKeepsVolume
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now
from storage import steps as storage
from storage.connections import volume_pool
from storage.models import GIB, Attachment, Volume

# For how long a guest is waited for that was asked to let go of a disk; seconds.
LETS_GO_S = 60


def volume_of(run: Run) -> Volume:
    return Volume.objects.select_related("pool__host__endpoint", "image").get(pk=run.operation.target_id)


def instance_of(run: Run) -> Instance | None:
    """None for a volume that no instance has."""
    if "instance" not in run.arguments:
        return None
    return Instance.objects.select_related("host__endpoint").get(pk=run.arguments["instance"])


def is_kept(run: Run) -> bool:
    """Whether the guest has it and does not let go, though it was not to have it."""
    return bool(run.facts.get("kept"))


# -- the file --

def make(run: Run) -> None:
    volume = volume_of(run)
    storage.ensure_clone(run, volume, volume.pool)


def unmake(run: Run) -> None:
    """Also after a kill between the file's creation and our note of it: its name is the volume's id."""
    if not is_kept(run):
        remove(run)


def remove(run: Run) -> None:
    volume = volume_of(run)
    storage.remove_volume(run, volume, volume.pool)


# -- the definition --

def define(run: Run) -> None:
    """The instance starts with the disk from now on."""
    with run.guarded():
        Attachment.objects.get_or_create(volume_id=run.operation.target_id, defaults={
            "domain": run.arguments["instance"], "target": run.arguments["target_name"]})
    steps.define(run, instance_of(run))


def define_without(run: Run) -> None:
    """The instance starts without it."""
    with run.guarded():
        Attachment.objects.filter(volume=run.operation.target_id).delete()
    steps.define(run, instance_of(run))


def undefine(run: Run) -> None:
    """Undo of `define`."""
    if not is_kept(run):
        define_without(run)


# -- what runs --

def plug(run: Run) -> None:
    """What has been switched off meanwhile is defined with it, and that is enough."""
    instance = instance_of(run)
    with hypervisor(instance.host, run) as driver:
        if _is_on(driver.domain(instance.pk)):
            driver.ensure_plugged(instance.pk, instance.generation, _disk(run, instance))


def take_back(run: Run) -> Done | Wait:
    """Undo of `plug`: what the guest does not let go of stays after all, and the rows will say so."""
    instance = instance_of(run)
    with hypervisor(instance.host, run) as driver:
        if _lets_go(run, driver, instance):
            return Done()
    if _has_waited(run, "took_back_at"):
        run.remember(kept=True)
        return Done()
    return Wait(2)


def unplug(run: Run) -> Done | Wait:
    """Raises GuestKeepsVolume when the guest does not let go of it in time."""
    instance = instance_of(run)
    with hypervisor(instance.host, run) as driver:
        if _lets_go(run, driver, instance):
            return Done()
    if _has_waited(run, "asked_at"):
        raise GuestKeepsVolume(seconds=LETS_GO_S)
    return Wait(2)


def _lets_go(run: Run, driver: Hypervisor, instance: Instance) -> bool:
    return driver.ensure_unplugged(instance.pk, instance.generation, _disk(run, instance))


def _has_waited(run: Run, mark: str) -> bool:
    now = database_now()
    if mark not in run.facts:
        run.remember(**{mark: now.isoformat()})
    return (now - datetime.fromisoformat(run.facts[mark])).total_seconds() >= LETS_GO_S


def _disk(run: Run, instance: Instance) -> Disk:
    volume, target = volume_of(run), run.arguments.get("target_name") or _target(run)
    return hardware_of(instance).disk(disk_of(volume, target))


def _target(run: Run) -> str:
    return Attachment.objects.get(volume=run.operation.target_id).target


def _is_on(seen: DomainView | None) -> bool:
    return seen is not None and seen.power in (Power.RUNNING, Power.PAUSED)


# -- its size --

def grow(run: Run) -> None:
    """By the hypervisor while its guest runs, else in its pool."""
    instance, size = instance_of(run), run.arguments["to"] * GIB
    if instance is not None:
        with hypervisor(instance.host, run) as driver:
            if _is_on(driver.domain(instance.pk)):
                driver.ensure_disk_size(instance.pk, instance.generation, _disk(run, instance), size=size)
                return
    volume = volume_of(run)
    with volume_pool(volume.pool, run) as pool:
        pool.ensure_resized(storage.volume_file(volume), size=size)


def look_back(run: Run) -> None:
    """Undo of `grow`: nothing shrinks, so what has grown after all keeps its size."""
    volume = volume_of(run)
    with volume_pool(volume.pool, run) as pool:
        found = pool.volume(storage.volume_file(volume))
    run.remember(has_grown=found is not None and found.capacity >= run.arguments["to"] * GIB)


# -- how they end --

def settled(run: Run) -> dict[str, Any]:
    return {"volumes": [str(run.operation.target_id)]}
