"""The live websocket's rows of the permission matrix: everybody opens a page at once, something happens in every project, and
each hears of exactly those in which they hold `project.view`. Consoles: tests/console/test_principals.py.
"""
import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from compute.network.models import SecurityGroup
from portal.asgi import application
from portal.kernel.sockets import LOOK_S
from tenants import operations, structure
from tenants.models import Project, User
from tenants.roles import bind, permissions_of
from tests.cast import ROLES, Cast, make_cast
from tests.portal.test_more_principals import DEAD, PRINCIPALS, add_principals

SEE = "project.view"
TOLD_S = 3 * LOOK_S
"""Until everybody has been told of what the database alone knows: nobody rings here."""
KEYS = ("narrow key", "key beside", *DEAD)


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What a browser or a program shows, and the projects (by name) that it is to hear of; None where it is refused."""

    cookie: str = ""
    bearer: str = ""
    hears: frozenset[str] | None = None


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """Beside the matrix' people: sue and mia, operators of an organization that is suspended, and of one that requires a second
    factor, which mia does not have."""
    cast = make_cast()
    add_principals(cast)
    for name in ("sue", "mia"):
        cast.people[name] = User.objects.create(username=name, email=f"{name}@example.org")
        organization = operations.create_organization(f"Of {name}", owner=cast.alice, actor=None)
        project = operations.create_project(organization, f"of {name}", actor=None)
        bind(cast.people[name], "operator", project)
        cast.people["alice"] = User.objects.get(pk=cast.alice.pk)
        if name == "sue":
            structure.suspend_organization(organization, reason="unpaid", actor=cast.root)
        else:
            operations.change_organization(organization, requires_mfa=True, actor=cast.root)
    return cast


def callers(cast: Cast) -> dict[str, Caller]:
    """Everybody, and what each is to hear, by what they hold."""
    own = {"alice": {"web", "beside", "of sue"}, "mallory": {"own"}, "sue": {"of sue"}, "mia": set(),
           "root": set(Project.objects.values_list("name", flat=True)), "gone": None,
           **{name: {"web"} if SEE in permissions_of(role) else set() for name, role in ROLES.items()},
           **{name: {*({"web"} if SEE in one.here else ()), *({"beside"} if SEE in one.beside else ())}
              for name, one in PRINCIPALS.items() if not one.by_key}}
    found = {name: Caller(cookie=cast.browser(name).cookies[settings.SESSION_COOKIE_NAME].value,
                           hears=None if heard is None else frozenset(heard))
             for name, heard in own.items()}
    for name in KEYS:  # pages are for browsers: no key opens this socket, alive or dead
        found[name] = Caller(bearer=cast.scenery[name]._credentials["HTTP_AUTHORIZATION"].removeprefix("Bearer "))
    return found | {"nobody": Caller(), "a session of nobody": Caller(cookie="f" * 32)}


def knocking(caller: Caller) -> ApplicationCommunicator:
    headers = [(b"host", b"testserver")]
    headers += [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={caller.cookie}".encode())] if caller.cookie else []
    headers += [(b"authorization", f"Bearer {caller.bearer}".encode())] if caller.bearer else []
    return ApplicationCommunicator(application, {
        "type": "websocket", "path": "/ws/live/", "raw_path": b"/ws/live/", "query_string": b"", "scheme": "ws",
        "headers": headers, "subprotocols": [], "client": ("127.0.0.1", 7), "extensions": {}})


async def heard_by(everybody: dict[str, Caller], happen: Any) -> tuple[dict[str, dict[str, Any]], dict[str, set[str]]]:
    """How each was refused, and the ids that those who were let in heard of."""
    sockets, refused, heard = {}, {}, {}
    for name, caller in everybody.items():
        socket = sockets[name] = knocking(caller)
        await socket.send_input({"type": "websocket.connect"})
        if (first := await socket.receive_output(10))["type"] != "websocket.accept":
            refused[name] = first
            await sockets.pop(name).wait(5)
    await sync_to_async(happen)()
    await asyncio.sleep(TOLD_S)
    for name, socket in sockets.items():
        heard[name] = set()
        while not socket.output_queue.empty():
            message = await socket.receive_output(1)
            assert message["type"] == "websocket.send", (name, message)
            heard[name].add(json.loads(message["text"])["id"])
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait(5)
    return refused, heard


def test_everybody_hears_of_the_projects_that_they_see_and_of_no_other(cast: Cast) -> None:
    everybody, made = callers(cast), dict[str, UUID]()
    assert PRINCIPALS.keys() | set(DEAD) | ROLES.keys() <= everybody.keys()

    def happen() -> None:
        for project in Project.objects.all():
            made[project.name] = SecurityGroup.objects.create(project=project, region=cast.region, name="new").pk

    refused, heard = async_to_sync(heard_by)(everybody, happen)
    assert set(made) == {"web", "beside", "own", "of sue", "of mia"}
    assert refused.keys() == {name for name, caller in everybody.items() if caller.hears is None}
    assert len({json.dumps(one) for one in refused.values()}) == 1, "all are told the same: of whom, and why, is nothing said"
    assert {one["code"] for one in refused.values()} == {4401}
    names = {str(pk): name for name, pk in made.items()}
    assert {name: {names[pk] for pk in ids if pk in names} for name, ids in heard.items()} == {
        name: set(caller.hears) for name, caller in everybody.items() if caller.hears is not None}
