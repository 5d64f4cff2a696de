"""A browser's session: whose it is, and when it is nobody's."""
from datetime import timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants.models import BrowserSession as Session
from tests.cast import Cast, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def browser(cast: Cast) -> Client:
    return cast.browser("alice")


def is_known(browser: Client) -> bool:
    return browser.get("/").status_code == 200


def test_it_is_of_the_user_who_signed_in(browser: Client, cast: Cast) -> None:
    assert browser.get("/").context["user"] == cast.alice
    assert browser.session[SESSION_KEY] == str(cast.alice.pk)


def test_it_ends_by_time_deletion_and_a_changed_password(browser: Client, cast: Cast) -> None:
    assert is_known(browser)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert not is_known(browser)
    browser.force_login(cast.alice)
    assert is_known(browser)
    Session.objects.all().delete()
    assert not is_known(browser)
    browser.force_login(cast.alice)
    cast.alice.set_password("another one, quite long")
    cast.alice.save()
    assert not is_known(browser)


def test_nobody_inactive_or_gone_is_let_in(browser: Client, cast: Cast) -> None:
    cast.alice.is_active = False
    cast.alice.save()
    assert not is_known(browser)


@pytest.mark.parametrize("key", ["", "x", "' OR true --", "a" * 10_000, "\\000"])
def test_keys_that_are_none_open_nothing(key: str, cast: Cast) -> None:
    client = Client()
    client.cookies["sessionid"] = key
    assert not is_known(client)


def test_session_and_user_are_two_statements(browser: Client) -> None:
    with CaptureQueriesContext(connection) as asked:
        browser.get("/docs/")
    about = [one["sql"] for one in asked if "tenants_browsersession" in one["sql"] or '"tenants_user"."password"' in one["sql"]]
    assert len(about) == 2
