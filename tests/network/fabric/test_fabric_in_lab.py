"""Documents on three real chassis: what passes between ports, and what does not."""
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from compute.lab import Lab
from compute.network.fabric.design import public_document
from compute.network.fabric.plan import GroupRule, VpcPlan

from . import wire
from .central import wait_until
from .plans import allow, default_group, uid
from .site import Guest, Site

pytestmark = [pytest.mark.lab, pytest.mark.slow]
OUT = allow("v1-out", "egress", "any")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two VPCs with equal CIDRs, spread over three hosts, and somebody outside."""
    lab = Lab(f"fabric{os.getpid()}", tmp_path_factory.mktemp("lab"), hosts=3)
    try:
        with populated(Site(lab, tmp_path_factory.mktemp("site"))) as made:
            yield made
    finally:
        lab.down()


@contextmanager
def populated(site: Site) -> Iterator[Site]:
    try:
        site.fabric.apply(public_document(site.public))
        for name, turn in (("v1", (0, 1, 2)), ("v2", (2, 1, 0))):
            plan = usual(site, name)
            site.apply(plan)
            for host, port in zip(turn, plan.ports, strict=True):
                site.plug(port, host, str(port.ip).rpartition(".")[0] + ".1")
        site.invite(240)
        site.wait()
        yield site
    finally:
        site.clear()


def usual(site: Site, name: str = "v1", **more: object) -> VpcPlan:
    router, address = {"v1": (20, 50), "v2": (21, 51)}[name]
    return site.vpc(name, router, address, **more)


@contextmanager
def rules(site: Site, *rules: GroupRule) -> Iterator[None]:
    """With other rules in the first VPC's group for a while."""
    site.apply(usual(site, groups=(replace(default_group("v1-sg"), rules=rules),)))
    time.sleep(1)
    try:
        yield
    finally:
        site.apply(usual(site))
        wait_until(lambda: site.guests["v1-web"].reaches("10.0.1.11", 22) != "", 5)


def named(site: Site, *names: str) -> list[Guest]:
    return [site.guests[name] for name in names]


def token() -> bytes:
    return wire.TOKEN + uuid4().hex.encode()


# -- inside ------------------------------------------------------------------------------------------------------------


def test_neighbours_reach_what_the_group_lets_in_and_nothing_else(site: Site) -> None:
    web, db, app = named(site, "v1-web", "v1-db", "v1-app")
    for other in (db, app):
        assert web.reaches(other.ip, 22) == web.reaches(other.ip, 80) == web.ip
        assert web.reaches(other.ip, 8080) == ""
        assert web.pings(other.ip)


def test_a_changed_rule_bites_within_two_seconds(site: Site) -> None:
    web, db = named(site, "v1-web", "v1-db")
    site.apply(usual(site, groups=(replace(default_group("v1-sg"), rules=(
        allow("v1-8080", first=8000, last=9000, remote_group=uid("v1-sg")), OUT)),)))
    time.sleep(2)
    assert (web.reaches(db.ip, 8080), web.reaches(db.ip, 22)) == (web.ip, "")
    assert site.guests["outsider"].reaches(str(site.outside(50)), 8080) == ""
    site.apply(usual(site))
    time.sleep(2)
    assert (web.reaches(db.ip, 8080), web.reaches(db.ip, 22)) == ("", web.ip)


def test_what_goes_on_is_cut_with_its_rule(site: Site) -> None:
    web, heard = site.guests["v1-web"], []
    pinging = threading.Thread(target=lambda: heard.append(web.inside("ping -i 0.2 -c 30 -W1 10.0.1.11 || true")))
    pinging.start()
    time.sleep(2)
    with rules(site, allow("v1-sg-ssh", first=22, last=22), OUT):
        pinging.join()
    [answers] = [int(word) for line in heard[0].splitlines() if "received" in line
                 for word in line.split(", ")[1].split()[:1]]
    assert 3 <= answers <= 20


def test_guests_without_any_rule_still_get_lease_and_names(site: Site) -> None:
    web = site.guests["v1-web"]
    with rules(site):
        assert web.reaches("10.0.1.11", 22) == ""
        assert json.loads(web.wire("lease", web.mac)) == {
            "ip": web.ip, "router": "10.0.1.1", "dns": "9.9.9.9", "domain": "demo.internal", "mtu": 1442}
        assert web.wire("name", "9.9.9.9", "v1-app.demo.internal") == "10.0.2.10"
        assert web.wire("name", "9.9.9.9", "V1-DB") == "10.0.1.11"


