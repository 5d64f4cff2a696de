"""The cables of a lab: its networks, which machine hangs on which, and how they are cut and mended.

Three networks a lab, all named after its number N:

- management, 10.99.N.0/24: a bridge inside the lab's own network namespace `mainsN`, reached from this machine by the
  plain cable `mainsNm`;
- tunnel, 198.19.N.0/24: a bridge in the same namespace, with room for Geneve's headers, reached by the hosts alone;
- public, 198.18.N.0/24: the bridge `mainsNp` of this machine itself, so that a floating IP can be opened with curl.

Only `ip` and `ethtool` are spoken here, and only about devices whose names were derived from the number.
"""

import ipaddress
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from compute.lab.errors import LabError

MANAGEMENT, PUBLIC, TUNNEL = (ipaddress.ip_network(cidr) for cidr in ("10.99.0.0/16", "198.18.0.0/16", "198.19.0.0/16"))
PREFIX_LENGTH = 24
DEFAULT_MTU = 1500
THIS_MACHINE = 0xFF  # where hosts have their place in the lab
TUNNEL_MTU = 1600  # guests keep 1500: Geneve takes 58 of an IPv4 packet
SYSFS = Path("/sys/class/net")
NAMESPACES = Path("/run/netns")
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


@dataclass(frozen=True, kw_only=True)
class Cable:
    """A veth pair: `outside` hangs on a bridge, `inside` is a machine's NIC."""

    inside: str
    outside: str
    bridge: str
    mac: str
    namespace: str | None  # where bridge and `outside` are; None is this machine's own
    mtu: int = DEFAULT_MTU
    plain: bool = False  # no offloads: what a userspace datapath sees must be whole frames with finished checksums

    def plug(self, into_pid: int) -> None:
        """Run the cable from its bridge into the network namespace of a process."""
        self.unplug()
        size = ("mtu", str(self.mtu))
        peer = ("peer", "name", self.inside, *size, "address", self.mac, "netns", str(into_pid))
        _ip("link", "add", self.outside, *size, "type", "veth", *peer, namespace=self.namespace)
        if self.plain:
            _turn_offloads_off(self.outside, namespace=self.namespace)
        self.mend()

    def unplug(self) -> None:
        """Remove the cable; a namespace that is dying may take it first."""
        if self.namespace or exists(self.outside):
            _delete(self.outside, namespace=self.namespace)

    def cut(self) -> None:
        """Cut the cable where it is: both ends stay, and the machine sees its carrier go."""
        _ip("link", "set", self.outside, "down", namespace=self.namespace)

    def mend(self) -> None:
        """Connect the outer end with its bridge, on which it has no address of its own."""
        _ip("link", "set", self.outside, "addrgenmode", "none", "master", self.bridge, "up", namespace=self.namespace)


