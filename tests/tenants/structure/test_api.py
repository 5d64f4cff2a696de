"""The tree by REST: move, archive, delete, suspend; and everybody who may not."""
from typing import Any

import pytest

from portal.kernel.models import AuditEvent
from tenants import operations, structure
from tenants.models import Organization, Project, User
from tenants.roles import bind
from tests.cast import Cast, nobody_has

PROJECTS, ORGANIZATIONS = "/api/v1/projects", "/api/v1/organizations"


@pytest.fixture
def other(cast: Cast) -> Project:
    return operations.create_project(cast.organization, "other", actor=None)


def patch(cast: Cast, who: str, project: Project, **body: Any) -> Any:
    return cast.api(who).patch(f"{PROJECTS}/{project.pk}/", body, format="json")


def test_the_owner_moves_a_project_and_back_to_the_top(cast: Cast, other: Project) -> None:
    moved = patch(cast, "alice", other, parent=str(cast.project.pk), description="moved")
    assert moved.status_code == 200
    assert (moved.json()["parent"], moved.json()["description"]) == (str(cast.project.pk), "moved")
    assert patch(cast, "alice", other, parent=None).json()["parent"] is None
    assert Project.objects.get(pk=other.pk).path == [str(other.pk)]
    assert AuditEvent.objects.filter(action="project.move", actor=cast.alice).count() == 2


def test_a_rivals_project_as_a_parent_is_as_absent_as_any(cast: Cast, other: Project) -> None:
    rival = patch(cast, "alice", other, parent=str(cast.rival_project.pk))
    absent = patch(cast, "alice", other, parent=nobody_has())
    assert rival.status_code == absent.status_code == 404 and rival.json()["errors"] == absent.json()["errors"]
    assert patch(cast, "mallory", cast.rival_project, parent=str(other.pk)).status_code == 404
    assert patch(cast, "mallory", other, parent=str(cast.rival_project.pk)).status_code == 404


def test_somebody_of_both_organizations_moves_nothing_between_them(cast: Cast, other: Project) -> None:
    bind(cast.alice, "owner", cast.rival_organization)
    response = patch(cast, "alice", other, parent=str(cast.rival_project.pk))
    assert response.status_code == 400 and list(response.json()["errors"]) == ["parent"]
    assert Project.objects.get(pk=other.pk).organization == cast.organization


def test_moving_takes_rights_at_both_ends(cast: Cast, other: Project) -> None:
    """adam manages `web`: what is below it moves within it, not out of it."""
    child = operations.create_project(cast.organization, "child", actor=None, parent=cast.project)
    deeper = operations.create_project(cast.organization, "deeper", actor=None, parent=child)
    assert patch(cast, "adam", deeper, parent=str(cast.project.pk)).status_code == 200
    assert patch(cast, "adam", deeper, parent=None).status_code == 403
    assert patch(cast, "adam", deeper, parent=str(other.pk)).status_code == 404  # he does not see it
    bind(cast.adam, "viewer", other)
    assert patch(cast, "adam", deeper, parent=str(other.pk)).status_code == 403
    bind(cast.adam, "admin", child)
    assert patch(cast, "adam", cast.project, parent=str(other.pk)).status_code == 403
    loner = User.objects.create(username="loner")
    bind(loner, "admin", child)
    bind(loner, "admin", other)
    cast.people["loner"] = loner
    assert patch(cast, "loner", child, parent=str(other.pk)).status_code == 403  # it would leave `web`, which is not theirs
    assert Project.objects.get(pk=child.pk).parent == cast.project


def test_a_key_of_one_project_reaches_nothing_below_it(cast: Cast) -> None:
    child = operations.create_project(cast.organization, "child", actor=None, parent=cast.project)
    client = cast.key("alice", project=cast.project)
    url = f"{PROJECTS}/{cast.project.pk}/"
    for answer in (client.delete(url), client.post(f"{url}actions/archive/")):
        assert answer.status_code == 403 and str(child.pk) not in answer.content.decode()
    assert Project.objects.living().filter(pk=child.pk, archived_at=None).exists()


def test_a_move_in_a_circle_is_refused_by_field(cast: Cast) -> None:
    child = operations.create_project(cast.organization, "child", actor=None, parent=cast.project)
    response = patch(cast, "alice", cast.project, parent=str(child.pk))
    assert response.status_code == 400 and list(response.json()["errors"]) == ["parent"]


