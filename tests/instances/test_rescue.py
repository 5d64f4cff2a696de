"""Rescue: booted from another image beside the own disk, and back; what is billed, what is left, and what fails on the way."""
from typing import Any

import pytest

from billing.models import UsageInterval
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.drivers.simulated.hypervisor import SimulatedHypervisor
from compute.hosts.drivers.simulated.store import open_store
from compute.hosts.models import Host
from compute.instances import rescuing, suspension
from compute.instances.design import design_domain
from compute.instances.headroom import Headroom
from compute.instances.models import Instance
from compute.instances.offers import images_of
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.instances.steps import guest_id
from portal.kernel.errors import InvalidInput, NoCapacity
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import engine, request_cancel
from storage import operations as storage
from storage.connections import volume_pool
from storage.models import Image
from tenants.models import Organization
from tests.instances.doing import do, power
from tests.world import World, drain


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


@pytest.fixture
def helper(world: World) -> Image:
    """Another image, which operators offer for rescue."""
    image = Image.objects.create(project=world.project, region=world.region, name="helper", state="active", visibility="public",
                                 virtual_size=world.image.virtual_size, min_disk_gib=2, files=world.image.files)
    storage.set_image_for_rescue(image, True, actor=world.people["root"])
    return image


def opened(world: World, instance: Instance) -> dict[str, Any]:
    return open_store(world.host.endpoint.uri).read()["domains"][str(instance.pk)]["running"]["opens"]


def rescue_files(world: World) -> set[str]:
    with volume_pool(world.pool) as pool:
        return {file.name.rpartition(".")[2] for file in pool.volumes() if file.name.startswith("rescue-")}


def metered(instance: Instance) -> str:
    return UsageInterval.objects.get(resource=instance, period__endswith=None).meter


@pytest.mark.parametrize("begins", ["running", "stopped"])
def test_there_and_back_again(world: World, made: Instance, helper: Image, begins: str) -> None:
    if begins == "stopped":
        do(made, "stop")
    own, generation = made.pk.hex, made.generation
    assert rescuing.default_image(world.people["alice"], made) == helper
    do(made, "rescue", image=helper)
    assert (made.state, made.observed_state, made.rescue_image, made.generation) == ("rescued", "running", helper, generation + 1)
    assert (power(world, made), metered(made), rescue_files(world)) == (Power.RUNNING, "instance.running", {"qcow2", "iso"})
    files = {path.rpartition("/")[2].partition("-")[0] for path, mode in opened(world, made).items() if mode == "w"}
    assert files == {"rescue", "volume"}
    assert guest_id(made) == f"{made.pk}-rescue"
    told = AuditEvent.objects.get(action="instance.rescue")
    assert (told.before["image"], told.after["image"]) == ("demo", "helper")
    Instance.objects.update(max_vcpus=0)
    do(made, "unrescue")
    assert made.max_vcpus == Headroom.of(made).vcpus  # of the domain that it has now
    assert (made.state, made.rescue_image, made.generation, made.pk.hex) == ("running", None, generation + 2, own)
    assert (power(world, made), metered(made), rescue_files(world)) == (Power.RUNNING, "instance.running", set())
    assert not any("rescue" in path for path in opened(world, made)) and guest_id(made) == str(made.pk)


def test_the_rescue_disk_comes_first_and_every_other_a_place_further_down(world: World, made: Instance, helper: Image) -> None:
    do(made, "rescue", image=helper)
    instance = Instance.objects.select_related("host__endpoint").get()
    disks = design_domain(instance, seed="/pool/s.iso", listen="127.0.0.1", rescue="/pool/r.qcow2").disks
    assert [(disk.file.rpartition("/")[2].partition("-")[0], disk.target) for disk in disks] == [
        ("r.qcow2", "vda"), ("volume", "vdb"), ("s.iso", "vdz")]
    assert f"image-{helper.pk}-disk" in disks[0].backing.file and f"image-{world.image.pk}-disk" in disks[1].backing.file


def test_what_fails_leaves_it_as_it_was(world: World, made: Instance, helper: Image) -> None:
    """The rescue disk cannot be made; then it does not boot, and runs from its own disk again."""
    host = SimulatedHost(world.host.endpoint.uri)
    for call, times in (("ensure_volume", 1), ("ensure_started", 1)):
        host.fail(call, kind="error", times=times)
        do(made, "rescue", image=helper)
        assert (made.state, made.rescue_image, made.fault["code"]) == ("running", None, "host_fault")
        assert (power(world, made), rescue_files(world), metered(made)) == (Power.RUNNING, set(), "instance.running")
        assert not any("rescue" in path for path in opened(world, made))
    assert do(made, "rescue", image=helper).fault is None


def test_cancelled_while_the_guest_shuts_down_it_runs_on(world: World, made: Instance, helper: Image) -> None:
    operation = act(made, "rescue", actor=None, image=helper)
    for _turn in range(9):
        engine.advance()
        Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
        if power(world, made) is Power.OFF:  # it obeyed at once, which the portal has not seen yet
            break
    request_cancel(operation)
    drain()
    operation.refresh_from_db()
    made.refresh_from_db()
    assert (operation.state, operation.plan[0], made.state, made.rescue_image) == ("cancelled", "connect", "running", None)
    assert (power(world, made), rescue_files(world)) == (Power.RUNNING, set())


