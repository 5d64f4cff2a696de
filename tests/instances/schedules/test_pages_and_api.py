"""Schedules as people and programs make them: what is refused, what is shown before it is saved, whose name they act in."""
from typing import Any

import pytest
from django.urls import reverse

from compute.instances.models import Instance, InstanceSchedule, ScheduleRun
from compute.instances.operations import act, create_instance
from compute.instances.schedules import running, verbs
from compute.instances.schedules.running import run_due
from portal.kernel.models import AuditEvent
from tenants.models import Quota
from tests.pages.test_csv import rows
from tests.world import World, drain

API = "/api/v1/instance-schedules/"


@pytest.fixture
def instance(world: World) -> Instance:
    create_instance(world.order(tags={"env": "test"}), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def body(world: World, **changes: Any) -> dict[str, Any]:
    return {"project": str(world.project.pk), "name": "nights off", "verb": "stop", "tag_key": "env", "cron": "0 20 * * 1-5",
            "time_zone": "Asia/Shanghai"} | changes


def send(client: Any, method: str, address: str, sent: dict[str, Any] | None = None) -> Any:
    return getattr(client, method)(address, sent or {}, content_type="application/json")


def test_made_read_changed_and_deleted_by_rest(world: World, instance: Instance, browser) -> None:
    client = browser("oscar")
    made = send(client, "post", API, body(world)).json()
    assert (made["state"], made["owner"]) == ("enabled", str(world.people["oscar"].pk)) and len(made["next_runs"]) == 5
    assert all("T12:00:00" in moment for moment in made["next_runs"]), "20:00 in Shanghai"
    address = f"{API}{made['id']}/"
    assert client.get(f"{API}?verb=stop&state=enabled").json()["results"][0] == client.get(address).json() == made
    changed = send(browser("adam"), "patch", address, {"instance": str(instance.pk), "enabled": False, "verb": "reboot"}).json()
    assert (changed["tag_key"], changed["instance"], changed["verb"]) == ("", str(instance.pk), "reboot")
    assert (changed["state"], changed["next_runs"], changed["owner"]) == ("disabled", [], str(world.people["adam"].pk))
    assert [send(browser(who), method, address, {"name": "x"} if method == "patch" else {}).status_code
            for who in ("vera", "mallory") for method in ("patch", "delete")] == [403, 403, 404, 404]
    assert client.delete(address).status_code == 204 and client.get(address).status_code == 404
    assert list(AuditEvent.objects.filter(action__startswith="instance_schedule.", result="ok").order_by("at").values_list(
        "action", flat=True)) == [f"instance_schedule.{what}" for what in ("create", "change", "delete")]


@pytest.mark.parametrize(("changes", "field"), [
    ({"cron": "0 0 30 2 *"}, "cron"), ({"cron": "* * * * *"}, "cron"), ({"cron": "tomorrow"}, "cron"),
    ({"time_zone": "Mars/Olympus"}, "time_zone"), ({"verb": "purge"}, "verb"), ({"tag_key": ""}, "instance"),
    ({"tag_key": "a:b"}, "tag_key"), ({"tag_key": "", "tag_value": "x"}, "tag_key"), ({"name": "a/b\n"}, "name"),
    ({"colour": "red"}, "colour"), ({"instance": "OURS"}, "instance")])
def test_bad_input_is_refused_by_field_and_makes_nothing(
        world: World, instance: Instance, browser, changes: dict[str, str], field: str) -> None:
    changes = {name: str(instance.pk) if value == "OURS" else value for name, value in changes.items()}
    answer = send(browser("oscar"), "post", API, body(world, **changes))
    assert answer.status_code == 400 and field in answer.json()["errors"] and not InstanceSchedule.objects.exists()


def test_neither_anothers_instance_nor_anothers_project(world: World, instance: Instance, browser) -> None:
    theirs = body(world, project=str(world.rival_project.pk), tag_key="", instance=str(instance.pk))
    assert send(browser("mallory"), "post", API, theirs).status_code == 404
    assert send(browser("mallory"), "post", API, body(world)).status_code == 404
    assert send(browser("vera"), "post", API, body(world)).status_code == 403
    made = send(browser("mallory"), "post", API, body(world, project=str(world.rival_project.pk))).json()
    assert send(browser("mallory"), "patch", f"{API}{made['id']}/", {"instance": str(instance.pk)}).status_code == 404
    # Of one's own, but in another project.
    schedule = verbs.create_schedule(world.rival_project, name="x", verb="stop", tag_key="env", cron="0 0 * * *",
                                     actor=world.people["root"])
    answer = send(browser("root"), "patch", f"{API}{schedule.pk}/", {"instance": str(instance.pk)})
    assert answer.status_code == 400 and "instance" in answer.json()["errors"]


def test_beyond_the_quota_there_are_none(world: World, browser) -> None:
    Quota.objects.create(organization=world.project.organization, dimension=verbs.DIMENSION, limit=1)
    assert send(browser("oscar"), "post", API, body(world)).status_code == 201
    refused = send(browser("oscar"), "post", API, body(world))
    assert (refused.status_code, refused.json()["code"], refused.json()["resource"]) == (409, "quota_exceeded", verbs.DIMENSION)
    page = browser("oscar").post(reverse("instance_schedules:create"), {
        "project": str(world.project.pk), "name": "x", "verb": "stop", "tag": "env", "cron": "0 0 * * *", "time_zone": "UTC"})
    assert page.status_code == 409 and InstanceSchedule.objects.count() == 1


def test_the_next_runs_are_shown_before_it_is_saved(world: World, instance: Instance, browser) -> None:
    client, address = browser("oscar"), reverse("instance_schedules:create")
    sent = {"project": str(world.project.pk), "name": "spring", "verb": "start", "instance": "", "tag": "env:test",
            "cron": "30 2 29 2 *", "time_zone": "Europe/Berlin"}
    assert client.get(address).status_code == 200
    shown = client.post(address, sent | {"preview": "1"}).content.decode()
    assert shown.count("<li>") >= 5 and "02-29 02:30" in shown and not InstanceSchedule.objects.exists()
    wrong = client.post(address, sent | {"preview": "1", "cron": "* * * * *"})
    assert wrong.status_code == 400 and "5 minutes apart" in wrong.content.decode()
    assert client.post(address, sent | {"cron": "0 0 31 4 *"}).status_code == 400
    assert client.post(address, sent).status_code == 302
    schedule = InstanceSchedule.objects.get()
    assert (schedule.tag_key, schedule.tag_value, schedule.cron) == ("env", "test", "30 2 29 2 *")
    answer = send(client, "post", f"{API}preview/", {"cron": "0 0 1 1 *", "time_zone": "Asia/Tokyo"})
    assert [moment[5:16] for moment in answer.json()["next_runs"]] == ["12-31T15:00"] * 5
    assert send(client, "post", f"{API}preview/", {"cron": "x"}).status_code == 400
    edit = reverse("instance_schedules:edit", args=[schedule.pk])
    assert "env:test" in client.get(edit).content.decode()
    assert client.post(edit, sent | {"instance": str(instance.pk), "tag": ""}).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.instance_id, schedule.tag) == (instance.pk, "")
    for verb, state in (("disable", "disabled"), ("enable", "enabled")):
        client.post(reverse(f"instance_schedules:{verb}", args=[schedule.pk]))
        schedule.refresh_from_db()
        assert schedule.state == state
    assert "confirmed" in client.post(reverse("instance_schedules:delete", args=[schedule.pk])).content.decode()
    client.post(reverse("instance_schedules:delete", args=[schedule.pk]), {"confirmed": "1"})
    assert not InstanceSchedule.objects.exists()


