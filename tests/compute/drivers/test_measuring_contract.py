"""What every driver measures: from a start on, of what runs, by one call."""
from uuid import UUID, uuid4

import pytest

from compute.hosts.drivers.contract import Measurement
from compute.hosts.drivers.libvirt.measuring import measured

from .conftest import wait_until
from .stands import Stand
from .test_hypervisor_contract import Recorder, started


def measurement_of(stand: Stand, uuid: UUID) -> Measurement | None:
    return next((one for one in stand.hypervisor().measurements() if UUID(one.domain) == uuid), None)


@pytest.mark.needs("measurements")
def test_what_runs_is_measured_from_its_start_on(stand: Stand) -> None:
    spec = started(stand)
    if stand.driver == "simulated":
        stand.hand.work(spec.uuid, cpu_ns=10**9, read_bytes=512, reads=1)
    assert measurement_of(stand, spec.uuid) is not None
    # SeaBIOS looks whether the disk boots.
    wait_until(lambda: (one := measurement_of(stand, spec.uuid)) is not None and one.read_bytes > 0)
    first = measurement_of(stand, spec.uuid)
    assert first.cpu_ns > 0 and first.reads > 0 and first.rss_bytes > 0
    assert (first.rx_bytes, first.tx_bytes) == (0, 0)  # it has no card
    again = measurement_of(stand, spec.uuid)
    assert again.epoch == first.epoch and again.cpu_ns >= first.cpu_ns
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert measurement_of(stand, spec.uuid) is None
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    wait_until(lambda: measurement_of(stand, spec.uuid) is not None)
    assert measurement_of(stand, spec.uuid).epoch != first.epoch


def test_measuring_costs_one_call_however_many_domains_there_are(stand: Stand) -> None:
    for spec in (stand.new_domain(), stand.new_domain()):
        stand.hypervisor().ensure_defined(spec)
    fence = Recorder()
    stand.hypervisor(fence).measurements()
    assert len(fence.before_calls) == 1 and fence.before_calls == fence.after_calls


# -- what libvirt says, in the contract's words --

class SomeDomain:
    def __init__(self) -> None:
        self.uuid = uuid4()

    def UUID(self) -> bytes:
        return self.uuid.bytes

    def ID(self) -> int:
        return 7


def said(disks: int = 1, cards: int = 1, **more: int) -> dict[str, int]:
    """The n-th device has told n times what the first has."""
    facts = {"cpu.time": 5, "balloon.current": 1000, "balloon.rss": 900, "block.count": disks, "net.count": cards}
    for number in range(disks):
        facts |= {f"block.{number}.{name}": value * (number + 1) for name, value in (
            ("rd.bytes", 1000), ("wr.bytes", 100), ("rd.reqs", 10), ("wr.reqs", 1))}
    for number in range(cards):
        facts |= {f"net.{number}.{name}": value * (number + 1) for name, value in (
            ("rx.bytes", 2000), ("tx.bytes", 200), ("rx.pkts", 20), ("tx.pkts", 2))}
    return facts | {name.replace("_", "."): value for name, value in more.items()}


@pytest.mark.parametrize(("devices", "times"), [(0, 0), (1, 1), (2, 3), (3, 6), (4, 10)])
def test_all_disks_and_cards_are_added_up(devices: int, times: int) -> None:
    [one] = measured([(SomeDomain(), said(devices, devices))])
    assert (one.read_bytes, one.write_bytes, one.reads, one.writes) == (1000 * times, 100 * times, 10 * times, times)
    assert (one.rx_bytes, one.tx_bytes, one.rx_packets, one.tx_packets) == (2000 * times, 200 * times, 20 * times, 2 * times)
    assert (one.epoch, one.cpu_ns, one.memory_bytes, one.rss_bytes) == (7, 5, 1000 * 1024, 900 * 1024)


def without(facts: dict[str, int], *names: str) -> dict[str, int]:
    return {name: value for name, value in facts.items() if name not in names}


def test_memory_that_is_not_said_is_unknown() -> None:
    [one] = measured([(SomeDomain(), without(said(2, 1), "balloon.rss", "balloon.current"))])
    assert (one.write_bytes, one.read_bytes, one.rss_bytes, one.memory_bytes) == (300, 3000, None, None)


@pytest.mark.parametrize("name", ["cpu.time", "block.0.rd.bytes", "block.1.wr.reqs", "net.0.rx.bytes", "net.0.tx.pkts"])
def test_of_whom_a_counter_is_missing_nothing_is_known(name: str) -> None:
    """0 would look like a counter that began anew, and what it says next like all that ever was."""
    assert len(measured([(SomeDomain(), said(2, 1))])) == 1
    assert measured([(SomeDomain(), without(said(2, 1), name))]) == []
    assert measured([(SomeDomain(), without(said(2, 1), name, "balloon.rss")), (SomeDomain(), {})]) == []


@pytest.mark.parametrize(("given", "usable", "used"), [
    (800, 300, 500 * 1024), (800, 800, 0), (300, 800, None), (2**62, 1, None), (2**64 - 1, 2**64 - 1, None), (800, -1, None)])
def test_a_guests_own_words_are_believed_within_its_memory(given: int, usable: int, used: int | None) -> None:
    [one] = measured([(SomeDomain(), said(balloon_available=given, balloon_usable=usable))])
    assert one.used_bytes == used


def test_domains_of_all_shapes_are_read_together_and_each_for_itself() -> None:
    shapes = [(1, 1), (2, 1), (0, 0), (2, 1), (3, 2)]
    domains = [(SomeDomain(), said(*shape)) for shape in shapes]
    busy, shy = (SomeDomain(), without(said(2, 1), "cpu.time")), (SomeDomain(), without(said(2, 1), "balloon.rss"))
    found = {one.domain: one for one in measured([*domains, busy, shy])}
    alone = {one.domain: one for pair in (*domains, shy) for one in measured([pair])}
    assert found == alone and len(found) == 6 and found[shy[0].UUID().hex()].rss_bytes is None
