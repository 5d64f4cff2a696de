"""Schedules are carried out once, in the name of whoever may, whatever the clocks and the workers do."""
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from compute.instances import guarding
from compute.instances.models import Instance, InstanceSchedule, ScheduleRun
from compute.instances.operations import act, create_instance
from compute.instances.schedules import running, verbs
from compute.instances.schedules.running import run_due
from compute.instances.tasks import run_schedules
from portal.kernel import maintenance
from portal.kernel.models import AuditEvent, Operation
from portal.notices import letters
from portal.notices.letters import hearable
from portal.notices.models import Notice
from portal.upkeep.retention import prune
from tenants import people, structure
from tenants.models import User
from tenants.standing import lock_organization
from tests.billing.races import at_once
from tests.instances.test_guards import waiting
from tests.world import World, drain

MONDAY = datetime(2026, 11, 30, 20, tzinfo=UTC)
"""When the schedules of these tests are due: at 20:00 on working days."""


def fresh(user: User) -> User:
    """As a later request has them: rights are resolved anew."""
    return User.objects.get(pk=user.pk)


def instances(world: World, **tags: dict[str, str]) -> list[Instance]:
    """Running, with these names and tags."""
    for name, bears in tags.items():
        create_instance(world.order(name=name, tags=bears), actor=world.people["alice"])
    drain()
    return list(Instance.objects.order_by("name"))


def make(world: World, *, by: str = "oscar", **values: Any) -> InstanceSchedule:
    given = {"name": "nights off", "verb": "stop", "cron": "0 20 * * 1-5", "tag_key": "env", "tag_value": "test",
             "now": MONDAY - timedelta(hours=1)} | values
    if "instance" in given:
        given |= {"tag_key": "", "tag_value": ""}
    return verbs.create_schedule(world.project, actor=world.people[by], **given)


def told(run: ScheduleRun) -> dict[str, str]:
    return {one["name"]: one["error"]["code"] if one["error"] else one["outcome"] for one in run.results}


def test_what_bears_the_tag_then_is_stopped_in_the_owners_name_and_the_rest_is_told_why_not(world: World) -> None:
    a, b, c, d, _e = instances(world, **{name: {"env": "test"} for name in "abcd"}, e={"env": "prod"})
    schedule = make(world)
    assert schedule.next_at == MONDAY and run_due(MONDAY - timedelta(seconds=1)) == 0
    act(b, "stop", actor=world.people["alice"])
    act(d, "delete", actor=world.people["alice"])
    drain()
    guarding.lock(c, actor=world.people["adam"], reason="backup")
    assert run_due(MONDAY + timedelta(seconds=3)) == 1
    run = ScheduleRun.objects.get()
    assert (run.state, run.due_at, run.pending) == ("done", MONDAY, [])
    assert told(run) == {"a": "accepted", "b": "unchanged", "c": "locked"}
    operation = Operation.objects.get(pk=next(one["operation"] for one in run.results if one["name"] == "a"))
    assert (operation.kind, operation.actor, operation.target_id) == ("instance.stop", world.people["oscar"], a.pk)
    drain()
    assert dict(Instance.objects.values_list("name", "state")) == {
        "a": "stopped", "b": "stopped", "c": "running", "d": "recycled", "e": "running"}
    schedule.refresh_from_db()
    assert schedule.next_at == MONDAY + timedelta(days=1) and run_due(MONDAY + timedelta(minutes=2)) == 0
    event = AuditEvent.objects.get(action="instance_schedule.run")
    assert (event.actor, event.after["instances"]) == (world.people["oscar"], 3)


def test_one_instance_is_rebooted_and_started(world: World) -> None:
    [web] = instances(world, web={})
    make(world, verb="reboot", instance=web)
    assert run_due(MONDAY) == 1 and told(ScheduleRun.objects.get()) == {"web": "accepted"}
    drain()
    act(web, "stop", actor=world.people["alice"])
    drain()
    make(world, verb="start", instance=web, cron="0 8 * * *")
    assert run_due(MONDAY + timedelta(hours=12)) == 1
    drain()
    assert Instance.objects.get().state == "running"


