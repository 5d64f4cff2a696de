"""Acting as a user: the operator sees what they see, changes nothing that outlasts it, and everybody concerned knows."""
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from portal.kernel.handshake import users_of_sessions
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from tenants import operations
from tenants.models import ApiKey, Impersonation, Project, User
from tests.cast import Cast

ADD = "/admin/tenants/impersonation/add/"
REASON = "ticket 42: the list is empty"


def act_as(cast: Cast, name: str = "alice", client: Client | None = None) -> Client:
    client = client or cast.browser("root")
    answer = client.post(ADD, {"user": str(cast.people[name].pk), "reason": REASON})
    assert answer.status_code == 302, answer.content[-3000:]
    return client


def who(client: Client) -> str:
    return client.get("/api/v1/me/").json()["username"]


def test_he_sees_what_they_see_under_a_banner_and_goes_back(cast: Cast) -> None:
    client = act_as(cast, "vera")
    assert who(client) == "vera" and client.get("/operator/access/").status_code == 404
    for path in ("/", "/projects/", "/audit/", "/profile/"):
        page = client.get(path).content.decode()
        assert 'id="impersonation"' in page and "/impersonation/stop/" in page, path
    assert client.post("/impersonation/stop/").status_code == 302
    assert who(client) == "root" and 'id="impersonation"' not in client.get("/").content.decode()
    assert Impersonation.objects.get().ended_at is not None


def test_the_trail_says_who_on_whose_behalf_and_both_organization_and_user_are_told(cast: Cast) -> None:
    client = act_as(cast)
    start = AuditEvent.objects.get(action="impersonation.start")
    assert (start.actor, start.organization, start.after["reason"]) == (cast.root, cast.organization, REASON)
    told = Notice.objects.filter(act="impersonation.start").values_list("user", flat=True)
    assert list(told) == [cast.alice.pk]
    client.patch(f"/api/v1/projects/{cast.project.pk}/", {"description": "x"}, content_type="application/json")
    row = AuditEvent.objects.filter(route__contains="projects").latest("at")
    assert (row.actor, row.on_behalf_of) == (cast.root, cast.alice)
    page = Client()
    page.force_login(cast.alice)
    seen = page.get("/audit/").content.decode()
    assert "on behalf of alice" in seen and "root" in seen


@pytest.mark.parametrize("name", ["root", "staff", "ruth", "program", "gone"])
def test_of_operators_programs_and_whoever_is_locked_out_there_is_none(cast: Cast, name: str) -> None:
    cast.people |= {
        "staff": User.objects.create(username="staff", is_staff=True),
        "gone": User.objects.create(username="gone", is_active=False),
        "ruth": User.objects.create(username="ruth", is_superuser=True),
        "program": User.objects.create(username="service-x", is_service=True, password="!")}
    client = cast.browser("root")
    answer = client.post(ADD, {"user": str(cast.people[name].pk), "reason": REASON})
    assert answer.status_code == 200 and not Impersonation.objects.exists() and who(client) == "root"


def test_it_needs_a_reason_and_a_superuser(cast: Cast) -> None:
    assert cast.browser("root").post(ADD, {"user": str(cast.alice.pk), "reason": "  "}).status_code == 200
    User.objects.filter(pk=cast.adam.pk).update(is_staff=True)
    assert cast.browser("adam").post(ADD, {"user": str(cast.alice.pk), "reason": REASON}).status_code == 403
    assert cast.browser("vera").post(ADD, {"user": str(cast.alice.pk), "reason": REASON}).status_code == 302
    assert not Impersonation.objects.exists()


FORBIDDEN = [
    ("post", "/accounts/password/change/", {}), ("get", "/accounts/password/change/", None), ("post", "/accounts/email/", {}),
    ("get", "/accounts/email/", None), ("get", "/accounts/2fa/", None), ("post", "/api-keys/create/", {"name": "x"}),
    ("post", "/profile/delete/", {}), ("post", "/profile/leave/", {}), ("post", "/api/v1/api-keys/", {"name": "x"}),
    ("post", "/api/v1/me/actions/leave/", {}), ("post", "/members/invite/", {"email": "x@example.org"}),
    ("post", "/invitations/join/", {}),
    ("post", "/webhooks/create/", {}), ("post", "/api/v1/invitations/", {}), ("post", "/api/v1/webhooks/", {}),
    ("post", "/api/v1/bindings/", {}), ("post", "/api/v1/service-users/", {})]


@pytest.mark.parametrize(("method", "path", "form"), FORBIDDEN)
def test_nothing_that_outlasts_it_or_is_the_users_alone_is_changed(cast: Cast, method: str, path: str, form: dict | None) -> None:
    client = act_as(cast)
    answer = getattr(client, method)(path, form, **({"content_type": "application/json"} if "/api/" in path else {}))
    assert answer.status_code == 403, (answer.status_code, answer.content[:300])
    refused = AuditEvent.objects.filter(result="refused").latest("at")
    assert (refused.actor, refused.on_behalf_of) == (cast.root, cast.alice)


