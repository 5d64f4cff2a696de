"""Invitations: the token is in the mail alone, works once, in time, unless revoked, and tells nothing about who exists."""
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.kernel.errors import Forbidden, TooManyRequests
from portal.kernel.models import AuditEvent
from portal.kernel.secrets import digest
from tenants import invitations, people
from tenants.errors import InvitationOver
from tenants.models import Invitation, Organization, User
from tenants.roles import bind, unbind
from tests.cast import Cast
from tests.tenants.people.conftest import both, fresh, token_in_mail

API, ACCEPT = "/api/v1/invitations/", "/invitations/accept/"
Invite = Callable[..., tuple[Invitation, str]]


def test_whoever_has_the_mail_joins_with_whatever_account(cast: Cast, invite: Invite) -> None:
    made, token = invite(role="operator", scope=cast.project)
    newcomer = User.objects.create(username="newcomer", email="other@example.org")
    invitations.accept(token, user=newcomer)
    grants = fresh(newcomer).grants
    assert "instance.operate" in grants.by_project[cast.project.pk] and not grants.organization_wide
    made.refresh_from_db()
    assert made.state == "accepted" and made.accepted_by == newcomer
    event = AuditEvent.objects.get(action="invitation.accept")
    assert event.actor == newcomer and event.organization_id == cast.organization.pk


def test_the_token_is_in_the_mail_and_nowhere_else(cast: Cast, invite: Invite) -> None:
    made, token = invite()
    [sent] = mail.outbox
    assert sent.to == ["new@example.org"] and f"{settings.SITE_URL}{ACCEPT}?token={token}" in sent.body
    assert len(token) >= 43 and made.token_hash == digest(token)
    kept = Invitation.objects.filter(pk=made.pk).values().get()
    shown = cast.api("alice").get(f"{API}{made.pk}/").content.decode()
    shown += cast.browser("alice").get("/invitations/").content.decode()
    trail = str(list(AuditEvent.objects.values()))
    assert token not in str(kept) + shown + trail and made.token_hash not in shown + trail
    assert "new@example.org" not in trail, "what cannot be erased holds no address"


def test_the_mail_is_in_the_inviters_language(cast: Cast, invite: Invite) -> None:
    User.objects.filter(pk=cast.alice.pk).update(language="zh-hans", first_name="爱丽丝")
    invite()
    assert "Acme" in mail.outbox[0].subject and "爱丽丝" in mail.outbox[0].body
    assert "Hello," not in mail.outbox[0].body


@pytest.mark.parametrize("address", ["alice@example.org", "mallory@example.org", "nobody@example.org"])
def test_inviting_tells_nothing_about_who_exists(cast: Cast, address: str, django_capture_on_commit_callbacks: Any) -> None:
    body = {"email": address, "role": "viewer", "organization": str(cast.organization.pk)}
    with django_capture_on_commit_callbacks(execute=True):
        answer = cast.api("alice").post(API, body, format="json")
    assert answer.status_code == 201 and set(answer.json()) == {
        "id", "email", "role", "organization", "project", "state", "invited_by", "created_at", "sent_at", "expires_at",
        "accepted_at", "revoked_at"}
    assert [one.to for one in mail.outbox] == [[address]]


def over(token: str, user: User) -> None:
    with pytest.raises(InvitationOver):
        invitations.accept(token, user=user)
    assert not people.is_member(user, Organization.objects.get(name="Acme"))


def test_it_works_once(cast: Cast, invite: Invite) -> None:
    _made, token = invite()
    invitations.accept(token, user=User.objects.create(username="first"))
    over(token, User.objects.create(username="second"))


def test_it_works_in_time(cast: Cast, invite: Invite) -> None:
    made, token = invite()
    assert timedelta(days=6, hours=23) < made.expires_at - timezone.now() <= timedelta(days=7)
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    over(token, cast.mallory)


def test_it_does_not_work_after_it_was_revoked(cast: Cast, invite: Invite) -> None:
    made, token = invite()
    assert cast.api("ann").delete(f"{API}{made.pk}/").status_code == 204
    over(token, cast.mallory)


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\0", "\N{SNOWMAN}"])
def test_a_made_up_token_opens_nothing(cast: Cast, invite: Invite, token: str) -> None:
    invite()
    over(token, cast.mallory)


