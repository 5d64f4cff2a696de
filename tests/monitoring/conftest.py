"""A world with one running instance, and samples of it made by hand."""
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from compute.hosts.drivers.contract import Measurement
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.monitoring import measuring
from portal.kernel.states import database_now
from tests.world import World, browsers, drain, make_world

NOTHING = Measurement(domain="", epoch=1, **dict.fromkeys(measuring.COUNTERS, 0), memory_bytes=None, used_bytes=None,
                      rss_bytes=None)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """`now` is the begin of a minute a while ago, so that what is sampled after it is in the past."""

    world: World
    instance: Instance
    now: datetime

    def tell(self, after_s: float, *, instance: Instance | None = None, **facts: Any) -> datetime:
        """The host said so, so many seconds after `now`."""
        at = self.now + timedelta(seconds=after_s)
        told = NOTHING._replace(domain=str((instance or self.instance).pk), **facts)
        measuring.keep(self.world.host, [told], at=at)
        return at

    def api(self, name: str = "alice", **query: Any) -> Any:
        client = APIClient()
        client.force_authenticate(self.world.people[name])
        return client.get(f"/api/v1/instances/{self.instance.pk}/metrics/", query)


def make_instance(world: World, name: str = "web") -> Instance:
    operation = create_instance(world.order(name=name), actor=world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)


@pytest.fixture
def watched(transactional_db: None, tmp_path, settings) -> Watched:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    world = make_world(tmp_path)
    minute = database_now().replace(second=0, microsecond=0)
    return Watched(world=world, instance=make_instance(world), now=minute - timedelta(minutes=50))


@pytest.fixture
def browser(watched: Watched) -> Callable[[str], Client]:
    return browsers(watched.world)
