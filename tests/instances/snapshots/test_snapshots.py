"""Snapshots of an instance of the simulated host: taken, gone back to, deleted, made an image of."""
from decimal import Decimal

import pytest

from billing.models import Price, UsageInterval
from billing.prices import NoPrice
from billing.seed import seed_prices
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Host
from compute.instances import stopping
from compute.instances.errors import InstanceLocked
from compute.instances.models import Instance, InstanceType, Snapshot
from compute.instances.operations import act, create_instance
from compute.instances.snapshots import taking
from compute.instances.snapshots.errors import HasSnapshots, NoRoomForSnapshot, OtherHardware, OtherVolumes, TooManySnapshots
from compute.instances.snapshots.verbs import delete_snapshot
from compute.instances.volumes import verbs as volumes
from portal.kernel.errors import Busy, InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.models import AuditEvent, Hold, Operation
from storage.models import Attachment, Image, Volume
from tenants.models import Quota
from tests.instances.doing import do, power
from tests.world import World, drain


def take(web: Instance, name: str, **wishes: object) -> Snapshot:
    do(web, "snapshot", name=name, **wishes)
    return Snapshot.objects.get(name=name)


def delete(snapshot: Snapshot, web: Instance) -> None:
    delete_snapshot(snapshot, actor=None)
    drain()
    web.refresh_from_db()


def path_of(web: Instance) -> str:
    return Volume.objects.get(attachment__domain=web.pk, attachment__is_boot=True).locator


def inside(hand: SimulatedHost, web: Instance | None = None, *, volume: Volume | None = None) -> set[str]:
    """The names of the snapshots in the file of its root volume, or of this one."""
    path = path_of(web) if volume is None else Volume.objects.get(pk=volume.pk).locator
    folder, _, name = path.rpartition("/")
    return set(hand._store.read()["pools"][folder]["volumes"][name].get("snapshots", ()))


def usage(row: Snapshot | Volume) -> list[tuple[str, str, Decimal]]:
    return list(UsageInterval.objects.filter(resource=row, period__endswith=None).values_list("meter", "sku", "quantity"))


# -- there and back --

@pytest.mark.parametrize("state", ["running", "stopped"])
def test_what_was_written_since_is_gone_after_going_back(world: World, web: Instance, hand: SimulatedHost, state: str) -> None:
    if state == "stopped":
        do(web, "stop", force=True)
    hand.write(path_of(web), "before")
    before = take(web, "before")
    assert (web.state, before.state, web.current_snapshot, power(world, web)) == (
        state, "active", before, Power.RUNNING if state == "running" else Power.OFF)
    hand.write(path_of(web), "after")
    generation = web.generation
    do(web, "revert", snapshot=before)
    assert (hand.read(path_of(web)), web.state, web.fault) == ("before", state, None)
    assert power(world, web) is (Power.RUNNING if state == "running" else Power.OFF)
    assert web.generation == generation + (state == "running"), "what runs was started anew"
    assert not Hold.objects.exists() and do(web, "stop" if state == "running" else "start", force=True).fault is None


def test_they_are_a_tree_and_one_is_where_it_stands(web: Instance, hand: SimulatedHost) -> None:
    one, two = take(web, "one"), take(web, "two")
    do(web, "revert", snapshot=one)
    three = take(web, "three")
    assert (one.parent, two.parent, three.parent, web.current_snapshot) == (None, one, one, three)
    delete(one, web)
    two.refresh_from_db()
    three.refresh_from_db()
    assert (two.parent, three.parent, web.current_snapshot) == (None, None, three)
    delete(three, web)
    assert web.current_snapshot is None and inside(hand, web) == {str(two.pk)}
    do(web, "revert", snapshot=two)
    assert web.current_snapshot == two
    assert set(Snapshot.objects.filter(state="deleted")) == {one, three} and usage(one) == []


