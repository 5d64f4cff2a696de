"""Organizations, projects, quotas, API keys and who am I, by REST."""
from datetime import timedelta

import pytest
from django.utils import timezone

from portal.kernel.declarations import QuotaDimension, registry
from portal.kernel.models import AuditEvent, Resource
from tenants.models import ApiKey
from tests.cast import Cast, nobody_has

KEYS = "/api/v1/api-keys/"


def test_me_says_who_where_and_what(cast: Cast) -> None:
    body = cast.api("vera").get("/api/v1/me/").json()
    assert body["username"] == "vera" and body["api_key"] is None
    [project] = body["projects"]
    assert project["id"] == str(cast.project.pk) and "project.view" in project["permissions"]
    assert "project.manage" not in project["permissions"]


def test_me_tells_the_key_and_its_narrower_rights(cast: Cast) -> None:
    body = cast.key("alice", scopes=["project.view"], project=cast.project).get("/api/v1/me/").json()
    assert body["api_key"]["scopes"] == ["project.view"]
    assert [project["permissions"] for project in body["projects"]] == [["project.view"]]


def test_the_owner_makes_and_renames_a_project(cast: Cast) -> None:
    client = cast.api("alice")
    made = client.post("/api/v1/projects/", {"name": "db", "organization": str(cast.organization.pk),
                                             "parent": str(cast.project.pk)}, format="json")
    assert made.status_code == 201 and made.json()["parent"] == str(cast.project.pk)
    url = f"/api/v1/projects/{made.json()['id']}/"
    assert client.patch(url, {"name": "data"}, format="json").json()["name"] == "data"
    assert AuditEvent.objects.filter(action="project.change", actor=cast.alice).count() == 1


def test_a_project_cannot_be_put_under_another_organizations(cast: Cast) -> None:
    wanted = {"name": "x", "organization": str(cast.organization.pk)}
    rival = cast.api("alice").post("/api/v1/projects/", wanted | {"parent": str(cast.rival_project.pk)}, format="json")
    absent = cast.api("alice").post("/api/v1/projects/", wanted | {"parent": nobody_has()}, format="json")
    assert rival.status_code == absent.status_code == 404
    assert rival.json()["errors"] == absent.json()["errors"] and list(rival.json()["errors"]) == ["parent"]


def test_an_administrator_of_a_project_makes_none_at_the_top(cast: Cast) -> None:
    body = {"name": "x", "organization": str(cast.organization.pk)}
    assert cast.api("adam").post("/api/v1/projects/", body, format="json").status_code == 403
    below = cast.api("adam").post("/api/v1/projects/", body | {"parent": str(cast.project.pk)}, format="json")
    assert below.status_code == 201


def test_a_stale_if_match_changes_nothing(cast: Cast) -> None:
    client, url = cast.api("alice"), f"/api/v1/projects/{cast.project.pk}/"
    tag = client.get(url)["ETag"]
    assert client.patch(url, {"name": "one"}, format="json", HTTP_IF_MATCH=tag).status_code == 200
    stale = client.patch(url, {"name": "two"}, format="json", HTTP_IF_MATCH=tag)
    assert stale.status_code == 412 and stale.json()["code"] == "stale"
    fresh = client.get(url)
    assert fresh.json()["name"] == "one" and fresh["ETag"] != tag
    assert client.patch(url, {"name": "two"}, format="json", HTTP_IF_MATCH=f'"x", {fresh["ETag"]}').status_code == 200


@pytest.fixture
def dimension(monkeypatch):
    monkeypatch.setitem(registry.dimensions, "widgets",
                        QuotaDimension(name="widgets", label="Widgets", rows=lambda: Resource.objects.filter(kind="widget")))


def test_quotas_show_use_and_limit_and_are_set_from_above(cast: Cast, dimension: None) -> None:
    url = f"/api/v1/projects/{cast.project.pk}/quotas/"
    for _number in range(3):
        Resource.objects.create(kind="widget", project=cast.project, region=cast.region, name="w")
    body = {"limits": [{"region": str(cast.region.pk), "resource": "widgets", "limit": 10}]}
    assert cast.api("mallory").put(url, body, format="json").status_code == 404
    assert cast.api("adam").put(url, body, format="json").status_code == 403
    assert cast.api("alice").put(url, body, format="json").status_code == 200
    region, everywhere = cast.api("vera").get(url).json()["results"]
    assert everywhere["region"] is None
    assert {line["resource"] for line in everywhere["lines"]} == {"api_keys", "instance_schedules", "launch_templates"}
    [line] = [line for line in region["lines"] if line["resource"] == "widgets"]
    assert (line["limit"], line["used"], line["scope"]) == (10, 3, "web")
    body["limits"][0]["limit"] = None
    assert cast.api("root").put(url, body, format="json").json()["results"][0]["lines"][-1]["limit"] is None


