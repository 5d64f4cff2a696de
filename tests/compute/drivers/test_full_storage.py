"""A real guest fills its host's storage: the hypervisor halts it, says why, and lets it go on when there is room."""
import subprocess
from pathlib import Path

import pytest

from compute.hosts.drivers.contract import Cause, Power
from compute.lab import HostFacts

from .conftest import wait_until
from .stands import Stand

pytestmark = pytest.mark.lab

# The whole guest: a boot sector that writes 32 KiB after 32 KiB to its own disk, from its second MiB on, by the BIOS (INT 13h,
# function 43h, "extended write"): cli; ds = 0; again: write by the packet below; its block number += 64; again.
CODE = bytes.fromhex("fa31c08ed8b80043b280be177ccd136683061f7c40ebee 1000400000000010 0008000000000000")
WRITER = CODE.ljust(510, b"\0") + b"\x55\xaa"
SIZE = 64 * 1024**2


def on_host(host: HostFacts, *words: str) -> None:
    subprocess.run([host.ssh_command, f"root@{host.address}", *words], check=True, capture_output=True, timeout=30)


def test_a_guest_without_room_to_write_is_halted_and_goes_on_when_there_is_some(qemu: Stand, lab_host: HostFacts,
                                                                              tmp_path: Path) -> None:
    place, raw = f"{lab_host.pool_path}-small", tmp_path / "writer"
    with raw.open("wb") as file:
        file.write(WRITER)
        file.truncate(SIZE)
    image = Path(lab_host.pool_path) / "writer.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, image], check=True, timeout=30)
    on_host(lab_host, "mkdir", "-p", place)
    on_host(lab_host, "mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", place)
    try:
        on_host(lab_host, "install", "-m", "0666", str(image), f"{place}/writer.qcow2")
        spec = qemu.domain_on(f"{place}/writer.qcow2", generation=1)
        qemu.hypervisor().ensure_defined(spec)
        qemu.hypervisor().ensure_started(spec.uuid, 1)
        wait_until(lambda: qemu.hypervisor().domain(spec.uuid).power == Power.PAUSED, limit_s=60)
        [seen] = [view for view in qemu.hypervisor().domains() if view.uuid == spec.uuid]
        assert (seen.power, seen.cause) == (Power.PAUSED, Cause.STORAGE)
        on_host(lab_host, "mount", "-o", "remount,size=512m", place)
        wait_until(lambda: qemu.hypervisor().ensure_resumed(spec.uuid, 1))
        found = qemu.hypervisor().domain(spec.uuid)
        assert (found.power, found.cause) == (Power.RUNNING, Cause.UNKNOWN)
    finally:
        qemu.tidy()  # the image in the pool too
        on_host(lab_host, "umount", "-l", place)
        on_host(lab_host, "rmdir", place)
