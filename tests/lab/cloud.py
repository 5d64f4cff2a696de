"""A small cloud made by hand in a lab: two subnets, a router with a way out, and floating IPs, as the portal would."""

import json
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import libvirt

from compute.lab import HostFacts, Lab
from compute.lab.image import DemoImage
from tests.lab.guests import Guest, Guests, Plug, wait_for

UNCHECKED = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def run_on(host: HostFacts, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command on a host, past everything but SSH."""
    ssh = [host.ssh_command, f"root@{host.address}", *command]
    return subprocess.run(ssh, capture_output=True, text=True, timeout=30)


def curl(address: str) -> str:
    """Open a page from this machine."""
    return subprocess.run(["curl", "-s", "-m", "3", f"http://{address}/"], capture_output=True, text=True).stdout


class Pinging:
    """Pings an address from this machine, five times a second, while the block runs; then tells the longest silence."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers: list[float] = []

    def __enter__(self) -> Self:
        command = ["ping", "-n", "-D", "-i", "0.2", "-W", "1", self.address]
        self._ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._began = time.time()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        ended = time.time()
        self._ping.terminate()
        lines = self._ping.communicate()[0].splitlines()
        self.answers = [float(line[1:].split("]")[0]) for line in lines if "bytes from" in line]
        moments = [self._began, *self.answers, ended]
        self.silence_s = max(after - before for before, after in pairwise(moments))


@dataclass
class Instance:
    """A guest with an address inside and one outside."""

    guest: Guest
    host: HostFacts
    inside: str
    outside: str
    port: str

    def answers(self) -> bool:
        return f"<h1>{self.guest.disk.stem}</h1>" in curl(self.outside)

    def run(self, *words: str) -> str:
        """Run a command inside as root, by SSH to the floating IP."""
        options = ["-F", "none", "-i", self.host.private_key, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *UNCHECKED]
        command = ["ssh", *options, f"root@{self.outside}", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


@dataclass
class Cloud:
    """Writes OVN's northbound database over TLS and boots guests behind its ports."""

    lab: Lab
    image: DemoImage
    makers: dict[str, Guests] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.facts = json.loads((self.lab.directory / "lab.json").read_text())
        self.hosts = [HostFacts(**host) for host in self.facts["hosts"]]
        self.tag = uuid4().hex[:6]

    def host_of(self, chassis: str) -> HostFacts:
        return next(host for host in self.hosts if host.chassis == chassis)

    def northbound(self, *words: str, check: bool = True) -> str:
        return self._ask("ovn-nbctl", self.facts["central"]["northbound"], *words, check=check)

    def southbound(self, *words: str, check: bool = True) -> str:
        return self._ask("ovn-sbctl", self.facts["central"]["southbound"], *words, check=check)

    def _ask(self, tool: str, database: str, *words: str, check: bool) -> str:
        central = self.facts["central"]
        tls = ["-p", central["private_key"], "-c", central["certificate"], "-C", central["ca_certificate"]]
        command = [tool, "--timeout=10", f"--db={database}", *tls, *words]
        return subprocess.run(command, capture_output=True, text=True, check=check).stdout.strip()

    def lay_out(self) -> None:
        """Make two subnets, a router, and its port on the public network, held by every chassis in turn."""
        public = self.facts["public"]
        router, outside = f"r{self.tag}", f"pub{self.tag}"
        self.northbound("lr-add", router, "--", "ls-add", outside, "--", "lsp-add", outside, f"ln{self.tag}", "--",
                        "lsp-set-type", f"ln{self.tag}", "localnet", "--", "lsp-set-addresses", f"ln{self.tag}", "unknown",
                        "--", "lsp-set-options", f"ln{self.tag}", f"network_name={public['physical_network']}")
        for number in (1, 2):
            self._join(f"net{number}{self.tag}", router, f"02:00:00:00:0{number}:01", f"10.20.{number}.1/24", new=True)
        gateway = self._join(outside, router, "02:00:00:00:09:01", f"{self.router_address}/24", new=False)
        for priority, host in enumerate(self.hosts, start=1):
            self.northbound("lrp-set-gateway-chassis", gateway, host.chassis, str(priority))
        self.northbound("lr-route-add", router, "0.0.0.0/0", public["gateway"])
        self.northbound("lr-nat-add", router, "snat", self.router_address, "10.20.0.0/16")

    @property
    def router_address(self) -> str:
        """The router's own address on the public network, answered for by the gateway chassis of the moment."""
        return self._public(5)

    def _public(self, number: int) -> str:
        return f"{self.facts['public']['gateway'].rpartition('.')[0]}.{number}"

    def _join(self, switch: str, router: str, mac: str, cidr: str, *, new: bool) -> str:
        port = f"lrp-{switch}"
        make = ["ls-add", switch, "--"] if new else []
        self.northbound(*make, "lrp-add", router, port, mac, cidr, "--", "lsp-add", switch, f"to-{switch}", "--",
                        "lsp-set-type", f"to-{switch}", "router", "--", "lsp-set-addresses", f"to-{switch}", "router",
                        "--", "lsp-set-options", f"to-{switch}", f"router-port={port}")
        return port

    def boot(self, name: str, host: HostFacts, number: int) -> Instance:
        """Boot a guest on a host, in the subnet of this number, with a floating IP that its own chassis answers for."""
        port, mac, inside, outside = str(uuid4()), f"02:00:00:00:0{number}:0a", f"10.20.{number}.10", self._public(100 + number)
        dhcp = self.northbound("create", "dhcp_options", f"cidr=10.20.{number}.0/24", "options=" + (
            f'"server_id"="10.20.{number}.1" "server_mac"="02:00:00:00:0{number}:01" "lease_time"="3600" '
            f'"router"="10.20.{number}.1" "mtu"="1500"'), f"external_ids:tag={self.tag}")
        self.northbound("lsp-add", f"net{number}{self.tag}", port, "--", "lsp-set-addresses", port, f"{mac} {inside}",
                        "--", "lsp-set-port-security", port, f"{mac} {inside}", "--", "lsp-set-dhcpv4-options", port, dhcp,
                        "--", "lr-nat-add", f"r{self.tag}", "dnat_and_snat", outside, inside, port, f"02:00:00:00:08:0{number}")
        keys = f"public-keys:\n  - {Path(host.private_key).with_suffix('.pub').read_text()}"
        maker = self.makers.setdefault(
            host.name, Guests(host=host, connection=libvirt.open(host.uri), image=self.image))
        return Instance(guest=maker.boot(name, meta_data=keys, plug=Plug(port, mac)), host=host, inside=inside,
                        outside=outside, port=port)

    def chassis_of(self, port: str) -> str:
        """The chassis that has claimed a logical port."""
        row = self.southbound("--bare", "--columns=chassis", "find", "port_binding", f"logical_port={port}")
        return self.southbound("--bare", "--columns=name", "list", "chassis", row) if row else ""

    def gateway_chassis(self) -> str:
        return self.chassis_of(f"cr-lrp-pub{self.tag}")

    def clear(self) -> None:
        """Remove the guests and every row."""
        for maker in self.makers.values():
            maker.remove()
        self.northbound("--if-exists", "lr-del", f"r{self.tag}", "--", "--if-exists", "ls-del", f"pub{self.tag}",
                        *(word for number in (1, 2) for word in ("--", "--if-exists", "ls-del", f"net{number}{self.tag}")))
        for row in self.northbound("--bare", "--columns=_uuid", "find", "dhcp_options",
                                   f"external_ids:tag={self.tag}").split():
            self.northbound("destroy", "dhcp_options", row)


def kill_daemon(host: HostFacts, name: str) -> None:
    """`kill -9` of one daemon of a host, by its number in the host's own pid namespace; it comes back by itself."""

    def numbers() -> set[str]:
        return set(run_on(host, "pgrep", "-x", name).stdout.split())

    before = numbers()
    assert before, f"{name} does not run on {host.name}"
    run_on(host, "kill", "-9", *before)
    wait_for(lambda: (now := numbers()) and not now & before, f"{name} back on {host.name}", limit_s=20)
