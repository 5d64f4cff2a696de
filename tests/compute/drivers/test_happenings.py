"""Real guests that start anew by themselves, and that stop to feed their watchdog: what the host does, and what is heard."""
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from compute.hosts.drivers import watch_events
from compute.hosts.drivers.contract import REBOOTED, WATCHDOG, Cause, Power
from compute.hosts.drivers.spec import Controller, Domain, Watchdog

from .conftest import wait_until
from .stands import Stand

pytestmark = pytest.mark.lab

# Boot sectors. One waits two seconds (INT 15h, 86h) and asks the keyboard's controller for a reset. The other finds the watchdog
# (INT 1Ah, B102h: 8086:25ab), has its clock tick by the microsecond (register 60h), starts it (68h), and never feeds it: some two
# seconds are left.
RESTARTS = bytes.fromhex("fbb486b91e00ba8084cd15b0fee664f4ebfd")
STARVES = bytes.fromhex("31c08ed88ed0bc007cfbb802b1b9ab25ba868031f6cd1ab80cb1bf6000b90400cd1ab80bb1bf6800b90200cd1af4ebfd")
SIZE = 1024**2


@pytest.fixture
def heard(qemu: Stand) -> Iterator[list[tuple[UUID | None, str]]]:
    found: list[tuple[UUID | None, str]] = []
    stop = threading.Event()
    watch_events("libvirt", qemu.address, lambda uuid, what: found.append((uuid, what)), stop=stop)
    wait_until(lambda: (None, "connected") in found)
    yield found
    stop.set()


def runs(stand: Stand, folder: Path, code: bytes, *devices: object) -> Domain:
    """A guest that is this boot sector."""
    raw = folder / "guest"
    raw.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(SIZE, b"\0"))
    volume = stand.pool().ensure_volume(stand.new_name(), size=SIZE)
    image = stand.files / Path(volume.path).name
    subprocess.run(["qemu-img", "convert", "-n", "-O", "qcow2", raw, image], check=True, timeout=30)
    plain = stand.domain_on(volume.path)
    spec = replace(plain, devices=(*plain.devices, *devices))
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    return spec


def test_a_guest_that_restarts_itself_is_heard_and_runs_on(qemu: Stand, heard: list, tmp_path: Path) -> None:
    spec = runs(qemu, tmp_path, RESTARTS)
    wait_until(lambda: (spec.uuid, REBOOTED) in heard, 60)
    assert qemu.hypervisor().domain(spec.uuid).power == Power.RUNNING


@pytest.mark.parametrize(("does", "power", "cause"), [
    ("none", Power.RUNNING, Cause.UNKNOWN), ("reset", Power.RUNNING, Cause.UNKNOWN),
    ("poweroff", Power.CRASHED, Cause.CRASH), ("pause", Power.PAUSED, Cause.WATCHDOG)])
def test_a_hungry_watchdog_does_what_it_is_there_for(qemu: Stand, heard: list, tmp_path: Path, does: str, power: Power,
                                                     cause: Cause) -> None:
    spec = runs(qemu, tmp_path, STARVES, Watchdog(action=does))
    wait_until(lambda: (spec.uuid, WATCHDOG + does) in heard, 60)
    wait_until(lambda: qemu.hypervisor().domain(spec.uuid).power == power)
    assert qemu.hypervisor().domain(spec.uuid).cause == cause
    if does == "reset":
        wait_until(lambda: (spec.uuid, REBOOTED) in heard)


def test_on_q35_it_takes_a_place_of_those_that_are_free(qemu: Stand) -> None:
    plain = qemu.new_domain()
    ports = tuple(Controller(type="pci", index=1 + number, model="pcie-root-port") for number in range(3))
    spec = replace(plain, machine="q35", devices=(*plain.devices, *ports, Watchdog()))
    assert spec.free_slots == 1
    qemu.hypervisor().ensure_defined(spec)
    qemu.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert qemu.hypervisor().domain(spec.uuid).power == Power.RUNNING
