"""Fixtures of the webhook tests: the cast, a receiver that may be reached, a webhook of the organization."""
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tenants.webhooks import operations
from tenants.webhooks.models import Webhook
from tests.cast import Cast, make_cast
from tests.webhooks.receiver import Receiver, receiver

LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture
def cast(db: None, settings) -> Cast:
    settings.DOORBELLS = False
    return make_cast()


@pytest.fixture
def hooked(settings) -> Iterator[Receiver]:
    """A receiver on the loopback address, which this test allows."""
    settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": LOOPBACK, "plain_http": True}
    with receiver() as found:
        yield found


@pytest.fixture
def make(cast: Cast, hooked: Receiver) -> Callable[..., Webhook]:
    """A webhook of Acme (or of a project) for the receiver."""
    def made(patterns: tuple[str, ...] = ("instance.*",), **further: Any) -> Webhook:
        values = {"organization": cast.organization, "name": "chat", "url": hooked.url, "actor": cast.alice} | further
        return operations.create_webhook(values.pop("organization"), patterns=list(patterns), **values)[0]
    return made
