"""A lab host behaves like a machine of its own: reached by SSH only, mortal, and gone without a trace."""

import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import libvirt
import pytest

from compute.lab import HostFacts, Lab, LabError, claims, network
from compute.lab.host import outer_pids
from tests.lab.guests import Guests, wait_for

pytestmark = pytest.mark.lab


def run_on(host: HostFacts, *command: str) -> subprocess.CompletedProcess[str]:
    ssh = [host.ssh_command, f"root@{host.address}", *command]
    return subprocess.run(ssh, capture_output=True, text=True, timeout=30)


def processes_of(lab: Lab) -> list[int]:
    return outer_pids(lab.directory / "hosts/h1")


def traces_of(lab: Lab) -> dict[str, object]:
    """Everything that a lab has outside its directory, found without asking the lab."""
    claimed = [claim.number for claim in claims.standing_claims() if claim.name == lab.name]
    inside = [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(lab.directory).encode() in _read(entry)]
    mounted = [line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.directory) in line]
    return {"claims": claimed, "processes": [entry.parent.name for entry in inside], "mounts": mounted}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_second_up_finds_everything_alive_within_a_second(lab: Lab, host: HostFacts) -> None:
    before = processes_of(lab)
    began = time.monotonic()
    assert lab.up() == [host]
    assert time.monotonic() - began < 1.0
    assert processes_of(lab) == before and len(before) == 1
    assert lab.status() == {host.name: True}


def test_the_facts_on_disk_are_what_up_returned(lab: Lab, host: HostFacts) -> None:
    written = json.loads((lab.directory / "lab.json").read_text())
    assert written["hosts"][0]["uri"] == host.uri
    assert written["gateway"].rpartition(".")[0] == host.address.rpartition(".")[0]
    assert network.exists(written["bridge"])


def test_a_host_has_its_own_name_processes_and_addresses(host: HostFacts) -> None:
    assert run_on(host, "hostname").stdout.strip() == host.name
    assert run_on(host, "getent", "hosts", host.name).stdout.split()[0] == host.address
    listeners = run_on(host, "ss", "-Hltn").stdout.split("\n")
    assert [line.split()[3] for line in listeners if line] == [f"{host.address}:22"]
    assert run_on(host, "cat", "/proc/1/comm").stdout.strip() == "tini"


def test_ssh_accepts_the_labs_key_and_no_other(host: HostFacts, tmp_path: Path) -> None:
    assert run_on(host, "true").returncode == 0
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    options = ["-F", "none", "-o", f"UserKnownHostsFile={host.known_hosts}", "-o", "BatchMode=yes"]
    command = ["ssh", *options, "-o", "IdentitiesOnly=yes", "-i", str(other), f"root@{host.address}", "true"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 255 and "Permission denied" in refused.stderr


def test_a_host_key_other_than_the_known_one_is_refused_by_ssh_and_libvirt(host: HostFacts, tmp_path: Path) -> None:
    impostor = tmp_path / "impostor"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(impostor)], check=True)
    known = tmp_path / "known_hosts"
    known.write_text(f"{host.address} {impostor.with_suffix('.pub').read_text()}")
    config = tmp_path / "config"
    config.write_text(Path(host.ssh_config).read_text().replace(host.known_hosts, str(known)))
    wrapper = tmp_path / "ssh"
    wrapper.write_text(Path(host.ssh_command).read_text().replace(host.ssh_config, str(config)))
    wrapper.chmod(0o755)

    refused = subprocess.run([str(wrapper), f"root@{host.address}", "true"], capture_output=True, text=True)
    assert refused.returncode == 255 and "Host key verification failed" in refused.stderr
    with pytest.raises(libvirt.libvirtError, match="Host key verification failed"):
        libvirt.open(host.uri.replace(host.ssh_command, str(wrapper)))


def test_libvirt_has_its_own_identity_and_works(connection: libvirt.virConnect, host: HostFacts) -> None:
    assert connection.getHostname() == host.name
    assert connection.getType() == "QEMU"
    assert "<pool type='dir' supported='yes'>" in connection.getStoragePoolCapabilities()


