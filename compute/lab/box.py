"""The lab as a whole: so many hosts on one bridge, brought up, looked at and taken down again.

Everything derives from the lab's name and state directory; `up` may be called at any time, after any crash, and makes
it so. What one host is made of lives in `host`.
"""

import fcntl
import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from compute.lab import claims, network
from compute.lab.errors import LabError
from compute.lab.host import Host, cut_power, outer_pids
from compute.lab.keys import ClientConfig, ensure_key, write_if_changed

PREFIX_LENGTH = 24
FIRST_HOST_ADDRESS = 11
Progress = Callable[[str], None]


def _silent(_text: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What a client must know to use one host."""

    name: str
    address: str
    user: str
    private_key: str
    public_host_key: str
    known_hosts: str
    ssh_config: str
    ssh_command: str
    pool_path: str
    uri: str


class Lab:
    """A lab of one name in one state directory."""

    def __init__(self, name: str, state_dir: Path | str, *, hosts: int = 1) -> None:
        if not name or hosts < 1:
            raise LabError("A lab needs a name and at least one host.")
        self.name = name
        self.directory = Path(state_dir).absolute() / "lab"
        self.host_names = [f"{name}-h{index}" for index in range(1, hosts + 1)]
        self.client = ClientConfig(self.directory / "ssh")

    # -- the five verbs --------------------------------------------------------------------------------------------

    def up(self, progress: Progress = _silent) -> list[HostFacts]:
        """Make every host run and answer; return how to reach them."""
        with self._locked():
            number = self._claim_number()
            hosts = self._hosts(number)
            network.ensure_bridge(_bridge(number), f"{_address(number, 1)}/{PREFIX_LENGTH}")
            self.client.write({host.address: host.public_key for host in hosts})
            for host in hosts:
                if not host.is_alive():
                    progress(f"starting lab host {host.name} at {host.address}")
                    host.start()
                    self._warm(host, progress)
            return self._write_facts(number, hosts)

    def down(self) -> None:
        """Remove processes, namespaces, bridge and claim; the state directory stays."""
        with self._locked(), claims.locked_claims():
            for claim in claims.standing_claims():
                if claim.is_of(self.name, self.directory):
                    _wipe(claim)
        (self.directory / "lab.json").unlink(missing_ok=True)

    def status(self) -> dict[str, bool]:
        """Tell which hosts are alive; none when the lab is down."""
        number = self._known_number()
        return {host.name: host.is_alive() for host in self._hosts(number)} if number else {}

    def kill(self, name: str) -> None:
        """Cut one host's power, guests and all."""
        with self._locked():
            self._host(name).kill()

    def revive(self, name: str, progress: Progress = _silent) -> None:
        """Switch one host on again; its guests stay off, as after any power cut."""
        with self._locked():
            host = self._host(name)
            if not host.is_alive():
                host.start()
                self._warm(host, progress)

    # -- what they are made of -------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one `up` or `down` of this lab at a time through; the lock dies with its process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with (self.directory / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _claim_number(self) -> int:
        with claims.locked_claims():
            for claim in claims.standing_claims():
                if claim.is_abandoned():
                    _wipe(claim)
            return claims.take_number(self.name, self.directory, taken=network.taken_numbers()).number

    def _known_number(self) -> int | None:
        for claim in claims.standing_claims():
            if claim.is_of(self.name, self.directory):
                return claim.number
        return None

    def _hosts(self, number: int) -> list[Host]:
        authorized = ensure_key(self.client.private_key, f"portal of {self.name}")
        addresses = {name: _address(number, FIRST_HOST_ADDRESS + index) for index, name in enumerate(self.host_names)}
        return [
            Host(
                lab=self.name,
                name=name,
                address=address,
                prefix_length=PREFIX_LENGTH,
                bridge=_bridge(number),
                cable=f"{_bridge(number)}h{index}",
                directory=self.directory / "hosts" / f"h{index}",
                pool=self.directory / "pools" / f"h{index}",
                authorized_key=authorized,
                neighbours=addresses,
            )
            for index, (name, address) in enumerate(addresses.items(), start=1)
        ]

    def _host(self, name: str) -> Host:
        number = self._known_number()
        for host in self._hosts(number) if number else []:
            if name in (host.name, host.directory.name):
                return host
        raise LabError(f"There is no host {name!r} in a running lab {self.name!r}.")

    def _warm(self, host: Host, progress: Progress) -> None:
        """Let libvirt probe QEMU now (14 s the first time, then cached), not under the first tenant's request."""
        if not any((host.directory / "cache").rglob("*.xml")):
            progress(f"{host.name}: libvirt looks at QEMU for the first time (up to 15 s)")
        probe = ["ssh", "-F", str(self.client.config), f"root@{host.address}", "virsh", "--connect", "qemu:///system"]
        ran = subprocess.run([*probe, "domcapabilities"], capture_output=True, text=True, timeout=120)
        if ran.returncode:
            raise LabError(f"{host.name}: libvirt does not work: {ran.stderr.strip()}")

    def _write_facts(self, number: int, hosts: list[Host]) -> list[HostFacts]:
        facts = [self._facts(host) for host in hosts]
        document = {
            "name": self.name,
            "bridge": _bridge(number),
            "gateway": _address(number, 1),
            "hosts": [asdict(fact) for fact in facts],
        }
        write_if_changed(self.directory / "lab.json", json.dumps(document, indent=2) + "\n")
        return facts

    def _facts(self, host: Host) -> HostFacts:
        wrapper = str(self.client.wrapper)
        return HostFacts(
            name=host.name,
            address=host.address,
            user="root",
            private_key=str(self.client.private_key),
            public_host_key=host.public_key,
            known_hosts=str(self.client.known_hosts),
            ssh_config=str(self.client.config),
            ssh_command=wrapper,
            pool_path=str(host.pool),
            uri=f"qemu+ssh://root@{host.address}/system?command={quote(wrapper)}&no_tty=1",
        )


def _wipe(claim: claims.Claim) -> None:
    """Remove what a lab made outside its directory, whoever had started it. Call under `locked_claims`."""
    for outer in outer_pids(Path(claim.state_dir)):
        cut_power(outer)
    bridge = _bridge(claim.number)
    for device in [path.name for path in network.SYSFS.glob(f"{bridge}h*")]:
        network.unplug(device)
    network.unplug(bridge)
    claims.release(claim)


def _bridge(number: int) -> str:
    return f"mains{number}"


def _address(number: int, host: int) -> str:
    return str(network.LAB_NETWORK.network_address + (number << 8) + host)