def test_what_somebody_gave_before_they_were_put_out_opens_nothing(cast: Cast, invite: Invite) -> None:
    _made, token = invite(by="ann", role="admin")
    unbind(cast.ann, "admin", cast.organization)
    over(token, cast.mallory)


def test_a_role_that_is_gone_is_not_given(cast: Cast, invite: Invite) -> None:
    role = people.create_role(cast.organization, "Backup", ["volume.view"], actor=fresh(cast.alice))
    _made, token = invite(role=str(role.pk))
    people.delete_role(role, actor=fresh(cast.alice))
    over(token, cast.mallory)


def test_sent_again_the_first_link_is_worth_nothing(cast: Cast, invite: Invite, django_capture_on_commit_callbacks: Any) -> None:
    made, first = invite()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert cast.api("alice").post(f"{API}{made.pk}/actions/resend/").status_code == 200
    second = token_in_mail()
    assert second != first
    over(first, cast.mallory)
    invitations.accept(second, user=cast.mallory)


def test_two_who_accept_at_once(racing: Cast) -> None:
    for number in range(3):
        token = f"{number}" * 43
        Invitation.objects.create(organization=racing.organization, role="viewer", email="x@example.org", invited_by=racing.alice,
                                  token_hash=digest(token), sent_at=timezone.now(), expires_at=timezone.now() + timedelta(days=1))
        first, second = (User.objects.create(username=f"{name}{number}") for name in ("first", "second"))
        answers = both(lambda token=token, user=first: invitations.accept(token, user=user),
                       lambda token=token, user=second: invitations.accept(token, user=user))
        assert sorted(answers) == ["", "invitation_over"]
        assert [people.is_member(user, racing.organization) for user in (first, second)].count(True) == 1


@pytest.mark.parametrize("who", ["oscar", "vera", "mallory"])
def test_without_the_right_nobody_is_invited(cast: Cast, who: str) -> None:
    body = {"email": "x@example.org", "role": "viewer", "project": str(cast.project.pk)}
    assert cast.api(who).post(API, body, format="json").status_code == (404 if who == "mallory" else 403)
    page = cast.browser(who).post("/members/invite/", {"email": "x@example.org", "role": "viewer",
                                                       "scope": f"project:{cast.project.pk}"})
    assert page.status_code == (400 if who == "mallory" else 403)
    assert not Invitation.objects.exists() and not mail.outbox


@pytest.mark.parametrize(("who", "role", "where"), [
    ("ann", "owner", "organization"), ("adam", "viewer", "organization"), ("adam", "owner", "project")])
def test_nobody_invites_to_more_than_they_hold(cast: Cast, who: str, role: str, where: str) -> None:
    body = {"email": "x@example.org", "role": role, where: str(getattr(cast, where).pk)}
    assert cast.api(who).post(API, body, format="json").status_code == 403
    with pytest.raises(Forbidden):
        invitations.invite("x@example.org", role, getattr(cast, where), actor=fresh(cast.people[who]))


def test_invitations_are_hidden_from_others_and_from_those_who_do_not_invite(cast: Cast, invite: Invite) -> None:
    made, _token = invite(scope=cast.project)
    for who in ("vera", "oscar", "mallory"):
        assert cast.api(who).get(API).json()["results"] == []
        for method, path in (("get", ""), ("delete", ""), ("post", "actions/resend/")):
            assert getattr(cast.api(who), method)(f"{API}{made.pk}/{path}").status_code == 404
    assert [row["id"] for row in cast.api("adam").get(API).json()["results"]] == [str(made.pk)]
    whole, _token = invite("y@example.org")
    assert cast.api("adam").get(f"{API}{whole.pk}/").status_code == 404


def test_mails_are_few(cast: Cast, invite: Invite, monkeypatch: pytest.MonkeyPatch) -> None:
    for _time in range(invitations.MOST_TO_ONE):
        invite("same@example.org")
    with pytest.raises(TooManyRequests):
        invite("same@example.org")
    assert Invitation.objects.pending().count() == 1, "the newest alone is good"
    monkeypatch.setattr(invitations, "MOST_AN_HOUR", invitations.MOST_TO_ONE + 1)
    invite("other@example.org")
    with pytest.raises(TooManyRequests):
        invite("third@example.org")
    Invitation.objects.update(sent_at=timezone.now() - timedelta(hours=2))
    monkeypatch.setattr(invitations, "MOST_PENDING", 2)
    body = {"email": "fourth@example.org", "role": "viewer", "organization": str(cast.organization.pk)}
    assert cast.api("alice").post(API, body, format="json").json()["code"] == "quota_exceeded"


