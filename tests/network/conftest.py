"""Fixtures of the network tests."""
from collections.abc import Callable
from typing import Any

import pytest

from tests.network.networked import Networked, add_network
from tests.world import make_world


@pytest.fixture
def networked_world(db: None, tmp_path, settings) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path))


@pytest.fixture
def racing_world(transactional_db: None, tmp_path, settings) -> Networked:
    """The same for tests with several real connections or processes: its fabric is a file, which forks share."""
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path), uri=f"simulated://{tmp_path}/fabric")


@pytest.fixture
def net(networked_world: Networked) -> Networked:
    return networked_world


@pytest.fixture
def order(net: Networked) -> Callable[..., dict[str, Any]]:
    """A body that is accepted."""
    world = net.world
    return lambda **further: net.scope | {"name": "web", "type": str(world.type.pk), "image": str(world.image.pk)} | further


@pytest.fixture
def theirs(net: Networked) -> dict[str, str]:
    """What the rival calls hers."""
    return {"project": str(net.world.rival_project.pk), "region": str(net.world.region.pk)}
