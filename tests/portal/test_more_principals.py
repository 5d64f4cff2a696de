"""The permission matrix for those whose rights are not one of the four roles in our project: every route, what each is answered
derived from what they hold, by the same declarations and none of the code that decides.

    bill    the role `billing` in `web`              sid   administrator of a project beside `web`, of the same organization
    rita    a role of the organization's own,        exa   was a viewer of `web` until yesterday
            with three permissions, in `web`         keys  of alice: narrow (scopes), of the project beside, expired, revoked,
                                                           and of somebody who was made inactive

Members of suspended organizations are in test_suspended_members.py, websockets in test_socket_principals.py and
tests/console/test_principals.py.
"""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from billing.models import Credit, Entry, Export, ExportSchedule, Invoice, Payment
from compute.instances.models import Instance
from compute.network.models import Subnet
from portal.kernel.declarations import registry
from portal.kernel.rest.rights import SIGNED_IN, STAFF
from storage.models import Image
from tenants import operations, people
from tenants.models import ApiKey, Binding, BrowserSession, Group, Invitation, Organization, Project, Role, User
from tenants.pages import PUBLIC
from tenants.roles import bind, permissions_of
from tests.cast import Cast
from tests.portal.routes import Route
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, address, key, model_of
from tests.portal.test_permission_matrix import API, PAGES, is_catalogue, masked, status, tenants_ids
from tests.tenants.people.conftest import fresh

RITAS = ("instance.view", "operation.view", "project.view")
PERSONAL = {ApiKey, BrowserSession}
"""Seen by whom they are of, and nobody else."""
OF_THE_BOOKS = {Invoice, Entry, Payment, Export, ExportSchedule}
"""Seen by who sees bills of a whole organization: none of these people does."""


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Somebody, with what they hold in our project and elsewhere."""

    here: frozenset[str] = frozenset()
    beside: frozenset[str] = frozenset()
    is_member: bool = True
    by_key: bool = False


PRINCIPALS = {
    "bill": Principal(here=permissions_of("billing")), "rita": Principal(here=frozenset(RITAS)),
    "sid": Principal(beside=permissions_of("admin")), "exa": Principal(is_member=False),
    "narrow key": Principal(here=frozenset(RITAS), by_key=True),
    "key beside": Principal(beside=permissions_of("owner"), by_key=True, is_member=False)}
DEAD = ("expired key", "revoked key", "key of an inactive person", "key of nobody")


def add_principals(cast: Cast) -> None:
    """The people, and the keys' clients in `cast.scenery`."""
    beside = operations.create_project(cast.organization, "beside", actor=None)
    for name in ("bill", "rita", "sid", "exa", "gone"):
        cast.people[name] = User.objects.create(username=name, email=f"{name}@example.org")
    bind(cast.bill, "billing", cast.project)
    bind(cast.sid, "admin", beside)
    bind(cast.exa, "viewer", cast.project)
    people.remove_member(cast.exa, cast.organization, actor=fresh(cast.alice))
    role = people.create_role(cast.organization, "reader", RITAS, actor=fresh(cast.alice))
    bind(cast.rita, str(role.pk), cast.project)
    bind(cast.gone, "viewer", cast.project)
    clients = cast.scenery
    clients["narrow key"], clients["key beside"] = cast.key("alice", scopes=list(RITAS)), cast.key("alice", project=beside)
    for name in DEAD:
        clients[name] = cast.key("gone" if "inactive" in name else "alice")
        made = ApiKey.objects.latest("created_at")
        if name.startswith("expired"):
            ApiKey.objects.filter(pk=made.pk).update(expires_at=timezone.now())
        elif name.startswith("revoked"):
            operations.revoke_api_key(made, actor=cast.alice)
        elif name.endswith("nobody"):
            clients[name].credentials(HTTP_AUTHORIZATION="Bearer mns_nothing_of_the_kind")
    User.objects.filter(pk=cast.gone.pk).update(is_active=False)


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        add_principals(scene.cast)
        yield scene


def client(scene: Scene, name: str, route: Route) -> Any:
    clients = scene.cast.scenery
    if route.is_api and name in clients:
        return clients[name]
    if (name, route.is_api) not in clients:
        clients[name, route.is_api] = scene.cast.api(name) if route.is_api else scene.cast.browser(name)
    return clients[name, route.is_api]


def answer(scene: Scene, route: Route, name: str) -> Any:
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    who = client(scene, name, route)  # whoever signs in does so outside of what is rolled back
    with transaction.atomic():
        form = {"format": "json"} if route.is_api and route.method != "GET" else {}
        data = None if route.is_api and route.method == "GET" else sent or ({} if form else None)
        response = getattr(who, route.method.lower())(address(route, pk), data, **form)
        transaction.set_rollback(True)
    who.cookies.pop("messages", None)
    return response


SEEING = {route.model: route.permission for route in API if route.action == "retrieve"}
"""What seeing a row of a kind needs."""