def test_equal_cidrs_never_meet(site: Site) -> None:
    """Of what is sent to everybody's address in one VPC, nothing comes to the other, though all addresses are there."""
    tokens = []
    for name, guest in list(site.guests.items()):
        if name == "outsider":
            continue
        vpc, mark = name.split("-")[0], token()
        tokens.append((vpc, name, mark))
        others = [other for title, other in site.guests.items() if title not in (name, "outsider")]
        guest.sends(
            *(guest.frame(other.mac, other.ip, mark, to=22) for other in others),
            *(guest.frame(guest.mac_of(guest.ip.rpartition(".")[0] + ".1"), other.ip, mark) for other in others[:1]),
            guest.frame(wire.BROADCAST, "255.255.255.255", mark),
            *(wire.ethernet(guest.mac, wire.BROADCAST, wire.ARP, wire.arp(guest.mac, guest.ip, other.ip, mark + wire.END))
              for other in others))
    for vpc, name, mark in tokens:
        assert [other for other in site.delivered(mark, besides=name) if not other.startswith(vpc)] == []


def test_nothing_forged_is_delivered(site: Site) -> None:
    web, db = named(site, "v1-web", "v1-db")
    marks = {what: token() for what in ("mac", "ip", "neighbour", "arp", "arp mac", "lease", "lease to one",
                                        "lease from elsewhere", "ra", "ra to one", "strange", "names", "link")}
    texts = {what: mark + wire.END for what, mark in marks.items()}
    liar = "02:66:66:66:66:66"
    with rules(site, allow("v1-in", protocol="any"), OUT):
        web.sends(
            web.frame(db.mac, db.ip, marks["mac"], mac_source=liar),
            web.frame(db.mac, db.ip, marks["ip"], source="10.0.1.66"),
            web.frame(web.mac_of("10.0.1.1"), "10.0.2.10", marks["neighbour"], source=db.ip, mac_source=db.mac),
            wire.ethernet(web.mac, wire.BROADCAST, wire.ARP, wire.arp(web.mac, "10.0.1.1", db.ip, texts["arp"])),
            wire.ethernet(web.mac, wire.BROADCAST, wire.ARP, wire.arp(liar, web.ip, db.ip, texts["arp mac"])),
            web.frame(wire.BROADCAST, "255.255.255.255", marks["lease"], by=67, to=68),
            web.frame(db.mac, db.ip, marks["lease to one"], by=67, to=68),
            web.frame(db.mac, db.ip, marks["lease from elsewhere"], by=1067, to=68),
            wire.ethernet(web.mac, "33:33:00:00:00:01", wire.IPV6, wire.router_advertisement(web.mac, texts["ra"])),
            wire.ethernet(web.mac, db.mac, wire.IPV6, wire.router_advertisement(web.mac, texts["ra to one"])),
            wire.ethernet(web.mac, db.mac, 0x88B5, texts["strange"]),
            web.frame(db.mac, db.ip, marks["names"], by=53),
            wire.ethernet(web.mac, "01:80:c2:00:00:0e", 0x88CC, texts["link"]))
        assert site.delivered(*marks.values(), besides="v1-web") == {}


def test_what_is_honest_and_allowed_does_arrive(site: Site) -> None:
    """The counter-proof: the ways in which forged packets are looked for do find what passes."""
    web, db, app = named(site, "v1-web", "v1-db", "v1-app")
    near, far, uninvited = token(), token(), token()
    web.sends(web.frame(db.mac, db.ip, uninvited))
    with rules(site, allow("v1-in", protocol="udp", remote_group=uid("v1-sg")), OUT):
        web.sends(web.frame(db.mac, db.ip, near), web.frame(web.mac_of("10.0.1.1"), app.ip, far))
        assert site.delivered(near, far, uninvited, besides="v1-web") == {
            "v1-db": {near.decode()}, "v1-app": {far.decode()}}


