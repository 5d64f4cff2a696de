"""The permission matrix: every route × method × role, and every id in a body, with what is to happen derived from what
the route declares. A route that declares nothing, or whose body nobody gave an example of, fails.

Roles: nobody · mallory (owner of a rival organization) · vera (viewer) · oscar (operator) · adam (administrator) ·
alice (owner) · root (superuser).
"""
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.db import transaction
from django.db.models import Model, UUIDField
from django.urls import reverse
from rest_framework import serializers

from billing.models import Entry, Export, ExportSchedule, Invoice, Payment
from portal.kernel.declarations import registry
from portal.kernel.rest.filters import field_at
from portal.kernel.rest.rights import SIGNED_IN, STAFF
from portal.kernel.rest.serializers import VisibleField
from portal.kernel.rest.views import RoomViewSet
from tenants.models import ApiKey, BrowserSession, Group, Invitation, Role
from tenants.pages import PUBLIC
from tenants.webhooks.models import Delivery, Webhook
from tests.cast import ROLES
from tests.portal.routes import FOREIGN, OPEN_API, OPEN_LINKS, OPEN_PAGES, Route, patterns, routes
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, QUESTIONS, address, key, model_of

PEOPLE = (None, "mallory", "vera", "oscar", "adam", "alice", "root")
ROLE_OF = ROLES | {"alice": "owner"}
OURS = {"vera", "oscar", "adam", "alice", "root"}
# Who sees a row that is a person's own.
ADMINISTRATORS = {"adam", "alice", "root"}
PRIVATE = {ApiKey: {"alice"}, BrowserSession: {"alice"}, Invitation: ADMINISTRATORS, Webhook: ADMINISTRATORS,
           Delivery: ADMINISTRATORS, **{model: {"alice", "root"} for model in (Invoice, Payment, Entry, Export, ExportSchedule)}}
# What is of a whole organization is changed by who manages all of it: adam manages the members of one project.
OF_THE_WHOLE = {Group, Role}
# Bills are of the whole organization, and so is how to be billed.
# Limits are set, and requests for higher ones answered, by who manages what is above the project; what a whole organization uses
# is seen by who sees all of it.
FROM_ABOVE = {"project-quotas.PUT", "organization-quotas.GET", "projects:limits.GET", "projects:limits.POST",
              "organizations:quotas.GET", "quota-request-grant.POST", "quota-request-refuse.POST", "quota_requests:grant.POST",
              "quota_requests:refuse.POST", "billing-profile-detail.GET", "billing-profile-detail.PATCH", "balance:profile.GET",
              "balance:voucher.GET", "balance:voucher.POST", "voucher-redeem.POST",
              "export-list.POST", "export-schedule-list.POST",
              "balance:top-up.GET", "balance:top-up.POST", "balance:paid.GET", "balance-detail.GET", "balance-top-up.POST",
              "balance:profile.POST"}
REMOVING = {"member-remove.POST", "members:remove.POST"}
ALL = routes()
API = [route for route in ALL if route.is_api]
PAGES = [route for route in ALL if not route.is_api]


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    """Made once: every request of the matrix is rolled back by itself, and the scene at the end."""
    with standing_scene(django_db_blocker) as scene:
        yield scene


def holds(name: str, permission: str) -> bool:
    return name == "root" or ROLE_OF.get(name) in registry.permissions[permission].roles


def expected(route: Route, name: str | None, *, names_our_project: bool) -> int:
    """200 stands for "let in", whatever becomes of it then (a conflict, a form to correct)."""
    if name is None:
        return 200 if route.permission == PUBLIC else 401
    if route.permission == STAFF:
        return 200 if name == "root" else 404
    if route.takes_an_id:
        seers = PRIVATE.get(model_of(route), OURS | ({"mallory"} if is_catalogue(model_of(route)) else set()))
        if name not in seers:
            return 404
    elif name == "mallory" and names_our_project:
        return 404
    if route.permission in (SIGNED_IN, PUBLIC) or (name == "mallory" and not route.takes_an_id):
        return 200
    is_of_the_whole = ((route.takes_an_id or route.is_api) and model_of(route) in OF_THE_WHOLE) or key(route) in REMOVING
    if name == "adam" and route.permission == "member.manage" and is_of_the_whole:
        return 403
    if key(route) in FROM_ABOVE and name in ROLES:
        return 403
    return 200 if holds(name, route.permission) else 403


