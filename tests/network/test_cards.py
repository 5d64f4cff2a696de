"""Network cards that come to an instance and go from it, running and off: rows, fabric, host and set-up drive agree."""
from dataclasses import asdict
from ipaddress import IPv4Address
from typing import Any
from uuid import uuid4

import pytest
import yaml
from django.test import Client
from django.urls import reverse

from billing.models import Dunning
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Capabilities
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Endpoint, Host
from compute.instances import card_steps, cards, guarding, seed
from compute.instances.cards import Card
from compute.instances.errors import HasFloatingIp, InstanceLocked, NotSupported
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.network.errors import AddressInUse, TooMany
from compute.network.models import FloatingIp, Port, Subnet
from compute.network.operations import allocate_floating_ip, associate
from compute.network.reconcile import reconcile_fabric
from portal.kernel.errors import Busy, HostFault, InvalidInput, QuotaExceeded, StateConflict, Unpaid
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.operations import engine, request_cancel
from portal.kernel.states import database_now
from tenants.models import Quota
from tests.network.networked import Networked, settle
from tests.world import drain


@pytest.fixture
def running(net: Networked) -> Instance:
    create_instance(net.world.order(), actor=net.world.people["alice"])
    drain()
    return Instance.objects.get()


@pytest.fixture
def subnet(net: Networked) -> Subnet:
    """Of another VPC of the project."""
    return Subnet.objects.get(pk=net.subnet()["id"])


def hand(net: Networked) -> SimulatedHost:
    return SimulatedHost(net.world.host.endpoint.uri)


def done(operation: Operation, state: str = "succeeded") -> Operation:
    drain()
    operation.refresh_from_db()
    assert operation.state == state, operation.error
    assert not Hold.objects.exists()
    return operation


def browser(net: Networked) -> Client:
    client = Client()
    client.force_login(net.world.people["alice"])
    return client


def attach(net: Networked, instance: Instance, subnet: Subnet | None = None, **wishes: Any) -> Port:
    operation = cards.attach(instance, Card(subnet=subnet, **wishes), actor=net.world.people["alice"])
    return Port.objects.get(pk=done(operation).result["port"])


def detach(net: Networked, instance: Instance, port: Port) -> Operation:
    return cards.detach(instance, port, actor=net.world.people["alice"])


def stopped(instance: Instance) -> Instance:
    act(instance, "stop", actor=None, force=True)
    drain()
    instance.refresh_from_db()
    assert instance.state == "stopped"
    return instance


def plugged(net: Networked, instance: Instance) -> set[str]:
    """Ports of the cards that what runs has."""
    with hypervisor(net.world.host) as driver:
        return {str(port) for port in driver.taps(instance.pk)}


def of(instance: Instance) -> list[str]:
    """Its ports in the order of its cards."""
    return [str(pk) for pk in Port.objects.live().filter(domain=instance.pk).order_by("position").values_list("pk", flat=True)]


def agree(net: Networked, instance: Instance) -> None:
    """What runs has the cards of the rows, and the fabric has those ports and no others."""
    instance.refresh_from_db()
    assert plugged(net, instance) == (set(of(instance)) if instance.state == "running" else set())
    settle()
    before = net.hand.census()
    reconcile_fabric(net.fabric)
    reconcile_host(net.world.host.pk)
    assert net.hand.census() == before
    assert all(net.hand.has_port(pk) for pk in of(instance))


# -- while it runs --

def test_who_does_not_pay_keeps_nothing_busy_with_cards(net: Networked, running: Instance, subnet: Subnet) -> None:
    alice, now = net.world.people["alice"], database_now()
    Dunning.objects.create(organization=net.world.project.organization, rung="stopped", cause="overdue", began_at=now, since=now)
    with pytest.raises(Unpaid):
        cards.attach(running, Card(subnet=subnet), actor=alice)
    with pytest.raises(Unpaid):
        cards.detach(running, Port.objects.select_related("subnet").get(pk=of(running)[0]), actor=alice)


def test_a_card_comes_while_it_runs_and_goes_and_nothing_is_left(net: Networked, running: Instance, subnet: Subnet) -> None:
    settle()
    before, [first] = net.hand.census(), of(running)
    port = attach(net, running, subnet)
    assert (port.ip, port.hostname, port.position, port.is_up, port.goes_with_instance) == ("10.1.0.2", "web", 1, True, True)
    assert [group.is_default for group in port.groups.all()] == [True]
    assert plugged(net, running) == {first, str(port.pk)}
    agree(net, running)
    running.refresh_from_db()
    assert (running.state, running.generation) == ("running", 1)
    operation = done(detach(net, running, port))
    assert operation.plan == ["unplug", "release", "define"]
    assert plugged(net, running) == {first}
    agree(net, running)
    port.refresh_from_db()
    assert port.deleted_at is not None and port.ip is None and net.hand.census() == before
    told = {event.action: event for event in AuditEvent.objects.filter(action__endswith="tach_port")}
    assert told["instance.attach_port"].after["ip"] == told["instance.detach_port"].before["ip"] == "10.1.0.2"


