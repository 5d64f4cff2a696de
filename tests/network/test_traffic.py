"""What floating IPs send out is counted on the hosts: once, monotone, and for whoever had the address."""
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F

from billing import counters
from billing.models import Counter, CounterSample
from compute.hosts.commands import catalogue
from compute.hosts.commands.catalogue import Counting
from compute.hosts.connections import host_commands
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Host
from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.network import operations, traffic
from compute.network.models import FloatingIp, Port, TrafficCount
from portal.kernel import maintenance
from portal.kernel.states import database_now
from tests.network.networked import Networked
from tests.world import drain

MIB = 2**20
NUMBER = 7


@pytest.fixture
def out(networked_world: Networked) -> Networked:
    """Its one host has a way out by the public network."""
    hand(networked_world).open_way_out(traffic.way_out(networked_world.pool.pk), NUMBER)
    return networked_world


def hand(net: Networked) -> SimulatedHost:
    return SimulatedHost(net.world.host.endpoint.uri)


def running(net: Networked, name: str = "web") -> FloatingIp:
    """The floating IP of a new instance."""
    order = net.world.order(name=name, networks=Networks(has_floating_ip=True))
    operation = create_instance(order, actor=net.world.people["alice"])
    drain()
    return FloatingIp.objects.select_related("allocation").get(port__domain=operation.target_id)


def look(net: Networked) -> None:
    traffic.count_host(net.world.host.pk)


def used(floating: FloatingIp) -> int:
    """Bytes in all, as they are billed."""
    now = database_now()
    days = counters.by_day(floating.pk, traffic.METER, start=now - timedelta(days=400), end=now + timedelta(days=1))
    return sum(grown for _day, grown in days)


def flows(net: Networked) -> dict[str, int]:
    """Address → bytes, as the host's bridge has it."""
    with host_commands(net.world.host) as commands:
        return {flow.address: flow.bytes for flow in commands.run(catalogue.COUNTED, bridge="br-ex")}


def test_what_an_instance_sends_out_is_billed_to_its_address(out: Networked) -> None:
    floating = running(out)
    look(out)
    assert flows(out) == {floating.address: 0}
    hand(out).send(floating.address, 3 * MIB)
    look(out)
    hand(out).send(floating.address, MIB)
    look(out)
    assert used(floating) == 4 * MIB
    counter = Counter.objects.get()
    assert (counter.resource_id, counter.project_id, counter.meter, counter.sku) == (
        floating.pk, out.world.project.pk, "network.public_traffic", "public")
    assert counter.epoch == TrafficCount.objects.get().pk


def test_looking_again_adds_nothing(out: Networked) -> None:
    """Also not of an idle address: a sample says that something was sent."""
    floating = running(out)
    look(out)
    hand(out).send(floating.address, MIB)
    for _minute in range(3):
        look(out)
    assert (used(floating), CounterSample.objects.count()) == (MIB, 1)
    assert TrafficCount.objects.get().seen_at is not None


def test_instances_without_an_address_and_stopped_ones_are_not_counted(out: Networked) -> None:
    create_instance(out.world.order(name="inside"), actor=out.world.people["alice"])
    drain()
    look(out)
    assert flows(out) == {} and not traffic.hosts().exists()
    floating = running(out)
    assert list(traffic.hosts()) == [out.world.host]
    look(out)
    hand(out).send(floating.address, MIB)
    act(Instance.objects.get(pk=floating.port.domain), "stop", actor=out.world.people["alice"], force=True)
    drain()
    look(out)
    assert (used(floating), flows(out)) == (MIB, {})  # what it sent until then is read once more


