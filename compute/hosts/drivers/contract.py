"""What the portal asks of a hypervisor: the one contract that every driver keeps.

Vocabulary: a *domain* is what the host runs for an instance; its name on the host and its metadata carry our ids.
Every verb is "make it so": calling it again is success. `generation` is raised by the portal at every start or change
of host; it is written into the domain's metadata, and a driver refuses (`StaleGeneration`) to act for an older one.
No policy, no Django model and no portal id other than UUIDs may appear here or in a driver.

Errors: `HostFault` (transient or not), `HostUnreachable`, `StaleGeneration`.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from portal.kernel.errors import HostFault

from . import reasons
from .spec import Disk, Domain, Interface


class Power(StrEnum):
    """What a host says of a domain's power, whatever its hypervisor calls it."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    """Off, and what was in its memory is kept on the host's disk."""
    OFF = "off"
    CRASHED = "crashed"


class Cause(StrEnum):
    """Why a domain's power is as it is, where that was not asked for by us and the hypervisor says it."""

    UNKNOWN = ""
    GUEST = "guest"
    """The guest switched itself off."""
    HAND = "hand"
    """Somebody did it on the host."""
    CRASH = "crash"
    """The guest or the process that ran it died."""
    STORAGE = "storage"
    """The hypervisor paused it, because what it wrote found no room on the host's storage, or an error there."""
    WATCHDOG = "watchdog"
    """The hypervisor paused it or cut its power, because its watchdog was not fed."""


class Trait(StrEnum):
    """What not every host can give a domain."""

    UEFI = "uefi"
    UEFI_SECURE = "uefi-secure"
    """With secure boot, keys of distributors enrolled, and a TPM of its own."""
    I440FX = "i440fx"
    HOST_MODEL = "host-model"
    HUGEPAGES = "hugepages"


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a driver can do; placement, pages and API respect it."""

    places_itself: bool = False
    migrates_live: bool = False
    hot_adds_vcpus: bool = False
    hot_adds_memory: bool = False
    hot_plugs: bool = False
    """Disks and cards come and go while it runs."""

    has_vnc: bool = False
    has_serial: bool = False
    has_events: bool = False
    has_agent: bool = False
    """Its guests have a line for the guest agent; whether one answers is theirs."""

    pauses: bool = False
    saves_memory: bool = False
    takes_snapshots: bool = False
    """Of what runs, with and without its memory."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What was found on a host. Memory in MiB."""

    hostname: str
    vcpus: int
    memory_mib: int
    architecture: str
    hypervisor: str
    hypervisor_version: str
    driver_version: str
    host_uuid: UUID | None = None
    traits: frozenset[Trait] = frozenset()


@dataclass(frozen=True, kw_only=True)
class DomainView:
    """A domain as the host sees it. `generation` is that of its persistent definition, None when it does not carry
    our metadata (foreign)."""

    uuid: UUID
    name: str
    power: Power
    generation: int | None
    persistent: bool = True
    cause: Cause = Cause.UNKNOWN

    @property
    def is_ours(self) -> bool:
        return self.generation is not None


class Measurement(NamedTuple):
    """What a running domain has used since it was started, and the memory that it has now.

    Counters only grow within an `epoch`; every start begins a new one on its host, from nothing. `domain` is the UUID's text:
    thousands are read at a time, and none is looked at here. Sums are over all disks and all cards, as the guest sees them:
    `rx` is what it receives. Memory in bytes: what the balloon leaves it, what the guest says that it uses of that (None when
    it says nothing), and what the hypervisor's process holds (None where there is none).
    """

    domain: str
    epoch: int
    cpu_ns: int
    read_bytes: int
    write_bytes: int
    reads: int
    writes: int
    rx_bytes: int
    tx_bytes: int
    rx_packets: int
    tx_packets: int
    memory_bytes: int | None
    used_bytes: int | None
    rss_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class GuestCard:
    """A network card as the guest itself tells of it: a claim, already checked for shape and cut to size. Addresses are with
    their prefix."""

    name: str
    mac: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class VncAddress:
    """Where a domain's VNC server listens now. The password is the portal's own (it wrote it into the spec)."""

    host: str
    port: int