def is_catalogue(model: type[Model]) -> bool:
    """Whether everybody sees it: what belongs to no project, by a column or through what it is a part of."""
    return not hasattr(model, "project") and not hasattr(model, "organization") and model._meta.label not in (
        "tenants.Organization", "tenants.Project", "tenants.User")


def answer(scene: Scene, route: Route, name: str | None, pk: object, sent: dict[str, Any] | None) -> Any:
    """One request whose effects are rolled back."""
    client = client_of(scene, name, is_api=route.is_api)
    with transaction.atomic():
        send = getattr(client, route.method.lower())
        form = {"format": "json"} if route.is_api and route.method != "GET" else {}
        response = send(address(route, pk), sent or ({} if form else None), **form)
        transaction.set_rollback(True)
    client.cookies.pop("messages", None)  # or the next page would show what this one promised
    return response


def client_of(scene: Scene, name: str | None, *, is_api: bool) -> Any:
    """Signed in once for the whole matrix."""
    clients = scene.cast.scenery
    if (name, is_api) not in clients:
        clients[name, is_api] = scene.cast.api(name) if is_api else scene.cast.browser(name)
    return clients[name, is_api]


def status(response: Any) -> int:
    """The answer as the matrix counts: the sign-in page is 401, being let in 200."""
    if response.status_code == 302 and "/accounts/login" in response["Location"]:
        return 401
    return 200 if response.status_code in (200, 201, 202, 204, 302, 409) else response.status_code


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_every_route_declares_what_it_needs() -> None:
    silent = [str(route) for route in ALL if route.permission is None]
    assert silent == [], "declare `permissions` in the viewset, or `@page(...)` on the view"
    known = {*registry.permissions, SIGNED_IN, STAFF, PUBLIC}
    assert [str(route) for route in ALL if route.permission not in known] == []
    assert len(API) > 40 and len(PAGES) > 20


def test_the_resolver_is_read_whole() -> None:
    paths = {path for path, _name, _pattern in patterns()}
    seen = {route.path for route in ALL}
    left = {path for path, name, _pattern in patterns() if path not in seen}
    assert all(path.startswith(FOREIGN) or name in OPEN_API | OPEN_PAGES | OPEN_LINKS
               for path, name, _pattern in patterns() if path in left)
    assert len(paths) > 60


@pytest.mark.parametrize("route", API, ids=str)
def test_api(scene: Scene, route: Route) -> None:
    sent = BODIES.get(key(route), lambda scene: {})(scene) if route.method != "GET" else None
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    found = {name: status(answer(scene, route, name, pk, sent)) for name in PEOPLE}
    names_ours = any(value in tenants_ids(scene) for value in (sent or {}).values() if isinstance(value, str))
    assert found == {name: expected(route, name, names_our_project=names_ours) for name in PEOPLE}


def tenants_ids(scene: Scene) -> set[str]:
    """Of all that is ours, and hidden from others."""
    return {str(row.pk) for row in scene.ours.values() if not is_catalogue(type(row))}


@pytest.mark.parametrize("route", PAGES, ids=str)
def test_pages(scene: Scene, route: Route) -> None:
    sent = FORMS.get(key(route), lambda scene: {})(scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    found = {name: status(answer(scene, route, name, pk, sent)) for name in PEOPLE}
    names_ours = "project" in sent or route.name == "profile:leave"
    want = {name: expected(route, name, names_our_project=names_ours) for name in PEOPLE}
    # A form that is sent back for correction was let in too.
    assert {name: 200 if code == 400 else code for name, code in found.items()} == want


def is_for_everybody(route: Route) -> bool:
    return is_catalogue(model_of(route)) and route.permission != STAFF


@pytest.mark.parametrize("route", [one for one in ALL if one.takes_an_id and not is_for_everybody(one)], ids=str)
def test_what_is_hidden_answers_like_what_is_absent(scene: Scene, route: Route) -> None:
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene) or None
    hidden = answer(scene, route, "mallory", scene.ours[model_of(route)].pk, sent)
    absent = answer(scene, route, "mallory", uuid.uuid4(), sent)
    assert hidden.status_code == absent.status_code == 404
    assert masked(hidden) == masked(absent)


