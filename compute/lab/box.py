"""The lab as a whole: so many hosts and OVN's central, brought up, looked at, shot at and taken down again.

Everything derives from the lab's name and state directory; `up` may be called at any time, after any crash, and makes
it so. What a machine is made of lives in `machine`, `host` and `central`, the cables in `network`.
"""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from compute.lab import claims, firewall
from compute.lab.authority import Authority
from compute.lab.central import Central
from compute.lab.errors import LabError
from compute.lab.host import Host
from compute.lab.keys import ClientConfig, ensure_key, write_if_changed
from compute.lab.machine import Machine, cut_power, outer_pids, wait_until
from compute.lab.network import MANAGEMENT, PREFIX_LENGTH, PUBLIC, TUNNEL, Network, address_in, taken_numbers
from compute.lab.roster import Roster

CENTRAL_ADDRESS, FIRST_HOST_ADDRESS = 2, 11
FIRST_FLOATING, LAST_FLOATING = 10, 250
PHYSICAL_NETWORK = "public"  # OVN's name for the provider network on every chassis
Progress = Callable[[str], None]


def _silent(_text: str) -> None:
    pass


class Power(StrEnum):
    """How a machine stands."""

    ALIVE = "alive"
    CUT = "cut"  # it runs, but its cables are down
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What a client must know to use one host."""

    name: str
    chassis: str
    address: str
    user: str
    private_key: str
    public_host_key: str
    known_hosts: str
    ssh_config: str
    ssh_command: str
    pool_path: str
    shared_path: str
    uri: str


class Lab:
    """A lab of one name in one state directory, with at least so many hosts."""

    def __init__(self, name: str, state_dir: Path | str, *, hosts: int | None = None) -> None:
        if not name or (hosts is not None and hosts < 1):
            raise LabError("A lab needs a name and at least one host.")
        self.name = name
        self.directory = Path(state_dir).absolute() / "lab"
        self.client = ClientConfig(self.directory / "ssh")
        self._wanted = hosts
        self._roster = Roster(self.directory / "roster.json", name)

    @property
    def host_names(self) -> list[str]:
        """The hosts in their order, those added later included."""
        return self._roster.names(at_least=self._wanted)

    # -- the verbs -------------------------------------------------------------------------------------------------

    def up(self, progress: Progress = _silent) -> list[HostFacts]:
        """Make every machine run, connected, and answer; return how to reach the hosts."""
        with self._locked():
            self._roster.remember(self.host_names)
            return self._make_so(progress)

    def add(self, name: str | None = None, progress: Progress = _silent) -> HostFacts:
        """Give the lab one more host and switch it on; every later `up` knows it."""
        with self._locked():
            self._require_number()
            self._roster.remember(self._roster.grown(self.host_names, name))
            return self._make_so(progress, only=self.host_names[-1])[-1]

    def remove(self, name: str, progress: Progress = _silent) -> None:
        """Take the last host away again, with all that it kept: the others' places give them their addresses."""
        with self._locked():
            host, names = self._machine(name), self.host_names
            if host.name != names[-1] or len(names) == 1:
                raise LabError(f"Only the last host of several can be removed; here that is not {host.name!r}.")
            host.kill()
            network = Network(self._require_number())
            self._central(network).forget(host.name)
            self._roster.remember(names[:-1])
            for folder in (host.directory, host.pool):
                shutil.rmtree(folder, ignore_errors=True)
            self._make_so(progress, only=self._central_name)

    def down(self) -> None:
        """Remove processes, namespaces, devices, firewall rules and claim; the state directory stays."""
        with self._locked(), claims.locked_claims():
            for claim in claims.standing_claims():
                if claim.is_of(self.name, self.directory):
                    _wipe(claim)
        (self.directory / "lab.json").unlink(missing_ok=True)

    def status(self) -> dict[str, Power]:
        """Tell how every machine stands; nothing when the lab is down."""
        number = self._known_number()
        if not number:
            return {}
        network = Network(number)
        connected = network.connected()
        return {machine.name: _power(machine, connected) for machine in self._machines(network)}

    def kill(self, name: str) -> None:
        """Cut one machine's power, guests and all."""
        with self._locked():
            self._machine(name).kill()

    def cut(self, name: str) -> None:
        """Cut one machine off from every network; it runs on, and so do its guests."""
        with self._locked():
            machine = self._machine(name)
            if machine.outer_pid() is None:
                raise LabError(f"{machine.name} is not running, so there is nothing to cut off.")
            for cable in machine.cables:
                cable.cut()

    def revive(self, name: str, progress: Progress = _silent) -> None:
        """Mend one machine's cables, or switch it on again; guests of a dead host stay off, as after any power cut."""
        with self._locked():
            self._revive(Network(self._require_number()), [self._machine(name)], progress)

    # -- what they are made of -------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one verb of this lab at a time through; the lock dies with its process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _make_so(self, progress: Progress, *, only: str | None = None) -> list[HostFacts]:
        """Make the networks and start the machines, or of the machines only the named one."""
        network = Network(self._claim_number())
        central, hosts = self._central(network), self._hosts(network)
        network.ensure()
        firewall.ensure(
            table=network.namespace, bridge=network.public_bridge, gateway=address_in(PUBLIC, network.number, 1)
        )
        self._shared.mkdir(exist_ok=True)
        self.client.write({host.address: host.public_key for host in hosts})
        facts = self._write_facts(network, hosts, central)
        for machine in (central, *hosts):
            machine.write_neighbours()
        machines = [machine for machine in (central, *hosts) if only in (None, machine.name)]
        self._revive(network, machines, progress)
        if central.is_alive():
            self._await_chassis(central, {machine.name for machine in machines if isinstance(machine, Host)})
        return facts

    def _revive(self, network: Network, machines: list[Machine], progress: Progress) -> None:
        """Mend the cables of these machines and start those that do not answer then, all at once."""
        _mend(network, machines)
        with ThreadPoolExecutor(max_workers=8) as threads:
            well = list(threads.map(Machine.recovers, machines))
            dead = [machine for machine, is_well in zip(machines, well, strict=True) if not is_well]
            hosts = [machine for machine in dead if isinstance(machine, Host)]
            for machine in dead:
                progress(f"starting {machine.name} at {machine.address}")
            _share_probes(self._hosts(network))
            list(threads.map(Machine.start, dead))
            if hosts and not hosts[0].has_probed():
                progress(f"{hosts[0].name}: libvirt looks at QEMU for the first time (up to 15 s)")
                self._warm(hosts[0])
                _share_probes(self._hosts(network))
            list(threads.map(self._warm, hosts))

    def _await_chassis(self, central: Central, names: set[str]) -> None:
        wait_until(lambda: names <= central.chassis().keys(), f"not every host of {', '.join(sorted(names))} became a chassis")

    def _claim_number(self) -> int:
        with claims.locked_claims():
            for claim in claims.standing_claims():
                if claim.is_abandoned():
                    _wipe(claim)
            return claims.take_number(self.name, self.directory, taken=taken_numbers()).number

    def _known_number(self) -> int | None:
        for claim in claims.standing_claims():
            if claim.is_of(self.name, self.directory):
                return claim.number
        return None

    def _require_number(self) -> int:
        number = self._known_number()
        if number is None:
            raise LabError(f"The lab {self.name!r} is not up.")
        return number

    @property
    def _shared(self) -> Path:
        """A directory that every host sees at this same path."""
        return self.directory / "shared"

    def _machines(self, network: Network) -> list[Machine]:
        return [*self._hosts(network), self._central(network)]

    def _machine(self, name: str) -> Machine:
        """Find one by its name, or by its short name: h1, h2 …, central."""
        for machine in self._machines(Network(self._require_number())):
            if name in (machine.name, machine.directory.name):
                return machine
        raise LabError(f"There is no machine {name!r} in the lab {self.name!r}.")

    def _addresses(self, network: Network) -> dict[str, str]:
        numbered = enumerate(self.host_names, start=FIRST_HOST_ADDRESS)
        addresses = {name: address_in(MANAGEMENT, network.number, index) for index, name in numbered}
        return {self._central_name: address_in(MANAGEMENT, network.number, CENTRAL_ADDRESS), **addresses}

    @property
    def _central_name(self) -> str:
        return f"{self.name}-central"

    @property
    def _authority(self) -> Authority:
        return Authority(self.directory / "authority")

    def _central(self, network: Network) -> Central:
        addresses = self._addresses(network)
        return Central(
            name=self._central_name,
            address=addresses[self._central_name],
            prefix_length=PREFIX_LENGTH,
            directory=self.directory / "central",
            cables=network.central_cables(),
            neighbours=addresses,
            identity=self._authority.issue(self._central_name),
        )

    def _hosts(self, network: Network) -> list[Host]:
        authorized = ensure_key(self.client.private_key, f"portal of {self.name}")
        addresses = self._addresses(network)
        southbound = self._central(network).southbound
        return [
            Host(
                name=name,
                address=addresses[name],
                prefix_length=PREFIX_LENGTH,
                directory=self.directory / "hosts" / f"h{index}",
                cables=network.host_cables(index),
                neighbours=addresses,
                tunnel_address=address_in(TUNNEL, network.number, FIRST_HOST_ADDRESS + index - 1),
                pool=self.directory / "pools" / f"h{index}",
                authorized_key=authorized,
                physical_network=PHYSICAL_NETWORK,
                southbound=southbound,
                identity=self._authority.issue(name),
            )
            for index, name in enumerate(self.host_names, start=1)
        ]

    def _warm(self, host: Host) -> None:
        """Let libvirt probe QEMU now, not under the first tenant's request."""
        probe = ["ssh", "-F", str(self.client.config), f"root@{host.address}", "virsh", "--connect", "qemu:///system"]
        ran = subprocess.run([*probe, "domcapabilities"], capture_output=True, text=True, timeout=120)
        if ran.returncode:
            raise LabError(f"{host.name}: libvirt does not work: {ran.stderr.strip()}")

    # -- how they are reached --------------------------------------------------------------------------------------

    def _write_facts(self, network: Network, hosts: list[Host], central: Central) -> list[HostFacts]:
        facts = [self._facts(host) for host in hosts]
        document = {
            "name": self.name,
            "gateway": address_in(MANAGEMENT, network.number, 1),
            "shared_path": str(self._shared),
            "central": self._central_facts(central),
            "public": {
                "bridge": network.public_bridge,
                "cidr": network.public_cidr,
                "gateway": address_in(PUBLIC, network.number, 1),
                "first": address_in(PUBLIC, network.number, FIRST_FLOATING),
                "last": address_in(PUBLIC, network.number, LAST_FLOATING),
                "physical_network": PHYSICAL_NETWORK,
            },
            "hosts": [asdict(fact) for fact in facts],
        }
        write_if_changed(self.directory / "lab.json", json.dumps(document, indent=2) + "\n")
        return facts

    def _central_facts(self, central: Central) -> dict[str, str]:
        portal = self._authority.issue("portal")
        return {
            "name": central.name,
            "address": central.address,
            "northbound": central.northbound,
            "southbound": central.southbound,
            "ca_certificate": str(portal.ca_certificate),
            "certificate": str(portal.certificate),
            "private_key": str(portal.private_key),
        }

    def _facts(self, host: Host) -> HostFacts:
        wrapper = str(self.client.wrapper)
        return HostFacts(
            name=host.name,
            chassis=host.name,
            address=host.address,
            user="root",
            private_key=str(self.client.private_key),
            public_host_key=host.public_key,
            known_hosts=str(self.client.known_hosts),
            ssh_config=str(self.client.config),
            ssh_command=wrapper,
            pool_path=str(host.pool),
            shared_path=str(self._shared),
            uri=f"qemu+ssh://root@{host.address}/system?command={quote(wrapper)}&no_tty=1",
        )