def test_archived_says_so_and_refuses_what_is_new(cast: Cast) -> None:
    client, url = cast.api("alice"), f"{PROJECTS}/{cast.project.pk}/"
    assert client.post(f"{url}actions/archive/").json()["archived_at"] is not None
    body = {"name": "x", "organization": str(cast.organization.pk), "parent": str(cast.project.pk)}
    refused = client.post(f"{PROJECTS}/", body, format="json")
    assert (refused.status_code, refused.json()["code"], refused.json()["project"]) == (409, "project_archived", "web")
    assert patch(cast, "alice", cast.project, name="still").status_code == 200
    assert client.post(f"{url}actions/unarchive/").json()["archived_at"] is None
    assert client.post(f"{PROJECTS}/", body, format="json").status_code == 201


def test_a_taken_name_is_refused_by_field(cast: Cast, other: Project) -> None:
    body = {"name": "OTHER", "organization": str(cast.organization.pk)}
    for answer in (cast.api("alice").post(f"{PROJECTS}/", body, format="json"), patch(cast, "alice", cast.project, name="Other")):
        assert answer.status_code == 400 and list(answer.json()["errors"]) == ["name"]


def test_a_deleted_project_is_gone_everywhere(cast: Cast, other: Project) -> None:
    client, url = cast.api("alice"), f"{PROJECTS}/{other.pk}/"
    key = cast.key("alice", project=other)
    assert key.get(url).status_code == 200
    for who, code in (("mallory", 404), ("vera", 404), ("alice", 204)):
        assert cast.api(who).delete(url).status_code == code
    for who in ("alice", "root"):
        api = cast.api(who)
        assert api.get(url).status_code == api.delete(url).status_code == 404
        assert str(other.pk) not in api.get(f"{PROJECTS}/").content.decode() + api.get("/api/v1/me/").content.decode()
    assert key.get("/api/v1/me/").status_code == 401
    body = {"name": "x", "organization": str(cast.organization.pk), "parent": str(other.pk)}
    assert client.post(f"{PROJECTS}/", body, format="json").status_code == 404
    body = {"name": "k", "project": str(other.pk), "generate": True}
    assert client.post("/api/v1/ssh-keys/", body, format="json").status_code == 404
    assert cast.browser("alice").get(f"/?project={other.pk}").status_code == 404


def test_an_organization_is_deleted_by_its_owner_when_it_is_empty(cast: Cast) -> None:
    client, url = cast.api("alice"), f"{ORGANIZATIONS}/{cast.organization.pk}/"
    refused = client.delete(url)
    assert (refused.status_code, refused.json()["code"], refused.json()["count"]) == (409, "not_empty", 1)
    assert refused.json()["items"][0]["name"] == "web"
    assert cast.api("mallory").delete(url).status_code == 404 and cast.api("adam").delete(url).status_code == 403
    structure.delete_project(cast.project, actor=None)
    assert client.delete(url).status_code == 204 and client.get(url).status_code == 404
    assert cast.api("root").get(url).status_code == 404
    body = {"name": "x", "organization": str(cast.organization.pk)}
    assert cast.api("root").post(f"{PROJECTS}/", body, format="json").status_code == 404


def test_operators_suspend_and_resume(cast: Cast) -> None:
    url = f"{ORGANIZATIONS}/{cast.organization.pk}/"
    body = {"reason": "unpaid", "while_suspended": "stop"}
    for who in ("alice", "mallory"):
        assert cast.api(who).post(f"{url}actions/suspend/", body, format="json").status_code == 404
    told = cast.api("root").post(f"{url}actions/suspend/", body, format="json").json()
    assert told["suspended_at"] is not None and told["while_suspended"] == "stop"
    assert cast.api("vera").get(url).json()["suspension_reason"] == "unpaid"
    refused = cast.api("alice").patch(url, {"name": "Acme 2"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_suspended")
    assert cast.api("root").post(f"{url}actions/resume/").json()["suspended_at"] is None
    assert cast.api("alice").patch(url, {"name": "Acme 2"}, format="json").status_code == 200
    assert Organization.objects.get(pk=cast.organization.pk).name == "Acme 2"
