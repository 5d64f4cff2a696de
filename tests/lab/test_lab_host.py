"""A lab host behaves like a machine of its own: reached by SSH only, mortal, and gone without a trace."""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import libvirt
import pytest

from compute.lab import HostFacts, Lab, LabError, claims, commands, network
from compute.lab.box import Power
from compute.lab.machine import outer_pids
from tests.lab.cloud import run_on
from tests.lab.guests import Guests, wait_for

pytestmark = pytest.mark.lab


def processes_of(lab: Lab) -> list[int]:
    return outer_pids(lab.directory / "hosts/h1")


def traces_of(lab: Lab) -> dict[str, object]:
    """Everything that a lab has outside its directory, found without asking the lab."""
    claimed = [claim.number for claim in claims.standing_claims() if claim.name == lab.name]
    inside = [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(lab.directory).encode() in _read(entry)]
    mounted = [line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.directory) in line]
    return {"claims": claimed, "processes": [entry.parent.name for entry in inside], "mounts": mounted}


def number_of(lab: Lab) -> str:
    return json.loads((lab.directory / "lab.json").read_text())["gateway"].split(".")[2]


def named_after(number: str) -> list[str]:
    """The devices, namespaces, firewall tables and claims of this machine that carry a lab's number."""
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, env=network.ENVIRONMENT).stdout
    folders = [Path(folder) for folder in ("/sys/class/net", "/run/netns", "/run/mains-labs")]
    names = [path.name for folder in folders if folder.exists() for path in folder.iterdir()]
    ours = re.compile(rf"mains{number}(\D.*)?|{number}\.json")
    return sorted(name for name in (*names, *tables.split()) if ours.fullmatch(name))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_second_up_finds_everything_alive_within_a_second(lab: Lab, host: HostFacts) -> None:
    before = processes_of(lab)
    began = time.monotonic()
    assert lab.up()[0] == host
    assert time.monotonic() - began < 1.0
    assert processes_of(lab) == before and len(before) == 1
    assert set(lab.status().values()) == {Power.ALIVE}


def test_the_facts_on_disk_are_what_up_returned(lab: Lab, host: HostFacts) -> None:
    written = json.loads((lab.directory / "lab.json").read_text())
    assert written["hosts"][0]["uri"] == host.uri
    assert written["gateway"].rpartition(".")[0] == host.address.rpartition(".")[0]
    assert network.exists(written["public"]["bridge"])
    assert Path(written["shared_path"]).is_dir()


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
    with pytest.raises(libvirt.libvirtError, match=r"Host key verification failed|Cannot recv data"):
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
    assert lab.status()[host.name] is Power.DEAD
    assert not [pid for pid in traces_of(lab)["processes"] if str(host.pool_path).encode() in _read(Path(f"/proc/{pid}/cmdline"))]
    assert processes_of(lab) == []
    with pytest.raises(OSError):
        socket.create_connection((host.address, 22), timeout=2)

    lab.revive(host.name)
    assert lab.status()[host.name] is Power.ALIVE
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
    ours, theirs = number_of(lab), number_of(second_lab)
    assert ours != theirs
    assert _greeting(host.address) == _greeting(other.address) == "SSH"
    assert named_after(theirs) == [
        f"{theirs}.json", *(f"mains{theirs}{end}" for end in ("", "", "m", "p", "p1"))  # namespace, table, devices
    ]
    assert [name for name in named_after(theirs) if Path(f"/sys/class/net/{name}/bridge").exists()] == [f"mains{theirs}p"]

    second_lab.down()
    assert traces_of(second_lab) == {"claims": [], "processes": [], "mounts": []}
    assert named_after(theirs) == []
    assert second_lab.status() == {}
    assert set(lab.status().values()) == {Power.ALIVE}
    assert not Path("/var/lib/libvirt/qemu").exists() or not list(Path("/var/lib/libvirt/qemu").glob("*.monitor"))


def _greeting(address: str) -> str:
    with socket.create_connection((address, 22), timeout=5) as client:
        return client.recv(3).decode()


