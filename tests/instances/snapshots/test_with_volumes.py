"""Snapshots of instances whose data volumes come and go, grow, are deleted or lost: nothing is left in a file, nothing is stuck,
and what counts and costs is what is there."""
from decimal import Decimal

import pytest

from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances.errors import NotSupported
from compute.instances.models import Instance, Snapshot
from compute.instances.operations import act, create_instance
from compute.instances.snapshots import reverting
from compute.instances.volumes import steps as volume_steps
from compute.instances.volumes import verbs
from portal.kernel.errors import StateConflict
from portal.kernel.models import Hold, Operation
from portal.kernel.operations import request_cancel
from storage.models import Volume
from tests.instances.by_hand import looked_at
from tests.instances.doing import do
from tests.instances.snapshots.test_snapshots import delete, take, usage
from tests.instances.test_volumes import add, done, in_guest, metered
from tests.world import World, drain


def inside(hand: SimulatedHost, volume: Volume) -> set[str]:
    """The names of the snapshots in its file."""
    folder, _, name = volume.locator.rpartition("/")
    return set(hand._store.read()["pools"][folder]["volumes"][name].get("snapshots", ()))


def another(world: World, web: Instance) -> Instance:
    create_instance(world.order(name="db"), actor=world.people["alice"])
    drain()
    return Instance.objects.exclude(pk=web.pk).get()


@pytest.mark.parametrize("where", ["attached", "free", "in another that runs"])
def test_a_volume_that_stays_keeps_nothing_of_an_instance_that_is_gone(world: World, web: Instance, hand: SimulatedHost,
                                                                       where: str) -> None:
    volume = add(world, instance=web)
    take(web, "one")
    take(web, "two")
    assert len(inside(hand, volume)) == 2
    if where != "attached":
        done(verbs.detach(volume, actor=None))
    if where == "in another that runs":
        done(verbs.attach(volume, another(world, web), actor=None))
    operation = act(web, "purge", actor=None)
    assert Hold.objects.filter(resource=volume, operation=operation).exists()
    drain()
    volume.refresh_from_db()
    assert volume.state == ("in_use" if where == "in another that runs" else "available")
    assert inside(hand, volume) == set() and not Snapshot.objects.live().exists() and not Hold.objects.exists()


@pytest.mark.parametrize("what", ["snapshot", "delete"])
def test_a_disk_that_the_guest_has_let_go_of_keeps_nothing_from_its_end(world: World, web: Instance, hand: SimulatedHost,
                                                                       what: str) -> None:
    """Its rows say that it is attached, and QEMU has it no more."""
    volume = add(world, instance=web)
    kept = take(web, "kept")
    hand.let_go(web.pk, volume.locator)
    if what == "snapshot":
        do(web, "snapshot", name="x")
        assert (web.state, web.fault["code"], Snapshot.objects.get(name="x").state) == ("running", "host_fault", "deleted")
        assert inside(hand, volume) == {str(kept.pk)}
    else:
        delete(kept, web)
        assert inside(hand, volume) == set()
    assert not Hold.objects.exists()


def test_a_lost_file_keeps_no_snapshot_from_being_deleted(world: World, web: Instance, hand: SimulatedHost) -> None:
    volume = add(world, instance=web)
    kept = take(web, "kept")
    do(web, "stop", force=True)
    hand.lose_volume(volume.locator)
    delete(kept, web)
    kept.refresh_from_db()
    assert kept.state == "deleted" and not Hold.objects.exists()


def test_what_is_deleted_counts_and_costs_in_no_snapshot(world: World, web: Instance) -> None:
    volume = add(world, instance=web, size_gib=3)
    kept = take(web, "kept")
    assert usage(kept) == [("snapshot", "local", Decimal(5))]
    done(verbs.detach(volume, actor=None))
    assert usage(kept) == [("snapshot", "local", Decimal(5))], "it is in the volume wherever that is"
    done(verbs.delete_volume(volume, actor=None))
    kept.refresh_from_db()
    assert kept.disk_gib == 2 and usage(kept) == [("snapshot", "local", Decimal(2))]
    delete(kept, web)
    assert usage(kept) == []


