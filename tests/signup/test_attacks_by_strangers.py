"""Attacks by a stranger and by who signed up: mails that lead elsewhere, sessions given in advance, more than a trial allows."""
import re
from collections.abc import Callable

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.core.cache import cache
from django.test import Client, RequestFactory
from django.urls import reverse

from compute.instances import operations as instances
from compute.instances.models import Instance
from portal import outbox
from portal.kernel import requests
from portal.kernel.errors import InvalidInput, PaymentRequired, QuotaExceeded
from portal.kernel.requests import RequestContext
from tenants import operations as tenants
from tenants.adapter import AccountAdapter
from tenants.models import Organization, Project, User
from tests.pages.listed import instance
from tests.signup.test_trial_credit import on_trial
from tests.world import PASSWORD, World

LINK = re.compile(r"https?://[^\s]+")
EVIL = "localhost:9999"  # a host that is allowed, for health checks, and where the site is not


# -- mails --

@pytest.mark.parametrize(("path", "email"), [
    ("password/reset", "alice@example.org"), ("password/reset", "nobody@example.org"), ("signup", "new@example.org"),
    ("signup", "alice@example.org")])
def test_no_mail_leads_to_a_host_that_the_asker_named(strict: World, stranger: Client, settings, path: str,
                                                            email: str) -> None:
    settings.SITE_URL, settings.ALLOWED_HOSTS = "https://mains.example.org", ["mains.example.org", "localhost"]
    stranger.post(f"/accounts/{path}/", {"email": email, "password1": PASSWORD}, headers={"host": EVIL})
    [found] = outbox.mails()
    links = LINK.findall(found.text)
    assert len(links) >= 2 and all(link.startswith("https://mains.example.org") for link in links), links


@pytest.mark.parametrize("name", ["a\r\nBcc: all@example.org", "a\nb", "a\0b", "<b>x</b>", "x" * 101])
def test_no_name_breaks_out_of_a_mail_or_a_page(door: World, sign_up: Callable, name: str) -> None:
    assert sign_up(organization=name).status_code == 200 and not User.objects.filter(email="new@example.org").exists()
    assert len(name) > 100 or sign_up(email=f"{name}@example.org").status_code == 200
    assert not outbox.mails() and not mail.outbox


# -- sessions --

def test_a_session_given_in_advance_is_not_the_one_that_is_signed_in(door: World, sign_up: Callable, stranger: Client) -> None:
    before = stranger.session
    before["planted"] = "yes"
    before.save()
    stranger.cookies["sessionid"] = before.session_key
    sign_up()
    assert stranger.session.session_key != before.session_key and stranger.session["_auth_user_id"]
    planted = Client()
    planted.cookies["sessionid"] = before.session_key
    assert planted.get("/").status_code == 302


@pytest.mark.parametrize("to", ["https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"])
def test_signing_up_and_in_leads_nowhere_else(door: World, sign_up: Callable, to: str) -> None:
    assert sign_up(next=to)["Location"] == reverse("dashboard")
    answer = Client().post("/accounts/login/", {"login": "alice", "password": PASSWORD, "next": to})
    assert answer["Location"] == reverse("dashboard")


def test_sign_up_asks_for_the_sites_own_form(door: World) -> None:
    client = Client(enforce_csrf_checks=True)
    sent = {"email": "new@example.org", "password1": PASSWORD}
    assert client.post("/accounts/signup/", sent).status_code == 403 and not User.objects.filter(email="new@example.org").exists()


# -- how many --

@pytest.mark.parametrize(("address", "counted"), [
    ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
    ("nonsense:", "nonsense:")])
def test_who_has_a_network_of_addresses_counts_once(address: str, counted: str) -> None:
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    requests.bind(RequestContext(address=address))
    try:
        assert AccountAdapter(request).get_client_ip(request) == counted
    finally:
        requests.bind(requests.OUTSIDE)


def test_sign_ups_from_one_network_are_limited(strict: World, settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a good one takes longer than all the rest
    cache.clear()
    for number in range(12):
        Client().post("/accounts/signup/", {"email": f"new{number}@example.org", "password1": PASSWORD},
                      REMOTE_ADDR=f"2001:db8:1:2::{number + 1:x}")
    assert User.objects.filter(email__startswith="new").count() == 10


def test_an_organization_is_not_renamed_to_what_it_could_not_sign_up_as(door: World, browser: Callable) -> None:
    acme = door.project.organization
    for name in ("Admin", "S u p p o r t", "ＲＯＯＴ", "管理员"):
        with pytest.raises(InvalidInput):
            tenants.change_organization(acme, name=name, actor=door.people["alice"])
    answer = browser("alice").patch(f"/api/v1/organizations/{acme.pk}/", {"name": "Mains"}, content_type="application/json")
    assert answer.status_code == 400 and "name" in answer.json()["errors"]
    tenants.change_organization(acme, name="Operators", actor=door.people["root"])


def test_nobody_fills_the_portal_with_projects_or_keys(door: World, monkeypatch: pytest.MonkeyPatch, browser: Callable) -> None:
    acme, alice = door.project.organization, door.people["alice"]
    monkeypatch.setattr(tenants, "MOST_PROJECTS", 4)
    monkeypatch.setattr(tenants, "DEEPEST", 2)
    monkeypatch.setattr(tenants, "MOST_KEYS", 1)
    below = tenants.create_project(acme, "below", actor=alice, parent=door.project)
    with pytest.raises(InvalidInput) as refused:
        tenants.create_project(acme, "deeper", actor=alice, parent=below)
    assert set(refused.value.errors) == {"parent"}
    tenants.create_project(acme, "third", actor=alice)
    tenants.create_project(acme, "fourth", actor=alice)
    answer = browser("alice").post("/api/v1/projects/", {"name": "fifth", "organization": str(acme.pk)},
                                   content_type="application/json")
    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    assert Project.objects.filter(organization=acme).count() == 4
    # An allowance of requests belongs to each key: without an end to keys there would be none to requests.
    key, _text = tenants.create_api_key(alice, name="one", actor=alice)
    assert browser("alice").post("/api-keys/create/", {"name": "two", "days": "30"}).status_code == 409
    tenants.revoke_api_key(key, actor=alice)
    tenants.create_api_key(alice, name="two", actor=alice)
    with pytest.raises(QuotaExceeded):
        tenants.create_api_key(alice, name="three", actor=alice)


# -- credit --

def test_without_credit_nothing_that_stands_still_starts_again(door: World, browser: Callable) -> None:
    stopped, running = instance(door, "stopped"), instance(door, "running", state="running")
    on_trial(door, None)
    with pytest.raises(PaymentRequired):
        instances.act(stopped, "start", actor=door.people["alice"])
    client = browser("oscar")
    assert client.post(f"/instances/{stopped.pk}/start/").status_code == 402
    assert "too little credit left" in client.post("/instances/bulk/start/", {"id": str(stopped.pk)}).content.decode()
    instances.act(running, "stop", actor=door.people["alice"])
    assert set(Instance.objects.values_list("state", flat=True)) == {"stopped", "stopping"}
    Organization.objects.update(plan="standard")
    instances.act(stopped, "start", actor=door.people["alice"])