def test_libvirtd_killed_comes_back_and_the_guest_lives(host: HostFacts, guests: Guests) -> None:
    guest = guests.boot("survivor")
    qemu = run_on(host, "pgrep", "-x", "qemu-system-x86").stdout
    daemon = run_on(host, "pgrep", "-x", "libvirtd").stdout
    assert qemu.strip() and daemon.strip()
    assert run_on(host, "kill", "-9", daemon.strip()).returncode == 0

    def is_back() -> bool:
        return run_on(host, "virsh", "domstate", "survivor").stdout.strip() == "running"

    wait_for(is_back, "libvirtd's return", limit_s=15)
    assert run_on(host, "pgrep", "-x", "libvirtd").stdout != daemon
    assert run_on(host, "pgrep", "-x", "qemu-system-x86").stdout == qemu
    guest.await_login()


def test_a_console_listens_on_the_hosts_own_address_only(host: HostFacts, guests: Guests) -> None:
    guests.boot("painter")
    with socket.create_connection((host.address, 5900), timeout=5) as console:
        assert console.recv(4) == b"RFB "
    listeners = [line.split()[3] for line in run_on(host, "ss", "-Hltn").stdout.splitlines()]
    assert sorted(listeners) == [f"{host.address}:22", f"{host.address}:5900"]


def test_a_power_cut_kills_guests_too_and_the_host_comes_back_empty(lab: Lab, host: HostFacts, guests: Guests) -> None:
    guests.boot("victim")
    inside = [pid for pid in traces_of(lab)["processes"] if b"qemu-system" in _read(Path(f"/proc/{pid}/cmdline"))]
    assert len(inside) == 1
    lab.kill(host.name)
    assert lab.status() == {host.name: False}
    assert traces_of(lab)["processes"] == []
    with pytest.raises(OSError):
        socket.create_connection((host.address, 22), timeout=2)

    lab.revive(host.name)
    assert lab.status() == {host.name: True}
    again = libvirt.open(host.uri)
    assert again.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE) == []
    assert [domain.name() for domain in again.listAllDomains()] == ["victim"]
    again.lookupByName("victim").undefine()
    again.close()


def test_an_unknown_host_is_named_in_the_refusal(lab: Lab) -> None:
    with pytest.raises(LabError, match="h9"):
        lab.kill("h9")


def test_two_labs_stand_side_by_side_and_down_leaves_nothing(lab: Lab, host: HostFacts, second_lab: Lab) -> None:
    other = second_lab.up()[0]
    assert other.address.split(".")[2] != host.address.split(".")[2]
    bridge = json.loads((second_lab.directory / "lab.json").read_text())["bridge"]
    assert network.exists(bridge)

    second_lab.down()
    assert traces_of(second_lab) == {"claims": [], "processes": [], "mounts": []}
    assert not [device for device in os.listdir("/sys/class/net") if device.startswith(bridge)]
    assert second_lab.status() == {}
    assert lab.status() == {host.name: True}
    assert not Path("/var/lib/libvirt/qemu").exists() or not list(Path("/var/lib/libvirt/qemu").glob("*.monitor"))


def test_up_repairs_what_a_crash_left(second_lab: Lab) -> None:
    before = second_lab.up()
    (outer,) = processes_of(second_lab)
    bridge = json.loads((second_lab.directory / "lab.json").read_text())["bridge"]
    os.kill(outer, 9)
    os.waitpid(outer, 0)
    wait_for(lambda: not network.exists(f"{bridge}h1"), "the dead host's cable")
    subprocess.run(["ip", "link", "add", f"{bridge}h1", "type", "veth", "peer", "name", f"{bridge}x"], check=True)
    (second_lab.directory / "lab.json").write_text("{half")

    assert second_lab.up() == before
    assert second_lab.status() == {before[0].name: True}
    assert not network.exists(f"{bridge}x")


def test_up_starts_afresh_when_the_directory_was_removed_under_a_running_lab(second_lab: Lab) -> None:
    before = second_lab.up()[0]
    shutil.rmtree(second_lab.directory)
    after = second_lab.up()[0]
    assert after.public_host_key != before.public_host_key
    assert run_on(after, "hostname").stdout.strip() == after.name
    assert len(processes_of(second_lab)) == 1


def test_a_lab_whose_directory_was_removed_under_it_is_cleared_by_the_next(second_lab: Lab, tmp_path: Path) -> None:
    lost = Lab(second_lab.name + "-lost", tmp_path / "lost")
    lost.up()
    bridge = json.loads((lost.directory / "lab.json").read_text())["bridge"]
    shutil.rmtree(tmp_path / "lost")

    second_lab.up()
    assert traces_of(lost) == {"claims": [], "processes": [], "mounts": []}
    assert not network.exists(bridge)
