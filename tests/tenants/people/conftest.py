"""Acme with an administrator of all of it (ann) beside the cast, who are bound to its project `web` alone."""
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.db import connection

from tenants import invitations
from tenants.models import Invitation, User
from tenants.roles import bind
from tests.cast import Cast, make_cast


def with_ann(cast: Cast) -> Cast:
    cast.people["ann"] = User.objects.create(username="ann", email="ann@example.org")
    bind(cast.ann, "admin", cast.organization)
    return cast


@pytest.fixture
def cast(db: None) -> Cast:
    return with_ann(make_cast())


@pytest.fixture
def racing(transactional_db: None) -> Cast:
    return with_ann(make_cast())


@pytest.fixture
def invite(cast: Cast, django_capture_on_commit_callbacks: Any) -> Callable[..., tuple[Invitation, str]]:
    """Invite by alice (or `by`); the invitation and the token of its mail."""
    def act(email: str = "new@example.org", role: str = "viewer", scope: Any = None, by: str = "alice") -> tuple[Invitation, str]:
        with django_capture_on_commit_callbacks(execute=True):
            made = invitations.invite(email, role, scope or cast.organization, actor=fresh(cast.people[by]))
        return made, token_in_mail()

    return act


def token_in_mail() -> str:
    """What the newest mail's link carries."""
    return mail.outbox[-1].body.partition("token=")[2].split()[0]


def fresh(user: User) -> User:
    """The user as the next request reads them: with the rights of now."""
    return User.objects.get(pk=user.pk)


def both(first: Callable[[], object], second: Callable[[], object]) -> list[str]:
    """What two connections at once are answered: "" or the error's code."""
    found, start = ["?", "?"], threading.Barrier(2)

    def run(number: int, act: Callable[[], object]) -> None:
        try:
            start.wait(10)
            act()
            found[number] = ""
        except Exception as error:
            found[number] = getattr(error, "code", repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number, act)) for number, act in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found
