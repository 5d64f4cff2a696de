"""What copies the disk of an instance that is off: an image of it, and another instance like it."""
import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection

from billing.models import Price, UsageInterval
from billing.prices import NoPrice
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim, Host
from compute.instances.copying import coming
from compute.instances.errors import NoRoomForCopy, NoRoomForImage, NotOffered
from compute.instances.models import Instance, InstanceType
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.instances.steps import guest_id
from compute.instances.unused_images import unused
from compute.network.models import Port
from portal.kernel.errors import Busy, Cancelled, HostFault, InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.operations import LeaseLost, Run, engine, request_cancel
from portal.kernel.states import database_now
from storage import copying
from storage.connections import volume_pool
from storage.models import GIB, Image, ImageCopy, Volume
from storage.operations import delete_image, retire_image
from tenants.models import Quota
from tenants.quotas import taken
from tests.instances.doing import do, power
from tests.network.conftest import racing_world  # noqa: F401  (a fixture)
from tests.network.networked import Networked
from tests.world import World, drain


@pytest.fixture
def off(world: World) -> Instance:
    create_instance(world.order(user_data="#!/bin/sh\necho hush", root_disk_gib=2, tags={"env": "test"},
                                public_keys=()), actor=world.people["alice"])
    drain()
    return do(Instance.objects.get(), "stop")


def in_store(world: World) -> set[str]:
    """What lies in the image store beside the image that it starts with."""
    return {file.name for file in copying.store().iterdir()} - {world.image.files["disk"]["file"]}


def on_pool(world: World) -> set[str]:
    with volume_pool(world.pool) as pool:
        return {file.name for file in pool.volumes()}


def limit(world: World, dimension: str, most: int) -> None:
    Quota.objects.create(project=world.project, region=world.region, dimension=dimension, limit=most)


def nothing_is_left(world: World, off: Instance, files: set[str]) -> None:
    off.refresh_from_db()
    assert (off.state, in_store(world), on_pool(world)) == ("stopped", set(), files)
    assert not Image.objects.live().exclude(pk=world.image.pk).exists()
    assert not ImageCopy.objects.exclude(image=world.image).exists() and not Hold.objects.exists()
    assert not UsageInterval.objects.filter(meter="image").exists()


# -- an image of it --

def test_it_becomes_a_private_image_that_others_start_from(world: World, off: Instance) -> None:
    operation = act(off, "capture", actor=world.people["alice"], name="ready", description="to sell")
    off.refresh_from_db()
    image = Image.objects.get(name="ready")
    assert (off.state, image.state, image.visibility, image.store_gib) == ("copying", "importing", "private", 3)
    assert coming(world.project.organization)[0][2][0].quantity == Decimal(3)
    drain()
    operation.refresh_from_db()
    off.refresh_from_db()
    image.refresh_from_db()
    assert (operation.state, operation.result, off.state) == ("succeeded", {"images": [str(image.pk)]}, "stopped")
    assert (image.state, image.min_disk_gib, image.virtual_size, image.store_gib) == ("active", 2, 2 * GIB, 1)
    assert (image.of_instance, image.of_image) == (off.pk, world.image)
    disk = image.files["disk"]
    content = (copying.store() / disk["file"]).read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (disk["sha256"], disk["size"])
    assert in_store(world) == {disk["file"]} and ImageCopy.objects.get(image=image).is_complete
    usage = UsageInterval.objects.get(resource=image, period__endswith=None)
    assert (usage.meter, usage.sku, usage.quantity) == ("image", "standard", round(Decimal(disk["size"]) / GIB, 6))
    assert "hush" not in str(list(Operation.objects.values_list("arguments", "facts", "result")))
    assert AuditEvent.objects.get(action="image.create").after["name"] == "ready"
    create_instance(world.order(image=image, name="second", root_disk_gib=2), actor=world.people["alice"])
    drain()
    assert Instance.objects.get(name="second").state == "running"
    assert f"volume-{Volume.objects.get(image=image).pk}.qcow2" in on_pool(world)
    with pytest.raises(InvalidInput):
        create_instance(world.order(image=image, root_disk_gib=1), actor=world.people["alice"])


