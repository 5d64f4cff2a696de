"""What is taken away is gone at the next request, and within five seconds on an open websocket: role, membership, group, key,
session, account, suspension, a second factor that is required. Consoles are in tests/console/test_closing.py."""
import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client
from django.utils import timezone

from portal.asgi import application
from portal.kernel.sockets import Hub
from tenants import factors, operations, people, structure
from tenants.models import ApiKey, Binding, Group, Role, User
from tenants.operations import revoke_api_key
from tenants.roles import bind, unbind
from tests.cast import Cast, make_cast
from tests.signin.conftest import add_app
from tests.tenants.people.conftest import fresh

LIMIT_S = 5
HELD = ["apikey.manage", "instance.view", "member.view", "operation.view", "project.view", "sshkey.view"]


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    """vera is in `web` by a role that somebody made, that her group is bound to, and by none else."""
    cast = make_cast()
    unbind(cast.vera, "viewer", cast.project)
    cast.people["vera"] = fresh(cast.vera)
    bind(cast.vera, "billing", cast.organization)
    role = people.create_role(cast.organization, "watchers", HELD, actor=fresh(cast.alice))
    group = people.create_group(cast.organization, "night shift", actor=fresh(cast.alice))
    people.add_to_group(group, cast.vera, actor=fresh(cast.alice))
    people.give_role(str(role.pk), cast.project, to=group, actor=fresh(cast.alice))
    unbind(cast.vera, "billing", cast.organization)
    cast.people["vera"] = fresh(cast.vera)
    return cast


def take_role(cast: Cast) -> None:
    people.take_role(Binding.objects.get(group__name="night shift"), actor=fresh(cast.alice))


def narrow_role(cast: Cast) -> None:
    people.change_role(Role.objects.get(), permissions=["apikey.manage", "usage.view"], actor=fresh(cast.alice))


def delete_role(cast: Cast) -> None:
    people.delete_role(Role.objects.get(), actor=fresh(cast.alice))


def leave_group(cast: Cast) -> None:
    people.remove_from_group(Group.objects.get(), cast.vera, actor=fresh(cast.alice))


def delete_group(cast: Cast) -> None:
    people.delete_group(Group.objects.get(), actor=fresh(cast.alice))


def remove(cast: Cast) -> None:
    people.remove_member(cast.vera, cast.organization, actor=fresh(cast.alice))


def deactivate(cast: Cast) -> None:
    people.set_active(cast.vera, False, actor=cast.root)


def suspend(cast: Cast) -> None:
    structure.suspend_organization(cast.organization, reason="unpaid", while_suspended="keep", actor=cast.root)


def require_two_steps(cast: Cast) -> None:
    operations.change_organization(cast.organization, requires_mfa=True, actor=cast.root)


def lose_the_factor(cast: Cast) -> None:
    factors.remove_all(cast.vera, actor=cast.root)


Take = Callable[[Cast], None]
RIGHTS: dict[str, Take] = {
    "role taken": take_role, "role narrowed": narrow_role, "role deleted": delete_role, "out of the group": leave_group,
    "group deleted": delete_group, "removed": remove, "deactivated": deactivate, "second factor required": require_two_steps}


@pytest.mark.parametrize("how", RIGHTS)
def test_a_session_and_a_key_see_nothing_at_the_next_request(cast: Cast, how: str) -> None:
    from compute.instances.models import SshKey

    SshKey.objects.create(project=cast.project, region=cast.region, name="k", public_key="x", fingerprint="x")
    clients = (cast.api("vera"), cast.key("vera"), cast.browser("vera"))

    def seen() -> list[int]:
        api = [len(answer.json().get("results", [])) if answer.status_code == 200 else 0
               for answer in (client.get("/api/v1/ssh-keys/") for client in clients[:2])]
        return [*api, clients[2].get("/ssh-keys/").content.decode().count(str(SshKey.objects.get().pk))]

    assert all(seen())
    RIGHTS[how](cast)
    begun = time.monotonic()
    assert seen() == [0, 0, 0]
    assert time.monotonic() - begun < 3, "three requests, and each of them is the next one"


def test_a_revoked_key_and_one_that_is_over_open_nothing(cast: Cast) -> None:
    tomorrow = timezone.now() + timezone.timedelta(days=1)
    first, second, third = cast.key("vera"), cast.key("vera"), cast.key("vera", expires_at=tomorrow)
    assert [client.get("/api/v1/me/").status_code for client in (first, second, third)] == [200, 200, 200]
    keys = list(ApiKey.objects.filter(owner=cast.vera).order_by("created_at"))
    revoke_api_key(keys[0], actor=cast.vera)
    ApiKey.objects.filter(pk=keys[2].pk).update(expires_at=timezone.now())
    assert [client.get("/api/v1/me/").status_code for client in (first, second, third)] == [401, 200, 401]


