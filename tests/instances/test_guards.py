"""Locked, nothing is done to an instance; protected, it is not deleted: by whatever way, whoever asks, and whenever."""
import threading
import time

import pytest
from django.db import connection, transaction
from django.urls import reverse

from compute.instances import guarding, suspension
from compute.instances.errors import InstanceLocked, InstanceProtected
from compute.instances.models import Instance, InstanceState, Snapshot
from compute.instances.operations import act, create_instance
from compute.instances.recycling import purge_due
from compute.instances.verbs import VERBS
from portal.kernel.errors import NotFound, PortalError, StateConflict
from portal.kernel.models import AuditEvent, Operation
from storage.models import Volume
from tenants import structure
from tenants.errors import NotEmpty
from tests.billing.races import at_once
from tests.instances.test_verb_table import wishes_of
from tests.portal.scenery import make_snapshot
from tests.world import World, drain

GUARDS = {"nothing": (), "tenant": ("tenant",), "operator": ("operator",), "protected": ("protected",),
          "both": ("protected", "tenant")}


@pytest.fixture
def instance(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def put(world: World, instance: Instance, guard: str) -> None:
    if guard == "protected":
        guarding.protect(instance, actor=world.people["adam"])
    else:
        guarding.lock(instance, actor=world.people["root" if guard == "operator" else "oscar"], reason="mind the gap")


def snapshot_of(instance: Instance) -> Snapshot:
    """As if one had been taken."""
    root = Volume.objects.get(attachment__domain=instance.pk)
    return make_snapshot({"project": instance.project, "region": instance.region}, instance, root, 0)[Snapshot]


def outcome(world: World, instance: Instance, verb: str, actor: object) -> str:
    """What a verb comes to; nothing of it stays."""
    with transaction.atomic():
        try:
            wishes = {"snapshot": snapshot_of(instance)} if verb == "revert" else wishes_of(world, verb, instance)
            act(instance, verb, actor=actor, **wishes)
            found = "done"
        except PortalError as error:
            found = error.code
        transaction.set_rollback(True)
    return found


@pytest.mark.parametrize("guard", GUARDS)
def test_every_verb_in_every_state_under_every_guard(world: World, instance: Instance, guard: str) -> None:
    for one in GUARDS[guard]:
        put(world, instance, one)
    operations, looked_at = Operation.objects.count(), 0
    for state in InstanceState.values:
        Instance.objects.update(state=state, recycled_at="2026-01-01T00:00:00Z" if state == "recycled" else None)
        instance = Instance.objects.get()
        for name, verb in VERBS.items():
            if state not in verb.legal:
                assert verb.why_not(instance)
                continue
            wanted = "done"
            if {"tenant", "operator"} & set(GUARDS[guard]):
                wanted = "locked"
            elif guard == "protected" and name in ("delete", "purge"):
                wanted = "protected"
            for who in ("alice", "root"):
                assert outcome(world, instance, name, world.people[who]) == wanted, (state, name, who)
            assert outcome(world, instance, name, None) == "done", f"the platform's own {name} in {state}"
            assert bool(verb.why_not(instance)) == (wanted != "done")
            looked_at += 1
    assert looked_at == sum(len(verb.legal) for verb in VERBS.values()) and Operation.objects.count() == operations


def test_who_locked_it_when_and_why_is_said_wherever_it_is_refused(world: World, instance: Instance, browser) -> None:
    put(world, instance, "tenant")
    with pytest.raises(InstanceLocked) as refused:
        act(instance, "stop", actor=world.people["alice"])
    instance.refresh_from_db()
    said = f"“web” was locked by oscar ({instance.locked_at:%Y-%m-%d %H:%M} UTC): mind the gap."
    assert refused.value.detail.startswith(said)
    client = browser("adam")
    answer = client.post(f"/api/v1/instances/{instance.pk}/actions/stop/", {}, content_type="application/json")
    assert (answer.status_code, answer.json()["code"], answer.json()["by"]) == (409, "locked", "oscar")
    assert client.delete(f"/api/v1/instances/{instance.pk}/").json()["code"] == "locked"
    for address in (reverse("instances:detail", args=[instance.pk]), reverse("instances:menu", args=[instance.pk])):
        assert said in client.get(address).content.decode()
    assert 'aria-label="locked"' in client.get(reverse("instances:list")).content.decode()
    assert client.post(reverse("instances:stop", args=[instance.pk]), {"confirmed": "1"}).status_code == 409
    bulk = client.post(reverse("instances:bulk-stop"), {"id": str(instance.pk), "confirmed": "1"})
    assert said in bulk.content.decode()
    assert Instance.objects.get().state == "running"


def test_whoever_may_operate_it_locks_and_unlocks_but_not_what_operators_locked(
        world: World, instance: Instance, browser) -> None:
    address = f"/api/v1/instances/{instance.pk}/"

    def send(who: str, verb: str, **body: str) -> object:
        return browser(who).post(f"{address}actions/{verb}/", body, content_type="application/json")

    assert [send(who, "lock").status_code for who in ("vera", "mallory")] == [403, 404]
    shown = send("oscar", "lock", reason="backup runs").json()
    assert (shown["lock_reason"], shown["is_locked_by_operator"]) == ("backup runs", False)
    assert shown["locked_by"] == str(world.people["oscar"].pk) and shown["locked_at"]
    again = send("adam", "lock", reason="other").json()
    assert (again["lock_reason"], again["locked_by"]) == ("backup runs", shown["locked_by"]), "the first lock stays"
    assert send("adam", "unlock").json()["locked_at"] is None
    assert send("oscar", "lock", reason="x" * 201).status_code == 400
    send("oscar", "lock")
    assert send("root", "lock", reason="abuse").json()["is_locked_by_operator"] is True
    for who, told in (("alice", None), ("root", str(world.people["root"].pk))):
        shown = browser(who).get(address).json()
        assert (shown["locked_by"], shown["lock_reason"]) == (told, "abuse"), who
        assert browser(who).get("/api/v1/instances/").json()["results"][0]["locked_by"] == told
    refused = send("alice", "unlock")
    assert (refused.status_code, refused.json()["code"], refused.json()["by"]) == (409, "locked", "an operator")
    assert "root" not in refused.content.decode()
    page = browser("alice").get(reverse("instances:detail", args=[instance.pk])).content.decode()
    assert "only operators unlock it" in page
    assert browser("alice").post(reverse("instances:unlock", args=[instance.pk])).status_code == 409
    assert send("root", "unlock").json()["is_locked_by_operator"] is False
    rows = AuditEvent.objects.filter(action__in=["instance.lock", "instance.unlock"], result="ok").order_by("at")
    assert [rows.filter(action="instance.unlock").values_list("before__locked_by", "before__is_locked_by_operator")[one]
            for one in (0, 1)] == [("oscar", False), ("", True)]
    assert list(rows.values_list("action", "actor__username")) == [
        ("instance.lock", "oscar"), ("instance.unlock", "adam"), ("instance.lock", "oscar"), ("instance.lock", "root"),
        ("instance.unlock", "root")]


def test_on_pages_it_is_locked_with_a_reason_and_protected(world: World, instance: Instance, browser) -> None:
    client, pk = browser("alice"), [instance.pk]
    assert "Every action on it is refused" in client.get(reverse("instances:lock", args=pk)).content.decode()
    assert client.post(reverse("instances:lock", args=pk), {"reason": "x" * 201}).status_code == 400
    client.post(reverse("instances:lock", args=pk), {"reason": "hands off"})
    page = client.get(reverse("instances:detail", args=pk)).content.decode()
    assert "hands off" in page and reverse("instances:unlock", args=pk) in page
    again = client.post(reverse("instances:lock", args=pk), {"reason": "second wish"}, follow=True).content.decode()
    assert "was locked before" in again and "second wish" not in again, "the first lock stays"
    assert client.post(reverse("instances:protect", args=pk)).status_code == 409, "locked is locked"
    client.post(reverse("instances:unlock", args=pk))
    client.post(reverse("instances:protect", args=pk))
    instance.refresh_from_db()
    assert instance.locked_at is None and instance.is_protected
    page = client.get(reverse("instances:detail", args=pk)).content.decode()
    assert reverse("instances:unprotect", args=pk) in page and "protected against being deleted" in page
    assert 'aria-label="protected against deletion"' in client.get(reverse("instances:list")).content.decode()


def test_protected_it_is_deleted_in_no_way_until_that_is_switched_off(world: World, instance: Instance, browser) -> None:
    address = f"/api/v1/instances/{instance.pk}/"
    assert browser("oscar").post(f"{address}actions/protect/", {}, content_type="application/json").status_code == 403
    assert browser("adam").post(f"{address}actions/protect/", {}, content_type="application/json").json()["is_protected"] is True
    client = browser("alice")
    for query in ("", "?purge=true"):
        answer = client.delete(address + query)
        assert (answer.status_code, answer.json()["code"]) == (409, "protected")
    for verb in ("delete", "purge"):
        sent = {"confirmed": "1", "typed_name": instance.name, "typed_count": "1", "id": str(instance.pk)}
        assert client.post(reverse(f"instances:{verb}", args=[instance.pk]), sent).status_code == 409
        assert "protected against being deleted" in client.post(reverse(f"instances:bulk-{verb}"), sent).content.decode()
    with pytest.raises(NotEmpty):
        structure.delete_project(world.project, actor=world.people["alice"])
    with pytest.raises(NotEmpty):
        structure.delete_organization(world.project.organization, actor=world.people["alice"])
    with pytest.raises(InstanceProtected):
        act(instance, "delete", actor=world.people["root"])
    assert Instance.objects.get().state == "running"
    act(instance, "stop", actor=world.people["oscar"])  # nothing else is refused
    drain()
    assert client.post(f"{address}actions/unprotect/", {}, content_type="application/json").json()["is_protected"] is False
    act(instance, "delete", actor=world.people["alice"])
    assert list(AuditEvent.objects.filter(action__startswith="instance.", action__endswith="protect", result="ok").values_list(
        "action", flat=True).order_by("at")) == ["instance.protect", "instance.unprotect"]


def test_the_platform_does_not_ask(world: World, instance: Instance, settings) -> None:
    """What is not paid or suspended is stopped, and the recycle bin is emptied when its time is over."""
    put(world, instance, "tenant")
    put(world, Instance.objects.get(), "operator")
    structure.suspend_organization(world.project.organization, reason="unpaid", while_suspended="stop", actor=None)
    [operation] = suspension.stop_suspended()
    assert operation.kind == "instance.stop"
    drain()
    structure.resume_organization(world.project.organization, actor=None)
    Instance.objects.update(state="recycled", recycled_at="2026-01-01T00:00:00Z", is_protected=True)
    assert [one.kind for one in purge_due()] == ["instance.delete"]
    drain()
    assert Instance.objects.get().state == "deleted"
    with pytest.raises(NotFound):
        guarding.lock(instance, actor=world.people["alice"])


def waiting() -> bool:
    """Whether somebody waits for what this connection holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))")
        return cursor.fetchone()[0] > 0


def test_a_verb_that_comes_while_it_is_being_locked_waits_and_is_refused(world: World, instance: Instance) -> None:
    found: list[str] = []

    def stop() -> None:
        try:
            act(instance, "stop", actor=world.people["alice"])
            found.append("done")
        except PortalError as error:
            found.append(error.code)
        finally:
            connection.close()

    thread = threading.Thread(target=stop, daemon=True)
    with transaction.atomic():
        guarding.lock(instance, actor=world.people["oscar"])
        thread.start()
        deadline = time.monotonic() + 20
        while not waiting():
            assert time.monotonic() < deadline and not found, "it did not ask under the row's lock"
            time.sleep(0.02)
    thread.join(20)
    assert found == ["locked"] and Instance.objects.get().state == "running"


def test_locks_and_verbs_at_once_leave_one_order_of_the_two(world: World, instance: Instance) -> None:
    """Whatever comes first: a locked instance never has an operation that was accepted after its lock."""
    for _round in range(4):
        errors = at_once(lambda which: (guarding.lock(instance, actor=world.people["oscar"]) if which else
                                        act(instance, "reboot", actor=world.people["alice"])), 2)
        lock = AuditEvent.objects.filter(action="instance.lock").latest("at")
        begun = AuditEvent.objects.filter(action="instance.reboot", at__gt=lock.at).exists()
        assert [type(error) for error in errors] in ([], [InstanceLocked]) and not begun
        drain()
        guarding.unlock(instance, actor=world.people["oscar"])
    with pytest.raises(StateConflict):
        act(instance, "start", actor=world.people["alice"])
