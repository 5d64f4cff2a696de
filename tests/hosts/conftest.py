"""Fixtures of the host tests: a world with a simulated host, more of these, and real hosts of a lab of our own."""
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.test import Client

from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Host
from compute.lab import HostFacts, Lab
from storage.operations import add_host
from tests.world import World, browsers, drain, make_world

AddSimulated = Callable[..., Host]


@pytest.fixture
def world(db: None, tmp_path: Path, settings) -> World:
    """Rolled back afterwards; tests with threads ask for `transactional_db` themselves."""
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return make_world(tmp_path)


@pytest.fixture
def add(world: World, tmp_path: Path) -> AddSimulated:
    """Adds a simulated host of that name as an operator does; `facts` are what it shows of itself."""
    def add_one(name: str = "rack-2", query: str = "", **facts: object) -> Host:
        address = f"simulated://{tmp_path}/{name}{query}"
        if facts:
            SimulatedHost(address).set_up(**facts)
        operation = add_host(name, address, zone=world.zone, actor=world.people["root"])
        drain()
        return Host.objects.select_related("endpoint").get(pk=operation.arguments["host"])

    return add_one


@pytest.fixture
def browser(world: World) -> Callable[[str], Client]:
    return browsers(world)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[HostFacts]]:
    """Three real hosts of this session alone."""
    folder = tmp_path_factory.mktemp("lab")
    made = Lab(f"hosts{os.getpid()}", folder, hosts=3)
    yield made.up()
    made.down()
    shutil.rmtree(folder, ignore_errors=True)