def masked(response: Any) -> str:
    """The answer without what differs between any two requests: ids, nonces, CSRF tokens, and how long ago a thing was
    (the scene turns a minute old between two requests)."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", response.content.decode())
    text = re.sub(r"<time.*?</time>", "TIME", text)
    return re.sub(r"[A-Za-z0-9+/=_-]{16,}", "TOKEN", text)


TENANTS_LISTS = [route for route in API
                 if route.action == "list" and route.permission != STAFF and not is_catalogue(route.model)]


@pytest.mark.parametrize("route", TENANTS_LISTS, ids=str)
def test_lists_show_a_rival_nothing_of_ours(scene: Scene, route: Route) -> None:
    seen = answer(scene, route, "mallory", None, None).content.decode()
    for row in scene.ours.values():
        if not is_catalogue(type(row)):
            assert (str(row.pk) if is_named_by_uuid(row) else f'"id":{row.pk},') not in seen


def is_named_by_uuid(row: Model) -> bool:
    """Others are parts, numbered throughout the site, and no answer names them."""
    return isinstance(row.pk, uuid.UUID)


# -- ids in bodies --

def id_fields(serializer: serializers.Serializer, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in serializer.fields.items():
        inner = getattr(field, "child", field)
        here = (*path, name, *(("0",) if inner is not field else ()))
        if isinstance(inner, serializers.Serializer):
            yield from id_fields(inner, here)
        else:
            yield here, inner


def bodied() -> list[tuple[Route, tuple[str, ...], VisibleField]]:
    return [(route, path, field) for route in API if route.action in route.view.bodies
            for path, field in id_fields(route.view.bodies[route.action]()) if isinstance(field, VisibleField)]


def model_behind(field: VisibleField) -> type[Model]:
    return getattr(field.queryset, "model", field.queryset)


def replaced(body: dict[str, Any], path: tuple[str, ...], value: str) -> dict[str, Any]:
    """The body with another id at the place (a list has one entry)."""
    name, *rest = path
    if not rest:
        return body | {name: value}
    if rest == ["0"]:
        return body | {name: [value]}
    return body | {name: [replaced(body[name][0], tuple(rest[1:]), value)]}


def test_bodies_take_ids_through_the_one_door() -> None:
    """A bare UUID field in a body would be an id that nobody checks."""
    bare = [f"{route} {'.'.join(path)}" for route in API if route.action in route.view.bodies
            for path, field in id_fields(route.view.bodies[route.action]()) if isinstance(field, serializers.UUIDField)]
    assert bare == []
    assert len(bodied()) >= 8


@pytest.mark.parametrize(("route", "path", "field"), bodied(), ids=lambda value: ".".join(value) if isinstance(
    value, tuple) else "" if isinstance(value, VisibleField) else str(value))
def test_a_rivals_id_in_a_body_is_answered_like_a_random_one(scene: Scene, route: Route, path: tuple[str, ...],
                                                            field: VisibleField) -> None:
    body = BODIES[key(route)](scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    rival = scene.theirs[model_behind(field)]
    who = "root" if route.permission == STAFF else "alice"
    absent = answer(scene, route, who, pk, replaced(body, path, str(uuid.uuid4())))
    assert absent.status_code == 404 and list(absent.json()["errors"]) == [".".join(path)]
    if who == "alice" and not is_catalogue(model_behind(field)):
        hidden = answer(scene, route, who, pk, replaced(body, path, str(rival.pk)))
        assert (hidden.status_code, masked(hidden)) == (absent.status_code, masked(absent))
    for nonsense in ("", "x", "../../etc", "00000000", "\N{SNOWMAN}"):
        assert answer(scene, route, who, pk, replaced(body, path, nonsense)).status_code == 400


# -- ids in forms and in filters --

def ids_in_forms() -> list[tuple[Route, str]]:
    """Every field of an example form that carries an id; asked of a scene of names, so that no row is needed yet."""
    class Marked:
        """Stands for any row: its id says that it is one."""

        pk, name, cast, ours = "an id", "", None, None

        def __getitem__(self, _model: object) -> "Marked":
            return self

    row = Marked()
    row.cast, row.ours, row.project = row, row, row
    return [(route, name) for route in PAGES for name, value in FORMS.get(key(route), lambda _row: {})(row).items()
            if value == "an id"]


@pytest.mark.parametrize(("route", "field"), ids_in_forms(), ids=str)
def test_a_rivals_id_in_a_form_is_answered_like_a_random_one(scene: Scene, route: Route, field: str) -> None:
    form = FORMS[key(route)](scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    model = next(model for model, row in scene.ours.items() if str(row.pk) == form[field])
    absent = answer(scene, route, "alice", pk, form | {field: str(uuid.uuid4())})
    # A verb on many rows says of each what became of it; the answer as a whole is a list.
    changes = route.method == "POST" and route.name not in QUESTIONS and ":bulk-" not in route.name
    assert absent.status_code in ((400, 404) if changes else (200, 404))
    if not is_catalogue(model):
        hidden = answer(scene, route, "alice", pk, form | {field: str(scene.theirs[model].pk)})
        assert (hidden.status_code, masked(hidden)) == (absent.status_code, masked(absent))
    for nonsense in ("x", "../../etc", "\0", "9" * 400):
        assert answer(scene, route, "alice", pk, form | {field: nonsense}).status_code in (200, 400, 404)


def id_filters() -> list[tuple[Route, str]]:
    return [(route, name) for route in TENANTS_LISTS for name, path in filters_of(route.view).items()
            if isinstance(field_at(route.model, path), UUIDField)]


def filters_of(view: type[RoomViewSet]) -> dict[str, str]:
    return view().all_filters()


@pytest.mark.parametrize(("route", "name"), id_filters(), ids=str)
def test_a_filter_by_a_rivals_id_is_answered_like_one_by_a_random_one(scene: Scene, route: Route, name: str) -> None:
    theirs = [row for row in scene.theirs.values() if not is_catalogue(type(row)) and is_named_by_uuid(row)]
    for row in {type(row): row for row in theirs}.values():
        hidden = scene_get(scene, route, {name: str(row.pk)})
        absent = scene_get(scene, route, {name: str(uuid.uuid4())})
        assert hidden.status_code == absent.status_code == 200
        assert hidden.json()["results"] == absent.json()["results"] == []


def scene_get(scene: Scene, route: Route, query: dict[str, str]) -> Any:
    return client_of(scene, "alice", is_api=True).get(address(route, None), query)


# -- keys, admin, what is open to all --

BEYOND_THE_SCOPE = [route for route in API if route.permission in registry.permissions
                    and route.permission != "project.view" and route.action != "list"]


@pytest.mark.parametrize("route", BEYOND_THE_SCOPE, ids=str)
def test_a_key_without_the_scope_is_let_in_nowhere(scene: Scene, route: Route) -> None:
    """The owner's key that may only see the project: hidden or refused, whatever its owner may do."""
    client = scene.cast.scenery.get("narrow") or scene.cast.scenery.setdefault(
        "narrow", scene.cast.key("alice", scopes=["project.view"]))
    sent = BODIES.get(key(route), lambda scene: {})(scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    with transaction.atomic():
        arguments = {} if route.method == "GET" else {"data": sent, "format": "json"}
        response = getattr(client, route.method.lower())(address(route, pk), **arguments)
        transaction.set_rollback(True)
    assert response.status_code in (403, 404)


def test_the_operators_site_is_for_staff_alone(scene: Scene) -> None:
    names = ["admin:index", *(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
                              for model in admin.site._registry)]
    assert len(names) > 3
    for name in names:
        for who in (None, "mallory", "alice"):
            response = client_of(scene, who, is_api=False).get(reverse(name))
            assert response.status_code == 302 and "login" in response["Location"], (name, who)
        assert client_of(scene, "root", is_api=False).get(reverse(name)).status_code == 200, name


@pytest.mark.parametrize("name", sorted(OPEN_PAGES))
def test_strangers_from_afar_learn_no_details(scene: Scene, name: str) -> None:
    response = scene.cast.browser(None).get(reverse(name), REMOTE_ADDR="198.51.100.7")
    text = response.content.decode()
    assert response.status_code in (200, 403, 404, 405, 503)
    assert "checks" not in text and "mains_" not in text and "sim-1" not in text
