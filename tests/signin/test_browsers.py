"""Where somebody is signed in: the list, ending one or all others, and how soon that is felt."""
from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from portal.kernel.models import AuditEvent
from portal.kernel.sockets import _rights_of
from tenants import browsers
from tenants.models import BrowserSession
from tests.cast import PASSWORD, Cast, nobody_has
from tests.signin.conftest import give_password, is_in

PAGE = "/profile/sessions/"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI = ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 "
          "Mobile/15E148 Safari/604.1")


def signed_in(name: str, agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    client = Client(REMOTE_ADDR=address, headers={"user-agent": agent, "accept-language": "en"})
    give_password(client, name)
    assert is_in(client)
    return client


def row_of(client: Client) -> BrowserSession:
    return BrowserSession.objects.get(session_key=client.session.session_key)


@pytest.mark.parametrize(("agent", "device"), [
    (FIREFOX, "Firefox 145 · Linux"), (SAFARI, "Safari 18 · iPhone"), ("curl/8.5.0", "curl/8.5.0"), ("", ""),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 "
     "Edg/140.0.0.0", "Edge 140 · Windows"), ("x" * 5000, "x" * 60)])
def test_browsers_are_called_as_people_know_them(agent: str, device: str) -> None:
    assert browsers.device(agent) == device


def test_each_is_listed_with_device_and_address(cast: Cast) -> None:
    here, there = signed_in("vera"), signed_in("vera", SAFARI, "203.0.113.9")
    signed_in("mallory", address="198.51.100.1")
    text = here.get(PAGE).content.decode()
    for word in ("Firefox 145 · Linux", "Safari 18 · iPhone", "192.0.2.7", "203.0.113.9", "this one"):
        assert word in text
    assert "198.51.100.1" not in text and here.session.session_key not in text and there.session.session_key not in text
    listed = there.get("/api/v1/sessions/").json()["results"]
    assert {one["device"]: one["is_current"] for one in listed} == {"Firefox 145 · Linux": False, "Safari 18 · iPhone": True}
    assert there.session.session_key not in str(listed)


@pytest.mark.parametrize("way", ["page", "api"])
def test_an_ended_one_is_out_at_its_next_request(cast: Cast, way: str) -> None:
    here, there = signed_in("vera"), signed_in("vera", SAFARI)
    key, row = there.session.session_key, row_of(there)
    assert _rights_of({key})
    if way == "page":
        assert here.post(f"{PAGE}{row.pk}/end/").status_code == 302
    else:
        assert here.delete(f"/api/v1/sessions/{row.pk}/").status_code == 204
    assert there.get("/")["Location"].startswith("/accounts/login/") and there.get("/api/v1/me/").status_code == 401
    assert not _rights_of({key}), "the sockets' next look, at most 3 s later, closes them with 4401"
    assert here.get("/").status_code == 200
    [told] = AuditEvent.objects.filter(action="session.end")
    assert told.before == {"browser": "Safari 18 · iPhone", "address": "192.0.2.7"} and told.actor == cast.vera


def test_all_others_at_once(cast: Cast) -> None:
    here, others = signed_in("vera"), [signed_in("vera"), signed_in("vera", SAFARI)]
    assert here.post(f"{PAGE}end-others/").status_code == 302 and here.get("/").status_code == 200
    assert [one.get("/").status_code for one in others] == [302, 302]
    again = signed_in("vera")
    assert again.post("/api/v1/sessions/actions/end-others/").status_code == 204
    assert here.get("/").status_code == 302 and again.get("/").status_code == 200
    assert cast.key("vera").post("/api/v1/sessions/actions/end-others/").status_code == 204 and again.get("/").status_code == 302


def test_ones_own_ends_like_signing_out(cast: Cast) -> None:
    here = signed_in("vera")
    assert here.post(f"{PAGE}{row_of(here).pk}/end/")["Location"] == "/accounts/login/"
    assert here.get("/").status_code == 302 and not BrowserSession.objects.filter(user=cast.vera).exists()


