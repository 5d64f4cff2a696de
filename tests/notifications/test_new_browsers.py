"""A sign-in with a browser that was never used for an account is told its owner, once a browser."""
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from portal.kernel.models import AuditEvent
from portal.notices import dispatch
from tenants.newcomers import COOKIE
from tests.cast import PASSWORD, Cast

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture
def cast(cast: Cast, settings: Any) -> Cast:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    for person in (cast.vera, cast.oscar):
        person.set_password(PASSWORD)
        person.save()
    return cast


def sign_in(browser: Client, name: str) -> None:
    answer = browser.post("/accounts/login/", {"login": name, "password": PASSWORD}, headers={"user-agent": FIREFOX})
    assert answer.status_code == 302


def told(person: str) -> list[str]:
    dispatch.run()
    return [message.subject for message in mail.outbox if message.to == [f"{person}@example.org"]]


def test_a_new_browser_is_told_and_then_known(cast: Cast) -> None:
    browser = Client()
    sign_in(browser, "vera")
    [subject] = told("vera")
    assert "Firefox 145 · Linux, 127.0.0.1" in subject and "password" in subject
    browser.post("/accounts/logout/")
    sign_in(browser, "vera")
    assert len(told("vera")) == 1 and AuditEvent.objects.filter(action="user.new_browser", actor=cast.vera).count() == 1
    sign_in(Client(), "vera")
    assert len(told("vera")) == 2


def test_it_is_known_for_whom_it_was_used_alone(cast: Cast) -> None:
    browser = Client()
    sign_in(browser, "vera")
    browser.post("/accounts/logout/")
    sign_in(browser, "oscar")
    assert len(told("oscar")) == 1
    browser.post("/accounts/logout/")
    sign_in(browser, "vera")
    assert len(told("vera")) == 1


@pytest.mark.parametrize("value", ["x", "", "a.b.c", "forged:sig:nature"])
def test_a_cookie_of_ones_own_making_is_none(cast: Cast, value: str) -> None:
    browser = Client()
    browser.cookies[COOKIE] = value
    sign_in(browser, "vera")
    assert len(told("vera")) == 1


def test_the_cookie_opens_nothing_and_names_nobody(cast: Cast) -> None:
    browser = Client()
    sign_in(browser, "vera")
    morsel = browser.cookies[COOKIE]
    assert morsel["httponly"] and morsel["samesite"] == "Lax"
    assert "vera" not in morsel.value and str(cast.vera.pk) not in morsel.value
    other = Client()
    other.cookies[COOKIE] = morsel.value
    assert other.get("/profile/").status_code == 302


def test_a_wrong_password_is_told_as_no_sign_in(cast: Cast) -> None:
    Client().post("/accounts/login/", {"login": "vera", "password": "wrong"})
    assert told("vera") == []