def test_keys_are_refused_by_the_verb_too(cast: Cast) -> None:
    key, _text = operations.create_api_key(cast.alice, name="hers", actor=cast.alice)
    client = act_as(cast)
    for path in (f"/api-keys/{key.pk}/revoke/", f"/api-keys/{key.pk}/rotate/", f"/api-keys/{key.pk}/end-previous/",
                 "/api-keys/bulk/revoke/"):
        assert client.post(path, {"confirmed": "1", "id": str(key.pk), "overlap": "0"}).status_code in (403, 404)
    assert client.delete(f"/api/v1/api-keys/{key.pk}/").status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None and key.rotated_at is None and ApiKey.objects.count() == 1


def expire(row: Impersonation, cast: Cast) -> None:
    now = timezone.now()
    Impersonation.objects.update(started_at=now - timedelta(hours=1), expires_at=now - timedelta(seconds=1))


ENDINGS = {
    "its time is over": expire,
    "it was ended in admin": lambda row, cast: Impersonation.objects.update(ended_at=timezone.now()),
    "the user was locked out": lambda row, cast: User.objects.filter(pk=cast.vera.pk).update(is_active=False),
    "the user became staff": lambda row, cast: User.objects.filter(pk=cast.vera.pk).update(is_staff=True),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_ends_and_he_is_himself_again(cast: Cast, ending: str) -> None:
    client = act_as(cast, "vera")
    assert users_of_sessions([client.session.session_key])[client.session.session_key].username == "vera"
    ENDINGS[ending](Impersonation.objects.get(), cast)
    assert users_of_sessions([client.session.session_key])[client.session.session_key].username == "root"
    assert who(client) == "root"


def test_it_ends_with_the_operator(cast: Cast) -> None:
    client = act_as(cast, "alice")
    User.objects.filter(pk=cast.root.pk).update(is_superuser=False)
    assert who(client) == "root" and client.get("/api/v1/projects/").json()["results"] == [], "with nothing but his own rights"
    User.objects.filter(pk=cast.root.pk).update(is_superuser=True)
    client = act_as(cast, "alice")
    User.objects.filter(pk=cast.root.pk).update(is_active=False)
    assert client.get("/api/v1/me/").status_code == 401
    assert users_of_sessions([client.session.session_key]) == {}


def test_signing_out_ends_it_and_the_session_is_no_one_elses(cast: Cast) -> None:
    client = act_as(cast, "vera")
    key = client.session.session_key
    assert client.post("/accounts/logout/").status_code == 302
    assert client.get("/api/v1/me/").status_code == 401 and users_of_sessions([key]) == {}


def test_another_operators_impersonation_is_worth_nothing_in_a_session(cast: Cast) -> None:
    act_as(cast, "vera")
    thief = cast.browser("mallory")
    for pk in (str(Impersonation.objects.get().pk), "nonsense", ""):
        session = thief.session
        session["impersonation"] = pk
        session.save()
        assert who(thief) == "mallory"


def test_he_is_one_other_at_a_time(cast: Cast) -> None:
    client = cast.browser("root")
    act_as(cast, "vera", client)
    other = act_as(cast, "alice", cast.browser("root"))
    assert (who(client), who(other)) == ("root", "alice")


def test_sockets_are_the_users(cast: Cast) -> None:
    key = act_as(cast, "vera").session.session_key
    user = users_of_sessions([key])[key]
    assert (user.pk, user.acted_by) == (cast.vera.pk, cast.root.pk), "the console's trail names the operator"
    assert user.grants.projects("project.view") == {cast.project.pk}


def test_a_key_that_is_sent_along_is_who_asks(cast: Cast) -> None:
    _key, text = operations.create_api_key(cast.mallory, name="x", actor=cast.mallory)
    client = act_as(cast, "vera")
    answer = client.patch(f"/api/v1/projects/{cast.rival_project.pk}/", {"description": "x"}, content_type="application/json",
                          HTTP_AUTHORIZATION=f"Bearer {text}")
    assert answer.status_code == 200
    row = AuditEvent.objects.get(action="project.change")
    assert (row.actor, row.on_behalf_of) == (cast.mallory, None)


def test_what_is_done_is_the_operators_doing(cast: Cast) -> None:
    client = act_as(cast, "alice")
    assert client.patch(f"/api/v1/projects/{cast.project.pk}/", {"description": "seen"},
                        content_type="application/json").status_code == 200
    row = AuditEvent.objects.get(action="project.change")
    assert (row.actor, row.on_behalf_of, row.organization) == (cast.root, cast.alice, cast.organization)
    assert Project.objects.get(pk=cast.project.pk).description == "seen"


def test_idempotency_keys_of_the_user_are_not_answered_to_the_operator(cast: Cast) -> None:
    body = {"name": "made once", "organization": str(cast.organization.pk)}
    first = cast.browser("alice").post("/api/v1/projects/", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k")
    acting = act_as(cast)
    again = acting.post("/api/v1/projects/", body, content_type="application/json", HTTP_IDEMPOTENCY_KEY="k")
    assert first.status_code == 201 and "Idempotent-Replayed" not in again
    assert again.status_code == 400 and list(again.json()["errors"]) == ["name"]
    own = [acting.post("/api/v1/projects/", body | {"name": "made as her"}, content_type="application/json",
                       HTTP_IDEMPOTENCY_KEY="own") for _time in range(2)]
    assert [answer.status_code for answer in own] == [201, 201] and "Idempotent-Replayed" in own[1]