def _power(machine: Machine, connected: set[str]) -> Power:
    if machine.outer_pid() is None:
        return Power.DEAD
    if any(cable.outside not in connected for cable in machine.cables):
        return Power.CUT
    return Power.ALIVE if machine.is_alive() else Power.DEAD


def _mend(network: Network, machines: list[Machine]) -> None:
    """Connect what was cut; a machine of which a cable was torn out is switched off, to be plugged in anew."""
    connected = network.connected()
    for machine in [machine for machine in machines if machine.outer_pid()]:
        try:
            for cable in machine.cables:
                if cable.outside not in connected:
                    cable.mend()
        except LabError:
            machine.kill()


def _share_probes(hosts: list[Host]) -> None:
    """Give what one host's libvirt learnt of QEMU to those that lack it: same machine, same programs, same answers."""
    learnt = next((host.probes for host in hosts if host.has_probed()), None)
    for host in hosts:
        if learnt and not host.has_probed():
            shutil.copytree(learnt, host.probes, dirs_exist_ok=True)


def _wipe(claim: claims.Claim) -> None:
    """Remove what a lab made outside its directory, whoever had started it. Call under `locked_claims`."""
    for outer in outer_pids(Path(claim.state_dir)):
        cut_power(outer)
    network = Network(claim.number)
    network.remove()
    firewall.remove(network.namespace)
    claims.release(claim)
