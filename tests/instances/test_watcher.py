"""The watcher follows every host where it is now, and no event is lost on a pass that somebody else has begun."""
import queue
import threading
from datetime import timedelta

import pytest

from compute.hosts.models import Host
from compute.instances.management.commands import watch
from portal.kernel.states import database_now
from tests.world import World


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> dict[str, threading.Event]:
    """By address, what ends its listener."""
    found: dict[str, threading.Event] = {}
    monkeypatch.setattr(watch, "watch_events", lambda _driver, address, _on_event, *, stop: found.update({address.uri: stop}))
    return found


def test_an_event_during_anothers_pass_is_looked_at_again_after_it(world: World) -> None:
    command = watch.Command()
    Host.objects.filter(pk=world.host.pk).update(reconcile_until=database_now() + timedelta(seconds=30))
    command.look_at({world.host.pk})
    assert command.changed.get_nowait() == world.host.pk
    Host.objects.filter(pk=world.host.pk).update(reconcile_until=None)
    command.look_at({world.host.pk})
    with pytest.raises(queue.Empty):
        command.changed.get_nowait()


def test_a_host_that_is_not_ours_to_follow_is_not_looked_at_again(world: World) -> None:
    command = watch.Command()
    Host.objects.filter(pk=world.host.pk).update(state=Host.State.PREPARING)
    command.look_at({world.host.pk})
    assert command.changed.empty()


def test_a_host_is_followed_to_its_new_address_and_given_up_when_it_is_gone(
    world: World, listening: dict[str, threading.Event]
) -> None:
    command, endpoint = watch.Command(), world.host.endpoint
    first = endpoint.uri
    command.follow_hosts()
    command.follow_hosts()
    assert list(listening) == [first] and not listening[first].is_set()
    type(endpoint).objects.filter(pk=endpoint.pk).update(uri=f"{first}-moved")
    command.follow_hosts()
    assert listening[first].is_set() and not listening[f"{first}-moved"].is_set()
    Host.objects.filter(pk=world.host.pk).update(state=Host.State.PREPARING)
    command.follow_hosts()
    assert listening[f"{first}-moved"].is_set() and not command.watched