@pytest.mark.parametrize(("cron", "slept", "states"), [
    ("0 20 * * 1-5", timedelta(minutes=59), {MONDAY: "done"}),
    ("0 20 * * 1-5", timedelta(minutes=61), {MONDAY: "missed"}),
    ("*/30 * * * *", timedelta(hours=3, minutes=10), {MONDAY - timedelta(minutes=30): "missed",
                                                      MONDAY + timedelta(hours=3): "done"}),
    ("*/30 * * * *", timedelta(minutes=40), {MONDAY - timedelta(minutes=30): "missed", MONDAY + timedelta(minutes=30): "done"})])
def test_a_clock_that_slept_makes_up_for_the_latest_moment_at_most(
        world: World, cron: str, slept: timedelta, states: dict[datetime, str]) -> None:
    schedule = make(world, cron=cron)
    run_due(MONDAY + slept)
    assert dict(ScheduleRun.objects.values_list("due_at", "state")) == states
    schedule.refresh_from_db()
    assert schedule.next_at > MONDAY + slept and run_due(MONDAY + slept) == 0


def test_another_name_loses_no_run_and_another_time_makes_up_for_none(world: World) -> None:
    schedule, late = make(world), MONDAY + timedelta(seconds=5)
    assert verbs.change_schedule(schedule, actor=world.people["adam"], name="y", now=late).next_at == MONDAY
    changed = verbs.change_schedule(schedule, actor=world.people["adam"], cron="0 19,20 * * *", now=late)
    assert changed.next_at == MONDAY + timedelta(hours=23)
    verbs.change_schedule(schedule, actor=world.people["adam"], enabled=False, now=late)
    assert run_due(MONDAY + timedelta(days=2)) == 0
    enabled = verbs.change_schedule(schedule, actor=world.people["adam"], enabled=True, now=MONDAY + timedelta(days=2))
    assert enabled.next_at == MONDAY + timedelta(days=2, hours=23)


def test_two_clocks_at_once_do_it_once(world: World) -> None:
    instances(world, a={"env": "test"}, b={"env": "test"})
    make(world)
    assert at_once(lambda _which: run_due(MONDAY), 3) == []
    run_due(MONDAY)
    run = ScheduleRun.objects.get()
    assert (run.state, told(run)) == ("done", {"a": "accepted", "b": "accepted"})
    assert Operation.objects.filter(kind="instance.stop").count() == 2
    assert AuditEvent.objects.filter(action="instance_schedule.run").count() == 1


def test_a_worker_that_is_killed_between_two_instances_leaves_the_rest_to_the_next(world: World, monkeypatch) -> None:
    instances(world, a={"env": "test"}, b={"env": "test"}, c={"env": "test"})
    make(world)
    real, done = running.act, []

    def killed(*arguments: Any, **further: Any) -> Operation:
        if len(done) == 1:
            raise SystemExit
        done.append(real(*arguments, **further))
        return done[-1]

    monkeypatch.setattr(running, "act", killed)
    with pytest.raises(SystemExit):
        run_due(MONDAY)
    run = ScheduleRun.objects.get()
    assert (run.state, len(run.pending), len(run.results)) == ("running", 2, 1)
    monkeypatch.setattr(running, "act", real)
    run_due(MONDAY + timedelta(minutes=1))
    run.refresh_from_db()
    assert (run.state, told(run)) == ("done", {"a": "accepted", "b": "accepted", "c": "accepted"})
    assert Operation.objects.filter(kind="instance.stop").count() == 3


def test_what_an_hour_later_is_still_to_be_done_is_left_and_the_log_says_of_each(world: World, monkeypatch) -> None:
    instances(world, a={"env": "test"}, b={"env": "test"}, c={"env": "test"})
    make(world)
    real = running.act
    monkeypatch.setattr(running, "act", lambda *_arguments, **_further: 1 / 0)
    run_due(MONDAY)
    run = ScheduleRun.objects.get()
    assert (run.state, len(run.pending), run.results) == ("running", 3, [])
    monkeypatch.setattr(running, "act", real)
    run_due(MONDAY + timedelta(minutes=61))
    run.refresh_from_db()
    assert (run.state, run.reason, run.pending) == ("missed", "too_late", [])
    assert told(run) == dict.fromkeys("abc", "too_late")
    assert set(Instance.objects.values_list("state", flat=True)) == {"running"}