def test_up_repairs_what_a_crash_left(second_lab: Lab) -> None:
    before = second_lab.up()
    (outer,) = processes_of(second_lab)
    namespace = f"mains{number_of(second_lab)}"
    cable = f"{namespace}p1"
    os.kill(outer, 9)
    os.waitpid(outer, 0)
    wait_for(lambda: not network.exists(cable), "the dead host's cable")
    stray = f"{namespace}x"
    for command in (["ip", "link", "add", cable, "type", "veth", "peer", "name", stray],
                    ["ip", "netns", "delete", namespace], ["nft", "delete", "table", "inet", namespace]):
        subprocess.run(command, check=True, env=network.ENVIRONMENT)
    Path(f"/run/netns/{namespace}").touch()
    (second_lab.directory / "lab.json").write_text("{half")

    assert second_lab.up() == before
    assert set(second_lab.status().values()) == {Power.ALIVE}
    assert not network.exists(stray)
    assert named_after(number_of(second_lab)).count(namespace) == 2  # the namespace and the firewall's table


def test_a_cable_torn_out_is_plugged_in_again_and_the_others_run_on(second_lab: Lab) -> None:
    second_lab.up()
    central = outer_pids(second_lab.directory / "central")
    subprocess.run(["ip", "link", "delete", f"mains{number_of(second_lab)}p1"], check=True)
    second_lab.up()
    assert set(second_lab.status().values()) == {Power.ALIVE}
    assert outer_pids(second_lab.directory / "central") == central


def test_a_host_added_is_known_to_every_later_up(second_lab: Lab) -> None:
    (first,) = second_lab.up()
    running = processes_of(second_lab)
    with pytest.raises(LabError, match="no host name"):
        second_lab.add("under_score")
    with pytest.raises(LabError, match="already"):
        second_lab.add(first.name)
    said: list[str] = []
    identity = {"name": second_lab.name, "state": str(second_lab.directory.parent), "hosts": None}
    assert commands.run(argparse.Namespace(verb="add", host="extra", **identity), said.append)
    third = second_lab.add()
    assert f"extra root@{first.address.rpartition('.')[0]}.12" in said[-1]
    assert third.name == f"{second_lab.name}-h3"
    assert processes_of(second_lab) == running
    assert run_on(first, "getent", "hosts", "extra").stdout == run_on(third, "getent", "hosts", "extra").stdout != ""

    second_lab.down()
    again = Lab(second_lab.name, second_lab.directory.parent)
    assert [fact.name for fact in again.up()] == [first.name, "extra", third.name]


def test_the_last_host_is_taken_away_again_and_leaves_nothing(second_lab: Lab) -> None:
    (first,) = second_lab.up()
    with pytest.raises(LabError, match="Only the last"):
        second_lab.remove(first.name)
    before = named_after(number_of(second_lab)), processes_of(second_lab), sorted(second_lab.directory.glob("*/*"))
    extra = second_lab.add("extra")
    second_lab.remove(extra.name)
    assert second_lab.host_names == [first.name]
    assert set(second_lab.status()) == {first.name, f"{second_lab.name}-central"}
    assert run_on(first, "getent", "hosts", "extra").stdout == ""
    identity = {path for path in second_lab.directory.glob("*/*") if path.stem == "extra"}  # of its name, for good
    after = named_after(number_of(second_lab)), processes_of(second_lab), sorted({*second_lab.directory.glob("*/*")} - identity)
    assert after == before
    assert second_lab.add().address == extra.address


def test_up_starts_afresh_when_the_directory_was_removed_under_a_running_lab(second_lab: Lab) -> None:
    before = second_lab.up()[0]
    shutil.rmtree(second_lab.directory)
    after = second_lab.up()[0]
    assert after.public_host_key != before.public_host_key
    assert run_on(after, "hostname").stdout.strip() == after.name
    assert len(processes_of(second_lab)) == 1


def test_a_lab_whose_directory_was_removed_under_it_is_cleared_by_the_next(second_lab: Lab, tmp_path: Path) -> None:
    lost = Lab(second_lab.name + "-lost", tmp_path / "lost", hosts=1)
    lost.up()
    number = number_of(lost)
    assert named_after(number)
    shutil.rmtree(tmp_path / "lost")

    second_lab.up()
    assert traces_of(lost) == {"claims": [], "processes": [], "mounts": []}
    assert named_after(number) == []