def test_its_kernel_comes_with_it(world: World, off: Instance) -> None:
    Image.objects.filter(pk=world.image.pk).update(
        files=world.image.files | {"kernel": world.image.files["disk"]}, kernel_cmdline="quiet")
    act(off, "capture", actor=None, name="ready")
    drain()
    image = Image.objects.get(name="ready")
    assert (set(image.files), image.kernel_cmdline) == ({"disk", "kernel"}, "quiet")
    assert set(ImageCopy.objects.get(image=image).locators) == {"disk", "kernel"}
    assert image.files["disk"]["file"] != image.files["kernel"]["file"]


@pytest.mark.parametrize("call", ["copy_volume", "ensure_downloaded"])
def test_what_fails_leaves_nothing(world: World, off: Instance, call: str) -> None:
    files = on_pool(world)
    SimulatedHost(world.host.endpoint.uri).fail(call, kind="error")
    do(off, "capture", name="ready")
    assert off.fault["code"] == "host_fault"
    nothing_is_left(world, off, files)


def test_cancelled_at_any_turn_it_leaves_nothing(world: World, off: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PORTION", 50_000)
    files, ends = on_pool(world), set()
    for turns in range(6):
        operation = act(off, "capture", actor=None, name="ready")
        for _turn in range(turns):
            engine.advance()
            Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
        operation.refresh_from_db()
        if operation.state == "succeeded":
            break
        request_cancel(operation)
        drain()
        operation.refresh_from_db()
        ends.add(operation.state)
        nothing_is_left(world, off, files)
    assert turns > 2 and ends == {"cancelled"}


def test_who_waits_for_a_long_copy_hears_of_a_cancel_and_of_a_lost_lease(world: World, off: Instance) -> None:
    operation = act(off, "capture", actor=None, name="ready")
    claimed = engine.claim(operation.pk)
    still = copying.still_wanted(Run(claimed))
    still()
    request_cancel(operation)
    with pytest.raises(Cancelled):
        still()
    Operation.objects.filter(pk=operation.pk).update(token=99)
    with pytest.raises(LeaseLost):
        still()


def test_a_disk_that_stands_on_another_file_becomes_no_image(world: World, off: Instance, tmp_path: Path) -> None:
    header = b"QFI\xfb" + (3).to_bytes(4) + (104).to_bytes(8) + bytes(8) + (2 * GIB).to_bytes(8)
    for content in (header, b"anything else".ljust(64), b""):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(HostFault):
            copying._require_flat(tmp_path / "file", 2 * GIB)


def test_meanwhile_nothing_else_is_done_to_it_and_what_runs_is_stopped_first(world: World, off: Instance, browser) -> None:
    client, path = browser("alice"), f"/api/v1/instances/{off.pk}/actions/capture/"
    do(off, "start")
    answer = client.post(path, {"name": "ready"}, content_type="application/json")
    assert (answer.status_code, "stop" in answer.json()["verbs"].split(",")) == (409, True)
    do(off, "stop")
    assert client.post(path, {"name": "ready"}, content_type="application/json").status_code == 202
    for verb in ("start", "delete", "purge", "capture"):
        with pytest.raises((StateConflict, Busy)):
            act(off, verb, actor=None, **({"name": "x"} if verb == "capture" else {}))
    assert client.delete(f"/api/v1/images/{Image.objects.get(name='ready').pk}/").status_code == 409
    assert browser("oscar").post(path, {"name": "x"}, content_type="application/json").status_code == 403
    assert client.post(path, {}, content_type="application/json").status_code == 400


@pytest.mark.parametrize(("dimension", "most"), [("images", 1), ("image_gib", 2)])
def test_it_takes_quota_for_what_the_disk_could_hold(world: World, off: Instance, dimension: str, most: int) -> None:
    limit(world, dimension, most)
    with pytest.raises(QuotaExceeded) as refusal:
        act(off, "capture", actor=None, name="ready")
    assert refusal.value.facts["resource"] == dimension
    Quota.objects.update(limit=most + 1)
    act(off, "capture", actor=None, name="ready")
    drain()
    with pytest.raises(QuotaExceeded):
        act(off, "capture", actor=None, name="another")


def test_what_has_no_price_is_not_made(world: World, off: Instance) -> None:
    Price.objects.filter(meter="image").delete()
    with pytest.raises(NoPrice):
        act(off, "capture", actor=None, name="ready")
    assert not Image.objects.filter(name="ready").exists()


def test_an_own_image_is_deleted_and_a_public_one_is_not(world: World, off: Instance, browser) -> None:
    do(off, "capture", name="ready")
    image, alice = Image.objects.get(name="ready"), browser("alice")
    shown = alice.get(f"/images/{image.pk}/").content.decode()
    assert f"/instances/{off.pk}/" in shown and f"/images/{image.pk}/delete/" in shown
    assert browser("oscar").delete(f"/api/v1/images/{image.pk}/").status_code == 403
    assert browser("mallory").delete(f"/api/v1/images/{image.pk}/").status_code == 404
    assert alice.delete(f"/api/v1/images/{world.image.pk}/").status_code == 409
    assert alice.post(f"/images/{image.pk}/delete/").status_code == 200  # asks
    assert alice.post(f"/images/{image.pk}/delete/", {"confirmed": "1"}).status_code == 302
    image.refresh_from_db()
    assert image.state == "deleted" and not UsageInterval.objects.filter(resource=image, period__endswith=None).exists()
    assert not Image.objects.live().filter(pk=image.pk).exists()


def test_the_page_says_what_it_takes(world: World, off: Instance, browser) -> None:
    client, page = browser("alice"), f"/instances/{off.pk}/capture/"
    limit(world, "image_gib", 10)
    text = client.get(page).content.decode()
    assert "3 / 10 GiB" in text and 'value="web-image"' in text
    assert client.post(page, {"name": ""}).status_code == 400
    assert "Create image of “web”" in text
    answer = client.post(page, {"name": "ready"})
    assert answer["Location"] == f"/images/{Image.objects.get(name='ready').pk}/", "to what is being made"
    assert "Copying" in client.get(f"/instances/{off.pk}/").content.decode()
    drain()
    assert "ready" in client.get("/images/").content.decode()


@pytest.mark.parametrize(("on_host", "in_store"), [(1, 100), (100, 1)])
def test_what_is_not_free_in_fact_is_not_promised(world: World, off: Instance, monkeypatch: pytest.MonkeyPatch, on_host: int,
                                                  in_store: int) -> None:
    monkeypatch.setattr(copying, "free_gib", lambda: in_store)
    Host.objects.update(disk_free_gib=on_host)
    with pytest.raises(NoRoomForImage):
        act(off, "capture", actor=None, name="ready")
    assert not Image.objects.filter(name="ready").exists()
    monkeypatch.setattr(copying, "free_gib", lambda: 2)
    Host.objects.update(disk_free_gib=2)
    act(off, "capture", actor=None, name="ready")


def test_what_is_reserved_is_never_less_than_what_its_files_can_take() -> None:
    kernel = {"kernel": {"size": 60 * 1024**2}}
    assert [copying.most_gib(size, {}) for size in (1, 2, 1000, 16384)] == [2, 3, 1001, 16389]
    full = Image(files=kernel | {"disk": {"size": 2 * GIB + 2 * GIB // 8192 + 2 * GIB // 32768 + 1024**2}})
    assert copying.arrived(full)["store_gib"] <= copying.most_gib(2, kernel)


@pytest.mark.parametrize("others", [("organization {organization}", 1), ("region {region}", 2)])
def test_who_has_no_turn_at_copying_waits_and_others_work(world: World, off: Instance, others: tuple[str, int]) -> None:
    whose = others[0].format(organization=world.project.organization_id, region=world.region.pk)
    keys = [copying._key(f"copy {place} {whose}") for place in range(others[1])]
    files, operation = on_pool(world), act(off, "capture", actor=None, name="ready")
    with connection.Database.connect(**connection.get_connection_params()) as elsewhere:
        elsewhere.autocommit = True
        for key in keys:
            assert elsewhere.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() == (True,)
        engine.advance(operation.pk)
        operation.refresh_from_db()
        assert (operation.state, operation.step_name, operation.attempts) == ("running", "copy", 0) and on_pool(world) == files
        elsewhere.execute("SELECT pg_advisory_unlock(%s)", [keys[-1]])
        Operation.objects.update(run_after="2020-01-01T00:00:00Z")
        engine.advance(operation.pk)
        operation.refresh_from_db()
        assert operation.step > 0
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchone() == (0,)


# -- another one like it --

def test_a_clone_is_like_it_and_is_somebody_else(world: World, off: Instance) -> None:
    operation = act(off, "clone", actor=world.people["alice"])
    assert Instance.objects.get(pk=off.pk).state == "copying"
    drain()
    operation.refresh_from_db()
    off.refresh_from_db()
    clone = Instance.objects.get(name="web-clone")
    assert (operation.state, operation.result, off.state) == ("succeeded", {"instances": [str(clone.pk)]}, "stopped")
    assert (clone.state, clone.host, power(world, clone), power(world, off)) == (
        "running", world.host, Power.RUNNING, Power.OFF)
    same = ("type", "image", "tags", "public_keys", "user_data", "vcpus", "memory_mib", "project")
    assert all(getattr(clone, name) == getattr(off, name) for name in same)
    assert guest_id(clone) != guest_id(off) and clone.vnc_password != off.vnc_password
    volume = Volume.objects.get(attachment__domain=clone.pk)
    assert (volume.state, volume.size_gib, volume.image) == ("in_use", 2, None)
    with volume_pool(world.pool) as pool:
        assert pool.volume(f"volume-{volume.pk}.qcow2").backing is None
    assert set(UsageInterval.objects.filter(period__endswith=None).values_list("resource", "meter")) >= {
        (clone.pk, "instance.running"), (volume.pk, "volume"), (off.pk, "instance.stopped")}
    assert Claim.objects.filter(consumer=clone).count() == 2
    assert AuditEvent.objects.get(action="instance.create", resource=clone).after["clone of"] == "web"
    do(off, "purge")
    assert power(world, clone) is Power.RUNNING and do(clone, "reboot", force=True).state == "running"


@pytest.mark.parametrize("call", ["copy_volume", "ensure_uploaded", "ensure_defined", "ensure_started"])
def test_a_clone_that_fails_leaves_nothing_but_a_row_that_says_why(world: World, off: Instance, call: str) -> None:
    files, claims = on_pool(world), Claim.objects.count()
    SimulatedHost(world.host.endpoint.uri).fail(call, kind="error")
    do(off, "clone")
    clone = Instance.objects.get(name="web-clone")
    assert (off.state, clone.state, clone.fault["code"], clone.host) == ("stopped", "error", "host_fault", None)
    assert (on_pool(world), Claim.objects.count()) == (files, claims) and not Hold.objects.exists()
    assert Volume.objects.live().count() == 1
    assert do(off, "start").state == "running"


def test_a_clone_is_asked_for_as_a_new_one_is(world: World, off: Instance, browser) -> None:
    client, path = browser("alice"), f"/api/v1/instances/{off.pk}/actions/clone/"
    limit(world, "instances", 1)
    assert client.post(path, {}, content_type="application/json").json()["resource"] == "instances"
    Quota.objects.all().delete()
    Host.objects.update(disk_free_gib=0)
    with pytest.raises(NoRoomForCopy):
        act(off, "clone", actor=None)
    Host.objects.update(disk_free_gib=None)
    InstanceType.objects.update(is_offered=False)
    with pytest.raises(NotOffered):
        act(off, "clone", actor=None)
    InstanceType.objects.update(is_offered=True)
    assert Instance.objects.count() == 1 and Claim.objects.count() == 2
    assert browser("oscar").post(path, {}, content_type="application/json").status_code == 403
    assert browser("mallory").post(path, {}, content_type="application/json").status_code == 404
    retire_image(world.image, actor=world.people["root"])  # what it was made of is kept by those who have it
    page = f"/instances/{off.pk}/clone/"
    text = client.get(page).content.decode()
    assert 'value="web-clone"' in text and "Price while it runs" in text and "no public address" in text
    answer = client.post(page, {"name": "twin"})
    assert answer["Location"] == f"/instances/{Instance.objects.get(name='twin').pk}/", "to what is being made"
    drain()
    assert Instance.objects.get(name="twin").state == "running"


def test_its_ports_are_its_own(racing_world: Networked) -> None:  # noqa: F811
    net, alice = racing_world, racing_world.world.people["alice"]
    create_instance(net.world.order(), actor=alice)
    drain()
    off = do(Instance.objects.get(), "stop")
    do(off, "clone", name="twin")
    first, second = (Port.objects.live().get(domain=Instance.objects.get(name=name).pk) for name in ("web", "twin"))
    assert first.subnet == second.subnet and set(first.groups.all()) == set(second.groups.all()) != set()
    assert (first.ip, first.mac) != (second.ip, second.mac) and second.hostname == "twin" and second.goes_with_instance
    do(Instance.objects.get(name="twin"), "purge")
    assert [port.domain for port in Port.objects.live()] == [off.pk]


# -- what is left of deleted ones --

def deleted_long_ago(image: Image) -> None:
    delete_image(Image.objects.get(pk=image.pk), actor=None)
    Image.objects.filter(pk=image.pk).update(deleted_at="2020-01-01T00:00:00Z")


def test_a_deleted_image_of_an_instance_counts_until_nothing_has_it_and_its_files_are_gone(world: World, off: Instance) -> None:
    do(off, "capture", name="ready")
    image = Image.objects.get(name="ready")
    create_instance(world.order(image=image, name="second", root_disk_gib=2), actor=world.people["alice"])
    drain()
    second, files = Instance.objects.get(name="second", state="running"), on_pool(world)
    deleted_long_ago(image)

    def counted() -> int:
        return taken([world.project.pk], world.region, ["image_gib"])["image_gib", world.project.pk]

    for still in (second.pk, None):
        reconcile_host(world.host.pk)
        assert in_store(world) == {image.files["disk"]["file"]} and on_pool(world) == files
        assert ImageCopy.objects.filter(image=image).exists() and counted() == 1
        if still is not None:
            do(second, "delete")  # into the recycle bin, where it may come back from
    do(Instance.objects.get(pk=second.pk), "purge")
    Host.objects.update(reconcile_until=None)
    reconcile_host(world.host.pk)
    assert in_store(world) == set() and not [file for file in on_pool(world) if str(image.pk) in file]
    assert (copying.store() / world.image.files["disk"]["file"]).exists()
    assert not ImageCopy.objects.filter(image=image).exists() and ImageCopy.objects.filter(image=world.image).exists()
    assert counted() == 0


@pytest.mark.parametrize("change", [{"visibility": "public"}, {"of_instance": None}, {"deleted_at": None}])
def test_what_is_no_tenants_deleted_image_of_an_instance_is_not_swept(world: World, off: Instance, change: dict) -> None:
    do(off, "capture", name="ready")
    image, files = Image.objects.get(name="ready"), on_pool(world)
    deleted_long_ago(image)
    Image.objects.filter(pk=image.pk).update(**(change if "deleted_at" not in change else {"deleted_at": database_now()}))
    reconcile_host(world.host.pk)
    assert on_pool(world) == files and in_store(world) == {image.files["disk"]["file"]}
    assert ImageCopy.objects.filter(image=image).exists()


def test_an_unused_image_that_an_operation_or_a_base_keeps_stays_and_the_pass_goes_on(world: World, off: Instance) -> None:
    kernel = world.image.files["disk"]
    Image.objects.filter(pk=world.image.pk).update(files=world.image.files | {"kernel": kernel}, kernel_cmdline="quiet")
    do(off, "capture", name="ready")
    image = Image.objects.get(name="ready")
    deleted_long_ago(image)
    operation = act(off, "rebuild", actor=None, image=world.image)
    Operation.objects.filter(pk=operation.pk).update(arguments={**operation.arguments, "image": str(image.pk)})
    assert not unused(database_now()).exists()
    Operation.objects.filter(pk=operation.pk).update(arguments=operation.arguments)
    with volume_pool(world.pool) as pool:
        pool.ensure_volume("stray", size=2 * GIB, backing=f"image-{image.pk}-disk")
    assert reconcile_host(world.host.pk)
    assert f"image-{image.pk}-disk" in on_pool(world) and in_store(world) != set()
    with volume_pool(world.pool) as pool:
        pool.ensure_volume_absent("stray")
    reconcile_host(world.host.pk)
    assert not [file for file in on_pool(world) if str(image.pk) in file] and in_store(world) == set()
    assert (copying.store() / kernel["file"]).exists()