def test_an_instance_that_fails_in_any_way_keeps_none_of_the_others_back(world: World, monkeypatch) -> None:
    a, *_others = sorted(instances(world, a={"env": "test"}, b={"env": "test"}, c={"env": "test"}), key=lambda one: str(one.pk))
    make(world)
    real, asked = running.act, []

    def broken(instance: Instance, *arguments: Any, **further: Any) -> Operation:
        asked.append(instance)
        return real(instance, *arguments, **further) if instance != a else 1 / 0

    monkeypatch.setattr(running, "act", broken)
    run_due(MONDAY)
    run = ScheduleRun.objects.get()
    assert (run.state, run.pending, len(asked)) == ("running", [str(a.pk)], 3), "each had its turn, once"
    assert list(told(run).values()) == ["accepted", "accepted"]
    monkeypatch.setattr(running, "act", real)
    run_due(MONDAY + timedelta(minutes=1))
    run.refresh_from_db()
    assert (run.state, told(run)) == ("done", dict.fromkeys("abc", "accepted"))


def test_whoever_deletes_its_project_and_the_clock_do_not_wait_for_each_other(world: World) -> None:
    """A start asks for the organization, which whoever deletes a project holds when they come to the runs."""
    [web] = instances(world, web={})
    act(web, "stop", actor=world.people["alice"])
    drain()
    make(world, verb="start", instance=web)
    operations = Operation.objects.count()

    def clock() -> None:
        try:
            run_due(MONDAY)
        finally:
            connection.close()

    thread = threading.Thread(target=clock, daemon=True)
    with transaction.atomic():
        lock_organization(world.project.organization_id)
        thread.start()
        deadline = time.monotonic() + 20
        while not waiting():
            assert time.monotonic() < deadline, "the clock did not come to the organization"
            time.sleep(0.02)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '500ms'")  # nothing of it is held, so there is nothing to wait for
        verbs.end_with_project(world.project, None)
    thread.join(20)
    assert not thread.is_alive() and not InstanceSchedule.objects.exists() and not ScheduleRun.objects.exists()
    assert (Instance.objects.get().state, Operation.objects.count()) == ("stopped", operations), "what was begun is taken back"


def leave(world: World) -> None:
    people.remove_member(world.people["oscar"], world.project.organization, actor=fresh(world.people["alice"]))


def inactive(world: World) -> None:
    User.objects.filter(username="oscar").update(is_active=False)


def erased(world: World) -> None:
    InstanceSchedule.objects.update(owner=None)


@pytest.mark.parametrize(("lose", "reason", "hearing", "why"), [
    (leave, "no_right", {"oscar"}, "It acts in your name, and you may not"),
    (inactive, "owner_left", {"adam", "alice"}, "Nobody is left in whose name"),
    (erased, "owner_left", {"adam", "alice", "oscar"}, "Nobody is left in whose name")])
def test_who_may_not_any_more_is_told_and_after_three_times_it_is_disabled(
        world: World, lose: Callable[[World], None], reason: str, hearing: set[str], why: str) -> None:
    instances(world, a={"env": "test"})
    schedule = make(world)
    lose(world)
    for day in range(4):
        assert run_due(MONDAY + timedelta(days=day)) == 0
    assert list(ScheduleRun.objects.values_list("state", "reason")) == [("refused", reason)] * 3
    notices = Notice.objects.filter(kind="instance.schedules").select_related("user", "organization", "project")
    assert sorted(notice.user.username for notice in notices) == sorted([*hearing] * 3)
    assert all(hearable(fresh(notice.user), [notice]) and why in letters._line(notice).text for notice in notices)
    schedule.refresh_from_db()
    assert (schedule.state, Instance.objects.get().state) == ("disabled", "running")
    assert [event.action.rpartition(".")[2] for event in AuditEvent.objects.filter(
        action__in=["instance_schedule.refuse", "instance_schedule.disable"]).order_by("at")] == ["refuse", "refuse", "disable"]
    schedule = verbs.change_schedule(schedule, actor=world.people["adam"], enabled=True, now=MONDAY + timedelta(days=7, hours=-1))
    assert (schedule.owner, schedule.refusals) == (world.people["adam"], 0), "whoever enables it becomes its owner"
    assert run_due(MONDAY + timedelta(days=7)) == 1


