"""A lab with a fabric of a test's own in it, and guests: network namespaces with a NIC on a host's integration bridge.
The datapath cannot tell them from real ones, and they cost nothing."""
import json
import os
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from uuid import uuid4

from compute.lab import HostFacts, Lab
from compute.network.fabric import open_fabric
from compute.network.fabric.contract import Fabric, FabricAddress
from compute.network.fabric.design import vpc_document
from compute.network.fabric.plan import FloatingPlan, GatewayPlan, PortPlan, PublicPlan, VpcPlan

from . import wire
from .central import wait_until
from .plans import ip, uid, vpc

_SCRIPT = Path(wire.__file__)
_PLUG = """
ip netns add {guest}
ovs-vsctl add-port br-int {guest} -- set interface {guest} type=internal external_ids:iface-id={port}
for _ in $(seq 50); do ip link show {guest} >/dev/null 2>&1 && break; sleep 0.1; done
ip link set {guest} netns {guest} name {nic}
"""
_OUTSIDE = """
ip netns add {guest}
ip link add {cable} type veth peer name {nic} netns {guest}
ip link set {cable} master {bridge} up
ethtool -K {cable} tx off >/dev/null
"""
_DRESS = """
ip netns exec {guest} sh -c '
    sysctl -qw net.ipv4.ping_group_range="0 2147483647"
    ip link set lo up
    ip link set {nic} address {mac} mtu 1442 up
    ip addr add {address}/24 dev {nic}
    ip route add default via {gateway}
    ethtool -K {nic} tx off >/dev/null
    setsid python3 {program} serve {log} </dev/null >/dev/null 2>&1 &'
"""
_UNPLUG = """
ip netns pids {guest} | xargs -r kill
ovs-vsctl --if-exists del-port br-int {guest}
ip netns del {guest}
"""
_GO = """
ip netns pids {guest} | xargs -r kill
ip netns del {guest}
"""


@dataclass(frozen=True, kw_only=True)
class Guest:
    """A port's other end: on a host of the lab, or, without one, outside on the public network."""

    name: str
    mac: str
    ip: str
    log: Path
    host: HostFacts | None = None

    def on_host(self, script: str, **values: object) -> str:
        """Run a shell script on the guest's host."""
        reach = ["ssh", "-F", self.host.ssh_config, f"root@{self.host.address}", "sh"] if self.host else ["sh"]
        text = script.format(guest=self.name, nic=wire.NIC, log=self.log, mac=self.mac, **values)
        done = subprocess.run([*reach, "-se"], input=text, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def inside(self, command: str) -> str:
        return self.on_host(f"ip netns exec {self.name} {command}")

    def wire(self, *arguments: str) -> str:
        """What the guest says; empty when it got no answer."""
        return self.inside(f"python3 {_SCRIPT} {' '.join(arguments)} || true")

    def reaches(self, address: str, port: int) -> str:
        """Whom the server there takes us for; empty when there is no answer."""
        return self.wire("tcp", address, str(port))

    def pings(self, address: str) -> bool:
        return " 1 received" in self.inside(f"ping -c1 -W2 {address} || true")

    def mac_of(self, address: str) -> str:
        """Of a neighbour, as the network tells it."""
        self.pings(address)
        return next(word for word in self.inside(f"ip neigh show {address}").split() if word.count(":") == 5)

    def sends(self, *frames: bytes) -> None:
        self.wire("send", *(frame.hex() for frame in frames))

    def frame(self, mac: str, address: str, token: bytes, *, to: int = 4444, by: int = 999, mac_source: str = "",
              source: str = "") -> bytes:
        """An IPv4 packet of ours with UDP, honest unless said otherwise."""
        packet = wire.datagram(source or self.ip, address, by, to, token + wire.END)
        return wire.ethernet(mac_source or self.mac, mac, wire.IPV4, packet)

    def got(self) -> set[str]:
        """Tokens that arrived."""
        return set(self.log.read_text().split()[1:])


class Site:
    """The fabric's rows and the guests are this object's; `clear` takes them all away."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.hosts, self._folder = lab.up(), folder
        facts = json.loads((lab.directory / "lab.json").read_text())
        self._outside, central = facts["public"], facts["central"]
        self.public = PublicPlan(
            id=uuid4(), name="public", cidr=IPv4Network(self._outside["cidr"]), gateway=ip(self._outside["gateway"]),
            physical_network=self._outside["physical_network"])
        texts = {name: Path(central[name]).read_text() for name in ("ca_certificate", "certificate", "private_key")}
        self.address = FabricAddress(uri=central["northbound"], deployment=str(uuid4()), state_dir=str(folder), **texts)
        self.guests: dict[str, Guest] = {}
        self._revision = 0

    @property
    def fabric(self) -> Fabric:
        return open_fabric("ovn", self.address)

    def outside(self, last: int) -> IPv4Address:
        return self.public.cidr[last]

    def vpc(self, name: str, router: int, address: int, **more: object) -> VpcPlan:
        """The usual plan, with addresses of this lab's public network."""
        self._revision += 1
        gateway = GatewayPlan(public=self.public, address=self.outside(router),
                              chassis=tuple(host.chassis for host in self.hosts))
        floats = (FloatingPlan(id=uid(f"{name}-fip"), address=self.outside(address), port=uid(f"{name}-web")),)
        return vpc(name, self._revision, **({"gateway": gateway, "floating": floats} | more))

    def apply(self, plan: VpcPlan) -> None:
        self.fabric.apply(vpc_document(plan))

    def plug(self, port: PortPlan, host: int, gateway: str) -> None:
        guest = Guest(name=f"g{port.id.hex[:8]}", mac=port.mac, ip=str(port.ip), host=self.hosts[host],
                      log=self._folder / f"{port.hostname}.log")
        self.guests[port.hostname] = guest
        guest.on_host(_PLUG + _DRESS, port=port.id, address=port.ip, gateway=gateway, program=_SCRIPT)

    def invite(self, last: int) -> None:
        """Somebody on the public network."""
        guest = Guest(name=f"fab{os.getpid()}", mac=f"02:00:00:00:ff:{last:02x}", ip=str(self.outside(last)),
                      log=self._folder / "outsider.log")
        self.guests["outsider"] = guest
        guest.on_host(_OUTSIDE + _DRESS, cable=f"fv{os.getpid()}", bridge=self._outside["bridge"], address=guest.ip,
                      gateway=self.public.gateway, program=_SCRIPT)

    def wait(self) -> None:
        names = {str(uid(name)) for name in self.guests if name != "outsider"}
        wait_until(lambda: self.fabric.ports_up(names) == names, 20)
        wait_until(lambda: all(guest.log.exists() for guest in self.guests.values()), 20)
        wait_until(lambda: self.guests["outsider"].reaches(str(self.outside(50)), 22) != "", 30)

    def delivered(self, *tokens: bytes, besides: str) -> dict[str, set[str]]:
        """Who got which of these, after a moment. Senders are passed over: refusals quote what they refuse."""
        time.sleep(0.5)
        wanted = {token.decode() for token in tokens}
        return {name: found for name, guest in self.guests.items()
                if name != besides and (found := guest.got() & wanted)}

    def clear(self) -> None:
        for guest in self.guests.values():
            guest.on_host(_UNPLUG if guest.host else _GO)
        self.guests.clear()
        for owner in sorted(self.fabric.owners(), key=lambda owner: owner == self.public.id):
            self.fabric.remove(owner, 10**9)
        assert self.fabric.census() == {}
