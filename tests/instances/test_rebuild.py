"""Rebuild: the root volume written anew; what stays, what is lost, and where a failure leaves it."""
import pytest

from billing.models import UsageInterval
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.instances.headroom import Headroom
from compute.instances.models import Instance, SshKey
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.instances.steps import guest_id
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import engine, request_cancel
from storage import operations as storage
from storage.connections import volume_pool
from storage.models import GIB, Image, Volume
from tests.instances.doing import do, power
from tests.world import World, drain


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(user_data="#!/bin/sh\necho old"), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


@pytest.fixture
def other(world: World) -> Image:
    return Image.objects.create(project=world.project, region=world.region, name="other", state="active", visibility="public",
                                virtual_size=GIB // 4, min_disk_gib=1, files=world.image.files)


@pytest.fixture
def key(world: World) -> SshKey:
    return SshKey.objects.create(project=world.project, region=world.region, name="k", public_key="ssh-ed25519 AAAA k",
                                 fingerprint="f")


def backing(world: World) -> str:
    with volume_pool(world.pool) as pool:
        return pool.volume(f"volume-{Volume.objects.get().pk}.qcow2").backing


def test_the_disk_is_written_anew_and_all_else_stays(world: World, made: Instance, other: Image, key: SshKey) -> None:
    volume, generation, first = Volume.objects.get(), made.generation, guest_id(made)
    usage = UsageInterval.objects.get(resource=volume)
    Instance.objects.update(max_vcpus=0)
    do(made, "rebuild", image=other, ssh_keys=[key], user_data="#!/bin/sh\necho new")
    again = Volume.objects.get()
    assert made.max_vcpus == Headroom.of(made).vcpus  # of the domain that it has now
    assert (made.state, made.image, made.generation, power(world, made)) == ("running", other, generation + 1, Power.RUNNING)
    assert (again.pk, again.size_gib, again.image) == (volume.pk, volume.size_gib, other)
    assert backing(world) == f"image-{other.pk}-disk"
    assert (made.public_keys, made.user_data, made.next_user_data) == ([key.public_key], "#!/bin/sh\necho new", "")
    assert UsageInterval.objects.get(resource=volume) == usage  # one interval, still open
    told = AuditEvent.objects.get(action="instance.rebuild")
    assert (told.before["image"], told.after["image"]) == ("demo", "other") and "echo" not in str((told.before, told.after))
    second = guest_id(made)
    do(made, "rebuild", image=other)  # what is not said is kept
    assert (made.public_keys, made.user_data) == ([key.public_key], "#!/bin/sh\necho new")
    assert len({first, second, guest_id(made)}) == 3, "cloud-init would take it for the old guest"
    assert "echo" not in str(list(Operation.objects.values_list("arguments", "facts", "result")))


@pytest.mark.parametrize(("call", "loses"), [("ensure_volume_absent", True), ("ensure_volume", True), ("ensure_started", True),
                                             ("ensure_stopped", False)])
def test_a_failure_halfway_leaves_it_in_error_and_rebuildable(
        world: World, made: Instance, other: Image, call: str, loses: bool) -> None:
    claims = set(Claim.objects.values_list("consumer", "resource_class"))
    SimulatedHost(world.host.endpoint.uri).fail(call, kind="error")
    do(made, "rebuild", image=other, user_data="#!/bin/sh\necho new")
    assert made.fault["code"] == "host_fault" and made.next_user_data == ""
    if not loses:
        assert (made.state, made.image, made.user_data, power(world, made)) == (
            "running", world.image, "#!/bin/sh\necho old", Power.RUNNING)
        return
    assert (made.state, power(world, made), made.host) == ("error", Power.OFF, world.host)
    assert not UsageInterval.objects.filter(resource=made, period__endswith=None).exists()
    reconcile_host(world.host.pk)
    assert set(Claim.objects.values_list("consumer", "resource_class")) == claims and power(world, made) == Power.OFF
    do(made, "rebuild", image=world.image)
    assert (made.state, made.image, made.fault, power(world, made)) == ("running", world.image, None, Power.RUNNING)


def test_cancelled_before_anything_is_lost_it_goes_on(world: World, made: Instance, other: Image) -> None:
    operation = act(made, "rebuild", actor=None, image=other)
    request_cancel(operation)
    drain()
    made.refresh_from_db()
    assert (made.state, made.image, power(world, made)) == ("running", world.image, Power.RUNNING)


def test_once_its_disk_is_erased_nobody_cancels_it(world: World, made: Instance, other: Image) -> None:
    host = SimulatedHost(world.host.endpoint.uri)
    host.fail("ensure_volume", kind="lost")
    operation = act(made, "rebuild", actor=None, image=other)
    for _turn in range(9):
        engine.advance()
        operation.refresh_from_db()
        if "erase" in operation.plan[:operation.step]:
            break
        Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
    with pytest.raises(StateConflict):
        request_cancel(operation)
    Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
    drain()
    made.refresh_from_db()
    assert (made.state, made.image) == ("running", other)


def test_what_cannot_work_is_refused_and_changes_nothing(world: World, made: Instance, other: Image, browser) -> None:
    before = (made.state_changed_at, Operation.objects.count())
    stranger = SshKey.objects.create(project=world.rival_project, region=world.region, name="s", public_key="x", fingerprint="f")
    large = Image.objects.create(project=world.project, region=world.region, name="large", state="active", visibility="public",
                                 min_disk_gib=9, files=world.image.files)
    storage.retire_image(other, actor=world.people["root"])
    other.refresh_from_db()
    for field, wishes in (("image", {"image": large}), ("image", {"image": other}),
                          ("ssh_keys", {"image": world.image, "ssh_keys": [stranger]}),
                          ("user_data", {"image": world.image, "user_data": "echo"})):
        with pytest.raises(InvalidInput) as refusal:
            act(made, "rebuild", actor=None, **wishes)
        assert list(refusal.value.errors) == [field]
    path = f"/api/v1/instances/{made.pk}/actions/rebuild/"
    answer = browser("alice").post(path, {"image": str(large.pk)}, content_type="application/json")
    assert (answer.status_code, "9 GiB" in answer.content.decode()) == (400, True)
    assert browser("oscar").post(path, {}, content_type="application/json").status_code == 403
    made.refresh_from_db()
    assert (made.state_changed_at, Operation.objects.count()) == before


def test_its_own_image_does_even_when_it_was_retired(world: World, made: Instance, browser) -> None:
    storage.retire_image(world.image, actor=world.people["root"])
    answer = browser("alice").post(f"/api/v1/instances/{made.pk}/actions/rebuild/", {}, content_type="application/json")
    assert answer.status_code == 202
    drain()
    assert Instance.objects.get().state == "running"


def test_a_create_that_failed_has_nothing_to_rebuild(world: World, browser) -> None:
    SimulatedHost(world.host.endpoint.uri).fail("ensure_started", kind="error")
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    failed = Instance.objects.get()
    with pytest.raises(StateConflict):
        act(failed, "rebuild", actor=None, image=world.image)
    assert "never made" in browser("alice").get(f"/instances/{failed.pk}/menu/").content.decode()


def test_the_page_wants_the_name(world: World, made: Instance, other: Image, browser) -> None:
    client, page = browser("alice"), f"/instances/{made.pk}/rebuild/"
    assert client.get(page).status_code == 200
    refused = client.post(page, {"image": str(other.pk), "typed_name": "wep"})
    assert refused.status_code == 400 and "not the name" in refused.content.decode()
    assert Instance.objects.get().state == "running"
    assert client.post(page, {"image": str(other.pk), "typed_name": "web"}).status_code == 302
    drain()
    made.refresh_from_db()
    assert (made.state, made.image, made.user_data) == ("running", other, "#!/bin/sh\necho old")
