"""The cast with proved addresses, and how a test reads what they are told."""
from collections.abc import Callable
from email.message import Message

import pytest
from allauth.account.models import EmailAddress
from django.core import mail

from portal.kernel.models import Operation
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from portal.notices import dispatch, events
from tenants.models import User
from tests.cast import Cast, make_cast


def prove(cast: Cast) -> Cast:
    for person in cast.people.values():
        EmailAddress.objects.create(user=person, email=person.email, verified=True, primary=True)
    return cast


@pytest.fixture
def cast(db: None) -> Cast:
    return prove(make_cast())


@pytest.fixture
def racing(transactional_db: None) -> Cast:
    return prove(make_cast())


@pytest.fixture
def told() -> Callable[[User], list[str]]:
    """Send what is due; the subjects that somebody has got until now."""
    def read(person: User) -> list[str]:
        dispatch.run()
        return [message.subject for message in mail.outbox if message.to == [person.email]]
    return read


def ended(cast: Cast, *, state: str = "failed", by: str = "alice", name: str = "") -> Operation:
    """An operation in the cast's project that has come to its end just now."""
    now = database_now()
    error = {"code": "host_fault", "detail": "x", "facts": {"host": "sim-1"}} if state == "failed" else None
    operation = Operation.objects.create(kind="instance.start", project=cast.project, region=cast.region, actor=cast.people[by],
                                         plan=kinds["instance.start"].plan, run_after=now, deadline=now, state=state, error=error,
                                         finished_at=now)
    events.operation_settled(operation)
    return operation


def parts(number: int = -1) -> tuple[Message, str, str]:
    """A mail as it goes over the wire: its head, its text and its HTML."""
    raw = mail.outbox[number].message()
    found = {part.get_content_type(): part.get_payload(decode=True).decode() for part in raw.walk() if not part.is_multipart()}
    return raw, found["text/plain"], found["text/html"]