@dataclass(frozen=True)
class Network:
    """The networks of the lab with this number."""

    number: int

    @property
    def namespace(self) -> str:
        return f"mains{self.number}"

    @property
    def uplink(self) -> str:
        """This machine's end of its cable into the management network."""
        return f"mains{self.number}m"

    @property
    def public_bridge(self) -> str:
        return f"mains{self.number}p"

    @property
    def public_cidr(self) -> str:
        return f"{address_in(PUBLIC, self.number, 0)}/{PREFIX_LENGTH}"

    def host_cables(self, index: int) -> tuple[Cable, ...]:
        """A host's three: management, tunnel, public."""
        return (
            Cable(inside="eth0", outside=f"h{index}m", bridge="management", mac=self._mac(0, index), namespace=self.namespace),
            Cable(inside="eth1", outside=f"h{index}t", bridge="tunnel", mac=self._mac(1, index), namespace=self.namespace,
                  mtu=TUNNEL_MTU, plain=True),
            Cable(inside="eth2", outside=f"{self.public_bridge}{index}", bridge=self.public_bridge, mac=self._mac(2, index),
                  namespace=None, plain=True),
        )

    def central_cables(self) -> tuple[Cable, ...]:
        """OVN's central needs management only."""
        return (
            Cable(inside="eth0", outside="central", bridge="management", mac=self._mac(0, 0), namespace=self.namespace),
        )

    def ensure(self) -> None:
        """Make the networks and this machine's ends of them, and remove what does not belong there."""
        for device in self._devices():
            if device != self.uplink and not device.startswith(self.public_bridge):
                _delete(device)
        self._ensure_namespace()
        for bridge, mtu in (("management", DEFAULT_MTU), ("tunnel", TUNNEL_MTU)):
            _ensure_bridge(bridge, namespace=self.namespace, mtu=mtu)
        _ensure_bridge(self.public_bridge)
        if not (exists(self.uplink) and _succeeds(*_ip_command(self.namespace, "link", "show", "uplink"))):
            _delete(self.uplink)
            _ip("link", "add", self.uplink, "type", "veth", "peer", "name", "uplink", "netns", self.namespace)
        _ip("link", "set", "uplink", "master", "management", "up", namespace=self.namespace)
        for nic, device, network in ((0, self.uplink, MANAGEMENT), (2, self.public_bridge, PUBLIC)):
            _ip("link", "set", device, "address", self._mac(nic, THIS_MACHINE), "addrgenmode", "none", "up")
            _ip("address", "replace", f"{address_in(network, self.number, 1)}/{PREFIX_LENGTH}", "dev", device)
            _run(["sysctl", "-qw", f"net/ipv4/conf/{device}/arp_ignore=1"])  # answer for the device's own address only

    def remove(self) -> None:
        """Remove every device of this number, whichever version of the lab had made it, and the namespace."""
        for device in self._devices():
            _delete(device)
        if (NAMESPACES / self.namespace).exists():
            subprocess.run(["ip", "netns", "delete", self.namespace], capture_output=True, env=ENVIRONMENT)

    def connected(self) -> set[str]:
        """The outer ends that are up and on a bridge, wherever they are."""
        places = [self.namespace, None] if (NAMESPACES / self.namespace).exists() else [None]
        links = [link for place in places for link in json.loads(_ip("-json", "link", namespace=place))]
        return {link["ifname"] for link in links if "UP" in link["flags"] and "master" in link}

    def _ensure_namespace(self) -> None:
        """Make the namespace; a file that is none, as a crash leaves it, is replaced."""
        file = NAMESPACES / self.namespace
        if file.exists() and not _succeeds("ip", "-n", self.namespace, "link"):
            file.unlink()
        if not file.exists():
            _delete(self.uplink)
            _ip("netns", "add", self.namespace)

    def _devices(self) -> list[str]:
        """This machine's devices that carry the number."""
        ours = re.compile(rf"mains{self.number}(\D.*)?")
        return [path.name for path in SYSFS.iterdir() if ours.fullmatch(path.name)]

    def _mac(self, nic: int, index: int) -> str:
        """The same over every power cut, so that no neighbour remembers another; a bridge left alone takes a port's."""
        return f"02:4d:{self.number:02x}:00:{nic:02x}:{index:02x}"


def exists(device: str) -> bool:
    """Tell whether the root namespace has this device."""
    return (SYSFS / device).exists()


def address_in(network: ipaddress.IPv4Network, number: int, host: int) -> str:
    """The address of a machine in the lab's /24 of a network."""
    return str(network.network_address + (number << 8) + host)


def taken_numbers() -> set[int]:
    """Find the /24s of the lab networks on which this machine already has an address."""
    numbers = set()
    for link in json.loads(_ip("-json", "address", "show")):
        for entry in link.get("addr_info", []):
            address = ipaddress.ip_address(entry.get("local", "::"))
            if any(address in network for network in (MANAGEMENT, PUBLIC, TUNNEL)):
                numbers.add(address.packed[2])
    return numbers


def _ensure_bridge(bridge: str, *, namespace: str | None = None, mtu: int = DEFAULT_MTU) -> None:
    if not _succeeds(*_ip_command(namespace, "link", "show", bridge)):
        _ip("link", "add", bridge, "mtu", str(mtu), "type", "bridge", namespace=namespace)
    _turn_offloads_off(bridge, namespace=namespace)
    _ip("link", "set", bridge, "addrgenmode", "none", "up", namespace=namespace)


def _turn_offloads_off(device: str, *, namespace: str | None) -> None:
    """A userspace datapath does not finish checksums that the kernel left open: ping would work and TCP would not."""
    features = [word for feature in ("tx", "tso", "gso", "gro") for word in (feature, "off")]
    inside = ("ip", "netns", "exec", namespace) if namespace else ()
    _run([*inside, "ethtool", "-K", device, *features])


def _delete(device: str, *, namespace: str | None = None) -> None:
    subprocess.run(_ip_command(namespace, "link", "delete", device), capture_output=True, env=ENVIRONMENT)


def _ip(*arguments: str, namespace: str | None = None) -> str:
    return _run(_ip_command(namespace, *arguments))


def _ip_command(namespace: str | None, *arguments: str) -> list[str]:
    return ["ip", *(("-n", namespace) if namespace else ()), *arguments]


def _run(command: list[str]) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    if ran.returncode:
        raise LabError(f"{' '.join(command)}: {ran.stderr.strip()}")
    return ran.stdout


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, env=ENVIRONMENT).returncode == 0
