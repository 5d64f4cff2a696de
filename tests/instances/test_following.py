"""Why an instance's power changed without being asked by us: on its row and page, in the trail, in the mail of those who operate
it, and on the bill, where it was the platform's own fault."""
from datetime import timedelta

import pytest
from django.core import mail

from billing.models import UsageInterval
from compute.hosts.drivers.contract import Cause
from compute.instances.models import Instance
from compute.instances.operations import act
from portal.kernel.models import AuditEvent
from portal.notices import dispatch
from portal.notices.models import Notice
from tests.instances.by_hand import hand, looked_at
from tests.notifications.conftest import prove
from tests.world import World, drain

HAPPENINGS = {
    "guest": (lambda host, pk: host.power_off_from_inside(pk), "stopped", "instance.power_followed"),
    "crash": (lambda host, pk: host.crash(pk), "stopped", "instance.crashed"),
    "hand": (lambda host, pk: host.pause(pk), "paused", "instance.power_followed"),
    "storage": (lambda host, pk: host.pause(pk, Cause.STORAGE), "paused", "instance.halted"),
    "watchdog": (lambda host, pk: host.pause(pk, Cause.WATCHDOG), "paused", "instance.halted"),
}


@pytest.mark.parametrize("cause", HAPPENINGS)
def test_the_row_the_page_and_the_trail_tell_why(world: World, running: Instance, browser, cause: str) -> None:
    happens, state, action = HAPPENINGS[cause]
    happens(hand(world), running.pk)
    found = looked_at(world, running)
    assert (found.state, found.power_cause) == (state, cause)
    assert AuditEvent.objects.get(resource=running, action=action).after["why"] == cause
    page = browser("vera").get(f"/instances/{running.pk}/").content.decode()
    assert "Nobody asked the portal for this change." in page and found.get_power_cause_display() in page


def test_what_we_do_next_explains_itself(world: World, running: Instance) -> None:
    hand(world).crash(running.pk)
    act(looked_at(world, running), "start", actor=world.people["oscar"])
    running.refresh_from_db()
    assert running.power_cause == ""
    drain()
    act(running := Instance.objects.get(pk=running.pk), "stop", actor=world.people["oscar"])
    drain()
    found = looked_at(world, running)
    assert (found.state, found.power_cause) == ("stopped", "")


def test_what_is_gone_from_the_host_was_somebodys_doing(world: World, running: Instance) -> None:
    hand(world).destroy(running.pk)
    assert looked_at(world, running).power_cause == "hand"


def test_the_halt_of_a_full_host_is_not_billed_and_its_volumes_are(world: World, running: Instance) -> None:
    hand(world).pause(running.pk, Cause.STORAGE)
    looked_at(world, running)
    mine = UsageInterval.objects.filter(resource=running)
    assert not mine.running() and mine.get().meter == "instance.running"
    assert UsageInterval.objects.filter(meter="volume").running().count() == 1
    hand(world).resume(running.pk)
    found = looked_at(world, running)
    assert (found.state, found.power_cause) == ("running", "")
    assert mine.running().get().meter == "instance.running"


@pytest.mark.parametrize("cause", [Cause.HAND, Cause.WATCHDOG])
def test_other_halts_are_billed_as_paused(world: World, running: Instance, cause: Cause) -> None:
    hand(world).pause(running.pk, cause)
    looked_at(world, running)
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.paused"


def test_those_who_operate_it_are_told_of_trouble_at_once_and_of_the_rest_when_they_ask(world: World, running: Instance) -> None:
    prove(world)
    hand(world).power_off_from_inside(running.pk)
    looked_at(world, running)
    assert not Notice.objects.filter(act__startswith="instance.")
    hand(world).crash(running.pk)
    act(running, "start", actor=world.people["oscar"])
    drain()
    hand(world).crash(running.pk)
    looked_at(world, running)
    told = Notice.objects.filter(act="instance.crashed").values_list("user__username", flat=True)
    assert sorted(told) == ["adam", "alice", "oscar"]
    dispatch.run()
    said = {message.to[0]: message.subject for message in mail.outbox if "crashed" in message.subject}
    assert said["oscar@example.org"] == "[Mains] The instance “web” of Acme / web crashed and is off."
    assert "mallory@example.org" not in said and "vera@example.org" not in said


def test_it_is_told_once_however_often_one_looks(world: World, running: Instance) -> None:
    prove(world)
    hand(world).crash(running.pk)
    for _look in range(3):
        looked_at(world, running)
    assert Notice.objects.filter(act="instance.crashed").values("event_id").distinct().count() == 1
    assert running.state_changed_at - running.created_at < timedelta(minutes=5)


def halted(world: World, instance: Instance) -> Instance:
    """By a full host, long ago."""
    hand(world).resize(disk_gib=0)
    hand(world).pause(instance.pk, Cause.STORAGE)
    looked_at(world, instance)
    Instance.objects.update(state_changed_at=instance.state_changed_at - timedelta(minutes=5))
    return looked_at(world, instance)


def test_a_resume_that_fails_does_not_make_the_halt_cost(world: World, running: Instance) -> None:
    halted(world, running)
    hand(world).fail("ensure_resumed")
    act(running, "resume", actor=world.people["oscar"])
    drain()
    mine = UsageInterval.objects.filter(resource=running)
    found = looked_at(world, running)
    assert (found.state, found.power_cause, list(mine.running())) == ("paused", "storage", [])
    # What was paused by its tenant costs what it does, whatever halted it before.
    hand(world).resume(running.pk)
    act(looked_at(world, running), "pause", actor=world.people["oscar"])
    drain()
    assert (looked_at(world, running).power_cause, mine.running().get().meter) == ("", "instance.paused")


def test_what_a_full_host_halted_goes_on_when_there_is_room_again(world: World, running: Instance) -> None:
    assert (halted(world, running).state, running.power_cause) == ("paused", "storage")
    hand(world).resize(disk_gib=4096)
    assert looked_at(world, running).state == "paused", "the room was not seen yet"
    looked_at(world, running)
    assert (looked_at(world, running).state, running.power_cause) == ("running", "")
    assert UsageInterval.objects.filter(resource=running).running().get().meter == "instance.running"


def test_it_is_not_tried_again_at_once_and_a_refusal_is_borne(world: World, running: Instance) -> None:
    hand(world).pause(running.pk, Cause.STORAGE)
    assert [looked_at(world, running).state for _pass in range(3)] == ["paused"] * 3
    Instance.objects.update(state_changed_at=running.state_changed_at - timedelta(minutes=5))
    hand(world).fail("ensure_resumed")
    looked_at(world, running)
    assert world.host.__class__.objects.get().health == "up"
    looked_at(world, running)
    assert looked_at(world, running).state == "running"


def test_what_its_tenant_paused_stands_still(world: World, running: Instance) -> None:
    act(running, "pause", actor=world.people["oscar"])
    drain()
    Instance.objects.update(state_changed_at=running.state_changed_at - timedelta(minutes=5))
    assert [looked_at(world, running).state for _pass in range(2)] == ["paused"] * 2
