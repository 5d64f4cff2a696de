"""Public traffic on real chassis: what packets leave as a floating IP is what is billed."""
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from billing import counters
from compute.hosts.models import Endpoint, Host
from compute.lab import HostFacts, Lab
from compute.network import traffic
from compute.network.models import AddressPool, Allocation, FloatingIp, Port, Subnet, TrafficCount, Vpc
from portal.kernel.states import database_now
from tests.world import World, make_world

from .central import wait_until
from .plans import allow, uid
from .site import Guest, Site
from .test_fabric_in_lab import OUT, populated, rules, usual

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db]
MIB, PORT = 2**20, "9009"
HEADERS = 1.06
"""Ethernet, IP and TCP take 66 of at most 1456 bytes; there are acknowledgements and handshakes too."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    lab = Lab(f"traffic{os.getpid()}", tmp_path_factory.mktemp("lab"), hosts=3)
    try:
        with populated(Site(lab, tmp_path_factory.mktemp("site"))) as made:
            yield made
    finally:
        lab.down()


@dataclass
class Books:
    """The rows that stand for the site: its hosts, and a floating IP on its first guest."""

    hosts: list[Host]
    floating: FloatingIp

    def look(self) -> None:
        for host in self.hosts:
            traffic.count_host(host.pk)

    def used(self) -> int:
        now = database_now()
        return sum(size for _day, size in counters.by_day(self.floating.pk, traffic.METER, start=self.floating.created_at,
                                                          end=now))

    def reads(self, least: int) -> int:
        """What is billed, once it is so much: the switch tells of packets a moment after they passed."""
        def there() -> bool:
            self.look()
            return self.used() >= least
        wait_until(there, 15)
        time.sleep(2)
        self.look()
        return self.used()


@pytest.fixture
def books(db: None, tmp_path: Path, settings, site: Site) -> Books:
    settings.DOORBELLS, settings.STATE_DIR = False, tmp_path
    world = make_world(tmp_path)
    pool = AddressPool.objects.create(id=site.public.id, region=world.region, slug="public", name="Public",
                                      cidr=site.public.cidr, gateway=str(site.public.gateway), first=str(site.outside(50)),
                                      last=str(site.outside(99)))
    hosts = [add(world, facts) for facts in site.hosts]
    where = {"project": world.project, "region": world.region}
    vpc = Vpc.objects.create(**where, name="v1", cidr="10.0.0.0/16")
    subnet = Subnet.objects.create(**where, name="a", vpc=vpc, cidr="10.0.1.0/24", gateway="10.0.1.1")
    for name in ("v1-web", "v1-app"):
        Port.objects.create(id=uid(name), **where, name=name, subnet=subnet, mac=site.guests[name].mac, ip=site.guests[name].ip)
    floating = FloatingIp.objects.create(**where, name="shop", state="attached", pool=pool, port_id=uid("v1-web"))
    Allocation.objects.create(resource=floating, pool=pool, address=str(site.outside(50)))
    return Books(hosts=hosts, floating=floating)


def add(world: World, facts: HostFacts) -> Host:
    endpoint = Endpoint.objects.create(
        name=facts.name, driver="libvirt", uri=f"qemu+ssh://{facts.user}@{facts.address}/system",
        private_key=Path(facts.private_key).read_text(), host_key=f"{facts.address} {facts.public_host_key}")
    return Host.objects.create(region=world.region, zone=world.zone, name=facts.name, endpoint=endpoint, chassis=facts.chassis,
                               state=Host.State.READY, is_gateway=True)


def between(taker: Guest, taking: str, giver: Guest, giving: str, expected: int) -> None:
    """One guest waits, the other calls; all of it arrives."""
    said: list[str] = []
    waiting = threading.Thread(target=lambda: said.append(taker.wire(*taking.split())))
    waiting.start()
    time.sleep(1)
    said.append(giver.wire(*giving.split()))
    waiting.join()
    assert str(expected) in said


def test_what_leaves_is_billed_and_what_stays_inside_is_not(site: Site, books: Books) -> None:
    outsider, web, db, app = (site.guests[name] for name in ("outsider", "v1-web", "v1-db", "v1-app"))
    address = str(site.outside(50))
    with rules(site, allow("v1-in", protocol="any"), OUT):
        books.look()
        [row] = TrafficCount.objects.all()
        assert (row.host, row.address) == (books.hosts[0], address)

        # To other instances, near and through the router: nothing.
        for other in (db, app):
            between(other, f"drink {PORT}", web, f"pour {other.ip} {PORT} {5 * MIB}", 5 * MIB)
        time.sleep(2)
        books.look()
        assert books.used() == 0

        # Out by its own connection, and in answer to somebody outside.
        between(outsider, f"drink {PORT}", web, f"pour {outsider.ip} {PORT} {8 * MIB}", 8 * MIB)
        sent = books.reads(8 * MIB)
        assert 8 * MIB < sent < 8 * MIB * HEADERS
        between(web, f"offer {PORT} {4 * MIB}", outsider, f"fetch {address} {PORT}", 4 * MIB)
        answered = books.reads(sent + 4 * MIB) - sent
        assert 4 * MIB < answered < 4 * MIB * HEADERS

        # What comes in costs its acknowledgements.
        before = books.used()
        between(web, f"drink {PORT}", outsider, f"pour {address} {PORT} {4 * MIB}", 4 * MIB)
        assert books.reads(before) - before < 4 * MIB // 10

        # Looking again adds nothing.
        before = books.used()
        for _again in range(3):
            books.look()
        assert books.used() == before


def test_an_address_that_moves_and_a_switch_that_lost_its_flows_begin_new_epochs(site: Site, books: Books) -> None:
    outsider, web, app = (site.guests[name] for name in ("outsider", "v1-web", "v1-app"))
    books.look()
    between(outsider, f"drink {PORT}", web, f"pour {outsider.ip} {PORT} {2 * MIB}", 2 * MIB)
    first = books.reads(2 * MIB)
    plan = usual(site)
    site.apply(replace(plan, floating=(replace(plan.floating[0], port=uid("v1-app")),)))
    FloatingIp.objects.filter(pk=books.floating.pk).update(port=uid("v1-app"))
    try:
        wait_until(lambda: app.reaches(outsider.ip, 22) == str(site.outside(50)), 10)
        books.look()
        assert TrafficCount.objects.get(ended_at=None).host == books.hosts[2]
        between(outsider, f"drink {PORT}", app, f"pour {outsider.ip} {PORT} {3 * MIB}", 3 * MIB)
        second = books.reads(first + 3 * MIB)
        assert first + 3 * MIB < second < first + 3 * MIB * HEADERS + MIB // 10

        # What a restart leaves of the bridge. (To restart the switch itself would take these guests' cards away.)
        app.on_host("ovs-ofctl del-flows br-ex && ovs-ofctl add-flow br-ex priority=0,actions=NORMAL")
        books.look()
        between(outsider, f"drink {PORT}", app, f"pour {outsider.ip} {PORT} {MIB}", MIB)
        third = books.reads(second + MIB)
        assert second + MIB < third < second + MIB * HEADERS + MIB // 10
        assert TrafficCount.objects.count() == 3
    finally:
        site.apply(usual(site))
