"""What guests do that no state tells: they restart themselves, and hang; heard by the watcher, told to those who operate them."""
from datetime import timedelta

import pytest

from billing.models import UsageInterval
from compute.hosts.drivers.contract import REBOOTED, WATCHDOG
from compute.instances import happenings
from compute.instances.errors import InstanceLocked
from compute.instances.guarding import lock
from compute.instances.management.commands import watch
from compute.instances.models import Instance
from compute.instances.operations import act
from compute.instances.watchdogs import set_watchdog
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from tests.instances.by_hand import hand, looked_at
from tests.notifications.conftest import prove
from tests.world import World, drain


def heard(world: World, instance: Instance, *what: str) -> Instance:
    """As the watcher hears it from its host."""
    command = watch.Command()
    for one in what:
        command.hear(world.host.pk, instance.pk, one)
    command.note_down()
    instance.refresh_from_db()
    return instance


def told(instance: Instance) -> list[str]:
    rows = AuditEvent.objects.filter(resource=instance, actor=None, operation=None).order_by("at")
    return [action for action in rows.values_list("action", flat=True) if action != "instance.create"]


def with_watchdog(world: World, instance: Instance, action: str) -> Instance:
    """Set, and started anew."""
    set_watchdog(instance, action, actor=world.people["oscar"])
    act(instance, "reboot", actor=world.people["oscar"], force=True)
    drain()
    return Instance.objects.get(pk=instance.pk)


def starved(world: World, instance: Instance) -> str:
    """It hangs; what its host said of that."""
    return WATCHDOG + hand(world).starve(instance.pk)


def test_a_guest_that_restarts_itself_runs_on_and_those_who_asked_are_told_once(world: World, running: Instance, browser) -> None:
    prove(world)
    found = heard(world, running, REBOOTED, REBOOTED)
    heard(world, running, REBOOTED)
    assert (found.state, found.power_cause, told(running)) == ("running", "", ["instance.restarted"])
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.running"
    assert "Guest restarted by itself" in browser("vera").get(f"/instances/{running.pk}/?tab=timeline").content.decode()
    Instance.objects.update(rebooted_at=found.rebooted_at - happenings.QUIET - timedelta(seconds=1))
    heard(world, running, REBOOTED)
    assert told(running) == ["instance.restarted"] * 2
    assert not Notice.objects.filter(act="instance.restarted"), "nobody asked for mail of that"


def test_what_an_operation_does_is_its_own_doing(world: World, running: Instance) -> None:
    act(running, "reboot", actor=world.people["oscar"], force=True)
    heard(world, running, REBOOTED, "watchdog:none")
    assert told(running) == []
    drain()


def test_a_host_tells_nothing_of_what_is_elsewhere(world: World, running: Instance) -> None:
    happenings.note(running.pk, running.pk, REBOOTED)
    happenings.note(world.host.pk, world.host.pk, REBOOTED)
    assert told(running) == []


@pytest.mark.parametrize("does", ["none", "reset"])
def test_a_watchdog_that_only_tells_or_resets_is_told_and_billed_as_running(world: World, running: Instance, does: str) -> None:
    prove(world)
    running = with_watchdog(world, running, does)
    said = starved(world, running)
    found = heard(world, running, said, *([REBOOTED] if does == "reset" else []))
    assert (said, looked_at(world, found).state, told(running)) == (f"watchdog:{does}", "running", ["instance.watchdog_fired"])
    assert AuditEvent.objects.get(action="instance.watchdog_fired").after == {"does": does}
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.running"
    assert set(Notice.objects.values_list("act", flat=True)) == {"instance.watchdog_fired"}


@pytest.mark.parametrize("is_late", [False, True])
def test_one_that_its_watchdog_switches_off_says_so_whoever_is_first(world: World, running: Instance, is_late: bool) -> None:
    prove(world)
    running = with_watchdog(world, running, "poweroff")
    said = starved(world, running)
    if is_late:
        assert looked_at(world, running).power_cause == "crash"
    found = looked_at(world, heard(world, running, said))
    assert (found.state, found.power_cause) == ("stopped", "watchdog")
    assert told(running)[-1] == "instance.halted" and AuditEvent.objects.get(action="instance.halted").after["why"] == "watchdog"
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.stopped"
    assert Notice.objects.filter(act="instance.halted").exists()


def test_one_that_is_paused_by_its_watchdog_is_told_once_and_billed_as_paused(world: World, running: Instance) -> None:
    running = with_watchdog(world, running, "pause")
    found = looked_at(world, heard(world, running, starved(world, running)))
    assert (found.state, found.power_cause, told(running)) == ("paused", "watchdog", ["instance.halted"])
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.paused"


def test_what_happens_without_its_watchdog_is_not_laid_at_its_door(world: World, running: Instance) -> None:
    running = with_watchdog(world, running, "poweroff")
    hand(world).crash(running.pk)
    assert looked_at(world, running).power_cause == "crash"


def test_a_flood_of_happenings_rings_once_and_is_bounded(world: World, running: Instance) -> None:
    command = watch.Command()
    for _one in range(watch.MOST_HAPPENINGS + 10):
        command.hear(world.host.pk, running.pk, REBOOTED)
    assert command.changed.qsize() == 1 and len(command.happened) == watch.MOST_HAPPENINGS
    command.note_down()
    assert told(running) == ["instance.restarted"] and not command.happened
    command.hear(world.host.pk, running.pk, "stopped")
    assert command.changed.get_nowait() is None and command.changed.get_nowait() == world.host.pk


def test_by_page_and_api_it_is_set_for_the_next_start(world: World, running: Instance, browser) -> None:
    page, api = f"/instances/{running.pk}/watchdog/", f"/api/v1/instances/{running.pk}/actions/watchdog/"
    assert 'value="poweroff"' in browser("oscar").get(page).content.decode()
    assert browser("oscar").post(page, {"action": "pause"}).status_code == 302
    assert browser("oscar").post(page, {"action": "explode"}).status_code == 400
    assert hand(world).starve(running.pk) == "", "what runs has none yet"

    def send(who: str, **body: str) -> object:
        return browser(who).post(api, body, content_type="application/json")

    assert [send(who, action="none").status_code for who in ("vera", "mallory")] == [403, 404]
    assert [send("oscar", **body).status_code for body in ({}, {"action": "explode"})] == [400, 400]
    assert send("oscar", action="reset").json()["watchdog"] == "reset"
    assert "restart it" in browser("vera").get(f"/instances/{running.pk}/").content.decode()
    rows = AuditEvent.objects.filter(action="instance.watchdog").order_by("at")
    assert [(row.before["watchdog"], row.after["watchdog"]) for row in rows] == [("off", "pause"), ("pause", "reset")]
    lock(running, actor=world.people["oscar"])
    assert send("alice", action="off").json()["code"] == "locked"
    with pytest.raises(InstanceLocked):
        set_watchdog(running, "off", actor=world.people["alice"])