def test_with_memory_it_goes_on_in_the_process_that_it_has(world: World, web: Instance, hand: SimulatedHost) -> None:
    hand.write(path_of(web), "before")
    awake = take(web, "awake", memory=True)
    assert awake.shape and usage(awake) == [("snapshot", "local", Decimal("2.25"))]
    hand.write(path_of(web), "after")
    generation = web.generation
    do(web, "revert", snapshot=awake)
    assert (web.state, web.generation, hand.read(path_of(web))) == ("running", generation, "before")
    do(web, "stop", force=True)
    hand.write(path_of(web), "off")
    do(web, "revert", snapshot=awake, memory=False)
    assert (web.state, hand.read(path_of(web))) == ("stopped", "before")
    hand.write(path_of(web), "off")
    do(web, "revert", snapshot=awake)
    assert (web.state, power(world, web), hand.read(path_of(web))) == ("running", Power.RUNNING, "before")
    assert web.generation == generation + 1


def test_what_wakes_with_its_memory_counts_as_running_at_once(world: World, web: Instance) -> None:
    """Else who pays by credit would wake as many as they like at the same time."""
    before = take(web, "before", memory=True)
    do(web, "stop", force=True)
    act(web, "revert", actor=None, snapshot=before)
    [(pk, _region, [reading])] = stopping.coming(world.project.organization)
    assert (pk, reading.meter) == (web.pk, "instance.running")
    drain()
    web.refresh_from_db()
    assert web.state == "running" and not stopping.coming(world.project.organization)


def test_memory_fits_only_what_it_was_saved_of(world: World, web: Instance) -> None:
    awake = take(web, "awake", memory=True)
    size = InstanceType.objects.create(slug="big", name="Big", vcpus=2, memory_mib=512)
    seed_prices(world.region, [(f"instance.{state}", "big", Decimal(1)) for state in ("running", "stopped")])
    do(web, "resize", type=size, allow_restart=True)
    with pytest.raises(OtherHardware) as refusal:
        act(web, "revert", actor=None, snapshot=awake)
    assert (refusal.value.facts["then"], refusal.value.facts["now"]) == (1, 2)
    do(web, "revert", snapshot=awake, memory=False)
    assert (web.state, web.vcpus) == ("running", 2), "its volumes alone do go back, and its size stays"


def test_what_the_host_sees_to_be_other_hardware_changes_nothing(world: World, web: Instance, hand: SimulatedHost) -> None:
    awake = take(web, "awake", memory=True)
    Snapshot.objects.update(shape="of another")
    hand.write(path_of(web), "after")
    do(web, "revert", snapshot=awake)
    assert (web.state, power(world, web), hand.read(path_of(web))) == ("running", Power.RUNNING, "after")
    assert web.fault["code"] == "host_fault" and web.current_snapshot == awake
    do(web, "stop", force=True)
    do(web, "revert", snapshot=awake)
    assert (web.state, power(world, web), web.fault["code"]) == ("stopped", Power.OFF, "host_fault")


# -- sizes --

def test_a_volume_that_grew_is_small_again_and_large_again(world: World, web: Instance, hand: SimulatedHost) -> None:
    do(web, "stop", force=True)
    volume = Volume.objects.get()
    small = take(web, "small")
    folder, _, name = volume.locator.rpartition("/")
    with hand._store.change() as state:
        state["pools"][folder]["volumes"][name]["capacity"] = 5 * 1024**3
    Volume.objects.update(size_gib=5)
    large = take(web, "large")
    assert (small.disk_gib, large.disk_gib) == (2, 5)
    do(web, "revert", snapshot=small)
    volume.refresh_from_db()
    assert volume.size_gib == 2 and usage(volume) == [("volume", "local", Decimal(2))]
    assert hand.census()["volumes"][volume.locator] == 2 * 1024**3
    Quota.objects.create(project=world.project, region=world.region, dimension="volume_gib", limit=4)
    with pytest.raises(QuotaExceeded):
        act(web, "revert", actor=None, snapshot=large)
    volume.refresh_from_db()
    assert volume.size_gib == 2
    Quota.objects.update(limit=5)
    act(web, "revert", actor=None, snapshot=large)
    volume.refresh_from_db()
    assert volume.size_gib == 5, "it counts for the larger of both sizes meanwhile"
    assert [(pk, one.quantity) for pk, _region, [one] in volumes.coming(world.project.organization)] == [(volume.pk, 5)]
    drain()
    volume.refresh_from_db()
    assert volume.size_gib == 5 and usage(volume) == [("volume", "local", Decimal(5))]


