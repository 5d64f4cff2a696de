"""What guests and people do behind the portal's back, on the simulated host: followed or mended, never fought."""
from datetime import timedelta

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Discovered, Host
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from storage.connections import volume_pool
from storage.models import Volume
from tests.world import World, drain


def running(world: World) -> Instance:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)


def hand(world: World) -> SimulatedHost:
    return SimulatedHost(world.host.endpoint.uri)


def test_a_guest_that_powers_itself_off_is_shown_stopped_and_priced_so(world: World) -> None:
    instance = running(world)
    hand(world).power_off_from_inside(instance.pk)
    assert reconcile_host(world.host.pk)
    instance.refresh_from_db()
    assert (instance.state, instance.observed_state) == ("stopped", "off")
    assert UsageInterval.objects.get(resource=instance, period__endswith=None).meter == "instance.stopped"
    assert AuditEvent.objects.filter(action="instance.power_followed", resource=instance).count() == 1


def test_a_domain_destroyed_and_undefined_by_hand_is_defined_again_and_starts(world: World) -> None:
    instance = running(world)
    hand(world).destroy(instance.pk)
    reconcile_host(world.host.pk)
    reconcile_host(world.host.pk)
    instance.refresh_from_db()
    with hypervisor(world.host) as driver:
        assert instance.state == "stopped" and driver.domain(instance.pk).power == Power.OFF
    act(instance, "start", actor=world.people["alice"])
    drain()
    instance.refresh_from_db()
    assert instance.state == "running"


def test_a_crashed_domain_is_not_billed_as_running(world: World) -> None:
    instance = running(world)
    hand(world).crash(instance.pk)
    reconcile_host(world.host.pk)
    instance.refresh_from_db()
    assert instance.state == "stopped"


def test_a_foreign_domain_is_shown_and_never_touched(world: World) -> None:
    foreign = hand(world).add_foreign("somebodys-desktop")
    before = hand(world).census()["domains"][str(foreign)]
    for _round in range(3):
        reconcile_host(world.host.pk)
    assert hand(world).census()["domains"][str(foreign)] == before
    assert Discovered.objects.get().name == "somebodys-desktop"


def test_an_unreachable_host_is_shown_and_nothing_is_assumed(world: World) -> None:
    instance = running(world)
    hand(world).set_unreachable()
    reconcile_host(world.host.pk)
    instance.refresh_from_db()
    assert (Host.objects.get(pk=world.host.pk).health, instance.state) == ("unreachable", "running")
    hand(world).heal()
    reconcile_host(world.host.pk)
    assert Host.objects.get(pk=world.host.pk).health == "up"


def test_a_held_instance_is_left_to_its_operation(world: World) -> None:
    instance = running(world)
    act(instance, "stop", actor=world.people["alice"])
    hand(world).power_off_from_inside(instance.pk)
    reconcile_host(world.host.pk)
    instance.refresh_from_db()
    assert instance.state == "stopping"
    drain()
    instance.refresh_from_db()
    assert instance.state == "stopped"


def test_files_of_what_is_deleted_are_removed_and_all_others_stay(world: World) -> None:
    instance = running(world)
    volume = Volume.objects.get(attachment__domain=instance.pk)
    act(instance, "purge", actor=world.people["alice"])
    drain()
    with volume_pool(world.pool) as pool:
        pool.ensure_volume(f"volume-{volume.pk}.qcow2", size=1024**3)
        pool.ensure_volume("precious.qcow2", size=1024**3)
    Volume.objects.filter(pk=volume.pk).update(deleted_at=database_now() - timedelta(minutes=5))
    reconcile_host(world.host.pk)
    with volume_pool(world.pool) as pool:
        names = {file.name for file in pool.volumes()}
    assert "precious.qcow2" in names and f"volume-{volume.pk}.qcow2" not in names


def test_two_reconcilers_of_one_host_take_turns(world: World) -> None:
    Host.objects.filter(pk=world.host.pk).update(reconcile_until=database_now() + timedelta(seconds=30))
    assert not reconcile_host(world.host.pk)
