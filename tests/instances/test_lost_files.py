"""Somebody takes the file of a volume away by hand: it is said to its owner and to operators, and nothing is put in its place."""
from datetime import timedelta

import pytest

from compute.hosts.models import Discovered
from compute.instances.models import Instance
from compute.instances.operations import act
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from storage.connections import volume_pool
from storage.models import GIB, Volume
from tests.instances.by_hand import hand, looked_at
from tests.notifications.conftest import prove
from tests.world import World, drain

SAID = "is not on its host any more"


@pytest.fixture
def volume(running: Instance) -> Volume:
    """Its root volume, long there."""
    Volume.objects.update(state_changed_at=running.created_at - timedelta(minutes=5))
    return Volume.objects.get(attachment__domain=running.pk)


def acts(volume: Volume) -> list[str]:
    return list(AuditEvent.objects.filter(resource=volume, action__startswith="volume.file").order_by("at").values_list(
        "action", flat=True))


def test_its_pages_its_owner_and_operators_are_told_once(world: World, running: Instance, volume: Volume, browser) -> None:
    prove(world)
    pages = (f"/instances/{running.pk}/", f"/volumes/{volume.pk}/")
    assert all(SAID not in browser("vera").get(page).content.decode() for page in pages)
    hand(world).lose_volume(volume.locator)
    for _look in range(3):
        looked_at(world, running)
    assert acts(volume) == ["volume.file_lost"]
    assert all(SAID in browser("vera").get(page).content.decode() for page in pages)
    assert "File of volume is gone" in browser("vera").get(f"{pages[0]}?tab=timeline").content.decode()
    assert sorted(Notice.objects.filter(act="volume.file_lost").values_list("user__username", flat=True)) == [
        "adam", "alice", "oscar"]
    host = browser("root").get(f"/hosts/{world.host.pk}/").content.decode()
    assert "Files of volumes that are gone" in host and volume.locator.rpartition("/")[2] in host
    assert "Found there, and not ours" not in host


def test_nothing_is_made_in_its_place_and_all_is_well_when_it_is_back(world: World, running: Instance, volume: Volume) -> None:
    act(running, "stop", actor=None, force=True)
    drain()
    hand(world).lose_volume(volume.locator)
    looked_at(world, running)
    act(Instance.objects.get(), "start", actor=world.people["alice"])
    drain()
    running = looked_at(world, Instance.objects.get())
    assert running.state == "stopped" and running.fault
    name = volume.locator.rpartition("/")[2]
    with volume_pool(world.pool) as pool:
        assert pool.volume(name) is None
        pool.ensure_volume(name, size=volume.size_gib * GIB)
    looked_at(world, running)
    assert acts(volume) == ["volume.file_lost", "volume.file_found"] and not Discovered.objects.exists()


def test_what_is_worked_on_is_not_missed_and_what_is_deleted_no_longer(world: World, running: Instance, volume: Volume) -> None:
    act(running, "stop", actor=None, force=True)
    hand(world).lose_volume(volume.locator)
    looked_at(world, running)
    assert acts(volume) == []
    drain()
    looked_at(world, running)
    assert acts(volume) == ["volume.file_lost"]
    act(Instance.objects.get(), "purge", actor=world.people["alice"])
    drain()
    looked_at(world, running)
    assert acts(volume) == ["volume.file_lost"] and not Discovered.objects.exists()
