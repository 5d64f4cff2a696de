"""One contract for host commands, kept by simulated hosts and by a real one in a lab."""
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest

from compute.hosts.commands import catalogue, open_commands
from compute.hosts.commands.contract import HostCommands, ProgramAbsent
from compute.hosts.drivers import ssh
from compute.hosts.drivers.contract import Address, Unfenced
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.identity import public_line
from compute.lab import HostFacts
from portal.kernel.errors import HostFault, HostUnreachable
from storage.pools import open_pool


@dataclass
class Recorder:
    """A fence that writes down what passes it."""

    seen: list[str] = field(default_factory=list)

    def before(self, verb: str) -> None:
        self.seen.append(f"before {verb}")

    def after(self, verb: str) -> None:
        self.seen.append(f"after {verb}")


@dataclass(frozen=True)
class Place:
    """A host to run commands on. `taps` are devices there that may be plugged in."""

    driver: str
    address: Address
    folder: str
    chassis: str
    taps: tuple[str, ...] = ("tap-test-1", "tap-test-2")

    def commands(self, fence: object = None) -> HostCommands:
        return open_commands(self.driver, self.address, fence=fence)


def real(facts: HostFacts, state: Path) -> Place:
    address = Address(uri=f"qemu+ssh://{facts.user}@{facts.address}/system", state_dir=str(state),
                      private_key=Path(facts.private_key).read_text(), host_key=f"{facts.address} {facts.public_host_key}")
    return Place("libvirt", address, str(Path(facts.pool_path).parent), facts.chassis)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.lab)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "real":
        made = real(request.getfixturevalue("lab")[0], tmp_path)
    else:
        made = Place("simulated", Address(uri=f"simulated://{tmp_path}/rack-1"), "/pool", "rack-1")
        open_pool(made.driver, made.address, name="main", path=made.folder).ensure_pool()
    yield made
    for tap in made.taps:
        made.commands().run(catalogue.UNPLUG_PORT, tap=tap)


def test_every_program_tells_its_version(place: Place) -> None:
    commands = place.commands()
    found = {name: commands.run(command) for name, command in catalogue.VERSIONS.items()}
    assert set(found) == {"kernel", "os", "libvirt", "qemu", "ovs", "ovn"} and all(found.values())
    assert commands.run(catalogue.LOGIN) == 0


def test_the_chassis_is_set_up_and_connected(place: Place) -> None:
    chassis = place.commands().run(catalogue.CHASSIS)
    assert (chassis.name, chassis.missing) == (place.chassis, "")
    assert chassis.mappings["public"] and chassis.datapath in ("system", "netdev")
    assert place.commands().run(catalogue.CHASSIS_STATUS) == "connected"


def test_disk_space_of_a_folder_that_is_there(place: Place) -> None:
    found = place.commands().run(catalogue.DISK_SPACE, path=place.folder)
    assert 0 < found.available <= found.capacity
    with pytest.raises(HostFault) as fault:
        place.commands().run(catalogue.DISK_SPACE, path="/nowhere/at/all")
    assert not isinstance(fault.value, HostUnreachable)


def test_a_console_log_that_is_not_there_is_empty_and_its_removal_success(place: Place) -> None:
    for _again in range(2):
        assert place.commands().run(catalogue.CONSOLE_LOG, domain=uuid4()) == ""
        place.commands().run(catalogue.REMOVE_CONSOLE_LOG, domain=uuid4())
    for domain in ("*", "../../etc/passwd", "a b", ""):
        with pytest.raises(ValueError):
            place.commands().run(catalogue.CONSOLE_LOG, domain=domain)


def ports(place: Place) -> dict[str, str]:
    return {tap.name: tap.port for tap in place.commands().run(catalogue.TAP_PORTS) if tap.name in place.taps}


def test_taps_are_plugged_and_unplugged_and_again_is_success(place: Place) -> None:
    (one, other), port, second = place.taps, uuid4(), uuid4()
    for _again in range(2):
        place.commands().run(catalogue.PLUG_PORT, tap=one, port=port)
    place.commands().run(catalogue.PLUG_PORT, tap=other, port=str(second))
    assert ports(place) == {one: str(port), other: str(second)}
    place.commands().run(catalogue.PLUG_PORT, tap=one, port=second)
    assert ports(place)[one] == str(second)
    for _again in range(2):
        place.commands().run(catalogue.UNPLUG_PORT, tap=one)
    assert ports(place) == {other: str(second)}


