"""Calls that take as long as a guest has memory: looked at again until they end, and then what came of them is told once."""
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import libvirt
import pytest

from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.libvirt import hypervisor, owned
from compute.hosts.drivers.libvirt.faults import translate
from portal.kernel.errors import HostFault

FULL = (libvirt.VIR_ERR_OPERATION_FAILED, 10, "No space left on device", 2, "", None, None, -1, -1)


class Guest:
    """A domain that runs until it is saved; saving takes longer than anybody waits."""

    def __init__(self, fault: tuple | None) -> None:
        self.fault, self.saves, self.is_saved = fault, 0, False

    def isActive(self) -> bool:
        return not self.is_saved

    def hasManagedSaveImage(self) -> bool:
        return self.is_saved

    def managedSave(self, _flags: int) -> None:
        self.saves += 1
        time.sleep(0.3)
        if self.fault:
            error = libvirt.libvirtError(self.fault[2])
            error.err = self.fault
            raise error
        self.is_saved = True


class Alive:
    def is_alive(self) -> bool:
        return True


class Driver(hypervisor.LibvirtHypervisor):
    """One that reaches a single guest, without a host."""

    def __init__(self, guest: Guest) -> None:
        self._address, self._session, self._is_qemu, self._guest = "nowhere", Alive(), True, guest

    def _ours(self, _uuid: Any, generation: int) -> tuple[Any, int]:
        return self._guest, generation

    def _call(self, verb: str, function: Callable, *values: object) -> Any:
        try:
            return function(*values)
        except libvirt.libvirtError as error:
            raise translate(error, verb, is_alive=True) from error


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(owned, "_under_way", {})


def turns(driver: Driver) -> int:
    """How often it was looked at until it was done."""
    uuid = uuid4()
    for turn in range(1, 50):
        if driver.ensure_suspended(uuid, 1):
            return turn
        time.sleep(0.05)
    raise AssertionError("never done")


def test_a_slow_save_is_begun_once() -> None:
    guest = Guest(None)
    assert turns(Driver(guest)) > 2 and guest.saves == 1


@pytest.mark.parametrize("pause_s", [0, 0.5])
def test_a_slow_save_that_fails_says_why_and_is_not_begun_again(pause_s: float) -> None:
    """Also when it fails while nobody looks."""
    guest, uuid = Guest(FULL), uuid4()
    driver = Driver(guest)
    assert driver.ensure_suspended(uuid, 1) is False
    time.sleep(pause_s)
    with pytest.raises(HostFault):
        for _turn in range(50):
            driver.ensure_suspended(uuid, 1)
            time.sleep(0.02)
    assert guest.saves == 1


def test_a_guest_that_sleeps_by_itself_still_runs() -> None:
    assert hypervisor._power(libvirt.VIR_DOMAIN_PMSUSPENDED, 0) is Power.RUNNING
