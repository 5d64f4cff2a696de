"""What an account leaves behind, the pages of members, and how soon what was taken away bites."""
import asyncio
import time
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from asgiref.sync import async_to_sync, sync_to_async
from asgiref.testing import ApplicationCommunicator
from axes.models import AccessLog
from django.conf import settings
from django.utils import timezone

from portal.asgi import application
from portal.kernel.models import AuditEvent
from portal.kernel.sockets import Hub
from tenants import operations, people
from tenants.models import ApiKey, Binding, Invitation, User
from tests.cast import PASSWORD, Cast
from tests.tenants.people.conftest import fresh

NAME, ADDRESS = "Vera Viewer", "vera@example.org"


@pytest.fixture
def vera(cast: Cast) -> User:
    vera = cast.vera
    vera.first_name, vera.last_name = NAME.split()
    vera.set_password(PASSWORD)
    vera.save()
    EmailAddress.objects.create(user=vera, email=ADDRESS, verified=True, primary=True)
    AccessLog.objects.create(username=ADDRESS, ip_address="198.51.100.7", path_info="/", user_agent="x")
    return vera


def test_a_deleted_account_leaves_rows_under_a_neutral_name(cast: Cast, vera: User) -> None:
    group = people.create_group(cast.organization, "night", actor=fresh(cast.alice))
    people.add_to_group(group, vera, actor=fresh(cast.alice))
    key, browser = cast.key("vera"), cast.browser("vera")
    operations.create_api_key(vera, name="Vera's", actor=vera)
    before = AuditEvent.objects.count()
    assert browser.get("/profile/").status_code == 200
    assert browser.post("/profile/delete/", {"proof": "wrong"}).status_code == 400 and fresh(vera).is_active
    assert browser.post("/profile/delete/", {"proof": PASSWORD}).status_code == 302
    gone = fresh(vera)
    assert (gone.username, gone.email, gone.get_full_name(), gone.is_active) == (f"deleted-{vera.pk.hex}", "", "", False)
    assert not EmailAddress.objects.filter(user=vera).exists() and not AccessLog.objects.filter(username=ADDRESS).exists()
    assert not Binding.objects.filter(user=vera).exists() and not gone.groups.exists()
    assert not ApiKey.objects.filter(owner=vera, revoked_at=None).exists()
    assert not ApiKey.objects.filter(owner=vera, name__contains="Vera").exists()
    assert key.get("/api/v1/me/").status_code == 401
    assert browser.get("/").status_code == 302 and not gone.check_password(PASSWORD)
    assert AuditEvent.objects.count() == before + 1 and AuditEvent.objects.filter(actor=vera).count() >= 2
    kept = str(User.objects.filter(pk=vera.pk).values().get())
    assert "vera" not in kept.lower() and "viewer" not in kept.lower()


def test_another_browser_of_the_same_person_is_signed_out_too(cast: Cast, vera: User) -> None:
    other = cast.browser("vera")
    people.delete_account(fresh(vera))
    assert other.get("/").status_code == 302


def test_addresses_of_invitations_are_erased(cast: Cast, vera: User) -> None:
    Invitation.objects.create(organization=cast.organization, role="viewer", email=ADDRESS.upper(), invited_by=cast.alice,
                              token_hash="x", sent_at=timezone.now(), expires_at=timezone.now())
    people.delete_account(fresh(vera))
    assert Invitation.objects.get().email == ""


def test_a_last_owner_is_told_what_to_do_first(cast: Cast) -> None:
    cast.alice.set_password(PASSWORD)
    cast.alice.save()
    answer = cast.browser("alice").post("/profile/delete/", {"proof": PASSWORD})
    assert answer.status_code == 409 and "Acme" in answer.content.decode() and fresh(cast.alice).username == "alice"


def test_nobody_deletes_an_account_by_a_name_that_they_did_not_type(cast: Cast) -> None:
    cast.oscar.set_unusable_password()
    cast.oscar.save()
    browser = cast.browser("oscar")
    assert browser.post("/profile/delete/", {"proof": "vera"}).status_code == 400
    assert browser.post("/profile/delete/", {"proof": "oscar"}).status_code == 302 and fresh(cast.vera).is_active


# -- pages --

def test_members_are_listed_with_what_they_are(cast: Cast) -> None:
    text = cast.browser("vera").get("/members/").content.decode()
    for name in ("alice", "ann", "adam", "oscar", "vera"):
        assert name in text
    assert "mallory" not in text and "Operator" in text


