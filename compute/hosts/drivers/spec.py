# ruff: noqa: RUF009 — `at` and `always` are field specifiers
"""What a domain is, in libvirt's terms: frozen values, one line per XML location.

No policy may live here: every choice (which bus, how many root ports, whether there is a screen) is made by
`compute.instances.design` and arrives as a value. Text of tenants belongs nowhere in a domain; what is written is
escaped. A disk always says its format and its whole backing chain, because a format that is probed is a format that a
guest can choose.
"""
from dataclasses import dataclass
from uuid import UUID

from .elements import NAMESPACE, Element, always, at

__all__ = [
    "NAMESPACE", "Backing", "Balloon", "Cell", "Channel", "Console", "Controller", "Dimm", "Disk", "Domain", "Element",
    "Feature", "GuestOffload", "HostOffload", "Input", "Interface", "NoBacking", "Rng", "Serial", "Tpm", "Video", "Vnc",
    "Watchdog", "domain_name",
]


def domain_name(uuid: UUID) -> str:
    """The name on the host: a hint for people and a cheap filter; the proof that it is ours is the metadata."""
    return f"mains-{uuid}"


@dataclass(frozen=True, kw_only=True)
class NoBacking(Element, tag="backingStore"):
    """The end of a chain: written out, so that nothing is probed."""


@dataclass(frozen=True, kw_only=True)
class Backing(Element, tag="backingStore"):
    """The image below a linked clone; its own backing ends the chain unless said."""

    file: str = at("source/@file")
    format: str = at("format/@type", default="qcow2")
    type: str = always("@type", "file")
    backing: "Backing | NoBacking" = at("*", default=NoBacking())


@dataclass(frozen=True, kw_only=True)
class Disk(Element, tag="disk"):
    """A file on the host as a disk, or as a CD with `device="cdrom", format="raw", readonly=True`."""

    file: str = at("source/@file")
    target: str = at("target/@dev")
    bus: str = at("target/@bus", default="virtio")
    type: str = always("@type", "file")
    device: str = at("@device", default="disk")
    driver: str = always("driver/@name", "qemu")
    format: str = at("driver/@type", default="qcow2")
    cache: str | None = at("driver/@cache", default=None)
    io: str | None = at("driver/@io", default=None)
    discard: str | None = at("driver/@discard", default=None)
    error_policy: str | None = at("driver/@error_policy", default=None)
    queues: int | None = at("driver/@queues", default=None)
    boot_order: int | None = at("boot/@order", default=None)
    serial: str | None = at("serial", default=None)
    readonly: bool = at("readonly", default=False)
    backing: Backing | NoBacking = at("*", default=NoBacking())

    @property
    def files(self) -> tuple[str, ...]:
        """The disk's own file and those below it."""
        found, layer = [self.file], self.backing
        while isinstance(layer, Backing):
            found.append(layer.file)
            layer = layer.backing
        return tuple(found)


@dataclass(frozen=True, kw_only=True)
class HostOffload(Element, tag="host"):
    """What the host's side of a card leaves to the hardware, or not."""

    csum: str = at("@csum", default="off")
    gso: str = at("@gso", default="off")
    tso4: str = at("@tso4", default="off")
    tso6: str = at("@tso6", default="off")
    ecn: str = at("@ecn", default="off")
    ufo: str = at("@ufo", default="off")


@dataclass(frozen=True, kw_only=True)
class GuestOffload(Element, tag="guest"):
    """The same for what the guest sends."""

    csum: str = at("@csum", default="off")
    tso4: str = at("@tso4", default="off")
    tso6: str = at("@tso6", default="off")
    ecn: str = at("@ecn", default="off")
    ufo: str = at("@ufo", default="off")


