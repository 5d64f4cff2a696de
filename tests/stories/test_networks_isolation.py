"""Two organizations with the same network, real guests on all hosts, and root in them: nothing crosses, nothing forged
arrives, and nothing of management is there. Each proof has its counter-proof: what is honest is seen to arrive.
"""
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.network.fabric import wire
from tests.soak import SOAKING
from tests.stories.attacker import PROGRAM, Attacker, Sniffer, build, marked, read_scan, scan_list, token
from tests.stories.cloud import LabCloud
from tests.stories.forgeries import NOBODY, Liar
from tests.stories.guests import Guest, Key, at_once, await_made, generate_key, order, remove_all, wait_for
from tests.stories.portal import Portal

pytestmark = [pytest.mark.lab, pytest.mark.slow]
TIMES = 1000 if SOAKING else 100
ROUTER = "10.0.0.1"
# In the rival's network only: the demo tenant has nothing there.
ELSEWHERE = "10.0.0.77"
USUAL_PORTS = (22, 53, 80, 111, 443, 2049, 3306, 5432, 5900, 5901, 5902, 5903, 5904, 5905, 6081, 6379, 6380, 6640, 6641, 6642,
               6653, 8000, 8080, 9090, 16509, 16514, 49152)
STORY = "isolation"


@dataclass
class Cast:
    """Three guests of each tenant, one of each on every host; for the module's time both let everybody in. One more has,
    in a VPC of its tenant's choice, the very address by which a host is managed."""

    red: list[Attacker]
    blue: list[Attacker]
    mimic: Attacker

    @property
    def everybody(self) -> list[Attacker]:
        return [*self.red, *self.blue]


