"""The fabric's reconciler: one pass over a region at a time, and one more for whatever changed meanwhile."""
import threading
from typing import Any

import pytest
from django.db import connections

from compute.network import tasks
from compute.network.apply import gateways_changed
from compute.network.models import Fabric
from tests.network.networked import Networked, add_network
from tests.world import make_world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def net(transactional_db: None, tmp_path, settings) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What happens in each pass, in turn: calls; those that were begun are taken off."""
    found: list[Any] = []
    monkeypatch.setattr(tasks, "reconcile_fabric", lambda row: found.pop(0)())
    return found


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(tasks.reconcile, "apply_async", lambda args, **_how: found.append(args[0]))
    return found


def elsewhere(work: Any) -> None:
    """By another worker: on a connection of its own."""
    def run() -> None:
        work()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_who_comes_while_a_pass_is_on_goes_away_at_once(net: Networked, passes: list[Any], rung: list[str]) -> None:
    region, ended = str(net.world.region.pk), []
    passes += [lambda: [elsewhere(lambda: tasks.reconcile(region)) for _beat in range(3)], lambda: ended.append(True)]
    tasks.reconcile(region)
    assert len(passes) == 1 and rung == [], "the beat that found a pass on is not made up for"
    tasks.reconcile(region)
    assert ended == [True]


def test_what_changed_meanwhile_is_followed_by_one_pass_however_often(net: Networked, passes: list[Any], rung: list[str]) -> None:
    region, change = str(net.world.region.pk), lambda: gateways_changed(net.world.region)
    gateways_changed(net.world.region)
    passes += [lambda: [elsewhere(change) for _ring in range(3)], lambda: None]
    tasks.reconcile(region)
    assert rung == [region]
    tasks.reconcile(region)
    assert (passes, rung) == ([], [region])


def test_a_pass_that_breaks_keeps_nobody_out(net: Networked, passes: list[Any], rung: list[str]) -> None:
    region = str(net.world.region.pk)
    passes += [lambda: 1 / 0, lambda: None]
    with pytest.raises(ZeroDivisionError):
        tasks.reconcile(region)
    elsewhere(lambda: tasks.reconcile(region))
    assert passes == [] and Fabric.objects.get().changes == 0


def test_so_is_what_changed_during_a_pass_that_breaks(net: Networked, passes: list[Any], rung: list[str]) -> None:
    region = str(net.world.region.pk)

    def change_and_break() -> None:
        elsewhere(lambda: gateways_changed(net.world.region))
        raise ZeroDivisionError

    passes += [change_and_break, lambda: None]
    with pytest.raises(ZeroDivisionError):
        tasks.reconcile(region)
    assert rung == [region]
    tasks.reconcile(region)
    assert (passes, rung) == ([], [region])
