"""Fixtures of the sign-in tests: a cast with passwords, mails in memory, static files unhashed, a clock that stands."""
from collections.abc import Callable, Iterator

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth
from django.contrib.auth.hashers import make_password
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from tenants.models import User
from tests.cast import PASSWORD, Cast, make_cast

LOGIN, STEP = "/accounts/login/", 30


@pytest.fixture
def cast(db: None, settings) -> Iterator[Cast]:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    settings.DOORBELLS = False
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a good one takes longer than all the rest
    cache.clear()  # limits that other tests used up
    made = make_cast()
    User.objects.update(password=make_password(PASSWORD))
    for user in made.people.values():
        user.refresh_from_db()
    yield made
    cache.clear()


class Clock:
    """What time the codes go by."""

    def __init__(self) -> None:
        self.now = 1_800_000_000

    def time(self) -> float:
        return self.now

    def pass_by(self, steps: int = 1) -> None:
        self.now += steps * STEP


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(auth, "time", clock)
    return clock


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done when a transaction has ended is done at once: within the request, as without a test around it."""
    monkeypatch.setattr(transaction, "on_commit", lambda work, **_options: work())


@pytest.fixture
def browser() -> Client:
    """Nobody's yet."""
    return Client(headers={"accept-language": "en", "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0"})


def add_app(user: User) -> str:
    """An authenticator app, as if set up long ago; its key."""
    key = auth.generate_totp_secret()
    auth.TOTP.activate(user, key)
    return key


def code_of(key: str, clock: Clock, steps: int = 0) -> str:
    return auth.format_hotp_value(auth.hotp_value(key, int(clock.now // STEP) + steps))


def give_password(client: Client, name: str, password: str = PASSWORD, **further: str) -> object:
    return client.post(LOGIN, {"login": name, "password": password, **further})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def signed_in(browser: Client, cast: Cast) -> Callable[[str], Client]:
    """A browser whose person just gave the password once more."""

    def sign_in(name: str) -> Client:
        give_password(browser, name)
        assert is_in(browser)
        browser.post("/accounts/reauthenticate/", {"password": PASSWORD})
        return browser

    return sign_in


def factors_of(user: User) -> set[str]:
    return set(Authenticator.objects.filter(user=user).values_list("type", flat=True))
