"""Fixtures of the tests of the tree: a world with networks, and one for several connections."""
import pytest

from tests.cast import Cast, make_cast
from tests.network.networked import Networked, add_network
from tests.world import make_world


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def net(db: None, tmp_path, settings) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path))


@pytest.fixture
def racing(transactional_db: None, tmp_path, settings) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path), uri=f"simulated://{tmp_path}/fabric")
