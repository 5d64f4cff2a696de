"""Every command that the portal runs on a host. Nothing else is ever run there; no shell reads these words.

Parsers are pure, and take what the programs of Debian 12 (and, as their manuals say, later ones) print.
"""
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

from .contract import Answer, Command, Slot, absolute_path, interface_name, log_name, qcow2_file, uuid_text

CATALOGUE: dict[str, Command] = {}
# libvirt and OVN meet on this bridge.
INTEGRATION_BRIDGE = "br-int"
# Without it, ovs-vsctl waits for ever for a switch that does not run.
OVS = ("ovs-vsctl", "--timeout=5")
FLOWS = ("ovs-ofctl", "--timeout=5")


def _add(command: Command[Answer]) -> Command[Answer]:
    if CATALOGUE.setdefault(command.name, command) is not command:
        raise ValueError(f"{command.name} is declared twice")
    return command


# -- what the host is --

def _first(pattern: str) -> Callable[[str], str]:
    """Parser: the first group of the pattern, wherever in the text."""
    def read(text: str) -> str:
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ValueError(text)
        return found[1]
    return read


LOGIN = _add(Command(name="login", words=("id", "-u"), parse=int))
VERSIONS: Mapping[str, Command[str]] = {
    "kernel": _add(Command(name="version.kernel", words=("uname", "-r"), parse=_first(r"^(\d\S*)"))),
    "os": _add(Command(name="version.os", words=("cat", "/etc/os-release"), parse=_first(r'^PRETTY_NAME="?([^"\n]+)'))),
    "libvirt": _add(Command(name="version.libvirt", words=("libvirtd", "--version"), parse=_first(r"(\d+\.\d+\.\d+)"))),
    "qemu": _add(Command(name="version.qemu", words=("qemu-system-x86_64", "--version"), parse=_first(r"version (\d[\d.]+)"))),
    "ovs": _add(Command(name="version.ovs", words=("ovs-vsctl", "--version"), parse=_first(r"\) (\d[\d.]+)"))),
    "ovn": _add(Command(name="version.ovn", words=("ovn-controller", "--version"), parse=_first(r"ovn-controller (\d[\d.]+)"))),
}


@dataclass(frozen=True, kw_only=True)
class DiskSpace:
    """Of the file system that a folder lies on, in bytes."""

    capacity: int
    available: int


def _disk_space(text: str) -> DiskSpace:
    capacity, available = map(int, text.splitlines()[1].split())
    return DiskSpace(capacity=capacity, available=available)


DISK_SPACE = _add(Command(
    name="disk_space", parse=_disk_space,
    words=("df", "--block-size=1", "--output=size,avail", "--", Slot("path", absolute_path))))


# -- what OVN and Open vSwitch have of it --

@dataclass(frozen=True, kw_only=True)
class Chassis:
    """The host as OVN knows it: empty texts are not set up. `mappings` is physical network → bridge; `datapath` is `netdev`
    where Open vSwitch forwards in user space, `system` in the kernel."""

    name: str
    remote: str
    encap_ip: str
    datapath: str = "system"
    mappings: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """The first setting without which there is no chassis; empty when all are there."""
        needed = {"system-id": self.name, "ovn-remote": self.remote, "ovn-encap-ip": self.encap_ip}
        return next((name for name, text in needed.items() if not text), "")


def _rows(text: str) -> list[dict[str, Any]]:
    """Of `ovs-vsctl --format=json`: one dict a row, OVSDB maps as dicts."""
    table = json.loads(text)
    return [{name: _plain(cell) for name, cell in zip(table["headings"], row, strict=True)} for row in table["data"]]


def _plain(cell: Any) -> Any:
    match cell:
        case ["map", pairs]:
            return {key: _plain(value) for key, value in pairs}
        case ["set", items]:
            return [_plain(item) for item in items]
        case ["uuid", text]:
            return text
    return cell