def test_a_run_between_refusals_begins_to_count_anew(world: World) -> None:
    schedule = make(world)
    for day, is_active in enumerate((False, False, True, False, False)):
        User.objects.filter(username="oscar").update(is_active=is_active)
        run_due(MONDAY + timedelta(days=day if day < 5 else day + 2))
    schedule.refresh_from_db()
    assert (schedule.refusals, schedule.state) == (2, "enabled")


def test_a_right_that_is_lost_while_it_runs_is_asked_for_anew(world: World, monkeypatch) -> None:
    instances(world, a={"env": "test"}, b={"env": "test"})
    make(world)
    real = running.act

    def once(*arguments: Any, **further: Any) -> Operation:
        operation = real(*arguments, **further)
        leave(world)
        return operation

    monkeypatch.setattr(running, "act", once)
    run_due(MONDAY)
    assert sorted(told(ScheduleRun.objects.get()).values()) == ["accepted", "no_right"]


def test_what_is_about_nothing_any_more_is_disabled(world: World) -> None:
    [web] = instances(world, web={})
    schedule = make(world, instance=web)
    act(web, "purge", actor=world.people["alice"])
    drain()
    run_due(MONDAY)
    schedule.refresh_from_db()
    assert (schedule.state, ScheduleRun.objects.get().reason) == ("disabled", "instance_gone")


def test_schedules_of_suspended_organizations_wait(world: World) -> None:
    schedule = make(world)
    structure.suspend_organization(world.project.organization, reason="unpaid", actor=None)
    assert run_due(MONDAY) == 0 and not ScheduleRun.objects.exists()
    structure.resume_organization(world.project.organization, actor=None)
    InstanceSchedule.objects.update(next_at=MONDAY - timedelta(days=7))
    schedule.refresh_from_db()
    run_due(MONDAY + timedelta(hours=2))
    assert set(ScheduleRun.objects.values_list("state", flat=True)) == {"missed"}


def test_one_that_fails_in_any_way_keeps_none_of_the_others_back(world: World, monkeypatch) -> None:
    broken, whole = make(world), make(world)
    real = running._targets
    monkeypatch.setattr(running, "_targets", lambda schedule: 1 / 0 if schedule == broken else real(schedule))
    assert run_due(MONDAY) == 1 and ScheduleRun.objects.get().schedule == whole
    broken.refresh_from_db()
    assert broken.next_at == MONDAY, "it is tried again"


def test_runs_are_forgotten_after_ninety_days_and_schedules_end_with_their_project(world: World) -> None:
    schedule = make(world)
    for days in (91, 89):
        ScheduleRun.objects.create(schedule=schedule, due_at=datetime.now(UTC) - timedelta(days=days), created_at=MONDAY,
                                   state="done")
    assert prune()["schedule_runs"] == 1 and ScheduleRun.objects.count() == 1
    world.image.__class__.objects.update(deleted_at=MONDAY)
    structure.delete_project(world.project, actor=world.people["alice"])
    assert not InstanceSchedule.objects.exists() and not ScheduleRun.objects.exists()
    assert AuditEvent.objects.filter(action="instance_schedule.delete").count() == 1


def test_the_task_does_what_is_due_but_not_during_maintenance(world: World, monkeypatch) -> None:
    make(world)
    InstanceSchedule.objects.update(next_at=datetime.now(UTC) - timedelta(days=1))
    monkeypatch.setattr(maintenance, "is_on", lambda: True)
    run_schedules()
    assert not ScheduleRun.objects.exists()
    monkeypatch.setattr(maintenance, "is_on", lambda: False)
    run_schedules()
    assert ScheduleRun.objects.filter(state="missed").count() == 1