def test_somebody_elses_is_absent(cast: Cast) -> None:
    here, theirs = signed_in("mallory"), row_of(signed_in("vera"))
    for pk in (theirs.pk, nobody_has()):
        assert here.post(f"{PAGE}{pk}/end/").status_code == 404
        assert here.delete(f"/api/v1/sessions/{pk}/").status_code == here.get(f"/api/v1/sessions/{pk}/").status_code == 404
    assert cast.api("root").delete(f"/api/v1/sessions/{theirs.pk}/").status_code == 404, "operators do it in admin"
    assert BrowserSession.objects.filter(pk=theirs.pk).exists()


def test_a_narrow_key_knows_nothing_of_them(cast: Cast) -> None:
    row = row_of(signed_in("vera"))
    for key in (cast.key("vera", scopes=["instance.view"]), cast.key("vera", project=cast.project)):
        assert key.get("/api/v1/sessions/").status_code == key.get("/api/v1/me/factors/").status_code == 403
        assert key.delete(f"/api/v1/sessions/{row.pk}/").status_code == 403
    assert len(cast.key("vera").get("/api/v1/sessions/").json()["results"]) == 1


def test_operators_end_them_in_admin(cast: Cast) -> None:
    there, admin = signed_in("vera"), cast.browser("root")
    send = {"action": "end", "_selected_action": str(row_of(there).pk), "confirmed": "1"}
    admin.post("/admin/tenants/browsersession/", send)
    assert there.get("/").status_code == 302
    others = [signed_in("vera"), signed_in("vera")]
    admin.post("/admin/tenants/user/", {"action": "sign_out", "_selected_action": str(cast.vera.pk), "confirmed": "1"})
    assert [one.get("/").status_code for one in others] == [302, 302]
    assert AuditEvent.objects.filter(action="session.end_all", actor=cast.root).exists()


def test_a_new_password_ends_the_others_and_keeps_this_one(cast: Cast) -> None:
    here, there = signed_in("vera"), signed_in("vera", SAFARI)
    here.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": "quite another one",
                                             "password2": "quite another one"})
    assert here.get("/").status_code == 200 and there.get("/").status_code == 302
    listed = here.get("/api/v1/sessions/").json()["results"]
    assert [one["is_current"] for one in listed] == [True] or "Safari" not in here.get(PAGE).content.decode()
    assert row_of(here).user == cast.vera and AuditEvent.objects.filter(action="user.password", actor=cast.vera).exists()


def test_last_seen_is_written_once_a_minute_and_never_for_parts(cast: Cast) -> None:
    here = signed_in("vera")
    row = row_of(here)
    long_ago = timezone.now() - timedelta(minutes=10)

    def writes(**headers: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            here.get("/docs/", headers=headers)
        return sum(query["sql"].startswith('UPDATE "tenants_browsersession"') for query in asked)

    here.get("/docs/")
    BrowserSession.objects.filter(pk=row.pk).update(last_seen_at=long_ago)
    assert writes(**{"HX-Request": "true"}) == 0 and writes() == 1 and writes() == 0
    row.refresh_from_db()
    assert timezone.now() - row.last_seen_at < timedelta(minutes=1)


def test_a_session_is_of_its_user_from_the_start_to_the_end(cast: Cast) -> None:
    client = Client()
    client.get("/accounts/login/")
    client.get("/accounts/oidc/")
    here = signed_in("vera")
    assert row_of(here).user == cast.vera and here.session[SESSION_KEY] == str(cast.vera.pk)
    before = row_of(here).pk
    here.get(f"/instances/?project={cast.project.pk}")  # it is written to
    assert row_of(here).pk == before
    here.post("/accounts/logout/")
    assert not BrowserSession.objects.filter(user=cast.vera).exists()
