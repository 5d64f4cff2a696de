"""Ids and names in query strings of the API: whoever names what is hidden from them is answered as if it did not exist.

Every parameter that a route takes is in it, by what the viewsets declare: filters, `query_parameters`, what all lists have. The
pages' are in test_ids_in_page_queries.py.
"""
import json
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Model, UUIDField
from django.utils import timezone

from portal.kernel.models import AuditEvent, Resource
from portal.kernel.rest.filters import field_at
from portal.kernel.rest.pagination import Cursor
from portal.kernel.rest.rights import STAFF
from tenants.models import Organization, Project
from tests.portal.routes import Route
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import address, model_of
from tests.portal.test_more_principals import PRINCIPALS, add_principals, sees, text_of
from tests.portal.test_permission_matrix import API, client_of, is_catalogue

HIDDEN_NAME, NOBODYS_NAME = "zz-hidden", "qq-nobody"
READING = [route for route in API if route.method == "GET" and route.permission != STAFF]
CHANGING = [route for route in API if route.method != "GET"]
WHO = ("alice", "sid")
"""The owner of another organization, and the administrator of the project beside."""
SWITCHES = {"dry_run", "purge", "volumes"}
"""Parameters of what changes something: true or false, and nothing else."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One parameter of a route, with the values of hidden things and as many that nobody has."""

    name: str
    hidden: list[str]
    absent: list[str]


def parameters(route: Route) -> set[str]:
    view = route.view()
    view.action = route.action
    return view.allowed_query()


def filters(route: Route) -> dict[str, str]:
    return route.view().all_filters() if route.action == "list" else {}


def is_of_ids(route: Route, name: str) -> bool:
    return name in filters(route) and isinstance(field_at(route.model, filters(route)[name]), UUIDField)


def taking_ids(route: Route) -> set[str]:
    """Those that may be asked with an id: its filters by id, and what it declares beside filters."""
    return {name for name in parameters(route) if is_of_ids(route, name) or name in route.view.query_parameters.get(
        route.action, ())}


def hidden_from(scene: Scene, who: str) -> dict[type[Model], Any]:
    """A row of every kind that has UUIDs, of which `who` sees none but their own: of a rival, or of the project beside."""
    if who == "alice":
        found = {model: row for model, row in scene.theirs.items() if not is_catalogue(model)}
    else:
        found = {model: row for model, row in scene.ours.items() if not sees(PRINCIPALS[who], who, model)}
    return {model: row for model, row in found.items() if isinstance(row.pk, uuid.UUID)}


def pairs(route: Route, name: str, hidden: dict[type[Model], Any]) -> Iterator[Asked]:
    """What is sent: by filters, which take many values, all ids at once; by others one after the other."""
    ids = [str(row.pk) for row in hidden.values()]
    nobodys = [str(uuid.uuid4()) for _one in ids]
    if name in filters(route):
        yield Asked(name=name, hidden=ids, absent=nobodys)
    elif name == "cursor":
        row = hidden.get(route.model)
        if row is not None and route.action == "list" and (ordering := route.view.ordering):
            value = getattr(row, ordering.lstrip("-"))
            beside = uuid.UUID(int=row.pk.int ^ 1) if isinstance(row.pk, uuid.UUID) else row.pk - 1  # nothing sorts between
            yield Asked(name=name, hidden=[Cursor(ordering, False, value, row.pk).text()],
                        absent=[Cursor(ordering, False, value, beside).text()])
    else:
        kinds = [model for model in (route.model, Project, Organization) if model in hidden]
        for model in kinds if name in route.view.query_parameters.get(route.action, ()) else kinds[:1]:
            yield Asked(name=name, hidden=[str(hidden[model].pk)], absent=[str(uuid.uuid4())])
    if not is_of_ids(route, name):
        yield Asked(name=name, hidden=[HIDDEN_NAME], absent=[NOBODYS_NAME])


def masked_text(text: str) -> str:
    """An answer without what was asked for, and without what differs between any two requests."""
    text = text.replace(HIDDEN_NAME, "NAME").replace(NOBODYS_NAME, "NAME")
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)
    text = re.sub(r"<time.*?</time>", "TIME", text)
    return re.sub(r"[A-Za-z0-9+/=_%-]{16,}", "TOKEN", text)


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        add_principals(scene.cast)
        for who in WHO:  # outside of what is rolled back
            client_of(scene, who, is_api=True)
        yield scene


def named(scene: Scene, who: str) -> None:
    """All that is hidden gets a name that nothing else has."""
    projects = {row.project_id for row in hidden_from(scene, who).values() if isinstance(row, Resource)}
    Resource.objects.filter(project__in=projects).update(name=HIDDEN_NAME)
    hidden = [row for model, row in hidden_from(scene, who).items() if not isinstance(row, Resource)]
    for row in hidden:
        if not isinstance(row, AuditEvent) and any(field.name == "name" for field in row._meta.concrete_fields):
            type(row).objects.filter(pk=row.pk).update(name=HIDDEN_NAME)


UNTIL_LATELY = {"end": [(timezone.now() - timedelta(minutes=1)).isoformat()]}
"""What is used grows from one request to the next."""


def answer(scene: Scene, route: Route, who: str, query: dict[str, list[str]]) -> tuple[int, str]:
    client = client_of(scene, who, is_api=True)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    query = (UNTIL_LATELY if route.name == "usage-list" else {}) | query
    with transaction.atomic():
        response = client.get(address(route, pk), query)
        transaction.set_rollback(True)
    return response.status_code, text_of(response)


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_is_something_to_ask() -> None:
    assert sum(is_of_ids(route, name) for route in READING for name in parameters(route)) > 25
    assert {name for route in CHANGING for name in parameters(route)} <= SWITCHES, "an id there needs a test like these"


@pytest.mark.parametrize("who", WHO)
def test_what_is_hidden_is_in_a_query_as_what_is_absent(scene: Scene, who: str) -> None:
    wrong, asked = [], 0
    hidden = hidden_from(scene, who)
    with transaction.atomic():
        named(scene, who)
        for route in READING:
            for name in sorted(parameters(route) if who == WHO[0] else taking_ids(route)):
                for one in pairs(route, name, hidden):
                    theirs, nobodys = (answer(scene, route, who, {one.name: values}) for values in (one.hidden, one.absent))
                    asked += 1
                    if (theirs[0], masked_text(theirs[1])) != (nobodys[0], masked_text(nobodys[1])):
                        wrong.append((str(route), name, one.hidden, theirs[0], nobodys[0]))
                    elif theirs[0] == 200 and any(value in theirs[1] for value in one.hidden if name != "cursor"):
                        wrong.append((str(route), name, "shown"))
        transaction.set_rollback(True)
    assert wrong == []
    assert asked > (400 if who == WHO[0] else 60)


def test_what_is_ours_is_found_by_the_same_parameters(scene: Scene) -> None:
    """Or nothing above would tell anything: most filters by id, given all our ids, find something."""
    ids = [str(row.pk) for row in scene.ours.values() if isinstance(row.pk, uuid.UUID)]
    found, empty = [], []
    for route in READING:
        for name in (one for one in sorted(parameters(route)) if is_of_ids(route, one)):
            status, text = answer(scene, route, "alice", {name: ids})
            assert status == 200, (route, name)
            (found if json.loads(text).get("results") else empty).append(f"{route} {name}")
    assert len(found) > 2 * len(empty), empty
