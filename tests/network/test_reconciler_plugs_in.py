"""Cards that were taken off their host's bridge by hand are plugged in again, on the simulated host."""
from uuid import UUID, uuid4

import pytest

from compute.hosts.commands import catalogue
from compute.hosts.connections import host_commands
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Host
from compute.instances import reconcile
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.network.models import Port
from tests.network.networked import Networked
from tests.world import drain


def running(net: Networked) -> Instance:
    operation = create_instance(net.world.order(), actor=net.world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)


def hand(net: Networked) -> SimulatedHost:
    return SimulatedHost(net.world.host.endpoint.uri)


def plugged(net: Networked) -> dict[str, str]:
    """Device → port, as the host's switch has it."""
    with host_commands(net.world.host) as commands:
        return {tap.name: tap.port for tap in commands.run(catalogue.TAP_PORTS)}


def test_a_card_that_was_pulled_is_plugged_in_again_and_goes_with_its_instance(networked_world: Networked) -> None:
    net = networked_world
    instance = running(net)
    before = plugged(net)
    [tap] = before
    assert before[tap] == str(Port.objects.get(domain=instance.pk).pk)
    hand(net).pull(tap)
    assert plugged(net) == {}
    reconcile.reconcile_host(net.world.host.pk)
    assert plugged(net) == before
    act(instance, "stop", actor=net.world.people["alice"], force=True)
    drain()
    reconcile.reconcile_host(net.world.host.pk)
    assert plugged(net) == {}


def test_what_others_plugged_in_is_left_alone(networked_world: Networked) -> None:
    net = networked_world
    running(net)
    stranger = uuid4()
    hand(net).plug("veth-mine", stranger)
    before = plugged(net)
    reconcile.reconcile_host(net.world.host.pk)
    assert plugged(net) == before and before["veth-mine"] == str(stranger)


def test_an_instance_in_an_operations_hands_is_left_to_it(networked_world: Networked) -> None:
    net = networked_world
    instance = running(net)
    [tap] = plugged(net)
    act(instance, "stop", actor=net.world.people["alice"])
    hand(net).pull(tap)
    reconcile.reconcile_host(net.world.host.pk)
    assert plugged(net) == {}


def test_a_device_that_was_another_domains_by_the_time_it_was_plugged_in_is_taken_off_again(
    networked_world: Networked, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = networked_world
    running(net)
    [(tap, port)] = plugged(net).items()
    hand(net).pull(tap)
    answers = iter([{UUID(port): tap}, {}])
    monkeypatch.setattr("compute.hosts.drivers.simulated.hypervisor.SimulatedHypervisor.taps",
                        lambda _driver, _domain: next(answers))
    reconcile.reconcile_host(net.world.host.pk)
    assert plugged(net) == {} and next(answers, None) is None


def test_a_switch_that_does_not_answer_is_not_taken_for_a_host_that_does_not(networked_world: Networked) -> None:
    net = networked_world
    instance = running(net)
    [tap] = plugged(net)
    hand(net).pull(tap)
    hand(net).fail("ssh.tap_ports", kind="unreachable")
    reconcile.reconcile_host(net.world.host.pk)
    instance.refresh_from_db()
    assert (Host.objects.get(pk=net.world.host.pk).health, instance.state) == ("up", "running")
    reconcile.reconcile_host(net.world.host.pk)
    assert list(plugged(net)) == [tap]
