"""Paused and suspended: what the host has, what is billed, who may still act, and what people do behind our back."""
from typing import Any

import pytest

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from portal.kernel.errors import StaleGeneration
from portal.kernel.models import AuditEvent, Operation
from tests.world import World, drain


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def do(instance: Instance, verb: str) -> Instance:
    act(instance, verb, actor=None)
    drain()
    instance.refresh_from_db()
    return instance


def view(world: World, instance: Instance) -> Any:
    with hypervisor(world.host) as driver:
        return driver.domain(instance.pk)


def metered(instance: Instance) -> str:
    return UsageInterval.objects.get(resource=instance, period__endswith=None).meter


@pytest.mark.parametrize(("verb", "state", "power"), [
    ("pause", "paused", Power.PAUSED), ("suspend", "suspended", Power.SUSPENDED)])
def test_there_and_back_again(world: World, made: Instance, verb: str, state: str, power: Power) -> None:
    do(made, verb)
    assert (made.state, made.observed_state, view(world, made).power) == (state, state, power)
    assert metered(made) == f"instance.{state}"
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert made.state == state
    do(made, "resume")
    assert (made.state, made.generation, metered(made)) == ("running", 2, "instance.running")
    assert (view(world, made).power, view(world, made).generation) == (Power.RUNNING, 2)
    # Who still thinks of the time before may not do it again.
    with hypervisor(world.host) as driver, pytest.raises(StaleGeneration):
        driver.ensure_suspended(made.pk, 1)


def test_a_paused_one_is_stopped_at_once_and_boots_anew(world: World, made: Instance) -> None:
    do(made, "pause")
    act(made, "stop", actor=None)
    drain(limit=4)  # nobody waits for a guest that stands still
    made.refresh_from_db()
    assert (made.state, view(world, made).power) == ("stopped", Power.OFF)
    assert do(made, "start").state == "running"


def test_whose_memory_cannot_be_restored_is_stopped_and_boots_anew(world: World, made: Instance) -> None:
    do(made, "suspend")
    SimulatedHost(world.host.endpoint.uri).fail("ensure_resumed", kind="error")
    assert do(made, "resume").state == "suspended"
    assert (do(made, "stop").state, view(world, made).power) == ("stopped", Power.OFF)
    assert do(made, "start").state == "running"


@pytest.mark.parametrize(("verb", "call"), [("pause", "ensure_paused"), ("suspend", "ensure_suspended")])
def test_what_the_host_refuses_leaves_it_running(world: World, made: Instance, verb: str, call: str) -> None:
    SimulatedHost(world.host.endpoint.uri).fail(call, kind="error")
    do(made, verb)
    assert made.state == "running" and made.fault and view(world, made).power == Power.RUNNING
    assert Operation.objects.get(kind=f"instance.{verb}").state == "failed"
    assert do(made, verb).fault is None


@pytest.mark.parametrize("verb", ["pause", "suspend"])
def test_a_resume_that_fails_leaves_it_as_it_was_and_goes_the_next_time(world: World, made: Instance, verb: str) -> None:
    do(made, verb)
    state, power = made.state, view(world, made).power
    SimulatedHost(world.host.endpoint.uri).fail("ensure_resumed", kind="error")
    do(made, "resume")
    assert (made.state, view(world, made).power) == (state, power) and made.fault
    assert do(made, "resume").state == "running"


def test_an_answer_that_was_lost_is_asked_for_again(world: World, made: Instance) -> None:
    hand = SimulatedHost(world.host.endpoint.uri)
    for verb, call, state in (("suspend", "ensure_suspended", "suspended"), ("resume", "ensure_resumed", "running"),
                              ("pause", "ensure_paused", "paused"), ("resume", "ensure_resumed", "running")):
        hand.fail(call, kind="lost")
        assert do(made, verb).state == state


@pytest.mark.parametrize(("before", "by_hand", "after"), [
    ("", "pause", "paused"), ("", "suspend", "suspended"), ("pause", "resume", "running"),
    ("pause", "power_off_from_inside", "stopped"), ("suspend", "lose_memory", "stopped"), ("pause", "suspend", "suspended")])
def test_what_a_person_does_on_the_host_is_followed(world: World, made: Instance, before: str, by_hand: str, after: str) -> None:
    if before:
        do(made, before)
    getattr(SimulatedHost(world.host.endpoint.uri), by_hand)(made.pk)
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, metered(made)) == (after, f"instance.{after}")
    assert AuditEvent.objects.filter(action="instance.power_followed", resource=made).count() == 1


def test_a_suspended_one_whose_domain_is_removed_is_stopped_and_defined_again(world: World, made: Instance) -> None:
    do(made, "suspend")
    SimulatedHost(world.host.endpoint.uri).destroy(made.pk)
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, view(world, made).power) == ("stopped", Power.OFF)
    assert do(made, "start").state == "running"
