"""Emergency accesses: without one an operator opens no tenant's console; with one the tenant knows who, why and until when."""
from datetime import timedelta

import pytest
from django.utils import timezone

from compute.instances.console.models import ConsoleTicket
from compute.instances.console.operations import issue_ticket, open_console
from compute.instances.console.principals import Principal
from compute.instances.console.watch import _verdicts_on
from compute.instances.models import Instance
from portal.kernel.errors import Forbidden, InvalidInput
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from tenants import glass, operations
from tenants.models import BreakGlass, User
from tenants.roles import bind
from tests.cast import Cast
from tests.portal.scenery import Scene, make_scene

URL = "/api/v1/break-glass/"
HOUR = timedelta(hours=1)


@pytest.fixture
def scene(cast: Cast) -> Scene:
    made = make_scene(cast)
    BreakGlass.objects.all().delete()
    Instance.objects.update(state="running")
    made.ours[Instance].refresh_from_db()
    return made


def console(scene: Scene, who: str = "root") -> object:
    return scene.cast.api(who).post(f"/api/v1/instances/{scene.ours[Instance].pk}/console/", {"type": "vnc"}, format="json")


def open_one(cast: Cast, **further):
    return glass.break_glass(cast.organization, reason="ticket 4711", duration=HOUR, actor=cast.root, **further)


def fresh(cast: Cast) -> User:
    return User.objects.get(pk=cast.root.pk)


def test_an_operator_opens_no_console_without_it_and_is_told_how(scene: Scene) -> None:
    refused = console(scene)
    assert (refused.status_code, refused.json()["code"]) == (403, "break_glass_required")
    assert AuditEvent.objects.filter(action="instance.console", result="refused", actor=scene.cast.root,
                                     organization=scene.cast.organization).exists(), "the tenant sees the attempt"
    page = scene.cast.browser("root").post(f"/instances/{scene.ours[Instance].pk}/console-ticket/")
    assert page.status_code in (403, 404)


def test_with_it_he_does_and_the_trail_says_so(scene: Scene) -> None:
    cast = scene.cast
    body = {"organization": str(cast.organization.pk), "reason": "ticket 4711", "minutes": 60}
    made = cast.api("root").post(URL, body, format="json")
    assert made.status_code == 201 and made.json()["operator"] == "root"
    assert console(scene).status_code in (200, 201)
    row = AuditEvent.objects.get(action="break_glass.open")
    assert (row.organization, row.actor, row.after["reason"]) == (cast.organization, cast.root, "ticket 4711")
    for name in ("alice", "vera"):
        [seen] = cast.api(name).get(URL).json()["results"]
        assert (seen["reason"], seen["operator"]) == ("ticket 4711", "root")
        assert "ticket 4711" in cast.browser(name).get("/audit/").content.decode()
    assert cast.api("mallory").get(URL).json()["results"] == []
    assert list(Notice.objects.filter(act="break_glass.open").values_list("user", flat=True)) == [cast.alice.pk], "its owner"
    ended = cast.api("root").post(f"{URL}{made.json()['id']}/actions/end/")
    assert ended.json()["ended_at"] and console(scene).status_code == 403
    assert "ticket 4711" not in cast.browser("alice").get("/audit/").content.decode()


@pytest.mark.parametrize("spoil", [
    lambda now: {"expires_at": now - HOUR, "started_at": now - 2 * HOUR}, lambda now: {"ended_at": now}])
def test_it_ends_by_itself(scene: Scene, spoil) -> None:
    row = open_one(scene.cast)
    BreakGlass.objects.filter(pk=row.pk).update(**spoil(timezone.now()))
    assert console(scene).status_code == 403


def test_it_is_one_operators_alone_and_only_as_long_as_he_is_one(scene: Scene) -> None:
    other = User.objects.create(username="ruth", is_superuser=True)
    scene.cast.people["ruth"] = other
    open_one(scene.cast)
    assert console(scene, "ruth").status_code == 403
    project = scene.cast.project.pk
    assert fresh(scene.cast).grants.may("instance.console", project)
    User.objects.filter(pk=scene.cast.root.pk).update(is_superuser=False)
    assert not fresh(scene.cast).grants.may("instance.console", project)
    User.objects.filter(pk=scene.cast.root.pk).update(is_superuser=True)
    assert not other.grants.may("instance.console", project)


def test_of_a_project_it_is_good_below_it_and_nowhere_else(cast: Cast) -> None:
    below = operations.create_project(cast.organization, "below", parent=cast.project, actor=None)
    beside = operations.create_project(cast.organization, "beside", actor=None)
    open_one(cast, project=cast.project)
    grants = fresh(cast).grants
    assert [grants.may("instance.console", one.pk) for one in (cast.project, below, beside, cast.rival_project)] == [
        True, True, False, False]


