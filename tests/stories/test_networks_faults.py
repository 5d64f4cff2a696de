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
from tests.soak import SOAKING
from tests.stories.cloud import LabCloud, LabHost
from tests.stories.guests import Guest, Key, boot, look_at, order, remove_all, wait_for
from tests.stories.portal import Portal
from tests.stories.watching import Talking, Watching

pytestmark = [pytest.mark.lab, pytest.mark.slow]
CONVERGED_S = 60
# Of a host that died: until libvirt's keep-alive or SSH gave up, and the reconciler came by.
NOTICED_S = 75
TURNS = range(10 if SOAKING else 1)


@dataclass
class Scene:
    """Three guests, one on every host."""

    portal: Portal
    cloud: LabCloud
    guests: list[Guest]

    def shoot_at(self, turn: int) -> tuple[Guest, list[Guest]]:
        """Whose host is next, and the others."""
        victim = self.guests[turn % len(self.guests)]
        return victim, [guest for guest in self.guests if guest is not victim]

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

    def wrong(self) -> list[str]:
        """What is not as it should be: every host up, every guest running and reachable, and told so."""
        found = [f"{host.facts.name} is {health}" for host in self.cloud.hosts if (health := self.health(host)) != "up"]
        for guest in self.guests:
            told = (self.state(guest), self.port(guest)["state"])
            found += [f"{guest.name}: {told}"] if told != ("running", "up") else []
            found += [] if guest.curl(1) else [f"{guest.name} is silent"]
        return found

    def until_whole(self, limit_s: float = CONVERGED_S) -> float:
        begun = time.monotonic()
        while wrong := self.wrong():
            assert time.monotonic() - begun < limit_s, wrong
            time.sleep(0.2)
        return time.monotonic() - begun


@pytest.fixture(scope="module")
def scene(portal: Portal, cloud: LabCloud, key: Key) -> Iterator[Scene]:
    before = cloud.census()
    guests = boot(portal, key, "fault", count=3)
    scene = Scene(portal, cloud, guests)
    assert len({scene.host(guest).facts.name for guest in guests}) == 3
    yield scene
    cloud.lab.up()
    remove_all(portal)
    assert cloud.census() == before


@pytest.fixture(autouse=True)
def whole(scene: Scene) -> Iterator[None]:
    """Each test finds everything well and leaves it so; a test that failed has the lab mended for the next."""
    scene.until_whole()
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
    assert not any(lost for lost, _silence in found.values()), found


# -- hosts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turn", TURNS)
def test_a_host_loses_its_power(scene: Scene, turn: int) -> None:
    victim, others = scene.shoot_at(turn)
    host = scene.host(victim)
    with Watching(router=scene.portal.api("GET", "vpcs/")[1]["results"][0]["router_address"]) as way_out, undisturbed(others):
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
    print(f"  power cut: noticed after {noticed:.1f} s; converged {converged:.1f} s after the host was back; "
          f"the router's own address silent for {way_out.of['router'].silence_s} s")


@pytest.mark.parametrize("turn", TURNS)
def test_a_host_is_cut_off(scene: Scene, turn: int) -> None:
    victim, others = scene.shoot_at(turn + 1)
    host, booted = scene.host(victim), victim.run("cat /proc/sys/kernel/random/boot_id")
    with undisturbed(others):
        scene.cloud.lab.cut(host.facts.name)
        noticed = scene.until(lambda: scene.health(host) == "unreachable", "shown unreachable", NOTICED_S)
        assert scene.state(victim) == "running" and not victim.curl(1)
        scene.cloud.lab.revive(host.facts.name)
        converged = scene.until_whole()
    assert victim.run("cat /proc/sys/kernel/random/boot_id") == booted
    print(f"  cut off: noticed after {noticed:.1f} s; converged {converged:.1f} s after the cables were back")


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("daemon", ["libvirtd", "ovn-controller", "ovsdb-server", "ovs-vswitchd"])
def test_a_daemon_of_a_host_is_killed(scene: Scene, daemon: str, turn: int) -> None:
    victim, others = scene.shoot_at(turn + 2)
    host = scene.host(victim)
    with Watching([victim]) as own, undisturbed(others):
        numbers = host.run("pgrep", "-x", daemon).split()
        host.run("kill", "-9", *numbers)
        wait_for(lambda: (now := host.run("pgrep", "-x", daemon).split()) and not set(now) & set(numbers), f"{daemon} is back")
        time.sleep(4)  # it has read everything anew by then
        converged = scene.until_whole()
    print(f"  {daemon} killed: its own guest silent for {own.of[victim.name].silence_s} s; converged {converged + 4:.1f} s later")