def test_the_card_stays_over_the_next_start_and_its_set_up_drive_names_it(
    net: Networked, running: Instance, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[list[str]] = []
    real = seed.build_seed
    monkeypatch.setattr("compute.instances.steps.build_seed", lambda **given: written.append(given["macs"]) or real(**given))
    port = attach(net, running, subnet)
    for again in ("reboot", "stop"):
        act(running, again, actor=None, force=True)
        drain()
        running.refresh_from_db()
    act(running, "start", actor=None)
    drain()
    agree(net, running)
    assert len(written) == 2 and all(macs[1] == port.mac for macs in written)
    told = seed.network_config(written[0])["ethernets"]
    assert told["card1"]["match"] == {"macaddress": port.mac} and told["card1"]["dhcp4-overrides"]["use-routes"] is False
    assert "dhcp4-overrides" not in told["card0"]


def test_cloud_init_looks_at_the_cards_at_every_start() -> None:
    assert yaml.safe_load(yaml.safe_dump(seed.VENDOR))["updates"]["network"]["when"] == ["boot-new-instance", "boot"]


def test_a_guest_that_keeps_the_card_has_it_and_everything_is_as_it_was(
    net: Networked, running: Instance, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = attach(net, running, subnet)
    hand(net).keep_devices(running.pk)
    monkeypatch.setattr(card_steps, "PATIENCE_S", -1)
    operation = done(detach(net, running, port), "failed")
    assert operation.error["code"] == "guest_keeps_it" and port.ip in operation.error["detail"]
    assert of(running)[1] == str(port.pk)
    agree(net, running)
    # It lets go when nobody waits any more: the card is its own, so it gets it back.
    hand(net).keep_devices(running.pk, False)
    with hypervisor(net.world.host) as driver:
        assert driver.ensure_unplugged(running.pk, 1, card_steps.card_of(running, port))
    reconcile_host(net.world.host.pk)
    agree(net, running)


def test_without_a_free_slot_nothing_changes(net: Networked, running: Instance, subnet: Subnet) -> None:
    hand(net).fail("ensure_plugged", kind="error")
    operation = done(cards.attach(running, Card(subnet=subnet), actor=None), "failed")
    assert operation.error["code"] == "host_fault" and len(of(running)) == 1
    agree(net, running)
    assert not Port.objects.live().filter(subnet=subnet).exists()


def test_what_a_failed_attach_has_plugged_in_and_the_guest_keeps_has_no_network(
    net: Networked, running: Instance, subnet: Subnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its next start is without it."""
    hand(net).keep_devices(running.pk)
    hand(net).fail("ensure_defined", kind="error")
    monkeypatch.setattr(card_steps, "PATIENCE_S", -1)
    done(cards.attach(running, Card(subnet=subnet), actor=None), "failed")
    assert len(plugged(net, running)) == 2 and len(of(running)) == 1
    assert net.hand.census()["Logical_Switch_Port"] == 3 + 2 + 1  # localnet, two ends at each of two routers, and its own one
    stopped(running)
    act(running, "start", actor=None)
    drain()
    agree(net, running)


@pytest.mark.parametrize("verb", ["attach", "detach"])
def test_cancelled_at_any_turn_it_is_as_it_was_or_done(net: Networked, running: Instance, subnet: Subnet, verb: str) -> None:
    for turns in range(6):
        port = attach(net, running, subnet) if verb == "detach" else None
        before = of(running)
        if verb == "detach":
            hand(net).keep_devices(running.pk)
        operation = detach(net, running, port) if port else cards.attach(running, Card(subnet=subnet), actor=None)
        for _turn in range(turns):
            engine.advance()
            Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
        operation.refresh_from_db()
        if operation.state in Operation.LIVE:
            request_cancel(operation)
        hand(net).keep_devices(running.pk, False)
        drain()
        operation.refresh_from_db()
        agree(net, running)
        if operation.state == "succeeded":
            assert (len(of(running)) > len(before)) == (verb == "attach")
            return
        assert (operation.state, of(running)) == ("cancelled", before)
        if port:
            done(detach(net, running, port))
    assert verb == "detach"


# -- while it is off --

def test_off_it_is_rows_and_fabric_alone_and_the_next_start_has_it(net: Networked, running: Instance, subnet: Subnet) -> None:
    stopped(running)
    Endpoint.objects.update(capabilities=asdict(Capabilities()))
    operation = done(cards.attach(running, Card(subnet=subnet), actor=None))
    assert operation.plan == ["connect"]
    agree(net, running)
    act(running, "start", actor=None)
    drain()
    agree(net, running)
    assert len(plugged(net, running)) == 2
    stopped(running)
    for pk in of(running):
        assert done(detach(net, running, Port.objects.get(pk=pk))).plan == ["release"]
    act(running, "start", actor=None)
    drain()
    agree(net, running)
    assert plugged(net, running) == set()


def test_without_hot_plug_only_while_it_is_off_and_the_button_says_so(net: Networked, running: Instance, subnet: Subnet) -> None:
    Endpoint.objects.update(capabilities=asdict(Capabilities()))
    with pytest.raises(NotSupported, match="Stop it first"):
        cards.attach(running, Card(subnet=subnet), actor=None)
    with pytest.raises(NotSupported):
        detach(net, running, Port.objects.get(domain=running.pk))
    page = browser(net).get(reverse("instances:detail", args=[running.pk]), {"tab": "network"}).content.decode()
    assert page.count("cannot do this while it runs. Stop it first.") >= 2


def test_what_ends_meanwhile_finds_its_card_at_the_next_start(net: Networked, running: Instance, subnet: Subnet) -> None:
    operation = cards.attach(running, Card(subnet=subnet), actor=None)
    hand(net).power_off_from_inside(running.pk)
    done(operation)
    reconcile_host(net.world.host.pk)
    running.refresh_from_db()
    assert running.state == "stopped" and len(of(running)) == 2
    act(running, "start", actor=None)
    drain()
    agree(net, running)


# -- what is refused --

def test_an_address_is_had_once_and_lies_in_its_subnet(net: Networked, running: Instance, subnet: Subnet) -> None:
    path, body = f"instances/{running.pk}/actions/attach-port", {"subnet": str(subnet.pk)}
    answer = net.post(path, body | {"ip": "10.1.0.9", "security_groups": []})
    assert answer.status_code == 202
    drain()
    port = Port.objects.get(subnet=subnet)
    assert (port.ip, port.groups.count()) == ("10.1.0.9", 0)
    assert (net.post(path, body | {"ip": "10.1.0.9"}).json()["code"]) == "address_in_use"
    for ip in ("10.1.0.1", "10.9.9.9", "ten"):
        refused = net.post(path, body | {"ip": ip})
        assert refused.status_code == 400 and "ip" in refused.json()["errors"]
    with pytest.raises(AddressInUse):
        cards.attach(running, Card(subnet=subnet, ip=IPv4Address(port.ip)), actor=None)


def test_a_subnet_or_a_port_of_the_same_project(net: Networked, running: Instance, theirs: dict[str, str]) -> None:
    path, port = f"instances/{running.pk}/actions/attach-port", net.port()
    for body in ({}, {"subnet": port["subnet"], "port": port["id"]}, {"port": port["id"], "ip": "10.1.0.9"},
                 {"port": port["id"], "security_groups": []}, {"mac": "0a:4d:00:00:00:01"}):
        assert net.post(path, body).status_code == 400, body
    vpc = net.made("vpcs", theirs | {"name": "net"}, by="mallory")
    strange = net.made("subnets", {"vpc": vpc["id"], "name": "lan", "cidr": "10.0.0.0/24"}, by="mallory")
    for hidden in (strange["id"], port["id"]):
        assert net.post(path, {"subnet": hidden}).status_code == 404
    with pytest.raises(InvalidInput):
        cards.attach(running, Card(subnet=Subnet.objects.get(pk=strange["id"])), actor=None)
    assert net.post(path, {"subnet": port["subnet"]}, by="mallory").status_code == 404


def test_a_port_made_before_keeps_its_address_and_is_free_again(net: Networked, running: Instance) -> None:
    alice, port = net.world.people["alice"], Port.objects.get(pk=net.port()["id"])
    floating = allocate_floating_ip(net.world.project, net.world.region, actor=alice)
    done(associate(floating, port, actor=alice))
    attach(net, running, port=port)
    port.refresh_from_db()
    assert (port.domain, port.position, port.hostname) == (running.pk, 1, "web")
    with pytest.raises(StateConflict):
        cards.attach(running, Card(port=port), actor=None)
    with pytest.raises(HasFloatingIp, match=FloatingIp.objects.get().address):
        detach(net, running, port)
    answer = net.post(f"instances/{running.pk}/actions/detach-port", {"port": str(port.pk)})
    assert (answer.status_code, answer.json()["code"]) == (409, "has_floating_ip")
    net.post(f"floating-ips/{floating.pk}/actions/disassociate")
    drain()
    done(detach(net, running, port))
    port.refresh_from_db()
    assert (port.domain, port.deleted_at, port.ip, port.hostname) == (None, None, "10.1.0.2", "")
    with pytest.raises(InvalidInput):
        detach(net, running, port)
    agree(net, running)


def test_what_is_locked_busy_elsewhere_or_too_much_is_refused(net: Networked, running: Instance, subnet: Subnet) -> None:
    alice, card = net.world.people["alice"], Card(subnet=subnet)
    guarding.lock(running, actor=alice)
    with pytest.raises(InstanceLocked):
        cards.attach(running, card, actor=alice)
    guarding.unlock(running, actor=alice)
    quota = Quota.objects.create(project=net.world.project, region=net.world.region, dimension="ports", limit=1)
    with pytest.raises(QuotaExceeded):
        cards.attach(running, card, actor=alice)
    quota.delete()
    Host.objects.update(chassis="")
    with pytest.raises(NotSupported, match="not connected"):
        cards.attach(running, card, actor=alice)
    Host.objects.update(chassis="sim-1")
    operation = cards.attach(running, card, actor=alice)
    for refused in (lambda: cards.attach(running, card, actor=alice), lambda: act(running, "reboot", actor=alice)):
        with pytest.raises(Busy):
            refused()
    done(operation)
    for _more in range(6):
        attach(net, running, subnet)
    with pytest.raises(TooMany):
        cards.attach(running, card, actor=alice)
    Instance.objects.update(state="paused")
    with pytest.raises(StateConflict):
        cards.attach(running, card, actor=alice)


def test_a_deleted_instance_leaves_none_of_its_cards(net: Networked, running: Instance, subnet: Subnet) -> None:
    attach(net, running, subnet)
    act(running, "purge", actor=None)
    drain()
    settle()
    assert not Port.objects.live().exists() and net.hand.census()["Logical_Switch_Port"] == 1 + 2 + 2


def test_the_simulated_host_says_no_without_a_slot(net: Networked, running: Instance, subnet: Subnet) -> None:
    """As many as it was started with room for."""
    with hypervisor(net.world.host) as driver, pytest.raises(HostFault):
        for number in range(9):
            port = Port(pk=uuid4(), mac=f"0a:4d:00:00:00:{number:02x}")
            driver.ensure_plugged(running.pk, 1, card_steps.card_of(running, port))


# -- pages --

def test_pages_add_and_remove_a_card(net: Networked, running: Instance, subnet: Subnet) -> None:
    client, path = browser(net), reverse("instances:attach-port", args=[running.pk])
    text = client.get(path).content.decode()
    assert str(subnet.pk) in text and 'name="port"' not in text and "asks for the address by DHCP" in text
    taken = Port.objects.get(domain=running.pk)
    wrong = client.post(path, {"subnet": str(taken.subnet_id), "ip": taken.ip})
    assert wrong.status_code == 409 and "belongs to another port" in wrong.content.decode()
    answer = client.post(path, {"subnet": str(subnet.pk), "ip": "10.1.0.7"})
    assert answer.status_code == 302
    drain()
    port = Port.objects.get(subnet=subnet)
    assert (port.ip, port.domain, port.groups.count()) == ("10.1.0.7", running.pk, 0)
    tab = client.get(reverse("instances:detail", args=[running.pk]), {"tab": "network"}).content.decode()
    assert path in tab and reverse("ports:detach", args=[port.pk]) in tab
    question = client.post(reverse("ports:detach", args=[port.pk]))
    assert "Connections through it end." in question.content.decode() and of(running)[1:] == [str(port.pk)]
    client.post(reverse("ports:detach", args=[port.pk]), {"confirmed": "1"})
    drain()
    assert len(of(running)) == 1
    free = Port.objects.get(pk=net.port(str(subnet.pk))["id"])
    assert str(free.pk) in client.get(path).content.decode()
    client.post(path, {"port": str(free.pk)})
    drain()
    assert of(running)[1:] == [str(free.pk)]
    assert client.post(reverse("ports:detach", args=[net.port(str(subnet.pk))["id"]]), {"confirmed": "1"}).status_code == 404