def test_flows_that_count_are_made_listed_and_removed(place: Place) -> None:
    """Of an address and a port there is one, which counts from nothing when it is made again."""
    bridge = place.commands().run(catalogue.CHASSIS).mappings["public"]
    assert place.commands().run(catalogue.COUNTED, bridge=bridge) == []
    flows = [catalogue.Counting(number=number, port=port, address=address)
             for number, port, address in ((7, 1, "203.0.113.7"), (2**40 - 1, 1, "203.0.113.8"), (9, 1, "203.0.113.7"))]
    for flow in flows:
        place.commands().run(catalogue.COUNT, bridge=bridge, flow=flow)
    found = {flow.number: flow for flow in place.commands().run(catalogue.COUNTED, bridge=bridge)}
    assert {number: (one.port, one.address, one.packets, one.bytes) for number, one in found.items()} == {
        9: (1, "203.0.113.7", 0, 0), 2**40 - 1: (1, "203.0.113.8", 0, 0)}
    assert all(0 <= one.age_s < 60 for one in found.values())
    for _again in range(2):
        place.commands().run(catalogue.UNCOUNT, bridge=bridge, number=9)
    assert [flow.number for flow in place.commands().run(catalogue.COUNTED, bridge=bridge)] == [2**40 - 1]
    place.commands().run(catalogue.UNCOUNT, bridge=bridge, number=2**40 - 1)
    assert place.commands().run(catalogue.COUNTED, bridge=bridge) == []
    with pytest.raises(HostFault):
        place.commands().run(catalogue.COUNTED, bridge="no-bridge")


def test_the_switch_lists_its_taps_with_numbers(place: Place) -> None:
    port = uuid4()
    place.commands().run(catalogue.PLUG_PORT, tap=place.taps[0], port=port)
    numbers = [found.number for found in place.commands().run(catalogue.SWITCH_PORTS) if found.port == str(port)]
    assert len(numbers) == (place.driver == "simulated")  # the real switch has no such device, hence no number for it


def test_the_fence_is_asked_before_and_told_after(place: Place) -> None:
    fence = Recorder()
    place.commands(fence).run(catalogue.LOGIN)
    assert fence.seen == ["before ssh.login", "after ssh.login"]
    fence.seen.clear()
    with pytest.raises(HostFault):
        place.commands(fence).run(catalogue.DISK_SPACE, path="/nowhere/at/all")
    assert fence.seen == ["before ssh.disk_space"]


# -- who does not get there --

def test_a_simulated_host_refuses_as_a_real_one_does(tmp_path: Path) -> None:
    place = Place("simulated", Address(uri=f"simulated://{tmp_path}/rack-1"), "/pool", "rack-1")
    hand = SimulatedHost(place.address.uri)
    for refuses, error in (("login", ssh.LoginRefused), ("host key", ssh.OtherHostKey)):
        hand.set_up(refuses=refuses)
        with pytest.raises(error):
            place.commands().run(catalogue.LOGIN)
    hand.set_up(refuses="", versions={"ovn": None})
    with pytest.raises(ProgramAbsent):
        place.commands().run(catalogue.CHASSIS_STATUS)
    hand.set_unreachable()
    with pytest.raises(HostUnreachable):
        place.commands().run(catalogue.LOGIN)


@pytest.mark.lab
def test_a_real_host_refuses_a_strange_key_and_is_refused_when_it_shows_one(lab: list[HostFacts], tmp_path: Path) -> None:
    place, other = real(lab[0], tmp_path), real(lab[1], tmp_path)
    private = tmp_path / "own"
    ssh_keygen(private)
    stranger = replace(place.address, private_key=private.read_text())
    with pytest.raises(ssh.LoginRefused):
        open_commands("libvirt", stranger).run(catalogue.LOGIN)
    known = f"{lab[0].address} {other.address.host_key.split(' ', 1)[1]}"
    for host_key in (known, ""):
        with pytest.raises(ssh.OtherHostKey):
            open_commands("libvirt", replace(place.address, host_key=host_key)).run(catalogue.LOGIN)
    assert public_line(private.read_text()).split()[1] == private.with_suffix(".pub").read_text().split()[1]


def ssh_keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@pytest.mark.lab
def test_where_nobody_is_or_listens_is_told_apart(lab: list[HostFacts], tmp_path: Path) -> None:
    place = real(lab[0], tmp_path)
    for host, said in ((f"{lab[0].address}:2", "nothing listens there"), ("rack-1.invalid", "the name is not known")):
        address = replace(place.address, uri=f"qemu+ssh://root@{host}/system")
        with pytest.raises(HostUnreachable, match=said):
            open_commands("libvirt", address).run(catalogue.LOGIN)
        with pytest.raises(HostUnreachable):
            ssh.scan_host_keys(ssh.target_of(address.uri), Unfenced())


@pytest.mark.lab
def test_the_keys_that_a_host_shows_are_read(lab: list[HostFacts]) -> None:
    fence = Recorder()
    shown = ssh.scan_host_keys(ssh.parse_target(f"root@{lab[0].address}"), fence)
    assert shown[0] == f"{lab[0].address} {lab[0].public_host_key}"
    assert fence.seen == ["before ssh.keyscan", "after ssh.keyscan"]
