"""The lab's network carries real guests: between hosts, to and from outside, through every death, and never inward."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compute.lab import Lab
from compute.lab.box import Power
from compute.lab.image import DemoImage
from tests.lab.cloud import Cloud, Instance, Pinging, kill_daemon, run_on
from tests.lab.guests import wait_for

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def cloud(lab: Lab, image: DemoImage) -> Iterator[Cloud]:
    lab.up()
    cloud = Cloud(lab, image)
    cloud.lay_out()
    yield cloud
    lab.up()
    cloud.clear()


@pytest.fixture(scope="module")
def pair(cloud: Cloud) -> tuple[Instance, Instance]:
    """Two guests, on the first host and on the second, in two subnets."""
    booted = cloud.boot("alpha", cloud.hosts[0], 1), cloud.boot("beta", cloud.hosts[1], 2)
    for instance in booted:
        wait_for(instance.answers, f"HTTP of {instance.guest.disk.stem}")
        wait_for(lambda instance=instance: instance.run("hostname"), f"SSH of {instance.guest.disk.stem}")
    return booted


@pytest.fixture
def alpha(pair: tuple[Instance, Instance]) -> Instance:
    return pair[0]


@pytest.fixture
def beta(pair: tuple[Instance, Instance]) -> Instance:
    return pair[1]


@pytest.fixture(autouse=True)
def whole(lab: Lab) -> Iterator[None]:
    """Whatever a test shot at, the next one finds it alive."""
    yield
    if set(lab.status().values()) != {Power.ALIVE}:
        lab.up()


def test_every_host_is_a_chassis_with_its_own_tunnel_address(lab: Lab, cloud: Cloud) -> None:
    rows = json.loads(cloud.southbound("--format=json", "--columns=chassis_name,ip,type", "list", "encap"))["data"]
    assert {name: kind for name, _address, kind in rows} == dict.fromkeys((host.chassis for host in cloud.hosts), "geneve")
    number = cloud.facts["gateway"].split(".")[2]
    assert {address for _name, address, _kind in rows} == {f"198.19.{number}.{11 + index}" for index in range(3)}
    assert lab.host_names == [host.name for host in cloud.hosts]


def test_the_databases_refuse_whoever_has_no_certificate_of_the_lab(cloud: Cloud, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, "-subj", "/CN=portal"], check=True, capture_output=True)
    central = cloud.facts["central"]
    for tool, database in (("ovn-nbctl", central["northbound"]), ("ovn-sbctl", central["southbound"])):
        command = [tool, "--timeout=5", f"--db={database}", "-p", key, "-c", certificate, "-C", central["ca_certificate"], "show"]
        refused = subprocess.run(command, capture_output=True, text=True)
        assert refused.returncode != 0 and refused.stdout == ""
        assert subprocess.run([tool, "--timeout=3", f"--db={database.replace('ssl:', 'tcp:')}", "show"],
                              capture_output=True).returncode != 0


def test_all_hosts_see_one_directory_at_one_path(cloud: Cloud) -> None:
    note = Path(cloud.facts["shared_path"]) / "note"
    assert run_on(cloud.hosts[0], "cp", "/etc/hostname", str(note)).returncode == 0
    assert run_on(cloud.hosts[2], "cat", str(note)).stdout == note.read_text()
    note.unlink()


def test_guests_of_two_hosts_reach_each_other_whole_packets_included(alpha: Instance, beta: Instance) -> None:
    assert " 0% packet loss" in alpha.run("ping", "-c", "3", "-i", "0.2", beta.inside)
    assert " 0% packet loss" in beta.run("ping", "-c", "2", "-i", "0.2", "-s", "1472", alpha.inside)
    assert "<h1>beta</h1>" in alpha.run("wget", "-q", "-O", "-", f"http://{beta.inside}/")
    assert f"{alpha.inside}/24" in alpha.run("ip", "address", "show", "eth0")


def test_a_floating_ip_answers_ping_and_curl_from_the_machine_and_the_chassis_of_its_guest_answers(
    cloud: Cloud, alpha: Instance, beta: Instance
) -> None:
    with Pinging(alpha.outside) as pinging:
        time.sleep(1)
    assert pinging.silence_s < 0.5
    assert alpha.answers() and beta.answers()
    assert cloud.chassis_of(alpha.port) == alpha.host.chassis
    assert cloud.chassis_of(beta.port) == beta.host.chassis
    neighbours = subprocess.run(["ip", "neigh", "show", alpha.outside], capture_output=True, text=True).stdout
    assert "02:00:00:00:08:01" in neighbours  # its own address, not the gateway's


def test_from_a_guest_the_machine_answers_echo_and_nothing_else(cloud: Cloud, alpha: Instance, beta: Instance) -> None:
    number = cloud.facts["gateway"].split(".")[2]
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = str(server.getsockname()[1])
        assert socket.create_connection((cloud.facts["gateway"], int(port)), timeout=2)

        def knock(address: str, port: str) -> str:
            return alpha.run(f"nc -w 2 {address} {port} < /dev/null > /dev/null 2>&1 && echo open || echo closed").strip()

        assert knock(beta.inside, "80") == "open"
        assert knock(beta.outside, "80") == "open"
        assert [knock(at, port) for at in (cloud.facts["public"]["gateway"], cloud.facts["gateway"])] == ["closed"] * 2
        assert [knock(alpha.host.address, "22"), knock(cloud.facts["central"]["address"], "6641")] == ["closed"] * 2
    assert " 0% packet loss" in alpha.run("ping", "-c", "2", "-i", "0.2", cloud.facts["public"]["gateway"])
    for inward in (cloud.facts["gateway"], alpha.host.address, beta.host.address, f"198.19.{number}.11"):
        assert "100% packet loss" in alpha.run("ping", "-c", "1", "-W", "1", inward), inward


def test_a_guest_that_takes_an_address_of_management_gets_no_answer_from_its_hosts_kernel(alpha: Instance) -> None:
    stolen = f"{alpha.host.address.rpartition('.')[0]}.200"
    alpha.run("ip", "address", "add", f"{stolen}/24", "dev", "eth0")
    assert "100% packet loss" in alpha.run("ping", "-c", "2", "-W", "1", alpha.host.address)
    neighbour = alpha.run("ip", "neigh", "show", alpha.host.address)
    alpha.run("ip", "address", "del", f"{stolen}/24", "dev", "eth0")
    assert "lladdr" not in neighbour


@pytest.mark.parametrize(("daemon", "silence_s"), [
    ("ovn-controller", 2), ("ovs-vswitchd", 15), ("ovsdb-server", 5), ("libvirtd", 2),
])
def test_a_daemon_killed_comes_back_and_so_do_its_hosts_guests(
    daemon: str, silence_s: float, alpha: Instance, beta: Instance
) -> None:
    with Pinging(beta.outside) as pinging, Pinging(alpha.outside) as other:
        kill_daemon(beta.host, daemon)
        time.sleep(4)  # it has read everything anew by then, and put down its flows
        wait_for(beta.answers, "HTTP", limit_s=30)
    assert pinging.silence_s < silence_s
    assert other.silence_s < 1
    assert " 0% packet loss" in beta.run("ping", "-c", "2", "-i", "0.2", alpha.inside)


def test_a_host_cut_off_runs_on_and_is_whole_again_when_revived(lab: Lab, alpha: Instance, beta: Instance) -> None:
    booted = beta.run("cat", "/proc/sys/kernel/random/boot_id")
    with Pinging(alpha.outside) as pinging:
        lab.cut(beta.host.name)
        assert lab.status()[beta.host.name] is Power.CUT
        assert not beta.answers()
        with pytest.raises(OSError):
            socket.create_connection((beta.host.address, 22), timeout=1)
        lab.revive("h2")
        assert lab.status()[beta.host.name] is Power.ALIVE
    assert pinging.silence_s < 1
    wait_for(beta.answers, "HTTP", limit_s=30)
    assert beta.run("cat", "/proc/sys/kernel/random/boot_id") == booted != ""


@pytest.mark.parametrize("verb", ["kill", "cut"])
def test_without_central_guests_talk_on_and_changes_wait_for_its_return(
    verb: str, lab: Lab, cloud: Cloud, alpha: Instance, beta: Instance
) -> None:
    with Pinging(alpha.outside) as pinging:
        getattr(lab, verb)("central")
        assert lab.status()[cloud.facts["central"]["name"]] is (Power.DEAD if verb == "kill" else Power.CUT)
        assert cloud.northbound("show", check=False) == ""
        assert " 0% packet loss" in alpha.run("ping", "-c", "2", "-i", "0.2", beta.inside)
        lab.revive("central")
        assert alpha.port in cloud.northbound("show")  # the databases are on disk
        cloud.northbound("--wait=hv", "--timeout=60", "sync")  # every chassis has heard of it
    assert pinging.silence_s < 1


def test_the_gateway_moves_when_its_host_dies(lab: Lab, cloud: Cloud, alpha: Instance) -> None:
    wait_for(cloud.gateway_chassis, "a gateway", limit_s=20)
    gateway = cloud.host_of(cloud.gateway_chassis())
    assert gateway.name == cloud.hosts[2].name  # the highest priority, and no guest of ours
    with Pinging(cloud.router_address) as outside, Pinging(alpha.outside) as floating:
        time.sleep(1)
        lab.kill(gateway.name)
        wait_for(lambda: cloud.gateway_chassis() != gateway.chassis, "another gateway", limit_s=30)
        time.sleep(2)
    assert outside.answers and outside.silence_s < 15
    assert floating.silence_s < 1
    lab.revive(gateway.name)
    wait_for(lambda: cloud.gateway_chassis() == gateway.chassis, "the gateway's return", limit_s=60)


def test_after_a_power_cut_the_chassis_is_back_and_a_guest_started_again_is_reachable(
    lab: Lab, cloud: Cloud, alpha: Instance, beta: Instance
) -> None:
    with Pinging(alpha.outside) as pinging:
        lab.kill(beta.host.name)
        assert not beta.answers()
        lab.revive(beta.host.name)
    assert pinging.silence_s < 1
    ports = run_on(beta.host, "ovs-vsctl", "list-ports", "br-int").stdout.split()
    assert not [port for port in ports if port.startswith("vnet")]  # no tap of a guest that died
    maker = cloud.makers[beta.host.name]
    maker.reconnect()
    maker.connection.lookupByName("beta").create()
    wait_for(beta.answers, "HTTP", limit_s=60)
    assert " 0% packet loss" in alpha.run("ping", "-c", "2", "-i", "0.2", beta.inside)


def test_idle_datapaths_do_not_spin(cloud: Cloud) -> None:
    def ticks() -> int:
        script = "cat /proc/$(pgrep -x ovs-vswitchd)/stat /proc/$(pgrep -x ovn-controller)/stat"
        lines = [line for host in cloud.hosts for line in run_on(host, script).stdout.splitlines()]
        assert len(lines) == 2 * len(cloud.hosts)
        return sum(int(field) for line in lines for field in line.rpartition(")")[2].split()[11:13])

    before = ticks()
    time.sleep(2)
    assert ticks() - before < 60  # hundredths of a second, over three hosts and two seconds
