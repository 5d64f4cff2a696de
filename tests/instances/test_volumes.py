"""Data volumes: made, put in and taken out of instances that run or are off, grown, deleted; nothing lost, nothing left."""
from decimal import Decimal

import pytest
from django.test import Client
from rest_framework.test import APIClient

from billing.models import Dunning, Price, UsageInterval
from billing.prices import NoPrice
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Endpoint, Host
from compute.instances.errors import InstanceLocked, NotSupported
from compute.instances.guarding import lock
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.volumes import places, steps, verbs
from compute.instances.volumes.errors import IsRootVolume, NoRoomForVolume, TooManyVolumes, VolumeElsewhere
from compute.instances.volumes.verbs import NewVolume
from portal.kernel.errors import Busy, InvalidInput, QuotaExceeded, StateConflict, Unpaid
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from storage.connections import volume_pool
from storage.models import GIB, Attachment, Pool, Volume
from tenants.models import Quota, User
from tenants.operations import create_api_key
from tenants.people import create_role, give_role
from tests.instances.doing import do
from tests.world import World, drain


@pytest.fixture
def running(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def add(world: World, *, name: str = "data", instance: Instance | None = None, size_gib: int = 3) -> Volume:
    operation = verbs.create_volume(NewVolume(project=world.project, region=world.region, name=name, size_gib=size_gib,
                                              instance=instance), actor=world.people["alice"])
    drain()
    return Volume.objects.get(pk=operation.target_id)


def done(operation: Operation) -> Operation:
    drain()
    operation.refresh_from_db()
    assert not Hold.objects.exists()
    return operation


def file_of(volume: Volume) -> str:
    return f"/pool/volume-{volume.pk}.qcow2"


def in_guest(world: World, instance: Instance) -> set[str]:
    """The files of what runs."""
    return SimulatedHost(world.host.endpoint.uri).disks(instance.pk)


def capacity(world: World, volume: Volume) -> int:
    with volume_pool(world.pool) as pool:
        return pool.volume(f"volume-{volume.pk}.qcow2").capacity // GIB


def metered(volume: Volume) -> Decimal | None:
    row = UsageInterval.objects.filter(resource=volume, period__endswith=None).first()
    return row and row.quantity


def state_of(volume: Volume) -> tuple[str, int, bool]:
    volume.refresh_from_db()
    return volume.state, volume.size_gib, Attachment.objects.filter(volume=volume).exists()


def test_one_without_an_instance_lies_where_most_room_is(world: World) -> None:
    volume = add(world)
    assert state_of(volume) == ("available", 3, False) and volume.pool == world.pool
    assert (capacity(world, volume), metered(volume)) == (3, 3)
    assert AuditEvent.objects.get(action="volume.create").after == {"name": "data", "size_gib": 3}
    done(verbs.delete_volume(volume, actor=world.people["alice"]))
    assert state_of(volume)[0] == "deleted" and metered(volume) is None
    with volume_pool(world.pool) as pool:
        assert pool.volume(f"volume-{volume.pk}.qcow2") is None
    with pytest.raises(StateConflict):
        verbs.delete_volume(volume, actor=None)


def test_what_runs_gets_one_and_gives_it_back(world: World, running: Instance) -> None:
    volume = add(world, instance=running)
    assert state_of(volume) == ("in_use", 3, True) and volume.attachment.target == "vdb"
    assert file_of(volume) in in_guest(world, running)
    with pytest.raises(StateConflict):
        verbs.delete_volume(volume, actor=None)
    do(running, "reboot", force=True)
    assert file_of(volume) in in_guest(world, running), "every start defines it anew"
    assert done(verbs.detach(volume, actor=world.people["alice"])).state == "succeeded"
    assert state_of(volume) == ("available", 3, False) and file_of(volume) not in in_guest(world, running)
    assert done(verbs.attach(volume, running, actor=world.people["alice"])).state == "succeeded"
    assert state_of(volume)[0] == "in_use" and file_of(volume) in in_guest(world, running)
    assert metered(volume) == 3 and UsageInterval.objects.filter(resource=volume).count() == 1


def test_what_is_off_has_it_from_its_next_start_on(world: World, running: Instance) -> None:
    off, volume = do(running, "stop"), add(world)
    assert done(verbs.attach(volume, off, actor=None)).plan == ["define"]
    do(off, "start")
    assert file_of(volume) in in_guest(world, off)
    do(off, "stop")
    done(verbs.detach(volume, actor=None))
    do(off, "start")
    assert file_of(volume) not in in_guest(world, off)


def test_what_the_guest_does_not_let_go_of_stays_attached(world: World, running: Instance,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    volume, hand = add(world, instance=running), SimulatedHost(world.host.endpoint.uri)
    hand.keep_devices(running.pk)
    monkeypatch.setattr(steps, "LETS_GO_S", 0)
    operation = done(verbs.detach(volume, actor=None))
    assert (operation.state, operation.error["code"]) == ("failed", "guest_keeps_volume")
    assert state_of(volume) == ("in_use", 3, True) and file_of(volume) in in_guest(world, running)
    do(running, "stop", force=True)
    assert done(verbs.detach(volume, actor=None)).state == "succeeded"


@pytest.mark.parametrize("call", ["ensure_defined", "ensure_plugged"])
def test_an_attach_that_fails_leaves_it_as_it_was(world: World, running: Instance, call: str) -> None:
    volume, hand = add(world), SimulatedHost(world.host.endpoint.uri)
    hand.fail(call, kind="error")
    assert done(verbs.attach(volume, running, actor=None)).state == "failed"
    assert state_of(volume) == ("available", 3, False) and file_of(volume) not in in_guest(world, running)
    hand.fail(call, kind="error")
    before = set(Volume.objects.live().values_list("pk", flat=True))
    add(world, name="second", instance=running)
    assert set(Volume.objects.live().values_list("pk", flat=True)) == before
    assert Attachment.objects.count() == 1 and state_of(Volume.objects.get(name="second"))[0] == "deleted"


def test_a_detach_that_fails_leaves_it_as_it_was(world: World, running: Instance) -> None:
    volume = add(world, instance=running)
    SimulatedHost(world.host.endpoint.uri).fail("ensure_defined", kind="error")
    assert done(verbs.detach(volume, actor=None)).state == "failed"
    assert state_of(volume) == ("in_use", 3, True) and file_of(volume) in in_guest(world, running)


def test_what_a_guest_has_and_keeps_is_not_said_to_be_free(world: World, running: Instance,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """It was plugged in, and only the answer was lost."""
    volume, hand = add(world), SimulatedHost(world.host.endpoint.uri)
    monkeypatch.setattr(steps, "LETS_GO_S", 0)
    real = steps._disk

    def plugged_and_lost(run) -> None:
        instance = steps.instance_of(run)
        with steps.hypervisor(instance.host, run) as driver:
            driver.ensure_plugged(instance.pk, instance.generation, real(run, instance))
        hand.keep_devices(instance.pk)
        raise NotSupported(name="web", verb="attach", needs="")

    monkeypatch.setitem(vars(kinds["volume.attach"].step("plug")), "do", plugged_and_lost)
    assert done(verbs.attach(volume, running, actor=None)).state == "failed"
    assert state_of(volume) == ("in_use", 3, True) and file_of(volume) in in_guest(world, running)


def test_it_grows_wherever_it_is_and_costs_more_from_then_on(world: World, running: Instance) -> None:
    data, root = add(world), Volume.objects.get(attachment__is_boot=True)
    done(verbs.grow(data, 5, actor=world.people["alice"]))
    assert state_of(data) == ("available", 5, False) and (capacity(world, data), metered(data)) == (5, 5)
    for volume, size in ((data, 6), (root, 4)):
        if volume is data:
            done(verbs.attach(data, running, actor=None))
        operation = verbs.grow(volume, size, actor=world.people["alice"])
        assert (state_of(volume)[0], metered(volume)) == ("resizing", 5 if volume is data else 1), "as before until it is larger"
        assert verbs.coming(world.project.organization)[0][2][0].quantity == size
        assert done(operation).state == "succeeded"
        assert state_of(volume)[:2] == ("in_use", size) and (capacity(world, volume), metered(volume)) == (size, size)
    do(running, "stop", force=True)
    done(verbs.grow(root, 5, actor=None))
    assert (capacity(world, root), metered(root)) == (5, 5) and do(running, "start").state == "running"
    assert AuditEvent.objects.filter(action="volume.grow").count() == 4
    for size in (5, 4, verbs.LARGEST_GIB + 1):
        with pytest.raises(InvalidInput):
            verbs.grow(root, size, actor=None)
    act(running, "rebuild", actor=None, image=world.image)
    drain()
    assert capacity(world, root) == 5


def test_a_growth_that_fails_costs_what_it_did_unless_it_happened(world: World, running: Instance) -> None:
    volume, hand = add(world, instance=running), SimulatedHost(world.host.endpoint.uri)
    hand.fail("ensure_disk_size", kind="error")
    assert done(verbs.grow(volume, 9, actor=None)).state == "failed"
    assert state_of(volume)[:2] == ("in_use", 3) and metered(volume) == 3
    with volume_pool(world.pool) as pool:
        pool.ensure_resized(f"volume-{volume.pk}.qcow2", size=9 * GIB)
    hand.fail("ensure_disk_size", kind="error")
    assert done(verbs.grow(volume, 9, actor=None)).state == "failed"
    assert state_of(volume)[:2] == ("in_use", 9) and metered(volume) == 9


def test_quota_money_and_room_are_asked_for(world: World, running: Instance) -> None:
    volume = add(world)
    Quota.objects.create(project=world.project, region=world.region, dimension="volume_gib", limit=5)
    for refused in (lambda: add(world, name="more", size_gib=2), lambda: verbs.grow(volume, 5, actor=None)):
        with pytest.raises(QuotaExceeded):
            refused()
    Quota.objects.all().delete()
    Host.objects.update(disk_free_gib=0)
    for refused in (lambda: add(world, name="more"), lambda: add(world, name="more", instance=running),
                    lambda: verbs.grow(volume, 5, actor=None)):
        with pytest.raises(NoRoomForVolume):
            refused()
    Host.objects.update(disk_free_gib=None, is_in_maintenance=True)
    with pytest.raises(NoRoomForVolume):
        add(world, name="more")
    Host.objects.update(is_in_maintenance=False)
    Price.objects.filter(meter="volume").delete()
    for refused in (lambda: add(world, name="more"), lambda: verbs.grow(volume, 5, actor=None)):
        with pytest.raises(NoPrice):
            refused()
    assert not Volume.objects.filter(name="more").exists() and state_of(volume) == ("available", 3, False)


def test_what_is_not_settled_locked_elsewhere_or_full_gets_none(world: World, running: Instance,
                                                               monkeypatch: pytest.MonkeyPatch) -> None:
    volume, root = add(world), Volume.objects.get(attachment__is_boot=True)
    with pytest.raises(IsRootVolume):
        verbs.detach(root, actor=None)
    lock(running, actor=world.people["alice"], reason="not now")
    for refused in (lambda: verbs.attach(volume, running, actor=None), lambda: verbs.grow(root, 9, actor=None)):
        with pytest.raises(InstanceLocked):
            refused()
    Instance.objects.update(locked_at=None, locked_by=None, lock_reason="")
    do(running, "pause")
    for refused in (lambda: verbs.attach(volume, running, actor=None), lambda: verbs.grow(root, 9, actor=None)):
        with pytest.raises(StateConflict):
            refused()
    do(running, "resume")
    other = Host.objects.create(region=world.region, zone=world.zone, name="sim-2", endpoint=Endpoint.objects.create(
        name="sim-2", driver="simulated", uri="simulated:///nowhere"))
    elsewhere = Pool.objects.create(region=world.region, host=other, name="mains", path="/pool")
    Volume.objects.filter(pk=volume.pk).update(pool=elsewhere)
    with pytest.raises(VolumeElsewhere):
        verbs.attach(volume, running, actor=None)
    Volume.objects.filter(pk=volume.pk).update(pool=world.pool)
    monkeypatch.setattr(places, "TARGETS", ())
    with pytest.raises(TooManyVolumes):
        verbs.attach(volume, running, actor=None)
    monkeypatch.undo()
    Endpoint.objects.filter(pk=world.host.endpoint_id).update(
        capabilities=world.host.endpoint.capabilities | {"hot_plugs": False})
    with pytest.raises(NotSupported):
        verbs.attach(volume, running, actor=None)
    do(running, "stop")
    verbs.attach(volume, running, actor=None)
    for refused in (lambda: act(running, "start", actor=None), lambda: verbs.grow(root, 9, actor=None)):
        with pytest.raises(Busy):
            refused()
    drain()
    assert state_of(volume)[0] == "in_use"


@pytest.mark.parametrize("goes_too", [False, True])
def test_when_its_instance_is_deleted_for_good(world: World, running: Instance, goes_too: bool) -> None:
    volume, root = add(world, instance=running), Volume.objects.get(attachment__is_boot=True)
    do(running, "delete")
    assert state_of(volume) == ("in_use", 3, True)
    do(running, "restore")
    do(running, "start")
    assert file_of(volume) in in_guest(world, running)
    do(running, "purge", **({"volumes": True} if goes_too else {}))
    assert state_of(volume) == (("deleted", 3, False) if goes_too else ("available", 3, False))
    assert (metered(volume), state_of(root)) == (None if goes_too else 3, ("deleted", 1, False))
    with volume_pool(world.pool) as pool:
        assert {file.name for file in pool.volumes() if file.name.startswith("volume-")} == (
            set() if goes_too else {f"volume-{volume.pk}.qcow2"})


def test_it_stays_through_rescue_and_rebuild(world: World, running: Instance) -> None:
    volume = add(world, instance=running)
    do(running, "rescue", image=world.image, force=True)
    assert file_of(volume) in in_guest(world, running)
    with pytest.raises(StateConflict):
        verbs.detach(volume, actor=None)
    do(running, "unrescue", force=True)
    do(running, "rebuild", image=world.image)
    assert file_of(volume) in in_guest(world, running) and state_of(volume) == ("in_use", 3, True)


def test_by_rest(world: World, running: Instance, browser) -> None:
    alice, path = browser("alice"), "/api/v1/volumes/"

    def post(address: str, body: dict, who=alice) -> tuple[int, dict]:
        answer = who.post(address, body, content_type="application/json")
        return answer.status_code, answer.json()

    new = {"project": str(world.project.pk), "region": str(world.region.pk), "name": "data", "size_gib": 3}
    status, told = post(path, new | {"instance": str(running.pk)})
    assert status == 202
    drain()
    one = f"{path}{told['target']['id'] if isinstance(told['target'], dict) else told['target']}/"
    row = alice.get(one).json()
    assert (row["state"], row["instance"], row["target"], row["size_gib"]) == ("in_use", str(running.pk), "vdb", 3)
    assert post(f"{one}actions/grow/", {"size_gib": 2})[0] == 400 and post(path, new | {"size_gib": 0})[0] == 400
    assert post(f"{one}actions/grow/", {"size_gib": 4})[0] == 202
    drain()
    assert alice.delete(one).status_code == 409
    for who, status in (("vera", 403), ("mallory", 404), ("oscar", 202)):
        assert post(f"{one}actions/detach/", {}, browser(who))[0] == status
    drain()
    assert browser("oscar").delete(one).status_code == 403 and post(path, new, browser("oscar"))[0] == 403
    assert post(f"{one}actions/attach/", {"instance": str(running.pk)}, browser("oscar"))[0] == 202
    drain()
    assert alice.delete(f"/api/v1/instances/{running.pk}/?volumes=true").status_code == 400
    all_of_it = f"/api/v1/instances/{running.pk}/?volumes=true&purge=true"
    _key, secret = create_api_key(world.people["alice"], name="k", actor=None, scopes=["instance.view", "instance.delete"])
    assert APIClient().delete(all_of_it, HTTP_AUTHORIZATION=f"Bearer {secret}").status_code == 403, "it may delete no volumes"
    assert alice.delete(all_of_it).status_code == 202
    drain()
    assert not Volume.objects.live().exists()


def test_who_may_not_delete_volumes_deletes_none_with_an_instance(world: World, running: Instance, browser) -> None:
    volume = add(world, instance=running)
    alice = User.objects.get(username="alice")
    _key, secret = create_api_key(alice, name="ends", scopes=["instance.view", "instance.delete"], actor=alice)
    headers = {"HTTP_AUTHORIZATION": f"Bearer {secret}"}
    one = f"/api/v1/instances/{running.pk}/?purge=true"
    assert Client().delete(f"{one}&volumes=true", **headers).status_code == 403
    role = create_role(world.project.organization, "Ends", ["project.view", "instance.view", "instance.delete"], actor=alice)
    vera = User.objects.get(username="vera")
    give_role(str(role.pk), world.project, to=vera, actor=alice)
    page, typed = f"/instances/{running.pk}/purge/", {"confirmed": "1", "typed_name": running.name}
    assert "with all data on them" not in browser("vera").post(page).content.decode()
    assert browser("vera").post(f"{page}?volumes=true", typed).status_code == 403
    drain()
    assert state_of(volume) == ("in_use", 3, True)
    assert Client().delete(one, **headers).status_code == 202
    drain()
    assert state_of(volume) == ("available", 3, False)


@pytest.mark.parametrize("rung", ["stopped", "recycled"])
def test_who_does_not_pay_keeps_nothing_busy_with_them(world: World, running: Instance, rung: str) -> None:
    alice, now = world.people["alice"], database_now()
    inside, free = add(world, instance=running), add(world, name="free")
    Dunning.objects.create(organization=world.project.organization, rung=rung, cause="overdue", began_at=now, since=now)
    for verb in (lambda: verbs.attach(free, running, actor=alice), lambda: verbs.detach(inside, actor=alice)):
        with pytest.raises(Unpaid):
            verb()
    do(running, "stop")
    assert done(verbs.detach(inside, actor=alice)).state == "succeeded", "to be deleted, which costs nothing any more"
    assert done(verbs.delete_volume(inside, actor=alice)).state == "succeeded"


def test_by_pages(world: World, running: Instance, browser) -> None:
    alice = browser("alice")
    Quota.objects.create(project=world.project, region=world.region, dimension="volume_gib", limit=100)
    shown = alice.get(f"/instances/{running.pk}/").content.decode()
    assert f"/volumes/create/?instance={running.pk}" in shown and f"/instances/{running.pk}/attach-volume/" in shown
    assert "No volume that nobody uses" in alice.get(f"/instances/{running.pk}/attach-volume/").content.decode()
    page = f"/volumes/create/?instance={running.pk}"
    text = alice.get(page).content.decode()
    assert "21 / 100 GiB" in text and "on the host of web" in text and "14.6" in text
    assert "41 / 100 GiB" in alice.get(f"{page}&size_gib=40").content.decode()
    assert alice.get("/volumes/create/?size_gib=nonsense").status_code == 200
    new = {"project": world.project.pk, "region": world.region.pk, "name": "data", "size_gib": "3"}
    assert alice.post(page, new | {"size_gib": "1000"}).status_code == 409
    answer = alice.post(page, new)
    drain()
    volume = Volume.objects.get(name="data")
    one = f"/volumes/{volume.pk}/"
    assert (answer.status_code, answer["Location"]) == (302, one)
    text = alice.get(one).content.decode()
    assert f"{one}detach/" in text and "An instance has it: detach it first." in text
    gone = alice.get(f"/instances/{running.pk}/").content.decode()
    assert "The volume data is detached. It stays" in gone and "/purge/?volumes=true" in gone
    assert alice.get(f"{one}grow/").status_code == 200 and alice.post(f"{one}grow/", {"size_gib": "2"}).status_code == 400
    assert alice.post(f"{one}grow/", {"size_gib": "4"}).status_code == 302
    drain()
    assert alice.post(f"{one}detach/").status_code == 200, "asks first"
    assert alice.post(f"{one}detach/", {"confirmed": "1"}).status_code == 302
    drain()
    assert state_of(volume) == ("available", 4, False)
    assert running.name in alice.get(f"{one}attach/").content.decode()
    assert "data – 4 GiB" in alice.get(f"/instances/{running.pk}/attach-volume/").content.decode()
    assert alice.post(f"/instances/{running.pk}/attach-volume/", {"volume": volume.pk}).status_code == 302
    drain()
    assert "It is what its instance starts from." in alice.get(
        f"/volumes/{Volume.objects.get(attachment__is_boot=True).pk}/").content.decode()
    done(verbs.detach(volume, actor=None))
    assert alice.post(f"{one}attach/", {"instance": running.pk}).status_code == 302
    drain()
    assert "with all data on them" in alice.post(f"/instances/{running.pk}/purge/").content.decode()
    alice.post(f"/instances/{running.pk}/purge/?volumes=true", {"confirmed": "1", "typed_name": "web"})
    drain()
    assert state_of(volume)[0] == "deleted"
    assert "/volumes/create/" in alice.get("/volumes/").content.decode()