def test_a_members_page_gives_and_takes(cast: Cast) -> None:
    browser, here = cast.browser("ann"), f"/members/{cast.vera.pk}/"
    assert browser.post(f"{here}bind/", {"role": "operator", "scope": f"project:{cast.project.pk}"}).status_code == 302
    made = Binding.objects.get(user=cast.vera, role="operator")
    assert "Operator" in browser.get(here).content.decode()
    assert browser.post(f"/bindings/{made.pk}/delete/").status_code == 200
    assert browser.post(f"/bindings/{made.pk}/delete/", {"confirmed": "1"}).status_code == 302
    assert not Binding.objects.filter(pk=made.pk).exists()
    assert browser.post(f"{here}bind/", {"role": "owner", "scope": f"organization:{cast.organization.pk}"}).status_code == 403
    assert browser.post(f"{here}bind/", {"role": "viewer", "scope": f"project:{cast.rival_project.pk}"}).status_code == 400
    organization = {"organization": str(cast.organization.pk)}
    assert browser.post(f"{here}remove/", organization).status_code == 200 and people.is_member(cast.vera, cast.organization)
    assert browser.post(f"{here}remove/", organization | {"confirmed": "1"}).status_code == 302
    assert not people.is_member(cast.vera, cast.organization)


def test_pages_hand_over_and_leave(cast: Cast) -> None:
    browser, organization = cast.browser("alice"), {"organization": str(cast.organization.pk)}
    assert browser.post("/profile/leave/", organization | {"confirmed": "1"}).status_code == 409
    url = f"/members/{cast.vera.pk}/make-owner/"
    assert cast.browser("ann").post(url, organization | {"confirmed": "1"}).status_code == 403
    assert browser.post(url, organization).status_code == 200 and list(people.owners(cast.organization)) == [cast.alice]
    assert browser.post(url, organization | {"confirmed": "1"}).status_code == 302
    assert list(people.owners(cast.organization)) == [cast.vera]
    assert browser.post("/profile/leave/", organization | {"confirmed": "1"}).status_code == 302
    assert not people.is_member(cast.alice, cast.organization)


@pytest.mark.parametrize("path", ["/members/{vera}/", "/groups/{none}/", "/roles/{none}/edit/", "/bindings/{binding}/delete/"])
def test_a_rival_sees_none_of_it(cast: Cast, path: str) -> None:
    binding = Binding.objects.get(user=cast.vera)
    url = path.format(vera=cast.vera.pk, none=cast.vera.pk, binding=binding.pk)
    assert cast.browser("mallory").get(url).status_code in (404, 405)
    assert cast.browser("mallory").post(url, {"confirmed": "1"}).status_code in (404, 405)
    assert Binding.objects.filter(pk=binding.pk).exists()


# -- open websockets --

@pytest.mark.parametrize("how", ["role", "membership", "account"])
def test_what_is_taken_away_is_told_no_more_within_5_s(racing: Cast, how: str) -> None:
    cookie = racing.browser("vera").cookies[settings.SESSION_COOKIE_NAME].value

    def take_away() -> None:
        if how == "role":
            people.take_role(Binding.objects.get(user=racing.vera), actor=fresh(racing.alice))
        elif how == "membership":
            people.remove_member(racing.vera, racing.organization, actor=fresh(racing.alice))
        else:
            people.delete_account(fresh(racing.vera))

    async def talk() -> tuple[bool, float]:
        socket = ApplicationCommunicator(application, {
            "type": "websocket", "path": "/ws/live/", "raw_path": b"/ws/live/", "query_string": b"", "scheme": "ws",
            "headers": [(b"host", b"testserver"), (b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())],
            "subprotocols": [], "client": ("127.0.0.1", 7), "extensions": {}})
        await socket.send_input({"type": "websocket.connect"})
        assert (await socket.receive_output(10))["type"] == "websocket.accept"
        [mine] = Hub.of_this_loop().sockets
        heard = racing.project.pk in mine.projects
        await sync_to_async(take_away)()
        begun = time.monotonic()
        while racing.project.pk in mine.projects and not mine.close_code and time.monotonic() - begun < 10:
            await asyncio.sleep(0.05)
        took = time.monotonic() - begun
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait(5)
        return heard, took

    heard, took = async_to_sync(talk)()
    assert heard and took < 5


def test_a_session_and_a_key_lose_a_role_at_the_next_request(cast: Cast) -> None:
    key, browser = cast.key("vera"), cast.browser("vera")
    urls: tuple[tuple[Any, str], ...] = ((key, f"/api/v1/projects/{cast.project.pk}/"), (browser, f"/members/{cast.oscar.pk}/"))
    assert [client.get(url).status_code for client, url in urls] == [200, 200]
    people.take_role(Binding.objects.get(user=cast.vera), actor=fresh(cast.alice))
    assert [client.get(url).status_code for client, url in urls] == [404, 404]
