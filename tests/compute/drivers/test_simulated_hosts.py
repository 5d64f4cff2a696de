"""What only simulated hosts offer: faults to order, a state that survives its process, and being cheap."""
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest

from compute.hosts.drivers import open_hypervisor
from compute.hosts.drivers.contract import Address, Power
from compute.hosts.drivers.simulated import SimulatedHost
from portal.kernel.errors import HostFault, HostUnreachable
from storage.pools import open_pool

from .conftest import simulated
from .stands import Stand


@pytest.fixture
def host(tmp_path: Path) -> Stand:
    made = simulated(f"simulated://{tmp_path}/h1?memory_mib=1024&vcpus=4&hostname=rack-1")
    made.pool().ensure_pool()
    return made


def running(host: Stand) -> UUID:
    spec = host.new_domain()
    host.hypervisor().ensure_defined(spec)
    host.hypervisor().ensure_started(spec.uuid, 1)
    return spec.uuid


class Reaper:
    """A fence that ends the process at the k-th point, as the crash harness does."""

    def __init__(self, at: int) -> None:
        self._left = at

    def before(self, verb: str) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(7)

    after = before


def test_sizes_and_name_come_from_the_address(host: Stand) -> None:
    inventory = host.hypervisor().inventory()
    assert (inventory.hostname, inventory.memory_mib, inventory.vcpus) == ("rack-1", 1024, 4)


@pytest.mark.parametrize("uri", ["simulated:", "qemu:///system", "/tmp/somewhere"])
def test_an_address_of_something_else_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        open_hypervisor("simulated", Address(uri=uri))


@pytest.mark.parametrize(("kind", "error", "transient"), [
    ("error", HostFault, False), ("transient", HostFault, True), ("unreachable", HostUnreachable, True)])
def test_a_verb_fails_as_often_as_asked_and_does_nothing(host: Stand, kind: str, error: type, transient: bool) -> None:
    uuid = running(host)
    host.hand.fail("ensure_stopped", kind=kind, times=2)
    for _ in range(2):
        with pytest.raises(error) as fault:
            host.hypervisor().ensure_stopped(uuid, 1)
        assert fault.value.transient is transient
        assert host.hypervisor().domain(uuid).power == Power.RUNNING
    host.hypervisor().ensure_stopped(uuid, 1)
    assert host.hypervisor().domain(uuid).power == Power.OFF


def test_a_lost_answer_leaves_the_verb_done(host: Stand) -> None:
    uuid = running(host)
    host.hand.fail("ensure_stopped", kind="lost")
    with pytest.raises(HostUnreachable):
        host.hypervisor().ensure_stopped(uuid, 1)
    assert host.hypervisor().domain(uuid).power == Power.OFF


def test_a_hanging_verb_answers_late_and_badly(host: Stand) -> None:
    host.hand.fail("domains", kind="hang", seconds=0.2)
    began = time.monotonic()
    with pytest.raises(HostUnreachable):
        host.hypervisor().domains()
    assert time.monotonic() - began >= 0.2


def test_faults_strike_the_pool_too(host: Stand) -> None:
    host.hand.fail("ensure_volume")
    with pytest.raises(HostFault):
        host.pool().ensure_volume("v", size=1024)
    assert host.pool().volume("v") is None


def test_an_unreachable_host_answers_nothing_until_it_is_back(host: Stand) -> None:
    uuid = running(host)
    host.hand.set_unreachable()
    for attempt in (host.hypervisor().domains, host.pool().volumes, host.hypervisor().inventory):
        with pytest.raises(HostUnreachable):
            attempt()
    host.hand.set_unreachable(False)
    assert host.hypervisor().domain(uuid).power == Power.RUNNING


def test_a_guest_that_switches_itself_off_is_off(host: Stand) -> None:
    uuid = running(host)
    host.hand.power_off_from_inside(uuid)
    assert host.hypervisor().domain(uuid).power == Power.OFF


def test_an_obedient_guest_follows_its_power_button(host: Stand) -> None:
    uuid = running(host)
    host.hypervisor().request_shutdown(uuid, 1)
    assert host.hypervisor().domain(uuid).power == Power.OFF


def test_memory_of_stopped_domains_is_free_again(host: Stand) -> None:
    first, second = (host.new_domain(memory_mib=600) for _ in range(2))
    for spec in (first, second):
        host.hypervisor().ensure_defined(spec)
    host.hypervisor().ensure_started(first.uuid, 1)
    with pytest.raises(HostFault):
        host.hypervisor().ensure_started(second.uuid, 1)
    host.hypervisor().ensure_stopped(first.uuid, 1)
    host.hypervisor().ensure_started(second.uuid, 1)


def test_the_census_tells_all_that_is_there(host: Stand) -> None:
    empty = host.hand.census()
    spec = host.new_domain()
    host.hypervisor().ensure_defined(spec)
    assert host.hand.census() == {"domains": {str(spec.uuid): "off"}, "volumes": {spec.disks[0].file: 1024**2}}
    host.hypervisor().ensure_absent(spec.uuid, 1)
    host.pool().ensure_volume_absent(spec.disks[0].file.rpartition("/")[2])
    assert host.hand.census() == empty == {"domains": {}, "volumes": {}}


def test_a_process_killed_at_any_point_leaves_before_or_after_and_the_next_completes(host: Stand) -> None:
    def work(fence: Reaper | None) -> None:
        host.pool(fence).ensure_volume("v", size=1024**2)
        host.hypervisor(fence).ensure_defined(spec)
        host.hypervisor(fence).ensure_started(spec.uuid, 1)

    spec, points, survived = host.domain_on("/srv/main/v"), 0, False
    while not survived:
        points += 1
        child = os.fork()
        if child == 0:
            work(Reaper(points))
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        work(None)
        assert host.hand.census() == {"domains": {str(spec.uuid): "running"}, "volumes": {"/srv/main/v": 1024**2}}
        SimulatedHost(host.address.uri).destroy(spec.uuid)
        host.pool().ensure_volume_absent("v")
    assert points == 7


def test_many_actors_on_one_host_lose_no_change(host: Stand) -> None:
    def fill(part: int) -> None:
        for number in range(20):
            host.pool().ensure_volume(f"v{part}-{number}", size=1024)

    threads = [threading.Thread(target=fill, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(host.pool().volumes()) == 160


def test_a_thousand_hosts_cost_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    for number in range(1000):
        address = Address(uri=f"simulated://{tmp_path}/h{number}")
        open_pool("simulated", address, name="main", path="/srv/main").ensure_pool()
        assert open_hypervisor("simulated", address).domains() == []
    assert time.monotonic() - began < 5


def test_simulated_regions_need_no_libvirt() -> None:
    asks = ("import sys, compute.hosts.drivers.simulated, storage.pools.simulated, compute.hosts.drivers.spec;"
            "sys.exit('libvirt' in sys.modules)")
    subprocess.run([sys.executable, "-c", asks], check=True, cwd=Path(__file__).parents[3])
