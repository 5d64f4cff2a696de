"""A row of a list is the row itself, for every resource; and every list takes what lists take."""
from collections.abc import Iterator

import pytest
from django.urls import reverse

from billing import collection_api
from portal.kernel.rest.projection import projection_of
from portal.kernel.rest.rights import STAFF
from portal.kernel.states import database_now
from tests.portal.routes import Route, routes
from tests.portal.scenery import Scene, standing_scene

API = [route for route in routes() if route.is_api]
PLURAL = [route for route in API if route.action == "list"]
SINGLE = {route.name.removesuffix("-detail"): route for route in API if route.action == "retrieve"}
BOTH = [route for route in PLURAL if route.name.removesuffix("-list") in SINGLE]
# Lists of columns alone: their rows are never made into model instances.
LIGHT = {"instance", "volume", "image", "ssh-key", "audit", "operation", "subnet", "region", "zone", "instance-type",
         "project", "member", "pool", "security-group-rule"}


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        yield scene


def who(route: Route) -> str:
    return "root" if route.permission == STAFF else "alice"


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_are_lists() -> None:
    assert len(BOTH) > 18


@pytest.mark.parametrize("route", BOTH, ids=str)
def test_a_row_of_the_list_is_what_its_address_answers(scene: Scene, route: Route, monkeypatch) -> None:
    now = database_now()
    monkeypatch.setattr(collection_api, "database_now", lambda: now)  # what is left of a balance is a little less each moment
    client = scene.cast.api(who(route))
    rows = client.get(reverse(route.name)).json()["results"]
    assert rows, "the scene has none"
    for row in rows:
        pk = row["organization" if route.name == "balance-list" else "id"]
        if pk is None:  # a declaration, as built-in roles are
            continue
        alone = client.get(reverse(f"{route.name.removesuffix('-list')}-detail", args=[pk]))
        assert list(alone.json().items()) == list(row.items())


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_long_lists_fetch_columns_and_no_rows(name: str) -> None:
    assert projection_of(SINGLE[name].view.serializer_class).columns


@pytest.mark.parametrize("route", [route for route in BOTH if route.view.ordering_fields], ids=str)
def test_every_declared_ordering_is_taken_and_its_pages_hold_all(scene: Scene, route: Route) -> None:
    client = scene.cast.api(who(route))
    for field in route.view.ordering_fields:
        for sign in ("", "-"):
            whole = client.get(reverse(route.name), {"ordering": sign + field, "limit": 500})
            assert whole.status_code == 200, whole.content
            paged, url = [], f"{reverse(route.name)}?ordering={sign}{field}&limit=1"
            while url:
                page = client.get(url).json()
                paged, url = [*paged, *page["results"]], page["next"]
            assert paged == whole.json()["results"]


@pytest.mark.parametrize("route", PLURAL, ids=str)
def test_what_a_list_does_not_take_is_refused_by_name(scene: Scene, route: Route) -> None:
    client = scene.cast.api(who(route))
    for query, field in (({"colour": "red"}, "colour"), ({"limit": "501"}, "limit"), ({"ordering": "colour"}, "ordering"),
                         ({"cursor": "x"}, "cursor")):
        if route.name == "role-list" and field != "colour":
            continue  # declarations, all on one page
        answer = client.get(reverse(route.name), query)
        assert answer.status_code == 400 and field in answer.json()["errors"], (query, answer.content)


@pytest.mark.parametrize("route", SINGLE.values(), ids=str)
def test_who_has_the_answer_already_is_told_so(scene: Scene, route: Route) -> None:
    client = scene.cast.api(who(route))
    row = scene.ours[route.model]
    url = reverse(route.name, args=[row.pk])
    first = client.get(url)
    again = client.get(url, HTTP_IF_NONE_MATCH=f'"x", W/{first["ETag"]}')
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get(url, HTTP_IF_NONE_MATCH='"x"').status_code == 200