# -- refusals --

def test_it_goes_back_only_with_the_volumes_that_it_had(world: World, web: Instance) -> None:
    before = take(web, "before")
    other = Volume.objects.create(project=world.project, region=world.region, name="data", size_gib=1, state="in_use",
                                  pool=world.pool, locator="/pool/data")
    Attachment.objects.create(volume=other, domain=web.pk, target="vdb")
    with pytest.raises(OtherVolumes) as refusal:
        act(web, "revert", actor=None, snapshot=before)
    assert (refusal.value.facts["gone"], refusal.value.facts["new"]) == ("–", "data")
    Attachment.objects.filter(volume=other).delete()
    do(web, "revert", snapshot=before)
    assert web.fault is None


@pytest.mark.parametrize(("verb", "is_refused"), [
    ("resize", False), ("rescue", False), ("clone", False), ("capture", False), ("rebuild", True), ("delete", False)])
def test_what_else_is_done_with_snapshots(world: World, web: Instance, hand: SimulatedHost, verb: str, is_refused: bool) -> None:
    """Only what would erase them is refused; nothing else touches them."""
    kept = take(web, "kept")
    wishes = {"rescue": {"image": world.image}, "rebuild": {"image": world.image}, "capture": {"name": "ready"}}.get(verb, {})
    if verb in ("clone", "capture"):
        do(web, "stop", force=True)
    if verb == "resize":
        wishes = {"type": InstanceType.objects.create(slug="small-2", name="Small 2", vcpus=1, memory_mib=256),
                  "allow_restart": True}
        seed_prices(world.region, [("instance.running", "small-2", Decimal(1))])
    if is_refused:
        with pytest.raises(HasSnapshots):
            act(web, verb, actor=None, **wishes)
    else:
        do(web, verb, **wishes)
        assert web.fault is None
    kept.refresh_from_db()
    assert (kept.state, inside(hand, web)) == ("active", {str(kept.pk)})


def test_deleted_for_good_all_go_with_it(web: Instance) -> None:
    one, two = take(web, "one"), take(web, "two", memory=True)
    do(web, "delete")
    assert usage(one), "in the recycle bin they cost as before"
    do(web, "purge")
    assert web.state == "deleted" and set(Snapshot.objects.filter(state="deleted")) == {one, two}
    assert usage(one) == usage(two) == [] and not Snapshot.objects.live().exists()


def test_volumes_that_stay_keep_none_of_its_snapshots(world: World, web: Instance, hand: SimulatedHost) -> None:
    """Those inside would lie there unpaid, where nobody could delete them."""
    stays, moved = (_data_of(world, web, name) for name in ("stays", "moved"))
    take(web, "one")
    create_instance(world.order(name="other"), actor=world.people["alice"])
    drain()
    other = Instance.objects.get(name="other")
    for begin in (lambda: volumes.detach(moved, actor=None), lambda: volumes.attach(moved, other, actor=None)):
        begin()
        drain()
    assert all(inside(hand, volume=one) for one in (stays, moved))
    act(web, "purge", actor=None)
    with pytest.raises(Busy):
        act(other, "stop", actor=None)
    drain()
    assert Instance.objects.get(pk=web.pk).state == "deleted" and not Snapshot.objects.live().exists()
    assert not any(inside(hand, volume=one) for one in (stays, moved))


@pytest.mark.parametrize("goes_with_another", [False, True])
def test_what_is_of_a_deleted_volume_costs_no_more(world: World, web: Instance, goes_with_another: bool) -> None:
    data, alice = _data_of(world, web, "data"), world.people["alice"]
    kept = take(web, "kept")
    assert usage(kept) == [("snapshot", "local", Decimal(3))]
    volumes.detach(data, actor=None)
    drain()
    if goes_with_another:
        create_instance(world.order(name="other"), actor=alice)
        drain()
        other = Instance.objects.get(name="other")
        volumes.attach(data, other, actor=None)
        drain()
        do(other, "purge", volumes=True)
    else:
        volumes.delete_volume(data, actor=None)
        drain()
    kept.refresh_from_db()
    assert (kept.state, kept.disk_gib, usage(kept)) == ("active", 2, [("snapshot", "local", Decimal(2))])
    do(web, "purge")
    assert usage(kept) == []


