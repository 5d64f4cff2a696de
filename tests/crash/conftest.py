"""Fixtures of the crash harness."""
import pytest

from tests.network.conftest import racing_world  # noqa: F401  (a fixture)
from tests.world import World, make_world


@pytest.fixture
def world(transactional_db: None, tmp_path, settings) -> World:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return make_world(tmp_path)
