"""Fixtures of the network tests."""
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