def _chassis(text: str) -> Chassis:
    [row] = _rows(text)
    told = row["external_ids"]
    pairs = [entry.split(":", 1) for entry in told.get("ovn-bridge-mappings", "").split(",") if ":" in entry]
    return Chassis(name=told.get("system-id", ""), remote=told.get("ovn-remote", ""), encap_ip=told.get("ovn-encap-ip", ""),
                   datapath=told.get("ovn-bridge-datapath-type", "system"),
                   mappings={network.strip(): bridge.strip() for network, bridge in pairs})


CHASSIS = _add(Command(
    name="chassis", parse=_chassis,
    words=(*OVS, "--format=json", "--columns=external_ids", "list", "Open_vSwitch", ".")))

CHASSIS_STATUS = _add(Command(
    name="chassis_status", parse=_first(r"^((?:not )?connected)$"),
    words=("ovn-appctl", "-t", "ovn-controller", "connection-status")))


@dataclass(frozen=True, kw_only=True)
class TapPort:
    """A tap that is plugged into the integration bridge for a port. `domain` is empty when nobody told."""

    name: str
    port: str
    domain: str = ""


def _tap_ports(text: str) -> list[TapPort]:
    return [TapPort(name=row["name"], port=row["external_ids"]["iface-id"], domain=row["external_ids"].get("vm-id", ""))
            for row in _rows(text)]


TAP_PORTS = _add(Command(
    name="tap_ports", parse=_tap_ports,
    words=(*OVS, "--format=json", "--columns=name,external_ids", "find", "Interface", 'external_ids:iface-id!=""')))


def _nothing(text: str) -> None:
    if text.strip():
        raise ValueError(text)


PLUG_PORT = _add(Command(
    name="plug_port", parse=_nothing,
    words=(*OVS, "--may-exist", "add-port", INTEGRATION_BRIDGE, Slot("tap", interface_name),
           "--", "set", "Interface", Slot("tap", interface_name), Slot("port", uuid_text, before="external_ids:iface-id="),
           "external_ids:iface-status=active")))
UNPLUG_PORT = _add(Command(
    name="unplug_port", parse=_nothing,
    words=(*OVS, "--if-exists", "del-port", INTEGRATION_BRIDGE, Slot("tap", interface_name))))


# -- what guests wrote on their serial ports --

# libvirt's own folder on every host: the daemon that writes logs may write there, bounds them and turns them over.
LOGS = "/var/log/libvirt/qemu"
LOG_BYTES = 64 * 1024


def console_log_path(uuid: object) -> str:
    return f"{LOGS}/{log_name(uuid)}"


# `find` succeeds where the guest has written nothing yet, and where it is removed already.
CONSOLE_LOG = _add(Command(
    name="console_log", parse=str, limit_s=5,
    words=("find", LOGS, "-maxdepth", "1", "-type", "f", "-name", Slot("domain", log_name),
           "-exec", "tail", f"--bytes={LOG_BYTES}", "--", "{}", ";")))
REMOVE_CONSOLE_LOG = _add(Command(
    name="remove_console_log", parse=_nothing, limit_s=5,
    words=("find", LOGS, "-maxdepth", "1", "-type", "f", "-name", Slot("domain", lambda domain: f"{log_name(domain)}*"),
           "-delete")))


# -- what leaves by a public network, counted --

@dataclass(frozen=True, kw_only=True)
class SwitchPort:
    """A port of any of the host's bridges, by the number that flows know it by. `port` is the logical one of a tap."""

    name: str
    number: int
    port: str = ""


def _switch_ports(text: str) -> list[SwitchPort]:
    """Without those that have no number yet."""
    return [SwitchPort(name=row["name"], number=row["ofport"], port=row["external_ids"].get("iface-id", ""))
            for row in _rows(text) if isinstance(row["ofport"], int) and row["ofport"] > 0]


SWITCH_PORTS = _add(Command(
    name="switch_ports", parse=_switch_ports,
    words=(*OVS, "--format=json", "--columns=name,ofport,external_ids", "list", "Interface")))

# A flow with such a cookie is ours; the lower 40 bits are its number.
_OURS, _MASK = 0x6D6E73 << 40, 0xFFFFFF << 40


