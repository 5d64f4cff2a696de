"""The libvirt hypervisor: the contract in libvirt's calls. Definitions are written, never read back and edited.

Every libvirt call goes through `_call`. XML is read here for five facts only that no call tells: our metadata, the
screen's port, the taps of its cards, the memory that was plugged in, and the host's UUID.
"""
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import (
    Address,
    Capabilities,
    Cause,
    DomainView,
    Fence,
    Inventory,
    Measurement,
    Power,
    Unfenced,
    VncAddress,
)
from compute.hosts.drivers.spec import NAMESPACE, Dimm, Domain, domain_name
from portal.kernel.errors import HostFault, HostUnreachable, StaleGeneration

from .faults import Gone, NotInThisState, translate
from .measuring import GROUPS, measured
from .probe import PROBE_UUID, boots_under_kvm
from .session import Caller, begin, session_for

_POWERS = {
    libvirt.VIR_DOMAIN_NOSTATE: Power.RUNNING,
    libvirt.VIR_DOMAIN_RUNNING: Power.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: Power.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: Power.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: Power.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: Power.RUNNING,  # the guest sleeps by its own will, and wakes by it
    libvirt.VIR_DOMAIN_SHUTOFF: Power.OFF,
    libvirt.VIR_DOMAIN_CRASHED: Power.CRASHED,
}
_CAUSES = {
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN): Cause.GUEST,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED): Cause.HAND,
    (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED): Cause.CRASH,
    (libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_CRASHED_PANICKED): Cause.CRASH,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER): Cause.HAND,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_IOERROR): Cause.STORAGE,
    (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_WATCHDOG): Cause.WATCHDOG,
}
_UNDEFINE = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
_UNDEFINE_QEMU = _UNDEFINE | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
_OUR_PREFIX = domain_name("")
_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True)
# How long a worker waits for a call that takes as long as a guest has memory; then it is looked at again.
_PATIENCE_S = 4
# For the bulk question to a host that is busy: it is over before it is asked again, 15 s after.
_MEASURING_S = 12
# For how long the outcome of such a call waits for who asked: what another process asked about meanwhile, nobody fetches.
_FRESH_S = 60


class _Slow:
    """A verb that was begun and takes long."""

    def __init__(self, verb: str, future: Future) -> None:
        self.verb, self.future, self.ended_at = verb, future, 0.0
        future.add_done_callback(self._end)

    def _end(self, _future: Future) -> None:
        self.ended_at = time.monotonic()

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.ended_at < _FRESH_S


_under_way: dict[tuple[Address, UUID], _Slow] = {}
os.register_at_fork(after_in_child=_under_way.clear)  # its threads are the parent's


