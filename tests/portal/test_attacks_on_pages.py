"""Attacks on what pages and lists read from an address: forged cursors, orders by what is hidden, words that PostgreSQL cannot
hold, redirects to elsewhere, forms of other sites. Nothing breaks, nothing tells, nobody is led away."""
import base64
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.db.models import UUIDField
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.instances.lists.instances import InstanceList
from compute.instances.models import Instance
from portal.kernel.errors import InvalidInput
from portal.kernel.lists import export, keys
from portal.kernel.rest.filters import field_at
from portal.kernel.rest.views import Listed
from portal.lists import ApiKeyList, OperationList
from tests.portal.routes import routes
from tests.portal.scenery import Scene, standing_scene

ALL = routes()
PAGES = [route for route in ALL if route.method == "GET" and not route.takes_an_id and not route.is_api]
LISTS = [route for route in ALL if route.is_api and route.action == "list" and issubclass(route.view, Listed)]
# What pages read from their address, but for what refuses nonsense before anything else is read.
WORDS = ("q", "to", "mail", "name", "tag", "state", "zone", "kind", "host", "vpc", "ordering", "more", "image", "type", "tab",
         "lang", "theme", "size", "field")
HIDDEN = ("project__organization__name", "vnc_password", "user_data", "secret_hash", "owner__password", "host", "-target__name",
          "name,created_at", "?", "pk__in", "\0")
NOBODY = "5f0c2c1e-5f4e-4f0e-9a43-3f8d6a1b2c3d"
FORGED: tuple[Any, ...] = (None, True, 2**70, -1, 0.5, [], {}, "", "x", "\0", "0001-01-01T00:00:00+23:59",
                           "9999-12-31T23:59:59-23:59", "10.0.0.0/999", "9" * 5000)


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    """One scene for the module, in a transaction that ends with it."""
    with standing_scene(django_db_blocker) as scene:
        yield scene


def status(client: Client, path: str, query: dict[str, str]) -> int:
    """Of the answer; a statement that PostgreSQL refuses does not end the module's transaction."""
    with transaction.atomic():
        answer = client.get(path, query)
        transaction.set_rollback(True)
    return answer.status_code


def forged(ordering: str, value: object, pk: object) -> str:
    return base64.urlsafe_b64encode(json.dumps([ordering, False, value, pk]).encode()).decode().rstrip("=")


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_is_something_to_attack() -> None:
    assert len(PAGES) > 20 and len(LISTS) > 20


def test_no_word_breaks_a_page(scene: Scene) -> None:
    client = scene.cast.browser("root")
    broken = [route.name for route in PAGES if status(client, reverse(route.name), dict.fromkeys(WORDS, "a\0b")) >= 500]
    assert not broken


def test_no_forged_cursor_breaks_a_list(scene: Scene) -> None:
    """Read as both kinds of lists read it: the answer is a page or InvalidInput, never an error of PostgreSQL's."""
    taken = refused = 0
    for route in LISTS:
        rows = route.view.queryset.all()
        pk = str(rows.values_list("pk", flat=True).first())
        for ordering in {route.view.ordering, *route.view.ordering_fields}:
            texts = [*(forged(ordering, value, pk) for value in FORGED), *(forged(ordering, "x", value) for value in FORGED)]
            for text in (*texts, "", "=", "é", "W10", forged("-secret_hash", "x", pk), forged("pk", pk, pk)):
                try:
                    with transaction.atomic():
                        keys(rows, ordering, text or "=", 1)
                    taken += 1
                except InvalidInput:
                    refused += 1
    assert taken > 50 and refused > 500


@pytest.mark.parametrize("path", ["instances", "api-keys", "members", "operations", "volumes"])
def test_what_is_hidden_orders_no_list(scene: Scene, path: str) -> None:
    api = scene.cast.api("mallory")
    assert [one for one in HIDDEN if status(api, f"/api/v1/{path}/", {"ordering": one}) != 400] == []


