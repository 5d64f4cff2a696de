"""Fixtures of the instance tests."""
from collections.abc import Callable

import pytest
from django.test import Client

from compute.instances.models import Instance
from compute.instances.operations import create_instance
from tests.world import World, browsers, drain, make_world


@pytest.fixture
def world(transactional_db: None, tmp_path, settings) -> World:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return make_world(tmp_path)


@pytest.fixture
def browser(world: World) -> Callable[[str], Client]:
    return browsers(world)


@pytest.fixture
def running(world: World) -> Instance:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)