@dataclass(frozen=True, kw_only=True)
class Counting:
    """A flow that counts what comes from an address by one port of a bridge, and lets it go on as ever. OVN keeps its flows
    on the integration bridge; on the bridges of public networks there are only these and the one that switches."""

    number: int
    port: int
    address: str


@dataclass(frozen=True, kw_only=True)
class Counted(Counting):
    """What such a flow has counted since it is there: whole Ethernet frames."""

    packets: int
    bytes: int
    age_s: float


def _cookie(number: object) -> str:
    if not isinstance(number, int) or not 0 < number < 1 << 40:
        raise ValueError(f"not the number of a flow: {number!r}")
    return f"cookie={_OURS | number:#x}"


def _flow(flow: object) -> str:
    if not isinstance(flow, Counting) or not 0 < flow.port < 0xFF00:
        raise ValueError(f"not a flow that counts: {flow!r}")
    return f"{_cookie(flow.number)},priority=100,ip,in_port={flow.port},nw_src={IPv4Address(flow.address)},actions=NORMAL"


_COUNTED = re.compile(
    r" cookie=(0x[0-9a-f]+), duration=([\d.]+)s, .*n_packets=(\d+), n_bytes=(\d+), "
    r".*in_port=(\d+),nw_src=([\d.]+) actions=NORMAL")


def _counted(text: str) -> list[Counted]:
    first, *lines = text.splitlines()
    if "FLOW reply" not in first:
        raise ValueError(text)
    found = [_COUNTED.fullmatch(line.rstrip()) for line in lines]
    return [Counted(number=int(one[1], 16) & ~_MASK, age_s=float(one[2]), packets=int(one[3]), bytes=int(one[4]),
                    port=int(one[5]), address=one[6]) for one in found if one]


COUNTED = _add(Command(
    name="counted", parse=_counted,
    words=(*FLOWS, "--no-names", "dump-flows", Slot("bridge", interface_name), f"cookie={_OURS:#x}/{_MASK:#x}")))
COUNT = _add(Command(
    name="count", parse=_nothing, words=(*FLOWS, "add-flow", Slot("bridge", interface_name), Slot("flow", _flow))))
UNCOUNT = _add(Command(
    name="uncount", parse=_nothing,
    words=(*FLOWS, "del-flows", Slot("bridge", interface_name), Slot("number", lambda number: f"{_cookie(number)}/-1"))))


# -- snapshots inside volumes that no domain has open: QEMU's image locks refuse the others --

@dataclass(frozen=True, kw_only=True)
class KeptSnapshots:
    """What a volume's file says: how large it is now (bytes), and which snapshots are in it."""

    size: int
    names: frozenset[str]


def _kept_snapshots(text: str) -> KeptSnapshots:
    told = json.loads(text)
    return KeptSnapshots(size=told["virtual-size"], names=frozenset(one["name"] for one in told.get("snapshots", ())))


# A large volume has large tables to go through; whole ones are read by a copy.
TABLES_S, COPY_S = 600, 2 * 3600
KEPT_SNAPSHOTS = _add(Command(
    name="kept_snapshots", parse=_kept_snapshots,
    words=("qemu-img", "info", "--output=json", "--image-opts", Slot("path", qcow2_file))))
TAKE_SNAPSHOT, APPLY_SNAPSHOT, DROP_SNAPSHOT = (_add(Command(
    name=name, parse=_nothing, limit_s=TABLES_S,
    words=("qemu-img", "snapshot", "--image-opts", option, Slot("name", uuid_text), Slot("path", qcow2_file))))
    for name, option in (("take_snapshot", "-c"), ("apply_snapshot", "-a"), ("drop_snapshot", "-d")))
COPY_SNAPSHOT = _add(Command(
    name="copy_snapshot", parse=_nothing, limit_s=COPY_S,
    words=("qemu-img", "convert", "-l", Slot("name", uuid_text, before="snapshot.name="), "-O", "qcow2", "-o", "compat=1.1",
           "--image-opts", Slot("path", qcow2_file), Slot("target", absolute_path))))
