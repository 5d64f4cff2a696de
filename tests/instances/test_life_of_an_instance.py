"""Create, stop, start, reboot, delete on the simulated driver: rows, host and usage agree at every rest."""
import pytest

from billing.models import Price, UsageInterval
from billing.prices import NoPrice
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.models import Claim, Verdict
from compute.hosts.operations import prepare_host
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from portal.kernel.describing import update_resource
from portal.kernel.models import Hold, Operation
from storage.connections import volume_pool
from storage.models import Attachment, Volume
from tests.world import World, drain


def create(world: World) -> Instance:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error
    return Instance.objects.get(pk=operation.target_id)


def power(world: World, instance: Instance) -> Power | None:
    with hypervisor(world.host) as driver:
        view = driver.domain(instance.pk)
    return view.power if view else None


def files(world: World) -> set[str]:
    with volume_pool(world.pool) as pool:
        return {file.name for file in pool.volumes()}


def test_a_created_instance_runs_claims_and_is_metered(world: World) -> None:
    instance = create(world)
    assert (instance.state, instance.host_id, power(world, instance)) == ("running", world.host.pk, Power.RUNNING)
    assert {(row.resource_class, row.amount) for row in Claim.objects.filter(consumer=instance)} == {
        ("vcpu", 1), ("memory_mib", 256)}
    assert Verdict.objects.get(consumer=instance).is_chosen
    assert sorted(UsageInterval.objects.values_list("meter", flat=True)) == ["instance.running", "volume"]
    assert not Hold.objects.exists()


def test_stop_start_and_reboot_settle_and_raise_the_generation(world: World) -> None:
    instance = create(world)
    for verb, state, generation in (("stop", "stopped", 1), ("start", "running", 2), ("reboot", "running", 3)):
        act(instance, verb, actor=world.people["oscar"])
        drain()
        instance.refresh_from_db()
        assert (instance.state, instance.generation) == (state, generation)
    assert power(world, instance) == Power.RUNNING


def test_a_deleted_instance_leaves_nothing_on_the_host(world: World) -> None:
    before = files(world)
    instance = create(world)
    act(instance, "purge", actor=world.people["alice"])
    drain()
    instance.refresh_from_db()
    assert instance.state == "deleted" and instance.deleted_at
    assert power(world, instance) is None
    assert {name for name in files(world) - before if not name.startswith("image-")} == set()
    assert not Claim.objects.exists() and not Attachment.objects.exists() and not Hold.objects.exists()
    assert Volume.objects.get().state == "deleted"
    assert not UsageInterval.objects.filter(period__endswith=None).exists()


def test_a_failed_create_leaves_an_error_row_and_nothing_else(world: World) -> None:
    world.host.__class__.objects.filter(pk=world.host.pk).update(is_in_maintenance=True)
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    operation.refresh_from_db()
    instance = Instance.objects.get()
    assert (operation.state, operation.error["code"], instance.state, instance.host) == ("failed", "no_capacity", "error", None)
    assert Verdict.objects.get(consumer=instance).reason == "in_maintenance"
    assert not UsageInterval.objects.exists() and not Claim.objects.exists()
    act(instance, "delete", actor=world.people["alice"])
    drain()
    instance.refresh_from_db()
    assert instance.state == "deleted"
    assert not Operation.objects.unfinished().exists()


def test_nothing_starts_that_could_never_be_billed(world: World) -> None:
    Price.objects.filter(meter="instance.running").delete()
    with pytest.raises(NoPrice):
        create_instance(world.order(), actor=world.people["alice"])
    assert not Instance.objects.exists() and not Operation.objects.filter(kind="instance.create").exists()


def test_a_copy_whose_file_somebody_removed_is_made_again_when_the_host_is_prepared(world: World) -> None:
    with volume_pool(world.pool) as pool:
        pool.ensure_volume_absent(f"image-{world.image.pk}-disk")
    prepare_host(world.host, actor=world.people["root"])
    drain()
    assert create(world).state == "running"


def test_two_changes_of_a_name_raise_the_version_twice(world: World) -> None:
    instance = create(world)
    version = instance.version
    for name in ("one", "two"):
        update_resource(Instance.objects.get(pk=instance.pk), actor=world.people["alice"], name=name)
    instance.refresh_from_db()
    assert (instance.name, instance.version) == ("two", version + 2)