def test_where_the_host_takes_no_commands_none_is_taken(world: World, web: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is off nobody could take it, or undo that: it would be tried for ever."""
    monkeypatch.setattr("compute.hosts.models.are_answered", lambda driver, uri: False)
    with pytest.raises(NotSupported):
        act(web, "snapshot", actor=None, name="x")
    web.refresh_from_db()
    assert web.state == "running" and not Snapshot.objects.exists()


# -- sizes after what did not end well --

def test_a_load_that_never_began_leaves_sizes_as_they_are(world: World, web: Instance) -> None:
    """Else who lets it fail would have the larger volume, and pay for the smaller one."""
    volume = Volume.objects.get(attachment__domain=web.pk)
    awake = take(web, "awake", memory=True)
    do(web, "stop", force=True)
    done(verbs.grow(volume, 7, actor=None))
    Snapshot.objects.update(shape="of another")
    do(web, "revert", snapshot=awake)
    volume.refresh_from_db()
    assert (web.state, web.fault["code"], volume.size_gib, metered(volume)) == ("stopped", "host_fault", 7, 7)


def test_nobody_takes_back_a_load(world: World, web: Instance) -> None:
    awake = take(web, "awake", memory=True)
    operation = act(web, "revert", actor=None, snapshot=awake)
    with pytest.raises(StateConflict):
        request_cancel(Operation.objects.get(pk=operation.pk))
    drain()


@pytest.mark.parametrize("begins", ["running", "stopped"])
def test_a_guest_that_is_back_in_time_is_told_how_late_it_is(world: World, web: Instance, hand: SimulatedHost,
                                                            begins: str) -> None:
    awake = take(web, "awake", memory=True)
    if begins == "stopped":
        do(web, "stop", force=True)
    hand.install_agent(web.pk)
    do(web, "revert", snapshot=awake)
    assert (web.state, web.fault, hand.agent(web.pk)["clock_set"]) == ("running", None, 1)
    hand.fail("set_guest_clock", kind="unreachable")
    do(web, "revert", snapshot=awake)
    assert (web.state, web.fault) == ("running", None), "it is where it was all the same"


def test_what_is_woken_costs_in_a_moment_what_it_does_running(world: World, web: Instance) -> None:
    awake = take(web, "awake", memory=True)
    act(web, "revert", actor=None, snapshot=awake)
    assert reverting.coming(world.project.organization) == [], "it runs, and is billed so"
    drain()
    do(web, "stop", force=True)
    act(web, "revert", actor=None, snapshot=awake)
    [(pk, _region, readings)] = reverting.coming(world.project.organization)
    assert (pk, [reading.meter for reading in readings]) == (web.pk, ["instance.running"])
    drain()


# -- beside snapshots --

def test_a_guest_that_lets_go_too_late_gets_its_volume_back(world: World, web: Instance, hand: SimulatedHost,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    volume = add(world, instance=web)
    hand.keep_devices(web.pk)
    monkeypatch.setattr(volume_steps, "LETS_GO_S", 0)
    assert done(verbs.detach(volume, actor=None)).state == "failed"
    hand.let_go(web.pk, volume.locator)
    looked_at(world, web)
    assert volume.locator in in_guest(world, web)
    hand.keep_devices(web.pk, keeps=False)
    assert done(verbs.detach(volume, actor=None)).state == "succeeded"
    looked_at(world, web)
    assert volume.locator not in in_guest(world, web)


def test_a_clone_has_the_watchdog_and_the_password_of_its_source(world: World, web: Instance) -> None:
    Instance.objects.filter(pk=web.pk).update(watchdog="reset", password_hash="$6$salt$hash")
    do(web, "stop", force=True)
    do(web, "clone", name="twin")
    twin = Instance.objects.get(name="twin")
    assert (twin.state, twin.watchdog, twin.password_hash) == ("running", "reset", "$6$salt$hash")