def test_an_operator_who_is_a_member_needs_none(cast: Cast) -> None:
    bind(cast.root, "operator", cast.project)
    grants = fresh(cast).grants
    assert grants.may("instance.console", cast.project.pk) and not grants.may("instance.console", cast.rival_project.pk)


def test_an_open_console_ends_with_it(scene: Scene) -> None:
    row, instance = open_one(scene.cast), scene.ours[Instance]
    key, _text = operations.create_api_key(scene.cast.root, name="x", actor=scene.cast.root)
    principal = Principal(user=fresh(scene.cast), api_key=key)
    ticket, _ticket_text = issue_ticket(instance, actor=scene.cast.root, principal=principal)
    ConsoleTicket.objects.filter(pk=ticket.pk).update(used_at=timezone.now())
    assert _verdicts_on({ticket.pk: ""}) == {}
    glass.end(row, actor=scene.cast.root)
    assert _verdicts_on({ticket.pk: ""}) == {ticket.pk: (4403, "forbidden")}


def test_tenants_open_none(cast: Cast) -> None:
    body = {"organization": str(cast.organization.pk), "reason": "x", "minutes": 5}
    for name in ("alice", "adam", "vera", "mallory"):
        assert cast.api(name).post(URL, body, format="json").status_code == 404
        assert cast.browser(name).get("/operator/access/").status_code == 404
    assert cast.api(None).post(URL, body, format="json").status_code == 401
    assert not BreakGlass.objects.exists()


@pytest.mark.parametrize("spoil", [{"reason": ""}, {"reason": "   "}, {"minutes": 0}, {"minutes": 241}, {"minutes": -5},
                                   {"reason": "x" * 301}, {"minutes": "for ever"}])
def test_it_needs_a_reason_and_an_end(cast: Cast, spoil: dict) -> None:
    body = {"organization": str(cast.organization.pk), "reason": "x", "minutes": 5} | spoil
    answer = cast.api("root").post(URL, body, format="json")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == list(spoil)


def test_a_project_of_another_organization_is_refused(cast: Cast) -> None:
    with pytest.raises(InvalidInput):
        open_one(cast, project=cast.rival_project)


def test_the_operators_page_opens_and_ends_them(cast: Cast) -> None:
    browser = cast.browser("root")
    form = {"organization": str(cast.organization.pk), "project": "", "reason": "ticket 9", "minutes": "60"}
    assert browser.post("/operator/access/", form | {"reason": ""}).status_code == 400
    assert browser.post("/operator/access/", form | {"minutes": "100000"}).status_code == 400
    assert browser.post("/operator/access/", form).status_code == 302
    assert "ticket 9" in browser.get("/operator/access/").content.decode()
    row = BreakGlass.objects.get()
    assert browser.post(f"/operator/access/{row.pk}/end/").status_code == 302
    row.refresh_from_db()
    assert row.ended_at is not None


# -- when all changes are guarded --

def test_the_strict_setting_guards_every_change_and_no_look(scene: Scene, settings) -> None:
    settings.BREAK_GLASS = "changes"
    cast = scene.cast
    root, project = cast.api("root"), f"/api/v1/projects/{cast.project.pk}/"
    assert root.get(project).status_code == 200
    assert root.patch(project, {"description": "x"}, format="json").json()["code"] == "break_glass_required"
    body = {"name": "x", "organization": str(cast.organization.pk)}
    assert root.post("/api/v1/projects/", body, format="json").status_code == 403
    assert root.delete(f"/api/v1/instances/{scene.ours[Instance].pk}/").status_code == 403
    assert root.post(f"/api/v1/organizations/{cast.organization.pk}/actions/suspend/", {"reason": "x"},
                     format="json").status_code == 200, "the operators' own verbs are theirs"
    open_one(cast)
    assert root.patch(project, {"description": "x"}, format="json").status_code == 200
    assert root.post("/api/v1/projects/", body, format="json").status_code == 201
    assert root.patch(f"/api/v1/projects/{cast.rival_project.pk}/", {"description": "x"}, format="json").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_ticket_is_worth_nothing_without_it(scene: Scene) -> None:
    row = open_one(scene.cast)
    key, _text = operations.create_api_key(scene.cast.root, name="x", actor=scene.cast.root)
    principal = Principal(user=scene.cast.root, api_key=key)
    _ticket, text = issue_ticket(scene.ours[Instance], actor=scene.cast.root, principal=principal)
    glass.end(row, actor=scene.cast.root)
    assert not fresh(scene.cast).grants.may("instance.console", scene.cast.project.pk)
    with pytest.raises(Forbidden):
        open_console(text, Principal(user=fresh(scene.cast), api_key=key))