def test_a_switch_that_restarted_begins_another_epoch(out: Networked) -> None:
    floating = running(out)
    look(out)
    hand(out).send(floating.address, 3 * MIB)
    look(out)
    hand(out).restart_switch()
    look(out)
    hand(out).send(floating.address, MIB)
    look(out)
    assert used(floating) == 4 * MIB
    assert [counter.epoch for counter in Counter.objects.order_by("epoch")] == list(
        TrafficCount.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize("sent_meanwhile", [MIB, 9 * MIB])
def test_flows_that_a_start_script_put_back_are_not_believed(out: Networked, sent_meanwhile: int) -> None:
    """They have the old number and count from nothing: fewer bytes than were read, or, later, more, but too young."""
    floating = running(out)
    look(out)
    hand(out).send(floating.address, 3 * MIB)
    look(out)
    TrafficCount.objects.update(began_at=F("began_at") - timedelta(hours=1))
    hand(out).restart_switch(keeps_flows=True)
    hand(out).send(floating.address, sent_meanwhile)
    look(out)
    hand(out).send(floating.address, MIB)
    look(out)
    assert used(floating) == 4 * MIB
    assert TrafficCount.objects.filter(ended_at=None).count() == 1


def test_flows_of_nobody_and_of_another_life_are_removed(out: Networked) -> None:
    """A number that no row has, and one whose row says something else, as after the database was set back."""
    floating = running(out)
    look(out)
    row = TrafficCount.objects.get()
    with host_commands(out.world.host) as commands:
        commands.run(catalogue.COUNT, bridge="br-ex", flow=Counting(number=row.pk + 1000, port=NUMBER, address="198.18.200.99"))
        commands.run(catalogue.COUNT, bridge="br-ex", flow=Counting(number=row.pk, port=NUMBER, address="198.18.200.98"))
    hand(out).send("198.18.200.99", MIB)
    hand(out).send("198.18.200.98", MIB)
    look(out)
    assert (flows(out), used(floating)) == ({floating.address: 0}, 0)


def test_whoever_gets_the_address_next_pays_for_what_he_sends(out: Networked) -> None:
    first = running(out)
    address = first.address
    look(out)
    hand(out).send(address, 5 * MIB)  # in the minute before it is released
    operations.disassociate(first, actor=out.world.people["alice"])
    drain()
    operations.release(FloatingIp.objects.get(pk=first.pk), actor=out.world.people["alice"])
    second = operations.allocate_floating_ip(out.world.project, out.world.region, actor=out.world.people["alice"])
    assert second.address == address
    operations.associate(second, Port.objects.get(pk=first.port_id), actor=out.world.people["alice"])
    drain()
    look(out)
    hand(out).send(address, MIB)
    look(out)
    assert (used(first), used(second)) == (5 * MIB, MIB)
    sample = CounterSample.objects.get(counter__resource=first.pk)
    assert sample.at == FloatingIp.objects.get(pk=first.pk).deleted_at


def test_what_was_sent_while_the_host_was_silent_and_the_address_changed_hands_is_nobodys(out: Networked) -> None:
    first = running(out)
    look(out)
    TrafficCount.objects.update(seen_at=database_now() - timedelta(hours=1))  # it was not heard of since
    operations.disassociate(first, actor=out.world.people["alice"])
    drain()
    operations.release(FloatingIp.objects.get(pk=first.pk), actor=out.world.people["alice"])
    second = operations.allocate_floating_ip(out.world.project, out.world.region, actor=out.world.people["alice"])
    operations.associate(second, Port.objects.get(pk=first.port_id), actor=out.world.people["alice"])
    drain()
    hand(out).send(second.address, 5 * MIB)
    look(out)
    hand(out).send(second.address, MIB)
    look(out)
    assert (used(first), used(second)) == (0, MIB)


def test_a_port_without_an_instance_rings_nobody(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[object] = []
    monkeypatch.setattr(traffic, "ring_task", lambda *what: rung.append(what))
    traffic.ring_for(Port(domain=None))
    assert rung == []


def test_a_way_out_with_another_number_is_another_flow(out: Networked) -> None:
    floating = running(out)
    look(out)
    hand(out).send(floating.address, MIB)
    hand(out).open_way_out(traffic.way_out(out.pool.pk), 8)
    look(out)
    hand(out).send(floating.address, MIB, number=8)
    look(out)
    assert (used(floating), flows(out)) == (2 * MIB, {floating.address: MIB})


def test_a_silent_host_costs_nothing_and_tells_later(out: Networked) -> None:
    floating = running(out)
    look(out)
    hand(out).send(floating.address, MIB)
    hand(out).set_unreachable()
    look(out)
    assert used(floating) == 0
    hand(out).set_unreachable(False)
    look(out)
    assert used(floating) == MIB


VERBS = ("chassis", "switch_ports", "counted", "count", "uncount")


@pytest.mark.parametrize("kind", ["error", "lost"])
@pytest.mark.parametrize("verb", VERBS)
def test_broken_off_anywhere_nothing_is_counted_twice_or_forgotten(out: Networked, verb: str, kind: str) -> None:
    """Each command fails or its answer is lost, while one address comes and another goes."""
    stays, goes = running(out, "stays"), running(out, "goes")
    look(out)
    hand(out).send(stays.address, MIB)
    hand(out).send(goes.address, 2 * MIB)
    operations.disassociate(goes, actor=out.world.people["alice"])
    drain()
    comes = running(out, "comes")
    hand(out).fail(f"ssh.{verb}", kind=kind)
    look(out)
    look(out)
    hand(out).send(comes.address, 4 * MIB)
    look(out)
    assert (used(stays), used(goes), used(comes)) == (MIB, 2 * MIB, 4 * MIB)
    assert flows(out).keys() == {stays.address, comes.address}


def test_a_collector_that_dies_with_its_transaction_adds_nothing_twice(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    floating = running(out)
    look(out)
    hand(out).send(floating.address, MIB)

    class Killed(BaseException):
        pass

    ingest = counters.ingest

    def and_die(*args: object, **kwargs: object) -> None:
        ingest(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(counters, "ingest", and_die)
        with pytest.raises(Killed):
            look(out)
    assert used(floating) == 0
    look(out)
    assert (used(floating), CounterSample.objects.count()) == (MIB, 1)


def test_many_addresses_are_taken_in_turns(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "CHANGES_A_PASS", 1)
    addresses = {running(out, name).address for name in ("one", "two")}
    look(out)
    assert len(flows(out)) == 1
    look(out)
    assert flows(out).keys() == addresses
    for instance in Instance.objects.all():
        act(instance, "stop", actor=out.world.people["alice"], force=True)
    drain()
    look(out)
    assert len(flows(out)) == 1 == TrafficCount.objects.filter(ended_at=None).count()
    look(out)
    assert flows(out) == {} and not TrafficCount.objects.filter(ended_at=None).exists()


@contextmanager
def another_at_it(net: Networked) -> Iterator[None]:
    """A second connection holds the host's turn."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [traffic._key(net.world.host.pk)])
        yield
    finally:
        other.close()


def test_one_at_a_time(out: Networked) -> None:
    floating = running(out)
    with another_at_it(out):
        look(out)
        assert flows(out) == {}
    look(out)
    assert flows(out) == {floating.address: 0}


def test_hosts_of_others_and_without_network_are_not_asked(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    running(out)
    Host.objects.update(chassis="")
    hand(out).set_unreachable()
    told: list[object] = []
    monkeypatch.setattr(traffic, "log", SimpleNamespace(warning=lambda *what, **_facts: told.append(what)))
    look(out)
    traffic.count_host(uuid4())
    assert told == []
    assert not traffic.hosts().exists()


def test_the_clock_rings_for_hosts_that_send_and_not_during_maintenance(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    from compute.network import tasks
    rung = []
    monkeypatch.setattr(tasks.count_traffic, "apply_async", lambda **options: rung.append((options["args"], options["queue"])))
    tasks.count_traffic_all()
    assert rung == []
    running(out)
    tasks.count_traffic_all()
    assert rung == [([str(out.world.host.pk)], out.world.region.queue)]
    monkeypatch.setattr(maintenance, "is_on", lambda: True)
    tasks.count_traffic_all()
    assert len(rung) == 1


def test_counting_begins_when_the_address_is_associated(out: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = []
    monkeypatch.setattr(traffic, "ring_task", lambda *what: rung.append(what))
    floating = running(out)
    wanted = ("network.count_traffic", out.world.region.queue, str(out.world.host.pk))
    assert rung == [wanted]
    operations.disassociate(floating, actor=out.world.people["alice"])
    drain()
    operations.associate(FloatingIp.objects.get(pk=floating.pk), floating.port, actor=out.world.people["alice"])
    drain()
    assert rung == [wanted, wanted]


# -- who sees it --

def test_by_rest_a_month_is_told_by_its_days(out: Networked) -> None:
    floating = running(out)
    look(out)
    hand(out).send(floating.address, 3 * MIB)
    look(out)
    today = database_now().date()
    told = out.get(f"floating-ips/{floating.pk}/traffic")
    assert (told.status_code, told.json()) == (200, {
        "month": f"{today:%Y-%m}", "bytes_out": 3 * MIB, "days": [{"day": str(today), "bytes_out": 3 * MIB}]})
    assert out.get(f"floating-ips/{floating.pk}/traffic", month="2020-02").json() == {
        "month": "2020-02", "bytes_out": 0, "days": []}
    assert out.get(f"floating-ips/{floating.pk}/traffic", by="vera").status_code == 200
    assert out.get(f"floating-ips/{floating.pk}/traffic", by="mallory").status_code == 404


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "2026-1", "9999999-01", "now", "2026-11-01"])
def test_what_is_no_month_is_refused(out: Networked, month: str) -> None:
    floating = out.floating_ip()
    answer = out.get(f"floating-ips/{floating['id']}/traffic", month=month)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["month"])