@dataclass(frozen=True, kw_only=True)
class Interface(Element, tag="interface"):
    """A network card on the host's integration bridge; `interface_id` is how the fabric knows its port."""

    mac: str = at("mac/@address")
    interface_id: UUID = at("virtualport/parameters/@interfaceid")
    type: str = always("@type", "bridge")
    bridge: str = at("source/@bridge", default="br-int")
    virtualport: str = always("virtualport/@type", "openvswitch")
    model: str = at("model/@type", default="virtio")
    mtu: int | None = at("mtu/@size", default=None)
    rom: str = at("rom/@enabled", default="no")
    queues: int | None = at("driver/@queues", default=None)
    offload: tuple[HostOffload | GuestOffload, ...] = at("driver/*", default=())


@dataclass(frozen=True, kw_only=True)
class Controller(Element, tag="controller"):
    type: str = at("@type")
    index: int | None = at("@index", default=None)
    model: str | None = at("@model", default=None)


@dataclass(frozen=True, kw_only=True)
class Serial(Element, tag="serial"):
    """Serial port 0; with `log_file` the host also keeps what the guest wrote."""

    type: str = always("@type", "pty")
    log_file: str | None = at("log/@file", default=None)
    log_append: str | None = at("log/@append", default=None)
    target: str = always("target/@type", "isa-serial")
    port: int = at("target/@port", default=0)


@dataclass(frozen=True, kw_only=True)
class Console(Element, tag="console"):
    type: str = always("@type", "pty")
    target: str = always("target/@type", "serial")
    port: int = at("target/@port", default=0)


@dataclass(frozen=True, kw_only=True)
class Channel(Element, tag="channel"):
    """A line from the host to a program in the guest, by virtio; the hypervisor chooses where it ends on the host."""

    type: str = always("@type", "unix")
    target: str = always("target/@type", "virtio")
    name: str = at("target/@name", default="org.qemu.guest_agent.0")


@dataclass(frozen=True, kw_only=True)
class Vnc(Element, tag="graphics"):
    """The screen. VNC uses the password's first 8 characters only; give exactly that many."""

    listen: str = at("listen/@address")
    password: str | None = at("@passwd", default=None, secret=True)
    type: str = always("@type", "vnc")
    port: int = at("@port", default=-1)
    autoport: str = at("@autoport", default="yes")
    share_policy: str | None = at("@sharePolicy", default=None)
    listen_type: str = always("listen/@type", "address")


@dataclass(frozen=True, kw_only=True)
class Video(Element, tag="video"):
    model: str = at("model/@type", default="vga")
    vram_kib: int | None = at("model/@vram", default=None)


@dataclass(frozen=True, kw_only=True)
class Input(Element, tag="input"):
    type: str = at("@type", default="tablet")
    bus: str = at("@bus", default="usb")


@dataclass(frozen=True, kw_only=True)
class Rng(Element, tag="rng"):
    model: str = at("@model", default="virtio")
    backend: str = always("backend/@model", "random")
    source: str = at("backend", default="/dev/urandom")


@dataclass(frozen=True, kw_only=True)
class Balloon(Element, tag="memballoon"):
    model: str = at("@model", default="virtio")
    stats_period_s: int | None = at("stats/@period", default=None)


@dataclass(frozen=True, kw_only=True)
class Watchdog(Element, tag="watchdog"):
    """What acts when the guest, having begun to feed it, stops: `reset`, `poweroff`, `pause` or `none`."""

    model: str = always("@model", "i6300esb")
    action: str = at("@action", default="reset")


@dataclass(frozen=True, kw_only=True)
class Tpm(Element, tag="tpm"):
    """A trusted platform module that a process of the host plays; what it keeps is on the host."""

    model: str = at("@model", default="tpm-crb")
    backend: str = always("backend/@type", "emulator")
    version: str = always("backend/@version", "2.0")


@dataclass(frozen=True, kw_only=True)
class Feature(Element, tag="feature"):
    """What the firmware must have, or must not; the host chooses one that agrees."""

    name: str = at("@name")
    enabled: str = at("@enabled", default="yes")


@dataclass(frozen=True, kw_only=True)
class Cell(Element, tag="cell"):
    """A NUMA node. One is enough, and without one no memory is plugged in later. `cpus` is a range, `0-3`."""

    id: int = at("@id", default=0)
    cpus: str = at("@cpus")
    memory_mib: int = at("@memory")
    unit: str = always("@unit", "MiB")