def test_an_instance_may_serve_names_itself(site: Site) -> None:
    with rules(site, allow("v1-names", protocol="udp", first=53, last=53), OUT):
        assert site.guests["v1-app"].wire("ask", "10.0.1.11") == "10.0.2.10"
        assert site.guests["outsider"].wire("ask", str(site.outside(50))) == str(site.outside(240))


def test_a_port_that_is_off_is_deaf_and_mute(site: Site) -> None:
    web = site.guests["v1-web"]
    [_, db, app] = usual(site).ports
    site.apply(usual(site, ports=(usual(site).ports[0], replace(db, is_enabled=False), app)))
    wait_until(lambda: web.reaches("10.0.1.11", 22) == "", 5)
    assert not site.guests["v1-db"].pings("10.0.1.1")
    site.apply(usual(site))
    wait_until(lambda: web.reaches("10.0.1.11", 22) != "", 5)


# -- outside -----------------------------------------------------------------------------------------------------------


def test_a_floating_ip_answers_from_outside_and_goes_out_as_itself(site: Site) -> None:
    outsider, web = named(site, "outsider", "v1-web")
    floating = str(site.outside(50))
    assert outsider.reaches(floating, 22) == outsider.reaches(floating, 80) == outsider.ip
    assert outsider.reaches(floating, 8080) == ""
    assert outsider.pings(floating)
    assert web.reaches(outsider.ip, 22) == floating


def test_others_go_out_as_their_router(site: Site) -> None:
    outsider, db, other = named(site, "outsider", "v1-db", "v2-app")
    assert db.reaches(outsider.ip, 8080) == str(site.outside(20))
    assert other.reaches(outsider.ip, 8080) == str(site.outside(21))


def test_names_are_asked_of_servers_outside(site: Site) -> None:
    """Their answers come from the port that is otherwise shut."""
    outsider, web, db = named(site, "outsider", "v1-web", "v1-db")
    assert web.wire("ask", outsider.ip) == str(site.outside(50))
    assert db.wire("ask", outsider.ip) == str(site.outside(20))


def test_floating_ips_are_reached_from_inside_too(site: Site) -> None:
    web, db, app, other = named(site, "v1-web", "v1-db", "v1-app", "v2-db")
    floating = str(site.outside(50))
    assert other.reaches(floating, 22) == str(site.outside(21))
    assert {db.reaches(floating, 22), app.reaches(floating, 22)} == {str(site.outside(20))}
    assert web.reaches(str(site.outside(51)), 22) == floating


def test_a_floating_ip_moves(site: Site) -> None:
    outsider, app, floating = site.guests["outsider"], site.guests["v1-app"], str(site.outside(50))
    plan = usual(site)
    site.apply(replace(plan, floating=(replace(plan.floating[0], port=uid("v1-app")),)))
    wait_until(lambda: app.reaches(outsider.ip, 22) == floating, 10)
    wait_until(lambda: outsider.reaches(floating, 22) == outsider.ip, 10)
    site.apply(usual(site, floating=()))
    wait_until(lambda: outsider.reaches(floating, 22) == "", 10)
    site.apply(usual(site))
    wait_until(lambda: outsider.reaches(floating, 22) == outsider.ip, 15)


def test_nobody_outside_gets_past_the_router(site: Site) -> None:
    """Straight to inner addresses, disguised as one, or from the port of names: not even where everything is let in."""
    outsider, floating = site.guests["outsider"], str(site.outside(50))
    straight, disguised, names, honest = token(), token(), token(), token()
    with rules(site, allow("v1-in", protocol="any"), OUT):
        for router in {outsider.mac_of(str(site.outside(20))), outsider.mac_of(floating)}:
            outsider.sends(
                outsider.frame(router, "10.0.1.10", straight), outsider.frame(router, "10.0.1.11", straight),
                outsider.frame(router, floating, disguised, source="10.0.1.11"),
                outsider.frame(router, floating, names, by=53), outsider.frame(router, floating, honest))
        assert site.delivered(straight, disguised, names, honest, besides="outsider") == {"v1-web": {honest.decode()}}


def test_the_hosts_understood_everything(site: Site) -> None:
    logs = list((Path(site.hosts[0].pool_path).parents[1] / "hosts").glob("*/ovs/ovn-controller.log"))
    assert len(logs) == 3 and not [line for log in logs for line in log.read_text().splitlines() if "error parsing" in line]
