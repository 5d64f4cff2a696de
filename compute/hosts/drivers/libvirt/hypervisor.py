"""The libvirt hypervisor: the contract in libvirt's calls. Definitions are written, never read back and edited.

Every libvirt call goes through `_call`. XML is read for six facts only that no call tells: our metadata, the screen's port, the
taps of its cards, the memory and the devices that were plugged in, and the host's UUID.
"""
from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit
from uuid import UUID

import libvirt
from lxml import etree

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import (
    Capabilities,
    Cause,
    DomainView,
    Inventory,
    Measurement,
    Power,
    VncAddress,
)
from compute.hosts.drivers.spec import Domain, domain_name
from portal.kernel.errors import HostFault, HostUnreachable

from .agent import Agent
from .faults import Gone, NotInThisState
from .measuring import GROUPS, measured
from .owned import PARSER
from .probe import PROBE_UUID, boots_under_kvm
from .serial import Serial
from .session import begin
from .snapshots import Snapshots
from .traits import Traits

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
_UNDEFINE_QEMU = _UNDEFINE | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
_OUR_PREFIX = domain_name("")
# For the bulk question to a host that is busy: it is over before it is asked again, 15 s after.
_MEASURING_S = 12


class LibvirtHypervisor(Snapshots, Traits, Agent, Serial):
    @property
    def capabilities(self) -> Capabilities:
        """libvirt's test driver keeps definitions and power, and has no guests."""
        qemu = self._is_qemu
        return Capabilities(migrates_live=qemu, has_vnc=qemu, has_serial=qemu, has_events=True, pauses=True, saves_memory=True,
                            hot_adds_vcpus=qemu, hot_adds_memory=qemu, hot_plugs=qemu, takes_snapshots=qemu,
                            has_agent=qemu)

    # -- the host --------------------------------------------------------------------------------------------------

    def inventory(self) -> Inventory:
        host = self._host()
        architecture, of_cells_mib, vcpus, *_ = self._call("host.info", host.getInfo)
        described = etree.fromstring(self._call("host.capabilities", host.getCapabilities), PARSER)
        uuid = described.findtext("host/uuid")
        return Inventory(
            hostname=self._call("host.hostname", host.getHostname), vcpus=vcpus, memory_mib=self._memory_mib(of_cells_mib),
            architecture=architecture, hypervisor=self._call("host.type", host.getType).lower(),
            hypervisor_version=_dotted(self._call("host.version", host.getVersion)),
            driver_version=_dotted(self._call("host.library", host.getLibVersion)),
            host_uuid=UUID(uuid) if uuid else None, traits=self._traits(described))

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
        return measured(self._result("domains.measure", told))

    def vnc(self, uuid: UUID) -> VncAddress | None:
        try:
            described = self._described(self._lookup(uuid))
        except Gone:
            return None
        screen = described.find("devices/graphics[@type='vnc']")
        if screen is None or int(screen.get("port", -1)) < 0:
            return None
        listen = screen.get("listen") or "0.0.0.0"
        everywhere = listen in ("0.0.0.0", "::")
        reached = urlsplit(self._address.uri).hostname or "127.0.0.1"
        return VncAddress(host=reached if everywhere else listen, port=int(screen.get("port")))

    def taps(self, uuid: UUID) -> dict[UUID, str]:
        try:
            described = self._described(self._lookup(uuid))
        except Gone:
            return {}
        cards = described.iterfind("devices/interface")
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

    def _power_of(self, domain: libvirt.virDomain) -> Power:
        return self._state_of(domain)[0]

    def _state_of(self, domain: libvirt.virDomain) -> tuple[Power, Cause]:
        state, reason = self._call("domain.state", domain.state)
        power = _power(state, reason, state == libvirt.VIR_DOMAIN_SHUTOFF and self._is_saved(domain))
        return power, _CAUSES.get((state, reason), Cause.UNKNOWN)

    def _is_saved(self, domain: libvirt.virDomain) -> bool:
        return bool(self._call("domain.saved", domain.hasManagedSaveImage))

def _power(state: int, reason: int, is_saved: bool = False) -> Power:
    if is_saved and _POWERS[state] is Power.OFF:
        return Power.SUSPENDED
    died = state == libvirt.VIR_DOMAIN_SHUTOFF and reason == libvirt.VIR_DOMAIN_SHUTOFF_CRASHED
    return Power.CRASHED if died else _POWERS[state]


def _dotted(version: int) -> str:
    """libvirt counts 9.0.0 as 9000000."""
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"