@dataclass(frozen=True, kw_only=True)
class Dimm(Element, tag="memory"):
    """Memory that is plugged into a running domain."""

    model: str = always("@model", "dimm")
    size_mib: int = at("target/size")
    unit: str = always("target/size/@unit", "MiB")
    node: int = at("target/node", default=0)


@dataclass(frozen=True, kw_only=True)
class Domain(Element, tag="domain"):
    """A whole definition. `type` is `kvm` or `qemu`; `machine` is `q35` or `pc`. Up to `max_vcpus` and `max_memory_kib` it can
    grow while it runs."""

    type: str = at("@type", default="kvm")
    name: str = at("name")
    uuid: UUID = at("uuid")
    generation: int = at("metadata/mains:domain/@generation")
    instance: UUID = at("metadata/mains:domain/@instance")
    title: str | None = at("title", default=None)
    description: str | None = at("description", default=None)
    memory_mib: int = at("memory")
    memory_unit: str = always("memory/@unit", "MiB")
    max_memory_kib: int | None = at("maxMemory", default=None)
    memory_slots: int | None = at("maxMemory/@slots", default=None)
    max_vcpus: int = at("vcpu")
    vcpus: int = at("vcpu/@current")
    os_type: str = always("os/type", "hvm")
    architecture: str = at("os/type/@arch", default="x86_64")
    machine: str = at("os/type/@machine", default="q35")
    firmware: str | None = at("os/@firmware", default=None)
    firmware_features: tuple[Feature, ...] | None = at("os/firmware/*", default=None)
    kernel: str | None = at("os/kernel", default=None)
    initrd: str | None = at("os/initrd", default=None)
    cmdline: str | None = at("os/cmdline", default=None)
    boot: str | None = at("os/boot/@dev", default=None)
    acpi: bool = at("features/acpi", default=True)
    apic: bool = at("features/apic", default=True)
    smm: str | None = at("features/smm/@state", default=None)
    hugepages: bool = at("memoryBacking/hugepages", default=False)
    cpu_mode: str | None = at("cpu/@mode", default=None)
    cpu_model: str | None = at("cpu/model", default=None)
    cells: tuple[Cell, ...] | None = at("cpu/numa/*", default=None)
    clock: str = at("clock/@offset", default="utc")
    on_poweroff: str = at("on_poweroff", default="destroy")
    on_reboot: str = at("on_reboot", default="restart")
    on_crash: str = at("on_crash", default="destroy")
    devices: tuple[Element, ...] = at("devices/*", default=())

    @property
    def disks(self) -> tuple[Disk, ...]:
        return tuple(device for device in self.devices if isinstance(device, Disk))

    @property
    def files(self) -> tuple[str, ...]:
        """Every file on the host that must exist when the domain starts."""
        booted = tuple(path for path in (self.kernel, self.initrd) if path)
        return booted + tuple(path for disk in self.disks for path in disk.files)

    @property
    def free_slots(self) -> int:
        """How many virtio devices can still be plugged in while it runs: each takes a root port of its own on `q35`, as the one
        USB controller and the bridge before the watchdog do; `pc` has a bus of 32 slots, some of which are the board's."""
        of_cards = sum(isinstance(one, Interface | Rng | Watchdog) or (isinstance(one, Balloon) and one.model != "none")
                       for one in self.devices)
        taken = of_cards + sum(disk.bus == "virtio" for disk in self.disks)
        taken += any(isinstance(one, Channel) for one in self.devices)  # all share one controller
        if not self.machine.startswith("q35"):
            return 28 - taken
        ports = sum(isinstance(one, Controller) and one.model == "pcie-root-port" for one in self.devices)
        return ports - taken - any(isinstance(one, Input) and one.bus == "usb" for one in self.devices)

    @property
    def has_screen(self) -> bool:
        return any(isinstance(device, Vnc) for device in self.devices)