def test_a_dimension_that_nobody_declared_is_named(cast: Cast) -> None:
    body = {"limits": [{"region": str(cast.region.pk), "resource": "unicorns", "limit": 1}]}
    response = cast.api("root").put(f"/api/v1/projects/{cast.project.pk}/quotas/", body, format="json")
    assert response.status_code == 400 and "limits.0.resource" in response.json()["errors"]


def test_an_api_key_works_until_it_is_revoked(cast: Cast) -> None:
    client = cast.api("alice")
    made = client.post("/api/v1/api-keys/", {"name": "ci"}, format="json").json()
    program = cast.api(None)
    program.credentials(HTTP_AUTHORIZATION=f"Bearer {made['secret']}")
    assert program.get("/api/v1/me/").json()["username"] == "alice"
    assert "secret" not in client.get(f"/api/v1/api-keys/{made['id']}/").json()
    assert client.delete(f"/api/v1/api-keys/{made['id']}/").status_code == 204
    assert program.get("/api/v1/me/").status_code == 401


def test_an_expired_key_is_refused(cast: Cast) -> None:
    program = cast.key("alice", expires_at=timezone.now() + timedelta(hours=1))
    assert program.get("/api/v1/me/").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert program.get("/api/v1/me/").status_code == 401


@pytest.mark.parametrize("wish", [{}, {"scopes": []}, {"scopes": ["project.view", "instance.delete"]}])
def test_a_narrow_key_cannot_make_a_wider_one(cast: Cast, wish: dict) -> None:
    program = cast.key("alice", scopes=["project.view"])
    assert program.post("/api/v1/api-keys/", {"name": "x", **wish}, format="json").status_code == 403
    same = program.post("/api/v1/api-keys/", {"name": "x", "scopes": ["project.view"]}, format="json")
    assert same.status_code == 201


def test_a_key_of_one_project_cannot_make_one_of_all(cast: Cast) -> None:
    program = cast.key("alice", project=cast.project)
    assert program.post("/api/v1/api-keys/", {"name": "x"}, format="json").status_code == 403


@pytest.mark.parametrize("limit", ["scopes", "project", "expires_at"])
def test_a_narrow_key_revokes_itself_and_no_wider_one(cast: Cast, limit: str) -> None:
    limits = {"scopes": ["project.view"], "project": cast.project, "expires_at": timezone.now() + timedelta(hours=1)}
    program = cast.key("alice", **{limit: limits[limit]})
    wide = cast.api("alice").post(KEYS, {"name": "wide"}, format="json").json()
    assert program.delete(f"{KEYS}{wide['id']}/").status_code == 404
    assert ApiKey.objects.get(pk=wide["id"]).revoked_at is None
    own = program.get("/api/v1/me/").json()["api_key"]["id"]
    assert program.delete(f"{KEYS}{own}/").status_code == 204


def test_a_scope_that_nobody_declared_is_named(cast: Cast) -> None:
    response = cast.api("alice").post("/api/v1/api-keys/", {"name": "x", "scopes": ["fly"]}, format="json")
    assert response.status_code == 400 and "scopes" in response.json()["errors"]


def test_nobody_sees_or_revokes_anybody_elses_keys(cast: Cast) -> None:
    made = cast.api("alice").post("/api/v1/api-keys/", {"name": "ci"}, format="json").json()
    for name in ("adam", "mallory", "root"):
        assert cast.api(name).delete(f"/api/v1/api-keys/{made['id']}/").status_code == 404


def test_roles_are_listed_with_their_permissions(cast: Cast) -> None:
    rows = cast.api("vera").get("/api/v1/roles/").json()["results"]
    assert [row["name"] for row in rows] == ["owner", "admin", "operator", "viewer", "billing"]
    assert "project.manage" not in rows[-2]["permissions"]


def test_a_key_of_one_project_sees_no_more_of_the_organization(cast: Cast) -> None:
    program = cast.key("alice", project=cast.project)
    assert program.get("/api/v1/organizations/").json()["results"] == []
    assert [row["id"] for row in program.get("/api/v1/projects/").json()["results"]] == [str(cast.project.pk)]


def test_the_title_of_a_refused_method_has_no_gap(cast: Cast) -> None:
    assert cast.api("alice").put("/api/v1/regions/", {}, format="json").json()["title"] == "Method Not Allowed"