@pytest.mark.parametrize("how", ["signed out", "another password", "deactivated"])
def test_a_session_that_was_ended_elsewhere_opens_nothing(cast: Cast, how: str) -> None:
    browser, copy = cast.browser("vera"), Client()
    copy.cookies[settings.SESSION_COOKIE_NAME] = browser.cookies[settings.SESSION_COOKIE_NAME].value
    assert copy.get("/profile/").status_code == 200
    if how == "signed out":
        browser.logout()
    elif how == "another password":
        cast.vera.set_password("something else entirely")
        cast.vera.save()
    else:
        deactivate(cast)
    assert copy.get("/profile/").status_code == 302 and copy.get("/api/v1/me/").status_code == 401


def test_a_suspended_organization_is_looked_at_and_not_changed_from_the_next_request_on(cast: Cast) -> None:
    session, key = cast.api("alice"), cast.key("alice")
    clients, path = (session, key), f"/api/v1/projects/{cast.project.pk}/"
    assert [client.patch(path, {"description": "a"}).status_code for client in clients] == [200, 200]
    suspend(cast)
    assert [client.patch(path, {"description": "b"}).status_code for client in clients] == [403, 403]
    assert [client.get(path).status_code for client in clients] == [200, 200]


# -- open pages --

def until(cast: Cast, take: Callable[[], object], is_over: Callable[[Any], bool]) -> float:
    """Seconds from the act until vera's open page is cut off or hears no more."""
    cookie = cast.browser("vera").cookies[settings.SESSION_COOKIE_NAME].value

    async def talk() -> float:
        socket = ApplicationCommunicator(application, {
            "type": "websocket", "path": "/ws/live/", "raw_path": b"/ws/live/", "query_string": b"", "scheme": "ws",
            "headers": [(b"host", b"testserver"), (b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())],
            "subprotocols": [], "client": ("127.0.0.1", 7), "extensions": {}})
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(10))["type"] == "websocket.accept"
        [mine] = Hub.of_this_loop().sockets
        assert cast.project.pk in mine.projects
        await sync_to_async(take)()
        begun = time.monotonic()
        while not is_over(mine) and time.monotonic() - begun < 2 * LIMIT_S:
            await asyncio.sleep(0.05)
        took = time.monotonic() - begun
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait(5)
        return took

    return async_to_sync(talk)()


@pytest.mark.parametrize("how", [name for name in RIGHTS if name not in ("deactivated",)])
def test_an_open_page_hears_no_more_within_five_seconds(cast: Cast, how: str) -> None:
    assert until(cast, lambda: RIGHTS[how](cast), lambda mine: cast.project.pk not in mine.projects or mine.close_code) < LIMIT_S


@pytest.mark.parametrize("how", ["signed out", "another password", "deactivated"])
def test_an_open_page_is_cut_off_within_five_seconds(cast: Cast, how: str) -> None:
    def end() -> None:
        if how == "signed out":
            cast.vera.refresh_from_db()
            for model in settings_sessions():
                model.objects.all().delete()
        elif how == "another password":
            cast.vera.set_password("something else entirely")
            cast.vera.save()
        else:
            deactivate(cast)

    assert until(cast, end, lambda mine: bool(mine.close_code)) < LIMIT_S


def test_an_open_page_hears_no_more_when_its_second_factor_is_gone(cast: Cast) -> None:
    add_app(cast.vera)
    require_two_steps(cast)
    assert until(cast, lambda: lose_the_factor(cast), lambda mine: cast.project.pk not in mine.projects) < LIMIT_S


def settings_sessions() -> list[Any]:
    """Where sessions are kept, whichever table that is."""
    from importlib import import_module

    return [import_module(settings.SESSION_ENGINE).SessionStore.get_model_class()]


def test_an_open_page_of_a_suspended_organization_still_hears(cast: Cast) -> None:
    """Its members go on looking: this is what suspension leaves them."""
    def still(mine: Any) -> bool:
        return cast.project.pk not in mine.projects or bool(mine.close_code)

    began = time.monotonic()
    assert until(cast, lambda: suspend(cast), lambda mine: still(mine) or time.monotonic() - began > 4) < LIMIT_S
    assert User.objects.get(pk=cast.vera.pk).grants.may("instance.view", cast.project.pk)
