"""Steps of taking a snapshot, of going back to one, and of deleting one; and how these end."""
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from billing import metering
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.instances import guests, steps
from compute.instances.headroom import Headroom
from compute.instances.models import Instance, InstanceState, Snapshot
from compute.network import steps as network
from portal.kernel import live
from portal.kernel.errors import HostUnreachable
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now
from storage import snapshots as storage
from storage.connections import volume_pool
from storage.models import GIB, Volume
from storage.steps import volume_file

ON = (Power.RUNNING, Power.PAUSED)


def snapshot_of(run: Run) -> Snapshot:
    return Snapshot.objects.get(pk=run.arguments["snapshot"])


def volumes_in(snapshot: Snapshot) -> list[Volume]:
    """Those that are still there, the root first: a deleted one has taken its part with it."""
    rows = Volume.objects.filter(pk__in=snapshot.parts.values("volume"), deleted_at=None, pool__isnull=False)
    root = snapshot.parts.filter(is_boot=True).values_list("volume_id", flat=True).first()
    rows = rows.select_related("attachment", "pool__host__endpoint")
    return sorted(rows, key=lambda volume: (volume.pk != root, str(volume.pk)))


def files_of(volumes: Sequence[Volume]) -> list[str]:
    return [volume.locator for volume in volumes]


def is_on(run: Run, instance: Instance) -> bool:
    """Whether its hypervisor has its volumes open."""
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
    return seen is not None and seen.power in ON


# -- take --

def take(run: Run, instance: Instance) -> Done | Wait:
    """Of what runs all at one moment; a guest that has switched itself off meanwhile is taken as what it is then."""
    snapshot = snapshot_of(run)
    volumes = volumes_in(snapshot)
    if not is_on(run, instance) and not snapshot.has_memory:
        storage.take(run, instance.host, volumes, snapshot.pk)
        return Done()
    with hypervisor(instance.host, run) as driver:
        if not driver.ensure_snapshot(instance.pk, instance.generation, snapshot.pk, files_of(volumes),
                                      memory=snapshot.has_memory):
            return Wait(1)
        shape = driver.shape(instance.pk, instance.generation) if snapshot.has_memory else ""
    with run.guarded():
        Snapshot.objects.filter(pk=snapshot.pk).update(shape=shape)
    return Done()


def drop(run: Run, instance: Instance) -> Done | Wait:
    """No volume has it any more, whichever instance has that by now."""
    snapshot = snapshot_of(run)
    _drop_all(run, instance, snapshot, volumes_in(snapshot))
    return Done()


def leave_volumes(run: Run, instance: Instance) -> None:
    """Step of deleting the instance for good, after those that go with it are gone: the volumes that stay, also those that it had
    once, have none of its snapshots any more. The verb has taken hold of them."""
    for snapshot in Snapshot.objects.live().filter(of_instance=instance).order_by("created_at", "pk"):
        _drop_all(run, instance, snapshot, volumes_in(snapshot))


def _drop_all(run: Run, instance: Instance, snapshot: Snapshot, volumes: Sequence[Volume]) -> None:
    own = [volume for volume in volumes if _domain_of(volume) in (instance.pk, None)]
    _drop(run, instance, snapshot, own)
    for volume in volumes:
        if volume not in own:
            _drop(run, Instance.objects.select_related("host__endpoint").get(pk=_domain_of(volume)), snapshot, [volume])


def _domain_of(volume: Volume) -> UUID | None:
    return volume.attachment.domain if hasattr(volume, "attachment") else None


def _drop(run: Run, instance: Instance, snapshot: Snapshot, volumes: Sequence[Volume]) -> None:
    """A detached one is in nobody's hands, nor is one that the guest has let go of by itself."""
    attached = [volume for volume in volumes if _domain_of(volume) is not None]
    if attached and is_on(run, instance):
        with hypervisor(instance.host, run) as driver:
            left = driver.ensure_snapshot_absent(instance.pk, instance.generation, snapshot.pk, files_of(attached))
        volumes = [volume for volume in volumes if volume not in attached or volume.locator in left]
    if volumes:
        storage.drop(run, instance.host, volumes, snapshot.pk)


def is_taken(run: Run) -> dict[str, Any]:
    snapshot, instance = snapshot_of(run), steps.target_of(run)
    snapshot.move_to(Snapshot.State.ACTIVE)
    instance.move_to(run.arguments["was"], current_snapshot=snapshot, fault=None)
    return {"snapshots": [str(snapshot.pk)]}


def not_taken(run: Run, error: dict[str, Any]) -> None:
    snapshot_of(run).move_to(Snapshot.State.DELETED, deleted_at=database_now())
    steps.target_of(run).move_to(run.arguments["was"], fault=error)


# -- revert --

def apply(run: Run, instance: Instance) -> None:
    """Every volume goes back. Remembered before the first one does: from then on what was there is lost, and half of it would
    not fit the other half."""
    snapshot = snapshot_of(run)
    for volume in volumes_in(snapshot):
        if str(volume.pk) not in run.facts.get("went_back", ()):
            run.remember(is_off=True, went_back=[*run.facts.get("went_back", ()), str(volume.pk)])
        storage.apply(run, instance.host, volume, snapshot.pk)