class LibvirtHypervisor(Caller):
    def __init__(self, address: Address, fence: Fence | None = None) -> None:
        super().__init__(session_for(address), fence or Unfenced())
        self._address = address
        self._is_qemu = urlsplit(address.uri).scheme.startswith("qemu")

    @property
    def capabilities(self) -> Capabilities:
        """libvirt's test driver keeps definitions and power, and has no guests."""
        qemu = self._is_qemu
        return Capabilities(migrates_live=qemu, has_vnc=qemu, has_serial=qemu, has_events=True, pauses=True, saves_memory=True,
                            hot_adds_vcpus=qemu, hot_adds_memory=qemu)

    # -- the host --------------------------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        host = self._host()
        architecture, of_cells_mib, vcpus, *_ = self._call("host.info", host.getInfo)
        described = etree.fromstring(self._call("host.capabilities", host.getCapabilities), _PARSER)
        uuid = described.findtext("host/uuid")
        return Inventory(
            hostname=self._call("host.hostname", host.getHostname), vcpus=vcpus, memory_mib=self._memory_mib(of_cells_mib),
            architecture=architecture, hypervisor=self._call("host.type", host.getType).lower(),
            hypervisor_version=_dotted(self._call("host.version", host.getVersion)),
            driver_version=_dotted(self._call("host.library", host.getLibVersion)),
            host_uuid=UUID(uuid) if uuid else None)

    def _memory_mib(self, of_cells_mib: int) -> int:
        """What the kernel has in all. The sum over NUMA cells, which `getInfo` gives, lacks memory that was plugged in
        later; libvirt's test driver has only that."""
        try:
            stats = self._call("host.memory", self._host().getMemoryStats, libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        except HostUnreachable:
            raise
        except HostFault:
            return of_cells_mib
        return stats["total"] // 1024

    def accelerates(self) -> bool:
        return self._is_qemu and self._call("host.probe", boots_under_kvm, self._address)

    # -- what is there ---------------------------------------------------------------------------------------------

    def domains(self) -> list[DomainView]:
        """Three calls for all states (libvirt has no bulk metadata), and one for each domain that bears our name."""
        host = self._host()
        states = self._call("domains.states", host.getAllDomainStats, libvirt.VIR_DOMAIN_STATS_STATE,
                            libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT if self._is_qemu else 0)
        listed = self._call("domains.transient", host.listAllDomains, libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT)
        transient = {domain.UUIDString() for domain in listed}
        # The reason "saved" is forgotten when libvirt restarts; the file is not.
        kept = self._call("domains.saved", host.listAllDomains, libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE)
        saved = {domain.UUIDString() for domain in kept}
        views = (self._listed(domain, facts, domain.UUIDString() not in transient, domain.UUIDString() in saved)
                 for domain, facts in states)
        return [view for view in views if view is not None]

    def _listed(self, domain: libvirt.virDomain, facts: dict, persistent: bool, is_saved: bool) -> DomainView | None:
        uuid = UUID(domain.UUIDString())
        if uuid == PROBE_UUID:
            return None
        try:
            generation = self._generation(domain) if domain.name().startswith(_OUR_PREFIX) else None
        except Gone:
            return None
        return DomainView(uuid=uuid, name=domain.name(), generation=generation, persistent=persistent,
                          power=_power(facts["state.state"], facts["state.reason"], is_saved),
                          cause=_CAUSES.get((facts["state.state"], facts["state.reason"]), Cause.UNKNOWN))

    def domain(self, uuid: UUID) -> DomainView | None:
        try:
            found = self._lookup(uuid)
            power, cause = self._state_of(found)
            return DomainView(
                uuid=uuid, name=found.name(), power=power, generation=self._generation(found), cause=cause,
                persistent=bool(self._call("domain.persistent", found.isPersistent)))
        except Gone:
            return None

    def measurements(self) -> list[Measurement]:
        """One call. Blocks and balloon are asked of each QEMU in turn: one that hangs keeps the call, and is busy henceforth."""
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
        flags |= libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT if self._is_qemu else 0
        told = self._call("domains.measure", begin, partial(self._host().getAllDomainStats, GROUPS, flags))
        if not wait([told], _MEASURING_S).done:
            raise HostFault(reasons.TOO_BUSY, transient=True)
        return [one for domain, facts in self._result("domains.measure", told) if (one := measured(domain, facts)) is not None]

    def vnc(self, uuid: UUID) -> VncAddress | None:
        try:
            described = self._call("domain.describe", self._lookup(uuid).XMLDesc)
        except Gone:
            return None
        screen = etree.fromstring(described, _PARSER).find("devices/graphics[@type='vnc']")
        if screen is None or int(screen.get("port", -1)) < 0:
            return None
        listen = screen.get("listen") or "0.0.0.0"
        everywhere = listen in ("0.0.0.0", "::")
        reached = urlsplit(self._address.uri).hostname or "127.0.0.1"
        return VncAddress(host=reached if everywhere else listen, port=int(screen.get("port")))

    def taps(self, uuid: UUID) -> dict[UUID, str]:
        try:
            described = self._call("domain.describe", self._lookup(uuid).XMLDesc)
        except Gone:
            return {}
        cards = etree.fromstring(described, _PARSER).iterfind("devices/interface")
        pairs = ((card.find("virtualport/parameters"), card.find("target")) for card in cards)
        # A domain that is off has no targets.
        return {UUID(port.get("interfaceid")): tap.get("dev") for port, tap in pairs
                if port is not None and port.get("interfaceid") and tap is not None and tap.get("dev")}

    # -- make it so ------------------------------------------------------------------------------------------------

    def ensure_defined(self, spec: Domain) -> None:
        with suppress(Gone):
            self._ours(spec.uuid, spec.generation)
        self._call("domain.define", self._host().defineXML, spec.to_xml())

    def ensure_started(self, uuid: UUID, generation: int) -> None:
        domain, known = self._ours(uuid, generation)
        if self._call("domain.active", domain.isActive):
            return
        if known != generation:
            raise HostFault(reasons.NOT_DEFINED)
        try:
            self._call("domain.create", domain.createWithFlags, libvirt.VIR_DOMAIN_START_FORCE_BOOT if self._is_qemu else 0)
        except NotInThisState:
            if not self._call("domain.active", domain.isActive):
                raise

    def request_shutdown(self, uuid: UUID, generation: int) -> None:
        try:
            domain, _ = self._ours(uuid, generation)
            if not self._call("domain.active", domain.isActive):
                return
            if self._is_qemu:  # never the agent in the guest: it may lie or hang
                self._call("domain.shutdown", domain.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
            else:
                self._call("domain.shutdown", domain.shutdown)
        except (Gone, NotInThisState):
            return

    def ensure_stopped(self, uuid: UUID, generation: int) -> None:
        try:
            domain, _ = self._ours(uuid, generation)
            self._cut_power(domain)
            if self._is_saved(domain):
                self._call("domain.forget", domain.managedSaveRemove)
        except Gone:
            return

    def ensure_paused(self, uuid: UUID, generation: int) -> None:
        domain, _ = self._ours(uuid, generation)
        power = self._power_of(domain)
        if power is Power.RUNNING:
            self._call("domain.pause", domain.suspend)
        elif power is not Power.PAUSED:
            raise HostFault(reasons.NOT_RUNNING)

    def ensure_suspended(self, uuid: UUID, generation: int) -> bool:
        domain, _ = self._ours(uuid, generation)
        if self._is_under_way("domain.save", uuid) or self._call("domain.active", domain.isActive):
            return self._slowly("domain.save", uuid, partial(domain.managedSave, libvirt.VIR_DOMAIN_SAVE_RUNNING))
        if not self._is_saved(domain):
            raise HostFault(reasons.NOT_RUNNING)
        return True

    def ensure_resumed(self, uuid: UUID, generation: int) -> bool:
        domain, _ = self._ours(uuid, generation)
        power = Power.SUSPENDED if self._is_under_way("domain.restore", uuid) else self._power_of(domain)
        if power is Power.SUSPENDED:
            return self._slowly("domain.restore", uuid, domain.create)
        if power is Power.PAUSED:
            self._call("domain.resume", domain.resume)
        elif power is not Power.RUNNING:
            raise HostFault(reasons.NOTHING_SAVED)
        return True

    def ensure_size(self, uuid: UUID, generation: int, *, vcpus: int, memory_mib: int) -> None:
        domain, _ = self._ours(uuid, generation)
        if not self._is_qemu:
            raise HostFault(reasons.NOT_SUPPORTED)
        if not self._call("domain.active", domain.isActive):
            raise HostFault(reasons.NOT_RUNNING)
        most = self._call("domain.most_vcpus", domain.vcpusFlags, _LIVE | libvirt.VIR_DOMAIN_VCPU_MAXIMUM)
        if vcpus > most:  # before memory is touched, which a guest may not give back
            raise HostFault(reasons.NO_HEADROOM)
        missing = memory_mib - self._memory_of(domain)
        if missing > 0:
            self._call("domain.plug_memory", domain.attachDeviceFlags, Dimm(size_mib=missing).to_xml(), _LIVE)
        if self._call("domain.vcpus", domain.vcpusFlags, _LIVE) != vcpus:
            self._call("domain.set_vcpus", domain.setVcpusFlags, vcpus, _LIVE)
        if missing < 0:
            self._take_memory(domain, -missing)

    def ensure_absent(self, uuid: UUID, generation: int) -> None:
        try:
            domain, _ = self._ours(uuid, generation)
            self._cut_power(domain)
            if self._call("domain.persistent", domain.isPersistent):
                flags = _UNDEFINE_QEMU if self._is_qemu else _UNDEFINE
                self._call("domain.undefine", domain.undefineFlags, flags)
        except Gone:
            return

    # -- parts -----------------------------------------------------------------------------------------------------

    def _cut_power(self, domain: libvirt.virDomain) -> None:
        if not self._call("domain.active", domain.isActive):
            return
        try:
            self._call("domain.destroy", domain.destroy)
        except NotInThisState:
            if self._call("domain.active", domain.isActive):
                raise

    def _take_memory(self, domain: libvirt.virDomain, size_mib: int) -> None:
        """Of the modules that were plugged in, the last one of that size, if the guest lets it go."""
        before = self._memory_of(domain)
        described = etree.fromstring(self._call("domain.describe", domain.XMLDesc), _PARSER)
        for module in reversed(described.findall("devices/memory[@model='dimm']")):
            if int(module.findtext("target/size")) == size_mib * 1024:
                xml = etree.tostring(module, encoding="unicode")
                self._call("domain.unplug_memory", domain.detachDeviceFlags, xml, _LIVE)
                break
        if self._memory_of(domain) != before - size_mib:
            raise HostFault(reasons.GUEST_KEEPS_IT, transient=True)

    def _memory_of(self, domain: libvirt.virDomain) -> int:
        """MiB, with what was plugged in."""
        return self._call("domain.memory", domain.maxMemory) // 1024

    def _power_of(self, domain: libvirt.virDomain) -> Power:
        return self._state_of(domain)[0]

    def _state_of(self, domain: libvirt.virDomain) -> tuple[Power, Cause]:
        state, reason = self._call("domain.state", domain.state)
        power = _power(state, reason, state == libvirt.VIR_DOMAIN_SHUTOFF and self._is_saved(domain))
        return power, _CAUSES.get((state, reason), Cause.UNKNOWN)

    def _is_saved(self, domain: libvirt.virDomain) -> bool:
        return bool(self._call("domain.saved", domain.hasManagedSaveImage))

    def _is_under_way(self, verb: str, uuid: UUID) -> bool:
        """Whether this process has begun such a call that goes on. One that has just ended in a fault raises it, once."""
        key = (self._address, uuid)
        if key not in _under_way or not _under_way[key].future.done():
            return key in _under_way
        slow = _under_way.pop(key)
        if slow.verb == verb and slow.is_fresh:
            self._result(verb, slow.future)
        return False

    def _slowly(self, verb: str, uuid: UUID, function: Callable[[], object]) -> bool:
        """Begin a call that takes as long as the guest has memory, or wait for the one that this process began. False when it
        goes on, and when it was begun by an earlier call: the host is asked again, as whoever takes over does."""
        key = (self._address, uuid)
        is_mine = key not in _under_way
        if is_mine:
            _under_way[key] = _Slow(verb, self._call(verb, begin, function))
        future = _under_way[key].future
        if not wait([future], _PATIENCE_S).done:
            return False
        _under_way.pop(key, None)
        self._result(verb, future)
        return is_mine

    def _result(self, verb: str, future: Future) -> Any:
        try:
            return future.result()
        except libvirt.libvirtError as error:
            raise translate(error, verb, is_alive=self._session.is_alive()) from error

    def _lookup(self, uuid: UUID) -> libvirt.virDomain:
        return self._call("domain.lookup", self._host().lookupByUUIDString, str(uuid))

    def _ours(self, uuid: UUID, generation: int) -> tuple[libvirt.virDomain, int]:
        """The domain and its generation, if an actor of that generation may act on it. Raises Gone when absent."""
        domain = self._lookup(uuid)
        known = self._generation(domain)
        if known is None:
            raise HostFault(reasons.NOT_OURS)
        if known > generation:
            raise StaleGeneration(reasons.SUPERSEDED, known=known, given=generation)
        return domain, known

    def _generation(self, domain: libvirt.virDomain) -> int | None:
        """That of the persistent definition (the highest, since a definition is written before every start)."""
        return self._call("domain.metadata", _read_generation, domain)


def _read_generation(domain: libvirt.virDomain) -> int | None:
    """One call; a second only for a domain without a persistent definition."""
    for where in (libvirt.VIR_DOMAIN_AFFECT_CONFIG, libvirt.VIR_DOMAIN_AFFECT_LIVE):
        try:
            element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, where)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                return None
            transient = error.get_error_code() in (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG)
            if where == libvirt.VIR_DOMAIN_AFFECT_CONFIG and transient:
                continue
            raise
        written = etree.fromstring(element, _PARSER).get("generation", "")
        return int(written) if written.isdecimal() else None
    return None


def _power(state: int, reason: int, is_saved: bool = False) -> Power:
    if is_saved and _POWERS[state] is Power.OFF:
        return Power.SUSPENDED
    died = state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED
    return Power.CRASHED if died else _POWERS[state]


def _dotted(version: int) -> str:
    """libvirt counts 9.0.0 as 9000000."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"