def test_a_guest_that_hears_nothing_is_not_waited_for_when_that_is_asked(
        world: World, made: Instance, helper: Image, browser, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(SimulatedHypervisor, "request_shutdown", lambda _host, uuid, _generation: asked.append(uuid))
    path, client = f"/instances/{made.pk}/rescue/", browser("alice")
    assert 'name="force"' in client.get(path).content.decode()
    for begin in (
            lambda: client.post(f"/api/v1/instances/{made.pk}/actions/rescue/", {"image": str(helper.pk), "force": True},
                                content_type="application/json"),
            lambda: client.post(path, {"image": str(helper.pk), "force": "on"})):
        assert begin().status_code in (202, 302)
        drain()
        made.refresh_from_db()
        assert (made.state, asked) == ("rescued", [])
        assert AuditEvent.objects.filter(action="instance.rescue").latest("at").after["force"] is True
        do(made, "unrescue", force=True)


def test_what_others_keep_for_themselves_starts_nothing_of_ours(world: World, made: Instance, helper: Image) -> None:
    """Not even for somebody who may see it there: a viewer of theirs would have a disk of it here."""
    Image.objects.filter(pk=helper.pk).update(visibility="private", project=world.rival_project)
    theirs = Image.objects.get(pk=helper.pk)
    assert rescuing.default_image(world.people["root"], made) == world.image
    assert theirs not in images_of(world.people["root"], made.project, made.region)
    for verb in ("rescue", "rebuild"):
        with pytest.raises(InvalidInput) as refused:
            act(made, verb, actor=world.people["root"], image=theirs)
        assert list(refused.value.errors) == ["image"]
    with pytest.raises(InvalidInput) as refused:
        create_instance(world.order(image=theirs), actor=world.people["root"])
    assert list(refused.value.errors) == ["image"]
    Image.objects.filter(pk=theirs.pk).update(project=world.project)
    assert theirs in images_of(world.people["root"], made.project, made.region)
    do(made, "rescue", image=Image.objects.get(pk=theirs.pk))
    assert made.state == "rescued"


def test_what_cannot_work_is_refused_and_changes_nothing(world: World, made: Instance, helper: Image, browser) -> None:
    before = (made.state_changed_at, Operation.objects.count())
    queued = Image.objects.create(project=world.project, region=world.region, name="queued", files={})
    for image in (None, queued):
        with pytest.raises(InvalidInput) as refusal:
            act(made, "rescue", actor=None, image=image)
        assert "image" in refusal.value.errors
    Host.objects.update(disk_free_gib=0)
    with pytest.raises(NoCapacity):
        act(made, "rescue", actor=None, image=helper)
    private = Image.objects.create(project=world.rival_project, region=world.region, name="theirs", state="active",
                                   files=world.image.files)
    client, path = browser("oscar"), f"/api/v1/instances/{made.pk}/actions/rescue/"
    assert client.post(path, {"image": str(private.pk)}, content_type="application/json").status_code == 404
    assert browser("vera").post(path, {}, content_type="application/json").status_code == 403
    made.refresh_from_db()
    assert (made.state_changed_at, Operation.objects.count()) == before
    Host.objects.update(disk_free_gib=None)
    assert client.post(path, {}, content_type="application/json").status_code == 202  # the offered one
    assert Instance.objects.get().rescue_image == helper


def test_who_is_to_be_stopped_is_stopped_from_rescue_too_and_starts_from_its_own_disk(
        world: World, made: Instance, helper: Image) -> None:
    do(made, "rescue", image=helper)
    Organization.objects.update(suspended_at="2026-01-01T00:00:00Z", while_suspended="stop")
    assert [operation.kind for operation in suspension.stop_suspended()] == ["instance.stop"]
    drain()
    made.refresh_from_db()
    assert (made.state, made.rescue_image, power(world, made)) == ("stopped", None, Power.OFF)
    assert (rescue_files(world), metered(made)) == (set(), "instance.stopped")
    Organization.objects.update(suspended_at=None)
    assert do(made, "start").state == "running" and not any("rescue" in path for path in opened(world, made))


def test_its_files_go_with_it_and_the_reconciler_leaves_it_alone(world: World, made: Instance, helper: Image) -> None:
    do(made, "rescue", image=helper)
    SimulatedHost(world.host.endpoint.uri).power_off_from_inside(made.pk)
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, made.observed_state, rescue_files(world)) == ("rescued", "off", {"qcow2", "iso"})
    do(made, "delete")
    assert (made.state, made.rescue_image, rescue_files(world)) == ("recycled", None, set())
    do(made, "restore")
    do(made, "rescue", image=helper)
    assert (do(made, "purge").state, rescue_files(world)) == ("deleted", set())


def test_the_page_offers_what_is_for_rescue_first(world: World, made: Instance, helper: Image, browser) -> None:
    client, page = browser("oscar"), f"/instances/{made.pk}/rescue/"
    text = client.get(page).content.decode()
    assert f'value="{helper.pk}" selected' in text and text.index(str(helper.pk)) < text.index(str(world.image.pk))
    assert client.post(page, {"image": "nonsense"}).status_code == 400
    assert client.post(page, {"image": str(helper.pk)}).status_code == 302
    drain()
    shown = client.get(f"/instances/{made.pk}/").content.decode()
    assert "booted from “helper”" in shown and f"/instances/{made.pk}/unrescue/" in shown
    assert client.get(page).status_code == 409
    assert client.post(f"/api/v1/instances/{made.pk}/console/", {}, content_type="application/json").status_code == 200