# -- in a browser --

def test_signed_in_the_link_asks_and_the_button_joins(cast: Cast, invite: Invite) -> None:
    _made, token = invite()
    browser = cast.browser("mallory")
    answer = browser.get(ACCEPT, {"token": token})
    assert (answer.status_code, answer["Location"]) == (302, ACCEPT), "the token does not stay in the address"
    assert "Acme" in browser.get(ACCEPT).content.decode() and not people.is_member(cast.mallory, cast.organization)
    assert browser.get("/invitations/join/").status_code == 405
    assert browser.post("/invitations/join/").status_code == 302 and people.is_member(cast.mallory, cast.organization)
    assert browser.post("/invitations/join/").status_code == 409


def test_a_stranger_signs_in_and_comes_back(cast: Cast, invite: Invite) -> None:
    _made, token = invite()
    cast.mallory.set_password("correct horse battery")
    cast.mallory.save()
    browser = Client()
    page = browser.get(ACCEPT, {"token": token}, follow=True).content.decode()
    assert f"{reverse('account_login')}?next={ACCEPT}" in page
    answer = browser.post(f"{reverse('account_login')}?next={ACCEPT}", {"login": "mallory", "password": "correct horse battery"})
    assert answer["Location"] == ACCEPT
    assert browser.post("/invitations/join/").status_code == 302 and people.is_member(cast.mallory, cast.organization)


def test_an_invited_stranger_may_sign_up_where_others_may_not(cast: Cast, invite: Invite, settings: Any) -> None:
    settings.SIGNUP_OPEN = False
    _made, token = invite()
    browser, form = Client(), {"email": "new@example.org", "password1": "correct horse battery 9", "organization": ""}
    browser.post(reverse("account_signup"), form)
    assert not User.objects.filter(email="new@example.org").exists()
    browser.get(ACCEPT, {"token": token})
    count = Organization.objects.count()
    assert 'name="organization"' not in browser.get(reverse("account_signup")).content.decode()
    browser.post(reverse("account_signup"), form | {"organization": "My own"})
    user = User.objects.get(email="new@example.org")
    assert Organization.objects.count() == count, "whoever is invited has a place to go"
    assert not people.is_member(user, cast.organization), "not before they say so"


def test_the_page_of_a_dead_link_says_so(cast: Cast, invite: Invite) -> None:
    made, token = invite()
    invitations.revoke(made, actor=cast.alice)
    text = Client().get(ACCEPT, {"token": token}, follow=True).content.decode()
    assert "Acme" not in text and "withdrawn" in text


def test_pages_invite_list_revoke_and_resend(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    browser = cast.browser("adam")
    assert browser.get("/members/invite/").status_code == 200
    form = {"email": "new@example.org", "role": "operator", "scope": f"project:{cast.project.pk}"}
    with django_capture_on_commit_callbacks(execute=True):
        assert browser.post("/members/invite/", form)["Location"] == "/invitations/"
    made = Invitation.objects.get()
    assert (made.role, made.project, made.invited_by) == ("operator", cast.project, cast.adam)
    assert "new@example.org" in browser.get("/invitations/").content.decode()
    assert browser.post(f"/invitations/{made.pk}/resend/").status_code == 302
    assert browser.post(f"/invitations/{made.pk}/revoke/").status_code == 200
    assert browser.post(f"/invitations/{made.pk}/revoke/", {"confirmed": "1"}).status_code == 302
    assert Invitation.objects.get().state == "revoked"
    for scope in (f"project:{cast.rival_project.pk}", f"organization:{cast.organization.pk}", "project:x", "\0"):
        assert browser.post("/members/invite/", form | {"scope": scope}).status_code == 400


def test_a_member_is_bound_again_without_harm(cast: Cast, invite: Invite) -> None:
    _made, token = invite(role="viewer")
    bind(cast.vera, "viewer", cast.organization)
    invitations.accept(token, user=cast.vera)
    assert fresh(cast.vera).grants.organization_wide
