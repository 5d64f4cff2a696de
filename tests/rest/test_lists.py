"""Lists: pages that neither lose nor repeat a row, filters by declared fields, and nothing of anybody else's."""
import base64

import pytest
from django.utils import timezone

from portal.kernel.models import AuditEvent, Operation
from portal.kernel.states import database_now
from tenants import operations
from tenants.models import Project
from tests.audit.rewriting import rewriting
from tests.cast import Cast


@pytest.fixture
def projects(cast: Cast) -> list[Project]:
    """Twelve projects, of which eight were made at the same moment and most have a namesake in another place."""
    made: list[Project] = []
    for number in range(11):
        parent = (None, cast.project, *made[:2])[number // 3]
        made.append(operations.create_project(cast.organization, f"p{number % 3}", actor=None, parent=parent))
    moment = timezone.now()
    Project.objects.filter(pk__in=[project.pk for project in made[:8]]).update(created_at=moment)
    return [cast.project, *made]


def walk(client, url: str, link: str = "next") -> list[dict]:
    found = []
    while url:
        body = client.get(url).json()
        assert body.keys() == {"next", "previous", "results"}
        found += body["results"] if link == "next" else body["results"][::-1]
        url = body[link]
    return found


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "name", "-name"])
@pytest.mark.parametrize("limit", [1, 3, 5, 12, 500])
def test_pages_hold_every_row_once_with_equal_values(cast: Cast, projects: list, ordering: str, limit: int) -> None:
    rows = walk(cast.api("alice"), f"/api/v1/projects/?limit={limit}&ordering={ordering}")
    assert len(rows) == 12 and {row["id"] for row in rows} == {str(project.pk) for project in projects}
    values = [row[ordering.lstrip("-")] for row in rows]
    assert values == sorted(values, reverse=ordering.startswith("-"))


@pytest.mark.parametrize("ordering", ["created_at", "-name"])
def test_previous_leads_back_the_same_way(cast: Cast, projects: list, ordering: str) -> None:
    client, url = cast.api("alice"), f"/api/v1/projects/?limit=5&ordering={ordering}"
    forward = [client.get(url).json()]
    while forward[-1]["next"]:
        forward.append(client.get(forward[-1]["next"]).json())
    back = [client.get(forward[-1]["previous"]).json()]
    while back[-1]["previous"]:
        back.append(client.get(back[-1]["previous"]).json())
    assert [page["results"] for page in back] == [page["results"] for page in forward[:-1]][::-1]
    assert forward[0]["previous"] is None and forward[-1]["next"] is None


def test_rows_that_come_and_go_do_not_shift_the_pages(cast: Cast, projects: list) -> None:
    client = cast.api("alice")
    first = client.get("/api/v1/projects/?limit=4").json()
    gone = next(row["id"] for row in first["results"] if not Project.objects.filter(parent=row["id"]).exists())
    with rewriting():
        AuditEvent.objects.filter(project=gone).delete()
    Project.objects.filter(pk=gone).delete()
    operations.create_project(cast.organization, "newest", actor=None)
    rest = walk(client, first["next"])
    assert len({row["id"] for row in [*first["results"], *rest]}) == len(first["results"]) + len(rest) == 12


def test_a_cursor_of_another_ordering_is_refused(cast: Cast, projects: list) -> None:
    url = cast.api("alice").get("/api/v1/projects/?limit=4").json()["next"]
    assert cast.api("alice").get(url + "&ordering=name").status_code == 400


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5000, "[]", "null"])
def test_a_cursor_with_a_forged_value_is_refused(cast: Cast, value: str) -> None:
    packed = f'["memory_mib", false, {value}, "{cast.project.pk}"]'.encode()
    cursor = base64.urlsafe_b64encode(packed).decode().rstrip("=")
    response = cast.api("alice").get(f"/api/v1/instance-types/?ordering=memory_mib&cursor={cursor}")
    assert response.status_code == 400 and "cursor" in response.json()["errors"]


def test_filters_narrow_and_combine(cast: Cast, projects: list) -> None:
    client = cast.api("alice")
    assert {row["name"] for row in walk(client, "/api/v1/projects/?name=p1")} == {"p1"}
    assert len(walk(client, "/api/v1/projects/?name=p1&name=web")) == 5
    assert len(walk(client, f"/api/v1/projects/?organization={cast.organization.pk}&search=EB")) == 1
    assert walk(client, "/api/v1/projects/?search=%25") == []


def test_a_filter_by_what_is_hidden_is_empty_like_one_by_what_is_absent(cast: Cast) -> None:
    hidden = cast.api("alice").get(f"/api/v1/projects/?organization={cast.rival_organization.pk}").json()
    absent = cast.api("alice").get("/api/v1/projects/?organization=5b2f7a60-0000-4000-8000-000000000000").json()
    assert hidden == absent == {"next": None, "previous": None, "results": []}


@pytest.mark.parametrize("path", ["projects", "organizations", "members", "audit", "operations", "api-keys"])
def test_a_rival_sees_nothing_of_ours(cast: Cast, path: str) -> None:
    now = database_now()
    Operation.objects.create(kind="x", project=cast.project, region=cast.region, run_after=now, deadline=now)
    operations.create_api_key(cast.alice, name="k", actor=cast.alice)
    ours = {row["id"] for row in cast.api("alice").get(f"/api/v1/{path}/?limit=500").json()["results"]}
    theirs = {row["id"] for row in cast.api("mallory").get(f"/api/v1/{path}/?limit=500").json()["results"]}
    assert ours and not ours & theirs


def test_members_are_those_with_a_role_where_the_caller_is(cast: Cast) -> None:
    names = {row["username"] for row in cast.api("vera").get("/api/v1/members/").json()["results"]}
    assert names == {"alice", "adam", "oscar", "vera"}
    assert {row["username"] for row in cast.api("mallory").get("/api/v1/members/").json()["results"]} == {"mallory"}