class SerialTaken(HostFault):
    """Somebody else has the serial port open: it has one line at a time."""

    def __init__(self) -> None:
        super().__init__(reasons.SERIAL_TAKEN)


OnBytes = Callable[[bytes], None]
"""Told of what a guest wrote on its serial port, in a thread of the driver's; of nothing, once, when the line has ended."""


class SerialLine(Protocol):
    """A guest's serial port, open. It ends with the guest's power, and when somebody else takes it over."""

    def write(self, content: bytes) -> None:
        """Returns when it is on its way. Raises HostFault when the line has ended."""

    def close(self) -> None: ...


class Hypervisor(Protocol):
    """One open connection to one host's hypervisor. Not shared between threads."""

    capabilities: Capabilities

    def inventory(self) -> Inventory: ...

    def accelerates(self) -> bool:
        """Boot a throw-away probe guest under KVM and say whether it really ran (≤ 15 s; /dev/kvm proves nothing)."""

    def domains(self) -> list[DomainView]:
        """All domains of the host, foreign ones too: a constant number of calls, and at most one more for each domain
        that bears our name (libvirt tells metadata one by one, 0.1 ms each on an open connection)."""

    def domain(self, uuid: UUID) -> DomainView | None: ...

    def measurements(self) -> list[Measurement]:
        """Of all running domains, foreign ones too, by a constant number of calls. One that is busy with something else, or of
        which the hypervisor knows nothing, is left out. Raises HostFault (transient) when a guest keeps the host from answering
        within some seconds; the next call leaves that guest out."""

    def ensure_defined(self, spec: Domain) -> None:
        """Make the persistent definition equal to `spec`. A running domain keeps running as it is. Refuses
        (`StaleGeneration`) when the host has a newer one, and (`HostFault`) to take over a foreign domain."""

    def ensure_started(self, uuid: UUID, generation: int) -> None:
        """Running (or paused: that is left so) afterwards; what was off boots, and memory that was saved of it is
        forgotten. Raises HostFault when not defined, when the host lacks memory, or when another domain has one of
        its disks open (transient: the other may be about to end)."""

    def request_shutdown(self, uuid: UUID, generation: int) -> None:
        """Press the power button (ACPI) once more; the guest may ignore it. Off already is success."""

    def ensure_stopped(self, uuid: UUID, generation: int) -> None:
        """Cut the power, and forget memory that was saved. Off or absent already is success."""

    def ensure_absent(self, uuid: UUID, generation: int) -> None:
        """Cut the power and forget the definition and saved memory; only ours and only up to this generation. Absent is
        success."""

    def ensure_paused(self, uuid: UUID, generation: int) -> None:
        """Its processors stand still; memory and devices stay as they are. Raises HostFault when it is off."""

    def ensure_suspended(self, uuid: UUID, generation: int) -> bool:
        """Its memory is written to the host's disk, then the power is cut. False while that goes on: call again. Raises HostFault
        when it is off and nothing of it is saved."""

    def ensure_resumed(self, uuid: UUID, generation: int) -> bool:
        """Running again, from paused or from saved memory, which is then gone. False while that goes on: call again. Raises
        HostFault when it is off and nothing of it is saved: it would boot anew."""

    def ensure_size(self, uuid: UUID, generation: int, *, vcpus: int, memory_mib: int) -> None:
        """What runs has so many processors and so much memory (MiB), and its guest is told; the definition stays as it is.
        Memory comes first and goes last: it is what hosts lack, and what guests keep. Raises HostFault when it is off,
        beyond what it was started with room for, when the host lacks memory, and (transient) while the guest does not
        give back what is taken from it."""

    def ensure_plugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> None:
        """What runs has the disk (known by its serial) or the card (by its port), and its guest is told; the definition stays as
        it is. Raises HostFault when it is off, when no slot is left of those that it was started with, and when another
        domain has the disk open (transient)."""

    def ensure_unplugged(self, uuid: UUID, generation: int, device: Disk | Interface) -> bool:
        """What runs has it no longer. False while the guest has not let go of it: call again. Off or absent is success."""

    def ensure_disk_size(self, uuid: UUID, generation: int, disk: Disk, *, size: int) -> None:
        """The disk of what runs has `size` bytes, and its guest is told. Raises HostFault when it is off, has no such disk, or
        would shrink."""

    def ensure_snapshot(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, memory: bool) -> bool:
        """These disks of what runs have a snapshot of that name in them, all of one moment; with `memory` the first one keeps
        what was in the guest's memory, which stands still meanwhile. False while that goes on: call again. Raises HostFault
        when it is off or has no such disk."""

    def ensure_snapshot_absent(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str]) -> list[str]:
        """None of these disks of what runs has it. Returns those that are no disks of it, which are left alone. Raises HostFault
        when it is off."""

    def ensure_loaded(self, uuid: UUID, generation: int, name: UUID, files: Sequence[str], *, shape: str, attempt: UUID) -> bool:
        """It runs on from where it was at the snapshot, with its disks as they were; what is off is started for that. An
        `attempt` does it once. False while that goes on: call again. Raises HostFault before anything has changed when its
        `shape` is another one now; what fails later leaves it standing still, or with nothing to go on from: cut its power."""

    def shape(self, uuid: UUID, generation: int) -> str:
        """What of its virtual hardware has to be the same for its memory to fit, in short. Raises HostFault when it is off."""

    def guest_cards(self, uuid: UUID) -> tuple[GuestCard, ...] | None:
        """What the agent in the guest says of its cards; None where none answers. All that is asked of an agent ends within
        10 s: it is a program of the tenant's, which may lie or hang."""

    def set_guest_password(self, uuid: UUID, generation: int, *, user: str, hashed: str) -> None:
        """The guest's user has the password of this hash (crypt). Raises HostFault when no agent answers, or it refuses."""

    def set_guest_clock(self, uuid: UUID, generation: int) -> None:
        """The guest's clock is set by the machine's, after it has stood still. Raises HostFault as above."""

    def ensure_frozen(self, uuid: UUID, generation: int) -> None:
        """Its file systems are written out and keep writers waiting, until `ensure_thawed`. Raises HostFault as above; it may be
        frozen all the same, so whoever asks has it thawed in any case (`compute.instances.freezing`)."""

    def ensure_thawed(self, uuid: UUID, generation: int) -> None:
        """Writers go on. Off, absent or never frozen is success. Raises HostFault as above."""

    def vnc(self, uuid: UUID) -> VncAddress | None:
        """Where to reach the domain's screen; None when it is not running or has none."""

    def open_serial(self, uuid: UUID, on_bytes: OnBytes, *, takes_over: bool = False) -> SerialLine:
        """The serial port of what runs. Raises HostFault when it is off or there is none, and SerialTaken unless it `takes_over`
        from whoever has it."""

    def taps(self, uuid: UUID) -> dict[UUID, str]:
        """By port (`Interface.interface_id`), the device on the host that the domain's card is; empty when it is off."""

    def close(self) -> None:
        """Let go of the connection (drivers may keep it open for the next user in this process)."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """How an endpoint is reached. `uri` is the driver's own form (`qemu+ssh://root@10.99.7.11/system`, `test:///…`,
    `simulated:///abs/dir`). `private_key` is a PEM text and `host_key` a known_hosts line; drivers keep them in files
    of mode 0600 under `state_dir`, never on a command line or in a log."""

    uri: str
    private_key: str = field(default="", repr=False)
    host_key: str = ""
    state_dir: str = ""


class Fence(Protocol):
    """Told of every single outside call that reads or changes a host.

    `before` may raise to forbid the call: the engine re-reads its token there. `after` runs when the call has
    succeeded. The crash harness counts both.
    """

    def before(self, verb: str) -> None: ...

    def after(self, verb: str) -> None: ...


class Unfenced:
    """The fence of those who only look: lets every call pass."""

    def before(self, verb: str) -> None:
        pass

    def after(self, verb: str) -> None:
        pass


REBOOTED, WATCHDOG = "rebooted", "watchdog:"
"""What a watcher says of what no state of a domain tells afterwards: its guest started anew; its watchdog was not fed, and what
it does follows (`watchdog:reset`, `poweroff`, `pause` or `none`). A reset by the watchdog is both, in either order."""

OnEvent = Callable[[UUID | None, str], None]
"""Called by a watcher with the domain and what happened to it; `(None, "connected")` after every (re)connect, when
everything must be looked at again, and `(None, "lost")` when the host went away."""
