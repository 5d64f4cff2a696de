"""The permission matrix for who may no longer do what they did: members of a suspended organization in each of its roles, by
session and by key, and somebody who was made inactive while signed in. What they are answered is derived from the matrix of
the same people before (test_permission_matrix.py).
"""
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import transaction

from portal.kernel.declarations import registry
from tenants import structure
from tenants.models import Invitation, User
from tenants.roles import bind
from tests.portal.routes import Route
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, address, key, model_of
from tests.portal.test_permission_matrix import API, PAGES, answer, client_of, expected, status, tenants_ids

MEMBERS = ("alice", "adam", "oscar", "vera")
OTHER = "mallory"
PARTS = {"api": API, "pages": PAGES}


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    """Everybody is signed in first; then Acme is suspended, and gone, its second owner, made inactive."""
    with standing_scene(django_db_blocker) as scene:
        cast = scene.cast
        cast.people["gone"] = User.objects.create(username="gone", email="gone@example.org")
        bind(cast.gone, "owner", cast.organization)
        for name in (*MEMBERS, OTHER, "gone"):
            for is_api in (True, False):
                client_of(scene, name, is_api=is_api)
        cast.scenery["key"] = cast.key("alice")
        structure.suspend_organization(cast.organization, reason="unpaid", actor=cast.root)
        User.objects.filter(pk=cast.gone.pk).update(is_active=False)
        yield scene


def asked(scene: Scene, route: Route, name: str) -> tuple[Any, bool]:
    """The answer, and whether the request names something of ours besides its address."""
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene)
    if route.is_api and route.method == "GET":
        sent = None
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    names_ours = any(value in tenants_ids(scene) for value in (sent or {}).values() if isinstance(value, str))
    return answer(scene, route, name, pk, sent), names_ours if route.is_api else (
        "project" in (sent or {}) or route.name == "profile:leave")


def is_looking(permission: str) -> bool:
    """What suspension leaves: to look, and to put an end to one's own keys."""
    return permission not in registry.permissions or permission.endswith(".view") or permission == "apikey.manage"


def while_suspended(route: Route, name: str, *, names_ours: bool) -> set[int]:
    """What a member is answered; what needs no permission may be refused as well where it would change something."""
    before = expected(route, name, names_our_project=names_ours)
    if route.takes_an_id and model_of(route) is Invitation and before in (200, 403):
        return {404}  # who may not invite sees no invitations
    if before == 200 and not is_looking(route.permission):
        return {403}
    if before == 200 and route.permission not in registry.permissions and route.method != "GET":
        return {200, 403, 404}
    return {before}


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_are_routes_that_suspension_closes_and_others() -> None:
    closed = [route for route in (*API, *PAGES) if not is_looking(route.permission)]
    assert len(closed) > 50 and len(API) + len(PAGES) - len(closed) > 50


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("part", PARTS)
def test_members_of_a_suspended_organization_look_and_change_nothing(scene: Scene, name: str, part: str) -> None:
    wrong, closed = {}, 0
    for route in PARTS[part]:
        response, names_ours = asked(scene, route, name)
        code = 200 if (code := status(response)) == 400 else code
        if code not in (want := while_suspended(route, name, names_ours=names_ours)):
            wrong[str(route)] = (code, want, route.permission)
        elif want == {403} and expected(route, name, names_our_project=names_ours) == 200:
            closed += 1
            if route.is_api and response.json()["code"] != "organization_suspended":
                wrong[str(route)] = response.json()["code"]
    assert wrong == {}
    assert closed or name == "vera", "nothing was closed: was the organization suspended at all?"


@pytest.mark.parametrize("part", PARTS)
def test_who_was_made_inactive_while_signed_in_is_a_stranger_everywhere(scene: Scene, part: str) -> None:
    wrong = {}
    for route in PARTS[part]:
        response, names_ours = asked(scene, route, "gone")
        code = 200 if (code := status(response)) == 400 else code
        if code != (want := expected(route, None, names_our_project=names_ours)):
            wrong[str(route)] = (code, want)
    assert wrong == {}


def test_their_keys_do_no_more_than_their_owners(scene: Scene) -> None:
    """What needs a permission: some things no key does, suspended or not."""
    wrong = {}
    for route in (one for one in API if one.permission in registry.permissions):
        sent = BODIES.get(key(route), lambda scene: {})(scene) if route.method != "GET" else None
        pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
        with transaction.atomic():
            form = {} if route.method == "GET" else {"format": "json"}
            send = getattr(scene.cast.scenery["key"], route.method.lower())
            response = send(address(route, pk), sent or ({} if form else None), **form)
            transaction.set_rollback(True)
        code = 200 if (code := status(response)) == 400 else code
        if code not in (want := while_suspended(route, "alice", names_ours=False) | (
                {403} if not route.permission.endswith(".view") else set())):
            wrong[str(route)] = (code, want, route.permission)
    assert wrong == {}


def test_nobody_else_is_answered_otherwise(scene: Scene) -> None:
    wrong = {}
    for route in API:
        response, names_ours = asked(scene, route, OTHER)
        code = 200 if (code := status(response)) == 400 else code
        if code != (want := expected(route, OTHER, names_our_project=names_ours)):
            wrong[str(route)] = (code, want, route.permission)
    assert wrong == {}
