"""Fixtures of the sign-up tests: the world of the page tests, sign-up open, mails as files."""
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from tests.pages.conftest import browser, networked, world  # noqa: F401  (fixtures)
from tests.world import World

PASSWORD = "a stranger's long secret"


@pytest.fixture
def door(world: World, settings, tmp_path: Path) -> World:  # noqa: F811
    """A demo: sign-up is open and an address need not be proved."""
    settings.SIGNUP_OPEN = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "optional"
    settings.EMAIL_BACKEND = "portal.outbox.Outbox"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    cache.clear()  # rate limits of other tests
    return world


@pytest.fixture
def strict(door: World, settings) -> World:
    """As in production: an address is proved first."""
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    return door


@pytest.fixture
def stranger() -> Client:
    """A browser that nobody has signed in with."""
    return Client(headers={"accept-language": "en"})


@pytest.fixture
def sign_up(stranger: Client) -> Callable[..., object]:
    """Send the form, as a stranger."""

    def send(email: str = "new@example.org", **changes: str) -> object:
        return stranger.post("/accounts/signup/", {"email": email, "password1": PASSWORD, "organization": "New Ltd", **changes})

    return send