@pytest.fixture(scope="module")
def cast(portal: Portal, cloud: LabCloud, key: Key, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    before = cloud.census()
    folder = tmp_path_factory.mktemp("rival")
    theirs = generate_key(portal, folder, who="rival")
    program = build(folder)
    with ExitStack() as rules:
        guests = made(portal, key, theirs, cloud.hosts[0].facts.address)
        at_once(Guest.await_ssh, guests)
        for who in ("tenant", "rival"):
            rules.enter_context(everybody_let_in(portal, who))
        attackers = at_once(lambda guest: Attacker.of(guest, program), guests)
        yield Cast(red=attackers[:3], blue=attackers[3:6], mimic=attackers[6])
    for who in ("tenant", "rival"):
        remove_all(portal, who=who)
    for row in portal.api("GET", "vpcs/?is_default=false")[1]["results"]:
        assert portal.api("DELETE", f"vpcs/{row['id']}/")[0] == 204
    portal.await_networks()
    assert cloud.census() == before


def made(portal: Portal, ours: Key, theirs: Key, managed: str) -> list[Guest]:
    """One of each tenant on every host; the rival's last one at an address of its own."""
    networks = portal.api("GET", "subnets/", who="rival")[1]["results"]
    port = posted(portal, "ports", {"subnet": networks[0]["id"], "name": "elsewhere", "ip": ELSEWHERE}, who="rival")
    scope = {"project": portal.demo["tenant"]["project"], "region": portal.demo["region"]}
    vpc = posted(portal, "vpcs", scope | {"name": "mimicry", "cidr": "10.99.0.0/16"})
    network = str(IPv4Network(f"{managed}/24", strict=False))
    subnet = posted(portal, "subnets", {"vpc": vpc["id"], "name": "mimicry", "cidr": network})
    double = posted(portal, "ports", {"subnet": subnet["id"], "name": "mimicry", "ip": managed})
    red, blue = order(portal, ours, "red", count=3), order(portal, theirs, "blue", who="rival", count=2)
    guests = [*await_made(portal, red, ours), *await_made(portal, blue, theirs, who="rival")]
    # One after the other: two that are placed at the same moment may both take the host that either found the emptiest.
    blue = order(portal, theirs, "blue-3", who="rival", ports=[port["id"]])
    guests += await_made(portal, blue, theirs, who="rival")
    return [*guests, *await_made(portal, order(portal, ours, "mimic", ports=[double["id"]]), ours)]


def posted(portal: Portal, path: str, body: dict[str, object], *, who: str = "tenant") -> dict[str, object]:
    status, answer = portal.api("POST", f"{path}/", body, who=who)
    assert status == 201, answer
    return answer


@contextmanager
def everybody_let_in(portal: Portal, who: str) -> Iterator[None]:
    """The tenant's default group is no help against anybody for a while."""
    groups = portal.api("GET", "security-groups/?is_default=true", who=who)[1]["results"]
    body = {"security_group": groups[0]["id"], "direction": "ingress", "protocol": "any", "description": STORY}
    rule = posted(portal, "security-group-rules", body, who=who)
    portal.await_networks()
    try:
        yield
    finally:
        portal.api("DELETE", f"security-group-rules/{rule['id']}/", who=who)


def heard(*attackers: Attacker) -> dict[str, dict[str, int]]:
    return dict(zip((one.name for one in attackers), at_once(Attacker.heard, attackers), strict=True))


@pytest.fixture
def public(cloud: LabCloud) -> str:
    """The bridge of this machine that floating IPs are on."""
    return cloud.facts["public"]["bridge"]


@pytest.fixture
def uplink(public: str) -> str:
    """This machine's end of the lab's management network."""
    return f"{public.removesuffix('p')}m"


# -- two tenants -------------------------------------------------------------------------------------------------------


def test_both_have_the_same_network_and_a_guest_on_every_host(cast: Cast, cloud: LabCloud) -> None:
    assert [one.guest.inside for one in cast.red[:2]] == [one.guest.inside for one in cast.blue[:2]]
    for guests in (cast.red, cast.blue):
        hosts = [cloud.host_of(one.guest.pk).facts.name for one in guests]
        assert sorted(hosts) == sorted(host.facts.name for host in cloud.hosts)


def test_an_address_that_both_have_is_ones_own_guest(cast: Cast) -> None:
    def page(asker: Attacker, address: str) -> str:
        return asker.root(f"echo 'GET / HTTP/1.0\n' | nc -w 3 {address} 80")

    for tenant in (cast.red, cast.blue):
        for asker, other in ((tenant[0], tenant[1]), (tenant[1], tenant[0]), (tenant[2], tenant[0])):
            assert f"<h1>{other.name}</h1>" in page(asker, other.guest.inside)
    assert page(cast.red[0], ELSEWHERE) == "" and not cast.red[0].guest.pings(ELSEWHERE)
    assert f"<h1>{cast.blue[2].name}</h1>" in page(cast.blue[0], ELSEWHERE)


def test_of_a_full_mesh_not_one_packet_crosses(cast: Cast, public: str, uplink: str) -> None:
    """Everybody sends to everybody's addresses and MACs, to all, and to groups; the others hear none of it."""
    marks = {one.name: token() for one in cast.everybody}

    def attack(one: Attacker) -> int:
        mark, others = marks[one.name], [other for other in cast.everybody if other is not one]
        return one.send([
            *(one.datagram(other.guest.mac, other.guest.inside, mark) for other in others),
            *(one.datagram(one.gateway, other.guest.inside, mark) for other in others),
            *(one.datagram(other.gateway, other.guest.inside, mark) for other in others),
            one.datagram(wire.BROADCAST, "255.255.255.255", mark), one.datagram(wire.BROADCAST, "10.0.15.255", mark),
            one.datagram("01:00:5e:00:00:fb", "224.0.0.251", mark), one.datagram("01:00:5e:00:00:01", "224.0.0.1", mark),
            *(one.arp(wire.BROADCAST, one.guest.inside, other.guest.inside, mark) for other in others)], TIMES)

    with Sniffer(public) as outside, Sniffer(uplink) as management:
        sent = sum(at_once(attack, cast.everybody))
    found = heard(*cast.everybody)
    for tenant, rivals in ((cast.red, cast.blue), (cast.blue, cast.red)):
        for one in tenant:
            assert {other.name: found[other.name].get(marks[one.name].decode(), 0) for other in rivals} == dict.fromkeys(
                (other.name for other in rivals), 0)
            for friend in tenant:
                assert friend is one or found[friend.name].get(marks[one.name].decode(), 0) >= TIMES
    assert outside.found == management.found == {}
    print(f"\nfull mesh of two tenants: 0 of {sent} packets crossed")


def test_names_and_routers_of_another_tenant_are_nothing_to_us(cast: Cast, portal: Portal) -> None:
    red, blue = cast.red[0], cast.blue
    begun = time.monotonic()
    assert red.guest.pings(cast.red[1].name, 1) and f"({ELSEWHERE})" in blue[0].root("ping -c 1 blue-3")
    assert time.monotonic() - begun < 8, "resolvers ask for IPv6 too, and wait 15 s when nobody answers"
    for name in (blue[0].name, "blue-3", "blue-3.mains.internal"):
        assert "Name:" not in red.root(f"timeout 3 nslookup {name} 2>&1"), name
    router = portal.api("GET", "vpcs/", who="rival")[1]["results"][0]["router_address"]
    assert red.scan((router, port) for port in USUAL_PORTS) == set()
    # Of a rival's public address a stranger sees what anybody sees: its guest, as the rival's rules have it.
    assert red.scan([(blue[2].guest.outside, 80)]) == {(blue[2].guest.outside, 80)}


# -- forgeries ---------------------------------------------------------------------------------------------------------


def test_nothing_forged_is_delivered(cast: Cast, cloud: LabCloud, public: str, uplink: str) -> None:
    red, victim, third = cast.red
    liar = Liar(red, victim.guest, third.guest, [one.guest for one in cast.blue], ROUTER, cloud.facts["public"]["gateway"])
    frames, honest = liar.frames(), token()
    # What is sent to this address, the same for all switches, passes no rule of its sender's.
    services = cloud.northbound("get", "NB_Global", ".", "options:svc_monitor_mac").strip('"')
    frames["back-door"] = [red.datagram(services, victim.guest.inside, b"back-door", by=by, to=68) for by in (67, 1067)]
    with Sniffer(public) as outside, Sniffer(uplink) as management:
        sent = red.send([frame for kind in frames.values() for frame in kind], TIMES)
        red.send([red.datagram(victim.guest.mac, victim.guest.inside, honest),
                  red.datagram(red.gateway, third.guest.inside, honest)], TIMES)
    found = heard(victim, third, *cast.blue)
    assert found[victim.name].get(honest.decode()) == found[third.name].get(honest.decode()) == TIMES
    arrived = {name: {mark: count for mark, count in tokens.items() if mark in frames} for name, tokens in found.items()}
    assert arrived == {name: {} for name in found}
    assert outside.found == management.found == {}
    print(f"\n{len(frames)} kinds of forged frames: 0 of {sent} delivered")


def test_tools_at_hand_forge_no_more_than_that(cast: Cast) -> None:
    """The same by the guest's own kernel: another address, another MAC, and a neighbour's as well."""
    red, victim, third = cast.red
    changed = {
        "address": (f"ip address add 10.0.0.200/20 dev eth0; ping -I 10.0.0.200 -c 3 -i 0.2 -W 1 {victim.guest.inside}",
                    "ip address del 10.0.0.200/20 dev eth0"),
        "neighbour's": (f"ip address add {third.guest.inside}/20 dev eth0; "
                        f"ping -I {third.guest.inside} -c 3 -i 0.2 -W 1 {victim.guest.inside}",
                        f"ip address del {third.guest.inside}/20 dev eth0"),
        "mac": (f"ip link set eth0 address {NOBODY}; ping -c 3 -i 0.2 -W 1 {victim.guest.inside}; arping -c 2 -I eth0 {ROUTER}",
                f"ip link set eth0 address {red.guest.mac}"),
    }
    for what, (lie, truth) in changed.items():
        said = red.root(f"({lie}; {truth}) > /run/lie 2>&1; cat /run/lie", limit_s=40)
        wait_for(lambda: red.guest.ssh("true").returncode == 0, "the honest guest is reachable again", 30)
        said = said or red.root("cat /run/lie")
        assert "bytes from" not in said and "nicast reply" not in said, (what, said)
    assert red.guest.pings(victim.guest.inside)


def test_a_guests_dhcp_server_gives_its_neighbours_no_lease(cast: Cast) -> None:
    red, victim, _third = cast.red
    red.root("printf 'start 10.0.0.240\nend 10.0.0.250\ninterface eth0\nlease_file /run/leases\noption router "
             f"{red.guest.inside}\n' > /run/udhcpd.conf; touch /run/leases; (setsid udhcpd -f /run/udhcpd.conf "
             "> /run/udhcpd.log 2>&1 < /dev/null &)")
    victim.root("printf '#!/bin/sh\necho \"$1 $ip from $serverid by $router\" >> /run/offers\n' > /run/note; chmod +x /run/note")
    for _round in range(5):
        victim.root("udhcpc -f -n -q -t 3 -T 1 -i eth0 -s /run/note > /dev/null 2>&1")
    offers = {line for line in victim.root("cat /run/offers").splitlines() if line.startswith("bound")}
    red.root("killall udhcpd")
    assert offers == {f"bound {victim.guest.inside} from {ROUTER} by {ROUTER}"}
    assert "10.0.0.2" not in red.root("cat /run/udhcpd.log | grep -i 'offer\\|ack'")


# -- management --------------------------------------------------------------------------------------------------------


@dataclass
class Management:
    """Everything that listens anywhere, and every address at which it might be looked for."""

    addresses: list[str]
    ports: list[int]

    @property
    def targets(self) -> list[tuple[str, int]]:
        return [(address, port) for address in self.addresses for port in self.ports]


def listening(said: str) -> set[int]:
    return {int(line.split()[3].rpartition(":")[2]) for line in said.splitlines() if line.strip()}


@pytest.fixture
def management(cloud: LabCloud, portal: Portal) -> Iterator[Management]:
    """With a web server and a socket for datagrams that this machine opens to everybody, as a careless person might."""
    here = subprocess.run(["ip", "-4", "-json", "address"], capture_output=True, text=True, check=True).stdout
    addresses = [row["local"] for link in json.loads(here) for row in link["addr_info"] if not row["local"].startswith("127.")]
    number = cloud.facts["gateway"].split(".")[2]
    addresses += [cloud.facts["central"]["address"], *(host.facts.address for host in cloud.hosts)]
    addresses += [f"198.19.{number}.{11 + place}" for place in range(len(cloud.hosts))]
    addresses += ["169.254.169.254", "169.254.0.2", "10.0.0.1", "10.0.15.254"]
    ss = ["ss", "-Hltn"]
    ports = listening(subprocess.run(ss, capture_output=True, text=True, check=True).stdout).union(
        *(listening(host.run(*ss)) for host in cloud.hosts))
    careless = subprocess.Popen(["python3", "-m", "http.server", "--bind", "0.0.0.0", "0"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env={"PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin"})
    try:
        open_port = int(careless.stdout.readline().split(" port ")[1].split()[0])
        assert socket.create_connection((cloud.facts["public"]["gateway"], open_port), timeout=5)
        yield Management(sorted(set(addresses)), sorted({*ports, *USUAL_PORTS, open_port}))
    finally:
        careless.kill()
        careless.wait()


@pytest.fixture
def deaf(management: Management) -> Iterator[None]:
    """No marked datagram reaches this machine on any of the ports meanwhile."""
    got: list[bytes] = []
    with ExitStack() as stack:
        sockets = []
        for port in management.ports:
            catcher = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                catcher.bind(("0.0.0.0", port))
            except OSError:
                continue
            catcher.setblocking(False)
            sockets.append(catcher)
        assert len(sockets) > 10
        yield
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:  # the counter-proof
            sender.sendto(marked(b"ours"), sockets[0].getsockname())
        for catcher in sockets:
            with suppress(BlockingIOError):
                while True:
                    got.append(catcher.recv(2000))
    assert [datagram for datagram in got if wire.TOKEN in datagram] == [marked(b"ours")]


def test_a_scan_from_inside_finds_neighbours_and_nothing_of_management(
    cast: Cast, cloud: LabCloud, management: Management, deaf: None
) -> None:
    red, victim, _third = cast.red
    control = {(victim.guest.inside, 80), (victim.guest.inside, 22), (cast.blue[0].guest.outside, 80)}
    hosts = [host.facts.address for host in cloud.hosts]
    inward = IPv4Network(f"{hosts[0]}/24", strict=False)
    ways = {
        "as it is": ("true", "true"),
        "by a neighbour": (f"ip route add {inward} via {victim.guest.inside}", f"ip route del {inward}"),
        "by the router": (f"ip route add {inward} via {ROUTER}", f"ip route del {inward}"),
        "on the link": (f"ip route add {inward} dev eth0", f"ip route del {inward}"),
        "with an address there": (f"ip address add {hosts[0].rpartition('.')[0]}.200/24 dev eth0",
                                  f"ip address del {hosts[0].rpartition('.')[0]}.200/24 dev eth0"),
    }
    victim.root("echo 1 > /proc/sys/net/ipv4/ip_forward")
    for way, (begin, end) in ways.items():
        targets = [target for target in management.targets if way == "as it is" or IPv4Address(target[0]) in inward]
        red.root(begin)
        found = red.scan([*control, *targets])
        red.root(end)
        assert found == control, way
    for address in (*hosts, cloud.facts["gateway"], cloud.facts["central"]["address"], "169.254.169.254"):
        assert "bytes from" not in red.root(f"ping -c 1 -W 1 {address}"), address
    print(f"\nmanagement: 0 of {len(management.targets)} addresses and ports open, by {len(ways)} ways")


def test_nor_does_a_guest_that_goes_out_by_its_routers_address(
    cast: Cast, portal: Portal, management: Management, deaf: None
) -> None:
    """Without a floating IP the way out is another: through the gateway's chassis. The guest scans while it has none."""
    guest, victim = cast.red[2].guest, cast.red[1].guest
    control = {(victim.inside, 80), (cast.blue[0].guest.outside, 80)}
    cast.red[2]._with_input("cat > /run/targets", scan_list([*control, *management.targets]))
    floating = next(row for row in portal.api("GET", "floating-ips/")[1]["results"] if row["address"] == guest.outside)
    cast.red[2].root(f"(setsid sh -c 'sleep 6; {PROGRAM} scan 1500 < /run/targets > /run/found' > /dev/null 2>&1 < /dev/null &)")
    path = f"floating-ips/{floating['id']}/actions"
    assert portal.finish(portal.api("POST", f"{path}/disassociate/", {})[1])["state"] == "succeeded"
    assert guest.ssh("true").returncode == 255
    wait_for(lambda: victim.ssh("true").returncode == 0, "others are reachable")
    time.sleep(10)
    assert portal.finish(portal.api("POST", f"{path}/associate/", {"port": floating["port"]})[1])["state"] == "succeeded"
    guest.await_ssh(60)
    wait_for(lambda: "done" in cast.red[2].root("cat /run/found"), "the scan came to its end", 60)
    assert read_scan(cast.red[2].root("cat /run/found")) == control


def test_a_guest_with_a_hosts_own_address_is_neither_its_host_nor_in_anybodys_way(
    cast: Cast, cloud: LabCloud, management: Management, deaf: None, uplink: str
) -> None:
    """Its tenant has a VPC with management's CIDR, and gave it the address by which the first host is managed."""
    mimic, first = cast.mimic, cloud.hosts[0]
    assert mimic.guest.inside == first.facts.address
    mark, network = token(), mimic.guest.inside.rpartition(".")[0]
    neighbours = [cloud.facts["gateway"], cloud.facts["central"]["address"], *(host.facts.address for host in cloud.hosts[1:])]
    with Sniffer(uplink) as seen:
        mimic.send([mimic.arp(wire.BROADCAST, mimic.guest.inside, address, mark, is_reply=reply)
                    for address in (*neighbours, mimic.guest.inside) for reply in (False, True)]
                   + [mimic.datagram(wire.BROADCAST, f"{network}.255", mark)], TIMES)
        control = {(cast.blue[0].guest.outside, 80)}
        others = [target for target in management.targets if target[0] != mimic.guest.inside]
        assert mimic.scan([*control, *others]) == control
    assert seen.found == {}
    host_key = first.run("cat", "/sys/class/net/eth0/address").strip()
    known = subprocess.run(["ip", "neigh", "show", first.facts.address], capture_output=True, text=True).stdout
    assert host_key and host_key in known
    for host in cloud.hosts:
        assert mimic.guest.mac not in host.run("ip", "neigh")


def test_nobody_outside_reaches_a_private_address(cast: Cast, cloud: LabCloud, portal: Portal) -> None:
    """This machine stands for a neighbour of the cloud: it sends private addresses to the routers' public ones."""
    routers = [portal.api("GET", "vpcs/", who=who)[1]["results"][0]["router_address"] for who in ("tenant", "rival")]
    mark, honest = token(), token()
    for router in (*routers, cast.blue[2].guest.outside):
        subprocess.run(["ip", "route", "replace", f"{ELSEWHERE}/32", "via", router], check=True)
        try:
            with pytest.raises(OSError):
                socket.create_connection((ELSEWHERE, 80), timeout=2).close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(marked(mark), (ELSEWHERE, 4444))
                sender.sendto(marked(honest), (cast.blue[2].guest.outside, 4444))
        finally:
            subprocess.run(["ip", "route", "del", f"{ELSEWHERE}/32"], check=True)
    heard_there = cast.blue[2].heard()
    assert (heard_there.get(mark.decode(), 0), heard_there.get(honest.decode(), 0)) == (0, 3)
