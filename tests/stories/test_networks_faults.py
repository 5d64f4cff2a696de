"""Hosts, daemons, OVN's central and the portal are killed and come back, and rows, taps and domains are meddled with by
hand, under real guests: others lose no ping, and within a minute everything is as it should be.
"""
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

from compute.network.fabric.reconcile import DEPLOYMENT, KEY, OWNER
from tests.stories.cloud import LabCloud, LabHost
from tests.stories.guests import Guest, Key, boot, look_at, order, remove_all, wait_for
from tests.stories.portal import Portal
from tests.stories.watching import Talking, Watching

pytestmark = [pytest.mark.lab, pytest.mark.slow]
CONVERGED_S = 60
# Of a host that died: until libvirt's keep-alive or SSH gave up, and the reconciler came by.
NOTICED_S = 75


@dataclass
class Scene:
    """Three guests, one on every host."""

    portal: Portal
    cloud: LabCloud
    guests: list[Guest]

    def host(self, guest: Guest) -> LabHost:
        return self.cloud.host_of(guest.pk)

    def health(self, host: LabHost) -> str:
        rows = self.portal.api("GET", "hosts/", who="admin")[1]["results"]
        return next(row["health"] for row in rows if row["name"] == host.facts.name)

    def state(self, guest: Guest) -> str:
        return self.portal.api("GET", f"instances/{guest.pk}/")[1]["state"]

    def port(self, guest: Guest) -> dict:
        return self.portal.api("GET", f"ports/?instance={guest.pk}")[1]["results"][0]

    def until(self, condition: Callable[[], object], what: str, limit_s: float = CONVERGED_S) -> float:
        return self.portal.wait(condition, what, limit_s)

    def is_whole(self) -> bool:
        """Every host is up, every guest running, reachable and told so."""
        return all(self.health(host) == "up" for host in self.cloud.hosts) and all(
            self.state(guest) == "running" and self.port(guest)["state"] == "up" and guest.curl() for guest in self.guests)


def taps(cloud: LabCloud) -> dict[str, list[tuple[str, str]]]:
    """What is plugged into every host's integration bridge besides tunnels and patches: device and port."""
    found = {}
    for host in cloud.hosts:
        rows = json.loads(host.run("ovs-vsctl", "--format=json", "--columns=name,type,external_ids", "list", "Interface"))["data"]
        ports = host.run("ovs-vsctl", "list-ports", "br-int").split()
        found[host.facts.name] = sorted((name, dict(ids[1]).get("iface-id", "")) for name, kind, ids in rows
                                        if name in ports and kind not in ("geneve", "patch", "internal"))
    return found


