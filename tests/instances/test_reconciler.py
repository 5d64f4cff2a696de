"""What guests and people do behind the portal's back, on the simulated host: followed or mended, never fought."""
from datetime import timedelta

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.models import Discovered, Host
from compute.instances.models import Instance
from compute.instances.operations import act
from compute.instances.reconcile import reconcile_host
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from storage.connections import volume_pool
from storage.models import Volume
from tests.instances.by_hand import hand
from tests.world import World, drain


def test_a_guest_that_powers_itself_off_is_shown_stopped_and_priced_so(world: World, running: Instance) -> None:
    hand(world).power_off_from_inside(running.pk)
    assert reconcile_host(world.host.pk)
    running.refresh_from_db()
    assert (running.state, running.observed_state) == ("stopped", "off")
    assert UsageInterval.objects.get(resource=running, period__endswith=None).meter == "instance.stopped"
    assert AuditEvent.objects.filter(action="instance.power_followed", resource=running).count() == 1


def test_a_domain_destroyed_and_undefined_by_hand_is_defined_again_and_starts(world: World, running: Instance) -> None:
    hand(world).destroy(running.pk)
    reconcile_host(world.host.pk)
    reconcile_host(world.host.pk)
    running.refresh_from_db()
    with hypervisor(world.host) as driver:
        assert running.state == "stopped" and driver.domain(running.pk).power == Power.OFF
    act(running, "start", actor=world.people["alice"])
    drain()
    running.refresh_from_db()
    assert running.state == "running"


def test_a_crashed_domain_is_not_billed_as_running(world: World, running: Instance) -> None:
    hand(world).crash(running.pk)
    reconcile_host(world.host.pk)
    running.refresh_from_db()
    assert running.state == "stopped"


def test_a_foreign_domain_is_shown_and_never_touched(world: World) -> None:
    foreign = hand(world).add_foreign("somebodys-desktop")
    before = hand(world).census()["domains"][str(foreign)]
    for _round in range(3):
        reconcile_host(world.host.pk)
    assert hand(world).census()["domains"][str(foreign)] == before
    assert Discovered.objects.get().name == "somebodys-desktop"


def test_an_unreachable_host_is_shown_and_nothing_is_assumed(world: World, running: Instance) -> None:
    hand(world).set_unreachable()
    reconcile_host(world.host.pk)
    running.refresh_from_db()
    assert (Host.objects.get(pk=world.host.pk).health, running.state) == ("unreachable", "running")
    hand(world).heal()
    reconcile_host(world.host.pk)
    assert Host.objects.get(pk=world.host.pk).health == "up"


def test_a_held_instance_is_left_to_its_operation(world: World, running: Instance) -> None:
    act(running, "stop", actor=world.people["alice"])
    hand(world).power_off_from_inside(running.pk)
    reconcile_host(world.host.pk)
    running.refresh_from_db()
    assert running.state == "stopping"
    drain()
    running.refresh_from_db()
    assert running.state == "stopped"


def test_files_of_what_is_deleted_are_removed_and_all_others_stay(world: World, running: Instance) -> None:
    volume = Volume.objects.get(attachment__domain=running.pk)
    act(running, "purge", actor=world.people["alice"])
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
