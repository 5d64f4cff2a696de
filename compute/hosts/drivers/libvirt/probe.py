# ruff: noqa: RUF009 — `at` and `always` are field specifiers
"""Proves KVM by booting a guest of one sector under it: `/dev/kvm` that opens, and libvirt that offers KVM, prove
nothing.

The guest (`probe.s`) goes from real mode to long mode with paging, adds up 20 million numbers and writes the sum to
its memory, where we read it. Broken KVM never gets there; one that only emulates instructions does not get there in
time. A throw-away pool holds its disk; the domain dies with our connection. What a killed probe left is removed by
the next.
"""
import logging
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import libvirt

from compute.hosts.drivers.contract import Address
from compute.hosts.drivers.elements import Element, always, at
from compute.hosts.drivers.spec import Balloon, Controller, Disk

from .session import Session

log = logging.getLogger(__name__)

PROBE_UUID = UUID("6d61696e-7300-4000-8000-70726f626500")
_NAME = "mains-probe"
_FOLDER = "/var/lib/libvirt/mains-probe"
_START_LIMIT_S = 6
_RUN_LIMIT_S = 6
_COUNT = 20_000_000
_PROOF_AT = 0x500
_PROOF = 0x6D61696E.to_bytes(4, "little") + (_COUNT * (_COUNT + 1) // 2 % 2**32).to_bytes(4, "little")
_DISK_BYTES = 1024 * 1024

BOOT_SECTOR = bytes.fromhex("""
    fa31c08ed88ec08ed0bc007cfc66bf001000000f22df6631c066b9000c000066f3abc70600100320c70600200330c706
    0030830066b8200000000f22e066b9800000c00f32660d000100000f300f0116a87c0f20c0660d010000800f22c0ea63
    7c0800b8100000008ed88ec08ed0b9002d310131db01cbffc975fa891c2504050000c70425000500006e69616df4ebfd
    0000000000000000ffff0000009aaf00ffff00000092cf001700907c
""").ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True, kw_only=True)
class ProbeDomain(Element, tag="domain"):
    type: str = at("@type", default="kvm")
    name: str = always("name", _NAME)
    uuid: UUID = always("uuid", str(PROBE_UUID))
    memory: str = always("memory", "16")
    memory_unit: str = always("memory/@unit", "MiB")
    vcpus: str = always("vcpu", "1")
    machine: str = always("os/type/@machine", "pc")
    os_type: str = always("os/type", "hvm")
    boot: str = always("os/boot/@dev", "hd")
    acpi: bool = at("features/acpi", default=True)
    apic: bool = at("features/apic", default=True)
    devices: tuple[Element, ...] = at("devices/*", default=(
        Disk(file=f"{_FOLDER}/{_NAME}", target="hda", bus="ide", format="raw"),
        Controller(type="usb", model="none"), Balloon(model="none")))


@dataclass(frozen=True, kw_only=True)
class ProbePool(Element, tag="pool"):
    type: str = always("@type", "dir")
    name: str = always("name", _NAME)
    path: str = always("target/path", _FOLDER)


@dataclass(frozen=True, kw_only=True)
class ProbeVolume(Element, tag="volume"):
    name: str = always("name", _NAME)
    capacity: int = at("capacity", default=_DISK_BYTES)
    format: str = always("target/format/@type", "raw")


def boots_under_kvm(address: Address, *, accelerator: str = "kvm") -> bool:
    """Whether the probe guest proved itself. Raises HostUnreachable when the host cannot be reached."""
    session = Session(address)
    host = session.connection()
    try:
        _remove_leftovers(host)
        _make_disk(host)
        return _proves_itself(host, ProbeDomain(type=accelerator).to_xml())
    except libvirt.libvirtError as error:
        log.warning("the probe guest could not be tried: %s", error)
        return False
    finally:
        _remove_leftovers(host)
        session.close()


def _proves_itself(host: libvirt.virConnect, xml: str) -> bool:
    """Start in a thread: with broken KVM, QEMU may hang before libvirt sees its monitor."""
    started: Future[libvirt.virDomain] = Future()
    threading.Thread(target=_start_into, args=(started, host, xml), daemon=True).start()
    try:
        domain = started.result(timeout=_START_LIMIT_S)
        return _left_its_proof(domain)
    except (TookTooLong, libvirt.libvirtError) as error:
        log.info("the probe guest did not start: %s", error or "no answer in time")
        return False


def _left_its_proof(domain: libvirt.virDomain) -> bool:
    until = time.monotonic() + _RUN_LIMIT_S
    while time.monotonic() < until:
        if domain.memoryPeek(_PROOF_AT, len(_PROOF), libvirt.VIR_MEMORY_PHYSICAL) == _PROOF:
            return True
        time.sleep(0.1)
    return False


def _start_into(future: Future, host: libvirt.virConnect, xml: str) -> None:
    try:
        future.set_result(host.createXML(xml, libvirt.VIR_DOMAIN_START_AUTODESTROY))
    except libvirt.libvirtError as error:
        future.set_exception(error)


def _make_disk(host: libvirt.virConnect) -> None:
    pool = host.storagePoolDefineXML(ProbePool().to_xml())
    pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
    volume = pool.createXML(ProbeVolume().to_xml())
    stream = host.newStream()
    volume.upload(stream, 0, len(BOOT_SECTOR))
    stream.send(BOOT_SECTOR)
    stream.finish()


def _remove_leftovers(host: libvirt.virConnect) -> None:
    with suppress(libvirt.libvirtError):
        host.lookupByUUIDString(str(PROBE_UUID)).destroy()
    try:
        pool = host.storagePoolLookupByName(_NAME)
    except libvirt.libvirtError:
        return
    for remove in (lambda: pool.storageVolLookupByName(_NAME).delete(), pool.destroy, pool.delete, pool.undefine):
        with suppress(libvirt.libvirtError):
            remove()