def test_libvirtd_of_a_host_hangs(scene: Scene) -> None:
    """It takes connections and answers nothing."""
    victim, others = scene.shoot_at(0)
    host = scene.host(victim)
    with Watching([victim]) as own, undisturbed(others):
        numbers = host.run("pgrep", "-x", "libvirtd").split()
        host.run("kill", "-STOP", *numbers)
        noticed = scene.until(lambda: scene.health(host) == "unreachable", "shown unreachable", NOTICED_S)
        assert scene.state(victim) == "running"
        host.run("kill", "-CONT", *numbers)
        converged = scene.until_whole()
    assert own.of[victim.name].lost == 0
    print(f"  libvirtd stopped: noticed after {noticed:.1f} s; converged {converged:.1f} s after it went on")


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
    assert portal.finish(portal.api("DELETE", f"instances/{made['target']['id']}/?purge=true")[1])["state"] == "succeeded"
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
        scene.until_whole()
    assert made["state"] == "succeeded", made
    assert portal.finish(portal.api("DELETE", f"instances/{made['target']['id']}/?purge=true")[1])["state"] == "succeeded"
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
    with foreign_rows(cloud, portal) as rows_are_there, foreign_domain(scene) as domain_is_there:
        meddled = [port_removed(scene, first), tap_removed(scene, second), rule_opened(scene, third),
                   orphan_rows(cloud, portal), gateway_moved(scene)]
        begun = time.monotonic()
        took: dict[str, float] = {}
        while len(took) < len(meddled):
            assert time.monotonic() - begun < CONVERGED_S, [one.what for one in meddled if one.what not in took]
            took |= {one.what: round(time.monotonic() - begun, 1) for one in meddled if one.what not in took and one.is_mended()}
            time.sleep(0.2)
        scene.until_whole(CONVERGED_S - (time.monotonic() - begun))
        print(f"\n  meddled with by hand, mended after (s): {took}; all told so after {time.monotonic() - begun:.1f} s")
        assert rows_are_there() and domain_is_there()


def port_removed(scene: Scene, guest: Guest) -> Meddling:
    port = scene.port(guest)["id"]
    scene.cloud.northbound("lsp-del", port)
    wait_for(lambda: not guest.curl(1), "the guest without a port is away", 10)
    return Meddling("port removed in OVN", lambda: guest.curl(1))


def tap_removed(scene: Scene, guest: Guest) -> Meddling:
    host, port = scene.host(guest), scene.port(guest)["id"]
    [tap] = [name for name, at in (row.split("/")[1:] for row in scene.cloud.taps()) if at == port]
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


@contextmanager
def foreign_rows(cloud: LabCloud, portal: Portal) -> Iterator[Callable[[], bool]]:
    """Of somebody else: a switch, a port in a switch of ours, and a switch of another portal."""
    [(subnet,)] = portal.query("SELECT resource_id FROM network_subnet LIMIT 1")
    mark = f"foreign-{uuid4().hex[:8]}"
    cloud.northbound("ls-add", mark, "--", "lsp-add", f"subnet-{subnet}", f"{mark}-port", "--", "ls-add", f"{mark}-portal", "--",
                     "set", "Logical_Switch", f"{mark}-portal", f'external_ids:"{OWNER}"="{uuid4()}"',
                     f'external_ids:"{DEPLOYMENT}"="{uuid4()}"')

    def still_there() -> bool:
        shown = cloud.show()
        return all(name in shown for name in (f"({mark})", f"{mark}-port", f"({mark}-portal)"))

    try:
        yield still_there
    finally:
        cloud.northbound("--if-exists", "lsp-del", f"{mark}-port", "--", "--if-exists", "ls-del", mark,
                         "--", "--if-exists", "ls-del", f"{mark}-portal")


@contextmanager
def foreign_domain(scene: Scene) -> Iterator[Callable[[], bool]]:
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

    try:
        yield still_there
    finally:
        host.run("virsh", "undefine", pk)