@pytest.mark.parametrize("ordering", HIDDEN)
def test_what_is_hidden_orders_no_page(ordering: str) -> None:
    request = RequestFactory().get("/", {"ordering": ordering})
    request.user = AnonymousUser()
    for listing in (InstanceList, ApiKeyList, OperationList):
        assert listing(request).sorted_by == listing.ordering


def test_a_filter_by_others_ids_tells_as_much_as_one_by_nobodys(scene: Scene) -> None:
    """Whose rows there are is the same whether the ids exist or not, in every filter that names a row."""
    api, told, filters = scene.cast.api("mallory"), [], 0
    ids = [str(row.pk) for model, row in scene.ours.items() if row is not scene.theirs.get(model) and isinstance(row.pk, UUID)]
    for route in LISTS:
        for name, path in route.view().all_filters().items():
            if isinstance(field_at(route.view.queryset.model, path), UUIDField):
                found = api.get(reverse(route.name), {name: ids})
                filters += found.status_code == 200
                told += [(route.name, name)] if found.json().get("results") else []
    assert filters > 20 and not told


# -- forms of other sites, and ways out --

def test_no_form_of_another_site_is_taken(scene: Scene) -> None:
    """Every address that changes something asks for the site's own token, also of the API when a session asks."""
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(scene.cast.root)
    taken = []
    for route in ALL:
        # Programs that read mails unsubscribe without a cookie, by a signed address (RFC 8058).
        if route.method == "GET" or route.name == "notifications:unsubscribe":
            continue
        here = reverse(route.name, args=[NOBODY] if route.takes_an_id else [])
        kind = "application/json" if route.is_api else "application/x-www-form-urlencoded"
        answer = client.generic(route.method, here, "{}", kind)
        if answer.status_code != 403:
            taken.append((str(route), answer.status_code))
    assert not taken


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example/", "javascript:alert(1)//evil",
                                "\t//evil.example"])
def test_nobody_is_led_away(scene: Scene, to: str) -> None:
    client = scene.cast.browser("alice")
    for path in ("/region/", "/i18n/setlang/"):
        answer = client.post(path, {"region": "", "language": "en", "next": to})
        assert answer.status_code in (204, 302) and "evil" not in answer.get("Location", ""), path
    assert "evil" not in client.get("/switch/", {"to": to}, headers={"HX-Request": "true"}).content.decode()
    assert "evil" not in client.get("/accounts/login/", {"next": to}).get("Location", "")


# -- many rows at once --

def test_ten_thousand_rows_are_refused_before_any_is_read(scene: Scene) -> None:
    client = scene.cast.browser("alice")
    sent = {"id": [str(UUID(int=number)) for number in range(10_000)], "confirmed": "1", "typed_count": "10000"}
    with CaptureQueriesContext(connection) as asked:
        assert client.post("/instances/bulk/purge/", sent).status_code == 400
    assert not any("instances_instance" in query["sql"] for query in asked)


def test_ids_under_any_spelling_are_one_row(scene: Scene) -> None:
    pk = scene.ours[Instance].pk
    sent = {"id": [str(pk), pk.hex, f"urn:uuid:{pk}", f"{{{pk}}}", str(pk).upper()]}
    with transaction.atomic():
        text = scene.cast.browser("alice").post("/instances/bulk/purge/", sent).content.decode()
        transaction.set_rollback(True)
    assert "Type 1 to confirm" in text


# -- files --

@pytest.mark.parametrize("text", ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "=1", "@x"])
def test_no_sign_begins_a_formula(text: str) -> None:
    assert export.cell(text) == f"'{text}"


def test_no_other_separator_makes_a_cell_of_its_own() -> None:
    """Spreadsheets of half the world split at semicolons."""
    assert export.lines([["a;=1+1", "b", 1]]) == '"a;=1+1","b","1"\r\n'
