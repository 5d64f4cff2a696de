"""Fixtures of the tests of snapshots: a small world, an instance in it, and a hand that writes on its volume."""
import pytest

from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from tests.instances.conftest import browser, world  # noqa: F401  (fixtures)
from tests.world import World, drain


@pytest.fixture
def web(world: World) -> Instance:  # noqa: F811
    create_instance(world.order(root_disk_gib=2), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


@pytest.fixture
def hand(world: World) -> SimulatedHost:  # noqa: F811
    return SimulatedHost(world.host.endpoint.uri)