def _data_of(world: World, web: Instance, name: str) -> Volume:
    operation = volumes.create_volume(volumes.NewVolume(
        project=world.project, region=world.region, name=name, size_gib=1, instance=web), actor=world.people["alice"])
    drain()
    return Volume.objects.get(pk=operation.target_id)


def test_what_is_asked_for_in_vain(world: World, web: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    before = take(web, "before")
    with pytest.raises(InvalidInput):
        act(web, "revert", actor=None, snapshot=before, memory=True)
    Host.objects.update(disk_free_gib=0)
    with pytest.raises(NoRoomForSnapshot):
        act(web, "snapshot", actor=None, name="x", memory=True)
    Host.objects.update(disk_free_gib=None)
    monkeypatch.setattr(taking, "MOST", 1)
    with pytest.raises(TooManySnapshots):
        act(web, "snapshot", actor=None, name="x")
    monkeypatch.setattr(taking, "MOST", 20)
    Quota.objects.create(project=world.project, region=world.region, dimension="snapshots", limit=1)
    with pytest.raises(QuotaExceeded):
        act(web, "snapshot", actor=None, name="x")
    Quota.objects.all().delete()
    Price.objects.filter(meter="snapshot").delete()
    with pytest.raises(NoPrice):
        act(web, "snapshot", actor=None, name="x")
    do(web, "stop", force=True)
    with pytest.raises(InvalidInput):
        act(web, "snapshot", actor=None, name="x", memory=True)
    Instance.objects.filter(pk=web.pk).update(locked_at="2026-01-01T00:00:00Z")
    with pytest.raises(InstanceLocked):
        delete_snapshot(before, actor=world.people["alice"])
    Instance.objects.filter(pk=web.pk).update(locked_at=None)
    delete_snapshot(before, actor=world.people["alice"])
    for again in (lambda: delete_snapshot(before, actor=None), lambda: act(web, "revert", actor=None, snapshot=before)):
        with pytest.raises((StateConflict, Busy)):
            again()
    assert Snapshot.objects.count() == 1


@pytest.mark.parametrize("call", ["ensure_snapshot", "shape"])
def test_one_that_fails_leaves_nothing(world: World, web: Instance, hand: SimulatedHost, call: str) -> None:
    hand.fail(call, kind="error")
    do(web, "snapshot", name="x", memory=True)
    assert (web.state, web.fault["code"], Snapshot.objects.get().state) == ("running", "host_fault", "deleted")
    assert inside(hand, web) == set() and web.current_snapshot is None and not UsageInterval.objects.filter(
        meter="snapshot").exists()


def test_going_back_that_fails_before_it_began_changes_nothing(world: World, web: Instance, hand: SimulatedHost) -> None:
    before = take(web, "before")
    hand.write(path_of(web), "after")
    hand.fail("ssh.kept_snapshots", kind="error")
    do(web, "revert", snapshot=before)
    assert (web.state, web.fault["code"]) == ("stopped", "host_fault"), "it had begun: it may stand between two"
    hand.heal()
    hand.fail("ensure_stopped", kind="error")
    do(web, "start")
    do(web, "revert", snapshot=before)
    assert (web.state, power(world, web), hand.read(path_of(web))) == ("running", Power.RUNNING, "after")


# -- an image of one --

def test_an_image_is_made_of_what_was_then(world: World, web: Instance, hand: SimulatedHost) -> None:
    then = take(web, "then")
    do(web, "stop", force=True)
    Volume.objects.update(size_gib=5)
    operation = act(web, "capture", actor=world.people["alice"], name="ready", snapshot=then)
    with pytest.raises((Busy, StateConflict)):
        delete_snapshot(then, actor=None)
    drain()
    operation.refresh_from_db()
    image = Image.objects.get(name="ready")
    assert (operation.state, image.state, image.min_disk_gib) == ("succeeded", "active", 2)
    delete(then, web)
    with pytest.raises(StateConflict):
        act(web, "capture", actor=None, name="late", snapshot=then)


# -- as people and programs meet it --

def test_by_rest(world: World, web: Instance, browser) -> None:
    alice, path = browser("alice"), f"/api/v1/instances/{web.pk}/actions"
    sent = {"content_type": "application/json"}
    assert alice.post(f"{path}/snapshot/", {}, **sent).status_code == 400
    assert alice.post(f"{path}/snapshot/", {"name": "n", "memory": "perhaps"}, **sent).status_code == 400
    assert browser("oscar").post(f"{path}/snapshot/", {"name": "n"}, **sent).status_code == 403
    assert browser("mallory").post(f"{path}/snapshot/", {"name": "n"}, **sent).status_code == 404
    answer = alice.post(f"{path}/snapshot/", {"name": "n", "memory": True}, **sent)
    assert answer.status_code == 202
    drain()
    [found] = alice.get(f"/api/v1/snapshots/?instance={web.pk}").json()["results"]
    assert (found["name"], found["state"], found["is_current"], found["parent"], found["has_memory"]) == (
        "n", "active", True, None, True)
    one = f"/api/v1/snapshots/{found['id']}/"
    assert alice.patch(one, {"name": "renamed"}, **sent).json()["name"] == "renamed"
    assert alice.post(f"{path}/revert/", {"snapshot": found["id"]}, **sent).status_code == 202
    drain()
    assert browser("mallory").get(one).status_code == 404 and browser("vera").delete(one).status_code == 403
    assert alice.delete(one).status_code == 202
    drain()
    assert alice.get(f"/api/v1/snapshots/?instance={web.pk}").json()["results"] == []
    assert alice.post(f"{path}/revert/", {"snapshot": found["id"]}, **sent).status_code in (400, 404, 409)
    assert {"snapshot.create", "snapshot.revert", "snapshot.delete", "instance.snapshot", "instance.revert"} <= set(
        AuditEvent.objects.values_list("action", flat=True))
    assert Operation.objects.filter(state="succeeded", kind="snapshot.delete").exists()


def test_on_pages(world: World, web: Instance, browser) -> None:
    alice, home = browser("alice"), f"/instances/{web.pk}/"
    assert "No snapshots yet" in alice.get(f"{home}?tab=snapshots").content.decode()
    tab = alice.get(f"{home}?tab=snapshots").content.decode().partition("No snapshots yet")[0].rpartition("</nav>")[2]
    assert f'href="{home}snapshot/"' in tab, "it is taken where they are shown"
    form = alice.get(f"{home}snapshot/").content.decode()
    assert "Keep its memory too" in form and "Without memory" in form and "With memory" in form
    assert 'id="id_memory_help"' in form  # what is said of a box to tick is shown
    assert "All its snapshots are deleted." not in alice.get(home).content.decode()
    assert alice.post(f"{home}snapshot/", {"name": ""}).status_code == 400
    assert alice.post(f"{home}snapshot/", {"name": "before", "memory": "on"})["Location"] == f"{home}?tab=snapshots"
    drain()
    one = Snapshot.objects.get()
    take(web, "later")
    text = alice.get(f"{home}?tab=snapshots").content.decode()
    assert "before" in text and "it stands here" in text and "depth-1" in text and f"revert/?snapshot={one.pk}" in text
    form = alice.get(f"{home}revert/?snapshot={one.pk}").content.decode()
    assert "loses its power" in form and "go on from where it was" in form
    assert alice.post(f"{home}revert/", {"snapshot": one.pk, "memory": "on"}).status_code == 302
    drain()
    web.refresh_from_db()
    assert (web.state, web.current_snapshot) == ("running", one)
    assert "All its snapshots are deleted." in alice.get(home).content.decode()
    page = alice.get(f"/snapshots/{one.pk}/").content.decode()
    assert "it stands here" in page and "256 MiB" in page
    assert "later" in alice.get("/snapshots/").content.decode()
    assert alice.post(f"/snapshots/{one.pk}/delete/").status_code == 200  # asks
    assert alice.post(f"/snapshots/{one.pk}/delete/", {"confirmed": "1"}).status_code == 302
    drain()
    assert set(Snapshot.objects.live().values_list("name", flat=True)) == {"later"}