@pytest.fixture(scope="module")
def scene(portal: Portal, cloud: LabCloud, key: Key) -> Iterator[Scene]:
    before = cloud.census() | {"taps": taps(cloud)}
    guests = boot(portal, key, "fault", count=3)
    scene = Scene(portal, cloud, guests)
    assert len({scene.host(guest).facts.name for guest in guests}) == 3
    yield scene
    cloud.lab.up()
    remove_all(portal)
    assert cloud.census() | {"taps": taps(cloud)} == before


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test finds everything well and leaves it so; a test that failed has the lab mended for the next."""
    scene.until(scene.is_whole, "everything is well before")
    yield
    scene.cloud.lab.up()


@contextmanager
def undisturbed(others: list[Guest]) -> Iterator[Watching]:
    """Meanwhile the others answer every ping, from outside and among themselves."""
    with Talking(*others[:2]) as talking, Watching(others) as watching:
        yield watching
    found = {name: (answers.lost, answers.silence_s) for name, answers in watching.of.items()}
    found["east-west"] = (talking.answers.lost, talking.answers.silence_s)
    print(f"\n  others (lost, longest silence in s): {found}")
    assert all(answers.numbers for answers in (*watching.of.values(), talking.answers))
    assert not any(lost for lost, _silence in found.values()), found


# -- hosts -------------------------------------------------------------------------------------------------------------


def test_a_host_loses_its_power(scene: Scene) -> None:
    *others, victim = scene.guests
    host = scene.host(victim)
    with undisturbed(others):
        scene.cloud.lab.kill(host.facts.name)
        noticed = scene.until(lambda: scene.health(host) == "unreachable", "shown unreachable", NOTICED_S)
        assert scene.state(victim) == "running"  # nothing is assumed of what nobody can see
        scene.cloud.lab.revive(host.facts.name)
        begun = time.monotonic()
        scene.until(lambda: scene.health(host) == "up", "the host is shown up")
        scene.until(lambda: scene.state(victim) == "stopped", "its guest is shown stopped", CONVERGED_S)
        converged = time.monotonic() - begun
    assert converged <= CONVERGED_S
    started = scene.portal.finish(scene.portal.api("POST", f"instances/{victim.pk}/actions/start/", {})[1])
    assert started["state"] == "succeeded", started
    assert look_at(scene.portal, victim.pk, victim.key).outside == victim.outside
    victim.await_ssh()
    print(f"  power cut: noticed after {noticed:.1f} s; converged {converged:.1f} s after the host was back")


def test_a_host_is_cut_off(scene: Scene) -> None:
    *others, victim = scene.guests
    host, booted = scene.host(victim), victim.run("cat /proc/sys/kernel/random/boot_id")
    with undisturbed(others):
        scene.cloud.lab.cut(host.facts.name)
        noticed = scene.until(lambda: scene.health(host) == "unreachable", "shown unreachable", NOTICED_S)
        assert scene.state(victim) == "running" and not victim.curl(1)
        scene.cloud.lab.revive(host.facts.name)
        converged = scene.until(scene.is_whole, "everything is well again")
    assert victim.run("cat /proc/sys/kernel/random/boot_id") == booted
    print(f"  cut off: noticed after {noticed:.1f} s; converged {converged:.1f} s after the cables were back")


@pytest.mark.parametrize("daemon", ["libvirtd", "ovn-controller", "ovsdb-server", "ovs-vswitchd"])
def test_a_daemon_of_a_host_is_killed(scene: Scene, daemon: str) -> None:
    victim, *others = scene.guests
    host = scene.host(victim)
    with Watching([victim]) as own, undisturbed(others):
        numbers = host.run("pgrep", "-x", daemon).split()
        host.run("kill", "-9", *numbers)
        wait_for(lambda: (now := host.run("pgrep", "-x", daemon).split()) and not set(now) & set(numbers), f"{daemon} is back")
        time.sleep(4)  # it has read everything anew by then
        converged = scene.until(scene.is_whole, "everything is well again")
    print(f"  {daemon} killed: its own guest silent for {own.of[victim.name].silence_s} s; converged {converged + 4:.1f} s later")


# -- the middle --------------------------------------------------------------------------------------------------------


def test_ovns_central_is_killed(scene: Scene, key: Key) -> None:
    """What is asked for meanwhile waits for its return."""
    portal, lab = scene.portal, scene.cloud.lab
    group = portal.api("GET", "security-groups/?is_default=true")[1]["results"][0]
    inside = scene.guests[0]
    inside.run("httpd -p 8080 -h /run/www", user="root")
    with undisturbed(scene.guests):
        lab.kill("central")
        waiting = order(portal, key, "meanwhile")
        body = {"security_group": group["id"], "direction": "ingress", "protocol": "tcp", "port_min": 8080}
        status, rule = portal.api("POST", "security-group-rules/", body)
        assert status == 201, rule
        noticed = scene.until(lambda: fabric_health(portal) == "unreachable", "the fabric is shown unreachable")
        assert portal.api("GET", f"operations/{waiting['id']}/")[1]["state"] == "running"
        lab.revive("central")
        begun = time.monotonic()
        effective = scene.until(lambda: scene.guests[1].knocks(inside.inside, 8080), "the rule is at work")
        made = portal.finish(waiting)
        settled = time.monotonic() - begun
        scene.until(lambda: fabric_health(portal) == "up", "the fabric is shown up")
    assert made["state"] == "succeeded", made
    look_at(portal, made["target"]["id"], key).await_ssh()
    assert portal.api("DELETE", f"security-group-rules/{rule['id']}/")[0] == 204
    wait_for(lambda: not scene.guests[1].knocks(inside.inside, 8080), "the rule is gone", 10)
    assert portal.finish(portal.api("DELETE", f"instances/{made['target']['id']}/")[1])["state"] == "succeeded"
    for row in portal.api("GET", "floating-ips/?state=idle")[1]["results"]:
        assert portal.api("DELETE", f"floating-ips/{row['id']}/")[0] == 204
    print(f"  central killed: noticed after {noticed:.1f} s; rule at work {effective:.1f} s, create settled {settled:.1f} s "
          "after its return")


def fabric_health(portal: Portal) -> str:
    return portal.query("SELECT health FROM network_fabric")[0][0]


def test_the_portal_is_killed(scene: Scene, key: Key) -> None:
    portal = scene.portal
    with undisturbed(scene.guests):
        waiting = order(portal, key, "survivor")
        time.sleep(0.5)
        for name in portal.processes:
            portal.kill(name)
        begun = time.monotonic()
        made = portal.finish(waiting)
        settled = time.monotonic() - begun
        scene.until(scene.is_whole, "everything is well again")
    assert made["state"] == "succeeded", made
    assert portal.finish(portal.api("DELETE", f"instances/{made['target']['id']}/")[1])["state"] == "succeeded"
    for row in portal.api("GET", "floating-ips/?state=idle")[1]["results"]:
        assert portal.api("DELETE", f"floating-ips/{row['id']}/")[0] == 204
    print(f"  all of the portal killed: the create under way settled after {settled:.1f} s")
    assert settled <= CONVERGED_S


# -- by hand -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meddling:
    """Something that a person did, and how it shows that it was mended."""

    what: str
    is_mended: Callable[[], object]


def test_what_hands_did_is_mended_and_what_is_not_ours_is_left_alone(scene: Scene) -> None:
    cloud, portal = scene.cloud, scene.portal
    first, second, third = scene.guests
    strangers = foreign_rows(cloud, portal), foreign_domains(scene)
    meddled = [port_removed(scene, first), tap_removed(scene, second), rule_opened(scene, third), orphan_rows(cloud, portal),
               gateway_moved(scene)]
    begun = time.monotonic()
    took = {}
    while len(took) < len(meddled):
        assert time.monotonic() - begun < CONVERGED_S, [one.what for one in meddled if one.what not in took]
        took |= {one.what: round(time.monotonic() - begun, 1) for one in meddled if one.what not in took and one.is_mended()}
        time.sleep(0.2)
    scene.until(scene.is_whole, "everything is well again", 20)
    print(f"  meddled with by hand, mended after (s): {took}")
    for still_there, clear in strangers:
        assert still_there()
        clear()


def port_removed(scene: Scene, guest: Guest) -> Meddling:
    port = scene.port(guest)["id"]
    scene.cloud.northbound("lsp-del", port)
    wait_for(lambda: not guest.curl(1), "the guest without a port is away", 10)
    return Meddling("port removed in OVN", lambda: guest.curl(1))


def tap_removed(scene: Scene, guest: Guest) -> Meddling:
    host, port = scene.host(guest), scene.port(guest)["id"]
    [tap] = [name for name, at in taps(scene.cloud)[host.facts.name] if at == port]
    host.run("ovs-vsctl", "del-port", "br-int", tap)
    wait_for(lambda: not guest.curl(1), "the guest whose card was pulled is away", 10)
    return Meddling("tap removed from the bridge", lambda: guest.curl(1))


def rule_opened(scene: Scene, guest: Guest) -> Meddling:
    """Somebody lets everything in: what is dropped otherwise is allowed."""
    rows = json.loads(scene.cloud.northbound("--format=json", "--columns=_uuid,name,external_ids", "list", "ACL"))["data"]
    vpc = scene.port(guest)["vpc"]
    [acl] = [pk for (_kind, pk), name, (_map, marks) in rows
             if dict(marks).get(OWNER) == vpc and str(name).endswith("got-otherwise")]
    scene.cloud.northbound("set", "ACL", acl, "action=allow-related")
    return Meddling("rule edited in OVN", lambda: scene.cloud.northbound("get", "ACL", acl, "action") == "drop")


def gateway_moved(scene: Scene) -> Meddling:
    """Somebody sends everything that leaves a VPC elsewhere."""
    rows = json.loads(scene.cloud.northbound("--format=json", "--columns=_uuid,nexthop,external_ids", "list",
                                             "Logical_Router_Static_Route"))["data"]
    pk, nexthop = next((pk, nexthop) for (_kind, pk), nexthop, (_map, marks) in rows if DEPLOYMENT in dict(marks))
    scene.cloud.northbound("set", "Logical_Router_Static_Route", pk, "nexthop=198.18.0.254")
    return Meddling("route edited in OVN",
                    lambda: scene.cloud.northbound("get", "Logical_Router_Static_Route", pk, "nexthop").strip('"') == nexthop)


def orphan_rows(cloud: LabCloud, portal: Portal) -> Meddling:
    """Rows that bear our mark and belong to a VPC that nobody knows, and one that its VPC does not have."""
    [(deployment, vpc, subnet)] = portal.query(
        "SELECT f.deployment, v.resource_id, s.resource_id FROM network_fabric f, network_vpc v "
        "JOIN network_subnet s ON s.vpc_id = v.resource_id LIMIT 1")
    gone, extra = uuid4(), uuid4()
    cloud.northbound("ls-add", f"subnet-{gone}", "--", "set", "Logical_Switch", f"subnet-{gone}",
                     *(f'external_ids:"{name}"="{value}"' for name, value in
                       ((OWNER, gone), (DEPLOYMENT, deployment), (KEY, f"subnet-{gone}"))))
    cloud.northbound("lsp-add", f"subnet-{subnet}", str(extra), "--", "set", "Logical_Switch_Port", str(extra),
                     *(f'external_ids:"{name}"="{value}"' for name, value in
                       ((OWNER, vpc), (DEPLOYMENT, deployment), (KEY, extra))))
    return Meddling("orphans of ours in OVN", lambda: not {str(gone), str(extra)} & set(
        cloud.show().replace("subnet-", " ").replace("(", " ").replace(")", " ").split()))


def foreign_rows(cloud: LabCloud, portal: Portal) -> tuple[Callable[[], bool], Callable[[], None]]:
    """Of somebody else: a switch, a port in a switch of ours, and a switch of another portal."""
    [(subnet,)] = portal.query("SELECT resource_id FROM network_subnet LIMIT 1")
    mark = f"foreign-{uuid4().hex[:8]}"
    cloud.northbound("ls-add", mark, "--", "lsp-add", f"subnet-{subnet}", f"{mark}-port", "--", "ls-add", f"{mark}-portal", "--",
                     "set", "Logical_Switch", f"{mark}-portal", f'external_ids:"{OWNER}"="{uuid4()}"',
                     f'external_ids:"{DEPLOYMENT}"="{uuid4()}"')

    def still_there() -> bool:
        shown = cloud.show()
        return all(name in shown for name in (f"({mark})", f"{mark}-port", f"({mark}-portal)"))

    def clear() -> None:
        cloud.northbound("lsp-del", f"{mark}-port", "--", "ls-del", mark, "--", "ls-del", f"{mark}-portal")

    return still_there, clear


def foreign_domains(scene: Scene) -> tuple[Callable[[], bool], Callable[[], None]]:
    """A domain that bears our name and our metadata, of an instance that nobody knows."""
    host, pk = scene.cloud.hosts[0], str(uuid4())
    known = scene.guests[0]
    described = scene.host(known).run("virsh", "dumpxml", "--inactive", "--security-info", known.pk)
    file = f"{host.facts.pool_path}/{pk}.xml"
    with open(file, "w") as definition:
        definition.write(described.replace(known.pk, pk))
    host.run("virsh", "define", file)
    host.run("rm", file)
    assert pk in host.domains()

    def still_there() -> bool:
        shown = scene.portal.query("SELECT facts->>'ours' FROM hosts_discovered WHERE key = %s", pk)
        return pk in host.domains() and shown == [("true",)]

    return still_there, lambda: host.run("virsh", "undefine", pk)
