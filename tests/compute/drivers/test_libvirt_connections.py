"""Connections to real libvirt under everything that befalls them: restarts, hangs, power cuts, forks, wrong keys."""
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from compute.hosts.drivers import open_hypervisor, watch_events
from compute.hosts.drivers.contract import Address, Power
from compute.hosts.drivers.libvirt import loop, probe, session
from compute.lab import HostFacts, Lab
from compute.lab.machine import outer_pids
from portal.kernel.errors import HostFault, HostUnreachable

from .conftest import wait_until
from .stands import Stand
from .test_hypervisor_contract import power_of, started

pytestmark = pytest.mark.lab
PROMPTLY_S = 12
SOURCE = Path(probe.__file__).with_name("probe.s")


def pids_on(lab: Lab, name: str) -> list[int]:
    """Processes of that name inside the lab's first host."""
    outer = outer_pids(lab.directory / "hosts" / "h1")[0]
    inner = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0]
    namespace, found = os.readlink(f"/proc/{inner}/ns/pid"), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text().strip() == name and os.readlink(entry / "ns/pid") == namespace:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def refuses_within(limit_s: float, call: Callable[[], object]) -> HostFault:
    began = time.monotonic()
    with pytest.raises(HostUnreachable) as fault:
        call()
    assert time.monotonic() - began < limit_s
    return fault.value


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """The daemon accepts connections and answers nothing, as when its host swaps itself to death."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def in_threads(number: int, call: Callable[[], object]) -> list[object]:
    """What each of so many threads got, all at the same time."""
    with ThreadPoolExecutor(number) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(number)]]


# -- who is at the other end -----------------------------------------------------------------------------------------


def test_a_host_with_another_key_is_refused(lab_address: Address, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    kind, other = (tmp_path / "other.pub").read_text().split()[:2]
    imposter = replace(lab_address, host_key=f"{lab_address.host_key.split()[0]} {kind} {other}")
    fault = refuses_within(PROMPTLY_S, open_hypervisor("libvirt", imposter).domains)
    assert "not the host that we know" in fault.detail


def test_a_host_without_a_known_key_is_refused(lab_address: Address) -> None:
    refuses_within(PROMPTLY_S, open_hypervisor("libvirt", replace(lab_address, host_key="")).domains)


def test_a_key_that_the_host_does_not_know_is_refused(lab_address: Address, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "mine")], check=True)
    stranger = replace(lab_address, private_key=(tmp_path / "mine").read_text())
    fault = refuses_within(PROMPTLY_S, open_hypervisor("libvirt", stranger).domains)
    assert "refused our key" in fault.detail


def test_the_private_key_is_readable_for_us_alone_and_on_no_command_line(qemu: Stand) -> None:
    qemu.hypervisor().domains()
    folders = list(Path(qemu.address.state_dir).iterdir())
    assert folders and all((folder / "key").stat().st_mode & 0o777 == 0o600 for folder in folders)
    middle = qemu.address.private_key.splitlines()[2]
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "virt-ssh-helper" in lines and middle not in lines


def test_an_address_without_a_host_is_unreachable_promptly(lab_host: HostFacts, lab_address: Address) -> None:
    nobody = lab_host.address.rpartition(".")[0] + ".250"
    dead = replace(lab_address, uri=lab_address.uri.replace(lab_host.address, nobody))
    refuses_within(PROMPTLY_S, open_hypervisor("libvirt", dead).domains)


# -- what befalls them -----------------------------------------------------------------------------------------------


def test_a_restart_of_the_daemon_costs_seconds_and_no_guest(lab: Lab, qemu: Stand) -> None:
    spec, hypervisor, pool = started(qemu), qemu.hypervisor(), qemu.pool()
    for pid in pids_on(lab, "libvirtd"):
        os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return hypervisor.domain(spec.uuid).power == Power.RUNNING and len(pool.volumes()) == 1
        except HostUnreachable:
            return False
    wait_until(is_back, 15)


def test_paused_and_suspended_guests_are_known_after_a_restart_of_the_daemon(lab: Lab, qemu: Stand) -> None:
    """libvirt forgets by then why a domain is off."""
    paused, asleep = started(qemu), started(qemu)
    qemu.hypervisor().ensure_paused(paused.uuid, 1)
    wait_until(lambda: qemu.hypervisor().ensure_suspended(asleep.uuid, 1), 60)
    for pid in pids_on(lab, "libvirtd"):
        os.kill(pid, signal.SIGKILL)

    def seen() -> dict:
        try:
            return {view.uuid: view.power for view in qemu.hypervisor().domains()}
        except HostFault:
            return {}

    wait_until(lambda: seen() == {paused.uuid: Power.PAUSED, asleep.uuid: Power.SUSPENDED}, 20)
    for spec in (paused, asleep):
        assert power_of(qemu, spec.uuid) in (Power.PAUSED, Power.SUSPENDED)
        wait_until(lambda spec=spec: qemu.hypervisor().ensure_resumed(spec.uuid, 1), 60)
        assert power_of(qemu, spec.uuid) == Power.RUNNING


def test_a_daemon_that_stops_answering_ends_calls_and_attempts_promptly_and_is_used_again(
        lab: Lab, qemu: Stand) -> None:
    hypervisor, fresh = qemu.hypervisor(), session.Session(qemu.address)
    hypervisor.domains()
    with stopped(pids_on(lab, "libvirtd")):
        refuses_within(PROMPTLY_S, hypervisor.domains)
        refused = in_threads(4, lambda: refuses_within(PROMPTLY_S, fresh.connection))
    assert len(refused) == 4
    assert hypervisor.domains() == []
    assert fresh.connection().isAlive()


def test_a_power_cut_is_noticed_promptly_and_the_host_is_used_again_when_it_is_back(lab: Lab, qemu: Stand) -> None:
    spec = started(qemu)
    lab.kill("h1")
    refuses_within(PROMPTLY_S, lambda: qemu.hypervisor().domain(spec.uuid))
    refuses_within(PROMPTLY_S, qemu.pool().volumes)
    lab.revive("h1")
    assert power_of(qemu, spec.uuid) == Power.OFF
    assert len(qemu.pool().volumes()) == 1


# -- processes and threads -------------------------------------------------------------------------------------------


def test_threads_share_one_connection(qemu: Stand) -> None:
    def look() -> int:
        for _ in range(20):
            assert qemu.hypervisor().domains() == []
        return id(session.session_for(qemu.address).connection())
    assert len(set(in_threads(4, look))) == 1


def test_a_forked_child_has_connections_of_its_own_and_its_parent_keeps_its(qemu: Stand) -> None:
    spec, opened_before = started(qemu), qemu.hypervisor()
    before = session.session_for(qemu.address).connection()
    child = os.fork()
    if child == 0:
        fine = False
        try:
            opened_before.ensure_stopped(spec.uuid, 1)
            mine = session.session_for(qemu.address).connection()
            fine = mine is not before and not loop.is_running_here() and power_of(qemu, spec.uuid) == Power.OFF
        finally:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert power_of(qemu, spec.uuid) == Power.OFF
    assert session.session_for(qemu.address).connection() is before


# -- events ----------------------------------------------------------------------------------------------------------


def test_a_watcher_hears_what_happens_and_survives_the_daemon(lab: Lab, qemu: Stand) -> None:
    heard: list[tuple[UUID | None, str]] = []
    stop = threading.Event()
    watcher = watch_events("libvirt", qemu.address, lambda uuid, what: heard.append((uuid, what)), stop=stop)
    wait_until(lambda: (None, "connected") in heard)
    spec = started(qemu)
    wait_until(lambda: (spec.uuid, "started") in heard)
    qemu.hypervisor().ensure_stopped(spec.uuid, 1)
    wait_until(lambda: (spec.uuid, "stopped") in heard)
    for pid in pids_on(lab, "libvirtd"):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: heard.count((None, "connected")) == 2, 20)
    assert (None, "lost") in heard
    stop.set()
    watcher.join(5)
    assert not watcher.is_alive()


# -- is KVM real? ----------------------------------------------------------------------------------------------------


def leftovers(qemu: Stand) -> tuple[list, list]:
    host = session.session_for(qemu.address).connection()
    return [domain.name() for domain in host.listAllDomains()], [pool.name() for pool in host.listAllStoragePools()]


def test_the_probe_guest_proves_itself_under_emulation_and_leaves_nothing(qemu: Stand) -> None:
    assert probe.boots_under_kvm(qemu.address, accelerator="qemu")
    assert leftovers(qemu) == ([], ["main"])


def test_a_guest_that_computes_nothing_proves_nothing(qemu: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "BOOT_SECTOR", b"\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa")
    monkeypatch.setattr(probe, "_RUN_LIMIT_S", 1)
    assert not probe.boots_under_kvm(qemu.address, accelerator="qemu")
    assert leftovers(qemu) == ([], ["main"])


def test_whether_kvm_runs_is_known_within_15_seconds_and_nothing_is_left(qemu: Stand) -> None:
    began = time.monotonic()
    assert qemu.hypervisor().accelerates() in (True, False)
    assert time.monotonic() - began < 15
    assert leftovers(qemu) == ([], ["main"])


def test_the_probe_guest_is_what_its_source_says(tmp_path: Path) -> None:
    assembled, linked = tmp_path / "probe.o", tmp_path / "probe.bin"
    subprocess.run(["as", "-o", str(assembled), str(SOURCE)], check=True)
    subprocess.run(["ld", "-Ttext", "0x7c00", "--oformat", "binary", "-o", str(linked), str(assembled)], check=True)
    assert linked.read_bytes() == probe.BOOT_SECTOR
