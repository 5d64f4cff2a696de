"""Schedules as people and programs make them: what is refused, what is shown before it is saved, whose name they act in."""
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from compute.instances.models import Instance, InstanceSchedule, ScheduleRun
from compute.instances.operations import act, create_instance
from compute.instances.schedules import running, verbs
from compute.instances.schedules.running import run_due
from portal.kernel.models import AuditEvent
from portal.kernel.secrets import EncryptedTextField
from tenants.models import Quota, User
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


def test_another_tag_is_named_with_its_value_so_that_none_is_meant_by_mistake(
        world: World, instance: Instance, browser) -> None:
    client = browser("oscar")
    address = f"{API}{send(client, 'post', API, body(world, tag_value='test')).json()['id']}/"

    def tag(**changes: Any) -> tuple[str, str]:
        changed = send(client, "patch", address, changes).json()
        return changed["tag_key"], changed["tag_value"]

    assert tag(tag_key="env") == ("env", "test"), "the same key is none other"
    refused = send(client, "patch", address, {"tag_key": "role"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["tag_value"])
    assert InstanceSchedule.objects.get().tag == "env:test"
    assert tag(tag_key="role", tag_value="web") == ("role", "web") and tag(tag_key="env", tag_value="") == ("env", "")
    assert tag(tag_value="test") == ("env", "test") and tag(instance=str(instance.pk)) == ("", "")
    assert tag(tag_key="env") == ("env", "") and InstanceSchedule.objects.get().instance is None


def test_next_runs_are_those_from_now_on_whatever_it_waits_for(world: World, browser) -> None:
    client = browser("oscar")
    address = f"{API}{send(client, 'post', API, body(world)).json()['id']}/"
    InstanceSchedule.objects.update(next_at="2026-01-01T12:00:00Z")
    for shown in (client.get(address).json(), client.get(API).json()["results"][0]):
        assert len(shown["next_runs"]) == 5 and all(moment > f"{timezone.now():%Y-%m-%dT%H:%M}" for moment in shown["next_runs"])


def test_an_operator_who_acts_as_somebody_makes_and_changes_none(world: World, browser) -> None:
    schedule = verbs.create_schedule(world.project, name="x", verb="stop", tag_key="env", cron="0 0 * * *",
                                     actor=world.people["adam"])
    client = browser("root")
    assert client.post("/admin/tenants/impersonation/add/", {
        "user": str(world.people["oscar"].pk), "reason": "ticket 42"}).status_code == 302
    assert client.get("/api/v1/me/").json()["username"] == "oscar"
    form = {"project": str(world.project.pk), "name": "y", "verb": "stop", "tag": "env", "cron": "0 0 * * *", "time_zone": "UTC"}
    for answer in (send(client, "post", API, body(world)), send(client, "patch", f"{API}{schedule.pk}/", {"enabled": False})):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_for_another")
    assert [client.post(reverse(f"instance_schedules:{name}", args=pk), form).status_code for name, pk in (
        ("create", []), ("edit", [schedule.pk]), ("disable", [schedule.pk]))] == [403] * 3
    assert "Next runs" in client.post(reverse("instance_schedules:create"), form | {"preview": "1"}).content.decode()
    schedule.refresh_from_db()
    assert (InstanceSchedule.objects.count(), schedule.owner, schedule.state) == (1, world.people["adam"], "enabled")


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
    nameless = client.post(address, sent | {"preview": "1", "name": "", "time_zone": "UTC"})
    assert nameless.status_code == 200 and "02-29 02:30 UTC" in nameless.content.decode(), "told once, and a name can wait"
    assert client.post(address, sent | {"name": ""}).status_code == 400
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
    assert "was begun" in text and "refused" in text and "Stopped" in text
    assert reverse("operations:detail", args=[accepted["results"][0]["operation"]]) in text
    assert reverse("instances:detail", args=[instance.pk]) in text
    told = [row["What became of it"] for row in rows(browser("vera"), page)]
    assert told == ["web: refused This is not possible while the state is “Stopped”.", "web: was begun"]
    assert "nights off" in browser("vera").get(reverse("instance_schedules:list")).content.decode()
    assert browser("mallory").get(page).status_code == 404
    Instance.objects.update(state="deleted", deleted_at=schedule.next_at)
    text = browser("vera").get(page).content.decode()
    assert "web" in text and reverse("instances:detail", args=[instance.pk]) not in text, "no page is left of it"
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
    sent = {"name": "y", "verb": "stop", "tag": "env", "cron": "0 0 * * *", "time_zone": "UTC"}
    for name, who, text in (("enable", "root", "in the name of oscar"), ("edit", "root", "in the name of oscar"),
                            ("edit", "adam", "in your name from now on"), ("enable", "adam", "in your name from now on")):
        address = reverse(f"instance_schedules:{name}", args=[schedule.pk])
        assert text in browser(who).post(address, sent, follow=True).content.decode(), (name, who)


def test_nobody_enables_what_would_do_nothing(world: World, instance: Instance, browser) -> None:
    """Of an instance that is gone; and an operator, who does not become its owner, where there is none."""
    of_one, of_tag = (verbs.create_schedule(world.project, name="x", verb="stop", cron="0 0 * * *", actor=world.people["oscar"],
                                            **what) for what in ({"instance": instance}, {"tag_key": "env"}))
    InstanceSchedule.objects.update(state="disabled", refusals=3, owner=None)
    Instance.objects.update(state="deleted", deleted_at=of_one.next_at)

    def enable(who: str, schedule: InstanceSchedule) -> Any:
        return send(browser(who), "patch", f"{API}{schedule.pk}/", {"enabled": True})

    for who, schedule, why in (("oscar", of_one, "instance is gone"), ("root", of_tag, "Nobody is left")):
        page = reverse("instance_schedules:detail", args=[schedule.pk])
        refused, client = enable(who, schedule), browser(who)
        assert refused.status_code == 400 and why in refused.json()["errors"]["enabled"][0]
        text = client.get(page).content.decode()
        assert why in text and reverse("instance_schedules:enable", args=[schedule.pk]) not in text
        assert client.post(reverse("instance_schedules:enable", args=[schedule.pk])).status_code == 400
        browser("root").post(reverse("admin:instances_instanceschedule_changelist"), {
            "action": "enable", "_selected_action": str(schedule.pk)})
    assert set(InstanceSchedule.objects.values_list("state", flat=True)) == {"disabled"}
    text = browser("oscar").get(reverse("instance_schedules:detail", args=[of_one.pk])).content.decode()
    assert "its instance is gone" in text and "becomes its owner" not in text
    listed = browser("oscar").get(reverse("instance_schedules:list")).content.decode()
    assert "web" in listed and reverse("instances:detail", args=[instance.pk]) not in listed
    User.objects.filter(username="oscar").update(is_active=False)
    assert enable("adam", of_tag).json()["state"] == "enabled", "who enables it becomes its owner"


def test_secrets_of_instances_are_not_decrypted_for_schedules(world: World, instance: Instance, browser, monkeypatch) -> None:
    schedule = verbs.create_schedule(world.project, name="x", verb="reboot", instance=instance, cron="0 0 * * *",
                                     actor=world.people["oscar"])
    read = []
    monkeypatch.setattr(EncryptedTextField, "from_db_value",
                        lambda field, value, *_how: read.append(field.name) or value if field.model is Instance else value)
    Instance.objects.get()
    assert read, "this is how it is seen"
    read.clear()
    for who, address in (("oscar", reverse("instance_schedules:list")),
                         ("oscar", reverse("instance_schedules:detail", args=[schedule.pk])),
                         ("root", reverse("admin:instances_instanceschedule_changelist")),
                         ("root", reverse("admin:instances_instanceschedule_change", args=[schedule.pk]))):
        assert browser(who).get(address).status_code == 200
    verbs.change_schedule(schedule, actor=world.people["oscar"], name="y")
    monkeypatch.setattr(running, "act", lambda *_arguments, **_further: 1 / 0)
    assert run_due(schedule.next_at) == 1 and read == []