def mend_cut(run: Run, instance: Instance) -> Done | Wait:
    """Undo of the power cut: what still has its volumes as they were goes on."""
    return Done() if run.facts.get("went_back") else steps.mend_cut(run, instance)


def load(run: Run, instance: Instance) -> Done | Wait:
    """It runs on from there."""
    snapshot = snapshot_of(run)
    with hypervisor(instance.host, run) as driver:
        is_there = driver.ensure_loaded(instance.pk, instance.generation, snapshot.pk, files_of(volumes_in(snapshot)),
                                        shape=snapshot.shape, attempt=run.operation.pk)
    return Done() if is_there else Wait(1)


def set_clock(run: Run, instance: Instance) -> None:
    """The guest is where it was, and so is its clock. Nothing is turned back because that cannot be told to it."""
    with suppress(HostUnreachable):
        guests.set_clock(run, instance)


def let_be(run: Run, instance: Instance) -> None:
    """Undo of a load: what runs as if nothing had been goes on; what stands still in the middle of it loses its power."""
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        runs_on = run.arguments["was"] == InstanceState.RUNNING and seen is not None and seen.power is Power.RUNNING
        if not runs_on:
            driver.ensure_stopped(instance.pk, instance.generation)
    run.remember(is_off=not runs_on, went_back=_as_large_as_then(run, instance))


def _as_large_as_then(run: Run, instance: Instance) -> list[str]:
    """How far a load came that did not end well, the files alone tell."""
    with volume_pool(steps.pool_of(instance), run) as pool:
        found = {str(volume.pk): pool.volume(volume_file(volume)) for volume in volumes_in(snapshot_of(run))}
    return [pk for pk, (_before, then) in run.arguments["sizes"].items()
            if (file := found.get(pk)) is not None and file.capacity == then * GIB]


def _settle_sizes(run: Run, gone_back: Collection[str]) -> None:
    """Volumes count and cost what they have."""
    for pk, (before, then) in run.arguments["sizes"].items():
        if before == then:
            continue
        volume = Volume.objects.get(pk=pk)
        volume.size_gib = then if pk in gone_back else before
        Volume.objects.filter(pk=pk).update(size_gib=volume.size_gib)
        metering.settle(volume, volume.readings(volume.state), at=database_now())
        live.touch(volume)


def is_reverted(run: Run) -> dict[str, Any]:
    instance, starts = steps.target_of(run), run.arguments["starts"]
    _settle_sizes(run, run.arguments["sizes"])
    is_new = {"boot", "seed"} & set(run.operation.plan)
    now = {"observed_state": "running", "observed_at": database_now(), **Headroom.of(instance).columns} if is_new else {}
    state = InstanceState.RUNNING if starts else run.arguments["was"]
    instance.move_to(state, current_snapshot=snapshot_of(run), fault=None, **now)
    network.settle_floating(instance.pk)
    return {"instances": [str(instance.pk)]}


def not_reverted(run: Run, error: dict[str, Any]) -> None:
    """Where its volumes have begun to go back it is off: it may stand between two, and is reverted again, or started as it is."""
    instance = steps.target_of(run)
    _settle_sizes(run, run.facts.get("went_back", ()))
    if run.facts.get("is_off"):
        instance.move_to(InstanceState.STOPPED, fault=error, observed_state="off", observed_at=database_now())
        return
    again = Headroom.of(instance).columns if instance.generation > run.arguments["generation"] else {}
    instance.move_to(run.arguments["was"], fault=error, **again)


# -- delete --

def drop_deleted(run: Run) -> Done | Wait:
    instance = Instance.objects.select_related("host__endpoint").get(pk=run.arguments["instance"])
    return drop(run, instance) if instance.host is not None else Done()


def is_deleted(run: Run) -> dict[str, Any]:
    """Those that were taken after it come after what it came after."""
    snapshot = snapshot_of(run)
    Snapshot.objects.filter(parent=snapshot).update(parent=snapshot.parent_id)
    Instance.objects.filter(current_snapshot=snapshot).update(current_snapshot=snapshot.parent_id)
    snapshot.move_to(Snapshot.State.DELETED, deleted_at=database_now())
    return {"snapshots": [str(snapshot.pk)]}


def cannot_fail(run: Run, error: dict[str, Any]) -> None:
    """Deleting goes only forward: its pivot is its first step."""
    raise RuntimeError(f"{run.operation.kind} has no way back")


def forget_volume(volume: Volume) -> None:
    """It is deleted, and what it had kept with it: the snapshots that it was in count and cost less from now on."""
    now = database_now()
    rows = Snapshot.objects.live().select_for_update(of=("self",), no_key=True).filter(parts__volume=volume)
    for snapshot in rows.order_by("pk"):
        snapshot.disk_gib -= snapshot.parts.get(volume=volume).size_gib
        Snapshot.objects.filter(pk=snapshot.pk).update(disk_gib=snapshot.disk_gib)
        if snapshot.meters(snapshot.state):
            metering.settle(snapshot, snapshot.readings(snapshot.state), at=now)
        live.touch(snapshot)


def forget_all(instance: Instance) -> None:
    """The instance is deleted for good; what was in its volumes is gone with them, or taken out of those that stay."""
    now = database_now()
    for snapshot in Snapshot.objects.live().filter(of_instance=instance):
        snapshot.move_to(Snapshot.State.DELETED, deleted_at=now)