def sees(principal: Principal, name: str, model: type[Model]) -> bool:
    """Whether the row of ours is shown at all."""
    if is_catalogue(model):
        return True
    if model in PERSONAL | OF_THE_BOOKS:
        return False
    if model is Organization:
        return principal.is_member
    if model is Credit:  # of the whole organization: it pays for whatever they may see the cost of
        return "usage.view" in principal.here | principal.beside
    if model is Project:
        return "project.view" in principal.here
    if model in (Group, Role):  # of the whole organization: whoever may see members of any of its projects
        return principal.is_member and "member.view" in principal.here | principal.beside
    if model in (User, Binding):
        return "member.view" in principal.here
    wanted = "member.manage" if model is Invitation else SEEING.get(model)
    return wanted is None or wanted in principal.here


def expected(scene: Scene, route: Route, name: str) -> set[int]:
    """The answers that are right; 200 is being let in. Two where the order of two refusals is nobody's promise."""
    principal, permission = PRINCIPALS[name], route.permission
    if permission == PUBLIC:
        return {200}
    if permission == STAFF:
        return {404}
    if route.takes_an_id:
        model = model_of(route)
        if not sees(principal, name, model):
            return {404}
        if permission == SIGNED_IN:
            return {200, 403, 404}
        if model is Organization:  # only alice's own key holds anything in all of it
            return {200 if name == "narrow key" and permission in principal.here else 403}
        if model in (Group, Role, Credit):
            return {200 if permission.endswith(".view") else 403}
        return {200} if permission in principal.here else {403}
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene)
    names_ours = any(value in tenants_ids(scene) for value in sent.values() if isinstance(value, str)) or "scope" in sent
    held = principal.here | principal.beside
    if route.is_api and route.method == "GET":
        return {200, 403}
    if permission == SIGNED_IN and principal.by_key:
        return {200, 403, 404}  # some things a narrow key does not do for its owner
    if permission != SIGNED_IN and permission not in held:
        return {403} if held or route.is_api else {200, 404}
    return {200, 403, 404} if names_ours else {200}


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_every_principal_holds_something_else() -> None:
    assert len({(one.here, one.beside, one.is_member, one.by_key) for one in PRINCIPALS.values()}) == len(PRINCIPALS)
    assert len(API) > 100 and len(PAGES) > 100


@pytest.mark.parametrize("name", PRINCIPALS)
@pytest.mark.parametrize("part", ["api", "pages"])
def test_what_each_is_answered_everywhere(scene: Scene, name: str, part: str) -> None:
    if part == "pages" and PRINCIPALS[name].by_key:
        pytest.skip("pages know no keys")
    wrong = {}
    for route in API if part == "api" else PAGES:
        code = status(answer(scene, route, name))
        code = 200 if code == 400 else code
        if code not in (want := expected(scene, route, name)):
            wrong[str(route)] = (code, want, route.permission)
    assert wrong == {}


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_key_opens_nothing_and_says_so_alike_everywhere(scene: Scene, name: str) -> None:
    answers = {str(route): answer(scene, route, name) for route in API}
    assert {code for one in answers.values() if (code := one.status_code)} == {401}
    assert len({masked(one) for one in answers.values()}) == 1, "nothing of the route, nor which of the reasons"
    assert masked(answers[str(API[0])]) == masked(answer(scene, API[0], "key of nobody"))


@pytest.mark.parametrize("name", PRINCIPALS)
def test_nothing_of_ours_that_is_hidden_is_in_any_list_or_file(scene: Scene, name: str) -> None:
    """Lists, their CSV and JSON files, whatever filters name: ids of rows that one may not see are in none of them."""
    principal, leaks = PRINCIPALS[name], []
    hidden = {str(row.pk): model for model, row in scene.ours.items()
              if not sees(principal, name, model) and not told_elsewhere(principal, model)}
    reading = [route for route in (*API, *PAGES) if route.method == "GET" and not route.takes_an_id and route.permission != STAFF
               and not (principal.by_key and not route.is_api)]
    for route in reading:
        for query in ({}, {"format": "csv"}, {"format": "jsonl"}) if not route.is_api else ({}, {"limit": "500"}):
            who = client(scene, name, route)
            with transaction.atomic():
                response = who.get(address(route, None), query)
                transaction.set_rollback(True)
            text = text_of(response)
            leaks += [(str(route), query, model.__name__) for pk, model in hidden.items() if pk in text]
    assert leaks == [] and hidden


def text_of(response: Any) -> str:
    """Of a page, or of a file that is written while it is sent."""
    async def whole() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    return (async_to_sync(whole)() if response.streaming and response.is_async else response.getvalue()).decode(errors="replace")


NAMED_BY = {"operation.view": {Image}, "instance.view": {Image, Subnet}, "usage.view": {Instance}}
"""What a row that one sees names by its id: an operation its target, an instance its image and subnets, usage what was used."""


def told_elsewhere(principal: Principal, model: type[Model]) -> bool:
    """Whoever is in an organization with anything knows its id."""
    held = principal.here | principal.beside
    return (model is Organization and bool(held)) or any(model in NAMED_BY[name] for name in NAMED_BY.keys() & held)


def test_what_is_declared_is_what_the_principals_are_measured_by() -> None:
    assert set(RITAS) <= registry.permissions.keys() and set(SEEING.values()) - {SIGNED_IN, STAFF} <= registry.permissions.keys()
