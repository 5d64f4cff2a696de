"""Every dimension that is declared, raced for: used = limit exactly, nobody refused while there is room, no deadlock.

A slice over connections of this process; `make soak` sends 1,000 creates over 64 connections to two web processes for each.
"""
import os
import time

import pytest
from django.db import connection

from portal.kernel.declarations import registry
from tests.bench.console import _free_port
from tests.bench.live import _served
from tests.network.networked import Networked, add_network
from tests.quotas import races
from tests.soak import SOAKING
from tests.world import make_world

COUNT, CONNECTIONS, ROOM = (1000, 64, 60) if SOAKING else (10, 5, 4)
ADDRESSES = {"first": "198.18.200.10", "last": "198.18.200.250"}


@pytest.fixture
def net(transactional_db: None, tmp_path, settings) -> Networked:
    settings.DOORBELLS, settings.STATE_DIR = False, tmp_path
    settings.API_RATE = {"requests": 0, "window_s": 60}
    return add_network(make_world(tmp_path), uri=f"simulated://{tmp_path}/fabric", **ADDRESSES)


def test_every_dimension_has_a_maker() -> None:
    assert set(races.MAKERS) == set(registry.dimensions)


def test_every_dimension_is_filled_exactly(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = races.plant(net)
    if not SOAKING:
        assert _raced(leaves, races.in_process) == []
        return
    for name, value in {"API_REQUESTS_A_MINUTE": "0", "DOORBELLS": "0"}.items():
        monkeypatch.setenv(name, value)
    with _served(connection.settings_dict["NAME"], port := _free_port()) as processes:
        wrong = _raced(leaves, races.over_http(port))
    assert (wrong, processes) == ([], 2)


def _raced(leaves: list[races.Leaf], open_way: object) -> list[str]:
    wrong = []
    for dimension in os.environ.get("MAINS_ONLY", "").split() or registry.dimensions:
        room, begun = ROOM * races.UNITS.get(dimension, 1), time.monotonic()
        where = races.limit(leaves[0], dimension, room)
        answers = races.race(leaves, dimension, count=COUNT, connections_=CONNECTIONS, open_way=open_way)
        wrong += races.judge(leaves, dimension, room, where, answers)
        wrong += [] if len(answers) == COUNT else [f"{dimension}: {len(answers)} answers of {COUNT}"]
        races.forget()
        print(f"{dimension}: {COUNT} creates over {CONNECTIONS} connections in {time.monotonic() - begun:.1f} s, "
              f"{len(races.waits)} told to wait, load {os.getloadavg()[0]:.0f}")
        races.waits.clear()
    return wrong