def test_the_log_says_what_became_of_each_instance(world: World, instance: Instance, browser) -> None:
    schedule = verbs.create_schedule(world.project, name="nights off", verb="reboot", tag_key="env", cron="0 0 * * *",
                                     actor=world.people["oscar"])
    page = reverse("instance_schedules:detail", args=[schedule.pk])
    run_due(schedule.next_at)
    drain()
    schedule.refresh_from_db()
    act(instance, "stop", actor=world.people["alice"])
    drain()
    run_due(schedule.next_at)
    refused, accepted = browser("vera").get(f"{API}{schedule.pk}/runs/").json()["results"]
    assert (accepted["results"][0]["outcome"], accepted["results"][0]["instance"]) == ("accepted", str(instance.pk))
    assert refused["results"][0]["error"]["code"] == "state_conflict"
    text = browser("vera").get(page).content.decode()
    assert "accepted" in text and "refused" in text and "Stopped" in text
    assert rows(browser("vera"), page)[1]["What became of it"] == "web: accepted"
    assert "nights off" in browser("vera").get(reverse("instance_schedules:list")).content.decode()
    assert browser("mallory").get(page).status_code == 404
    ScheduleRun.objects.update(state="missed", reason=running.SLEPT, results=[])
    assert "too late" in browser("vera").get(page).content.decode()


def test_an_operator_who_helps_does_not_become_the_owner(world: World, browser) -> None:
    schedule = verbs.create_schedule(world.project, name="x", verb="stop", tag_key="env", cron="0 0 * * *",
                                     actor=world.people["oscar"])
    InstanceSchedule.objects.update(state="disabled", refusals=3)
    assert "disabled, since it could not" in browser("oscar").get(
        reverse("instance_schedules:detail", args=[schedule.pk])).content.decode()
    browser("root").post(reverse("admin:instances_instanceschedule_changelist"), {
        "action": "enable", "_selected_action": str(schedule.pk)})
    schedule.refresh_from_db()
    assert (schedule.state, schedule.owner, schedule.refusals) == ("enabled", world.people["oscar"], 0)
