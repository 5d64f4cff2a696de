"""A reboot, or the end of a rescue, that does not get on after its power cut: what it costs, and how it is let go and deleted."""
import pytest

from billing.models import UsageInterval
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost, SimulatedHypervisor
from compute.instances import steps
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.network import steps as network
from portal.kernel.errors import HostUnreachable, StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations import Run, Wait, engine, request_cancel
from storage.connections import volume_pool
from tests.instances.doing import do, power
from tests.world import World, drain


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def turns(count: int) -> None:
    for _turn in range(count):
        Operation.objects.unfinished().update(run_after="2020-01-01T00:00:00Z")
        engine.advance()


def metered(instance: Instance) -> set[str]:
    return set(UsageInterval.objects.filter(resource=instance, period__endswith=None).values_list("meter", flat=True))


def let_go(operation: Operation, instance: Instance) -> Instance:
    request_cancel(operation)
    drain()
    operation.refresh_from_db()
    instance.refresh_from_db()
    assert (operation.state, Operation.objects.unfinished().exists()) == ("cancelled", False)
    return instance


def test_a_reboot_that_hangs_after_its_power_cut_costs_nothing_and_goes_on_when_it_can(world: World, made: Instance) -> None:
    host = SimulatedHost(world.host.endpoint.uri)
    host.fail("ensure_started", kind="unreachable", times=6)
    act(made, "reboot", actor=None, force=True)
    assert metered(made) == {"instance.running"}
    turns(5)
    made.refresh_from_db()
    assert (made.state, power(world, made), metered(made)) == ("rebooting", Power.OFF, set())
    drain()
    made.refresh_from_db()
    assert (made.state, power(world, made), metered(made)) == ("running", Power.RUNNING, {"instance.running"})


def test_it_is_let_go_without_its_host_and_then_deleted(world: World, made: Instance) -> None:
    SimulatedHost(world.host.endpoint.uri).fail("ensure_started", kind="unreachable", times=5)
    operation = act(made, "reboot", actor=None, force=True)
    turns(4)
    let_go(operation, made)
    assert (made.state, made.fault["code"], metered(made)) == ("stopped", "cancelled", {"instance.stopped"})
    do(made, "purge")
    assert made.state == "deleted"


def test_what_came_up_after_all_is_seen_to_run(world: World, made: Instance) -> None:
    SimulatedHost(world.host.endpoint.uri).fail("ensure_started", kind="lost", times=1)
    operation = act(made, "reboot", actor=None, force=True)
    turns(1)
    assert let_go(operation, made).state == "stopped"
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, power(world, made), metered(made)) == ("running", Power.RUNNING, {"instance.running"})


def test_before_its_power_cut_it_runs_on_with_the_password_of_its_screen(world: World, made: Instance) -> None:
    SimulatedHost(world.host.endpoint.uri).fail("domain", kind="unreachable", times=1)
    operation, password = act(made, "reboot", actor=None, force=True), made.vnc_password
    turns(1)
    let_go(operation, made)
    assert (made.state, made.vnc_password, power(world, made)) == ("running", password, Power.RUNNING)
    assert metered(made) == {"instance.running"}
    do(made, "stop", force=True)
    assert (made.state, power(world, made)) == ("stopped", Power.OFF)


def test_one_that_gets_on_is_not_given_up(world: World, made: Instance) -> None:
    with pytest.raises(StateConflict):
        request_cancel(act(made, "reboot", actor=None))


@pytest.mark.parametrize(("call", "state"), [("domain", "rescued"), ("ensure_volume_absent", "stopped"),
                                             ("ensure_started", "stopped")])
def test_so_is_one_that_leaves_rescue(world: World, made: Instance, call: str, state: str) -> None:
    do(made, "rescue", image=world.image)
    SimulatedHost(world.host.endpoint.uri).fail(call, kind="unreachable", times=1)
    operation = act(made, "unrescue", actor=None, force=True)
    turns(1)
    let_go(operation, made)
    assert (made.state, made.rescue_image_id is None) == (state, state == "stopped")
    if state == "rescued":
        assert do(made, "unrescue", force=True).state == "running"
        return
    assert metered(made) == {"instance.stopped"}
    reconcile_host(world.host.pk)
    Instance.objects.update(state_changed_at="2020-01-01T00:00:00Z")
    reconcile_host(world.host.pk)
    with volume_pool(world.pool) as pool:
        assert not [file.name for file in pool.volumes() if file.name.startswith("rescue-")]
    do(made, "start")
    assert (made.state, power(world, made)) == ("running", Power.RUNNING)


def test_a_rescue_that_cannot_mend_its_cut_costs_nothing_either(world: World, made: Instance) -> None:
    host = SimulatedHost(world.host.endpoint.uri)
    host.fail("ensure_started", kind="error", times=6)
    act(made, "rescue", actor=None, image=world.image)
    for _turn in range(40):
        turns(1)
        if Operation.objects.filter(kind="instance.rescue", undoing=True, attempts__gt=0).exists():
            break
    assert metered(made) == set()
    drain()
    made.refresh_from_db()
    assert (made.state, metered(made)) == ("running", {"instance.running"})


@pytest.mark.parametrize("verb", ["reboot", "unrescue"])
def test_a_power_cut_whose_answer_was_lost_is_one(world: World, made: Instance, verb: str) -> None:
    if verb == "unrescue":
        do(made, "rescue", image=world.image)
    SimulatedHost(world.host.endpoint.uri).fail("ensure_stopped", kind="lost", times=1)
    operation = act(made, verb, actor=None, force=True)
    turns(1)
    assert power(world, made) is Power.OFF
    let_go(operation, made)
    assert (made.state, made.rescue_image_id, metered(made)) == ("stopped", None, {"instance.stopped"})


@pytest.mark.parametrize("call", ["boot", "link"])
def test_who_only_waits_is_let_go_when_the_step_is_late(world: World, made: Instance, monkeypatch, call: str) -> None:
    do(made, "rescue", image=world.image)
    answer = {"boot": lambda driver, *_which: None, "link": lambda *_which: Wait(1)}[call]
    monkeypatch.setattr(*{"boot": (SimulatedHypervisor, "ensure_started"), "link": (network, "await_up")}[call], answer)
    operation = act(made, "unrescue", actor=None, force=True)
    turns(2)
    with pytest.raises(StateConflict):
        request_cancel(operation)
    Operation.objects.unfinished().update(step_since="2020-01-01T00:00:00Z")
    let_go(operation, made)
    state = {"boot": "stopped", "link": "running"}[call]
    assert (made.state, made.rescue_image_id, metered(made)) == (state, None, {f"instance.{state}"})


def test_what_runs_again_but_is_not_reached_is_billed(world: World, made: Instance, monkeypatch) -> None:
    do(made, "rescue", image=world.image)

    def unreached(*_which: object) -> None:
        raise HostUnreachable("no answer")

    monkeypatch.setattr(network, "await_up", unreached)
    operation = act(made, "unrescue", actor=None, force=True)
    turns(3)
    assert (power(world, made), metered(made)) == (Power.RUNNING, {"instance.running"})
    assert (let_go(operation, made).state, metered(made)) == ("running", {"instance.running"})


@pytest.mark.parametrize(("said", "down"), [
    ("power_off done", True), ("power_off done, boot done", False), ("power_off done, boot done, boot undone", True),
    ("power_off done, boot done, boot undone, power_off undone", False), ("boot done, boot undone", False),
    ("power_off done, shut_down undone", False)])
def test_what_came_back_is_not_down_any_more(said: str, down: bool) -> None:
    history = [dict(zip(("step", "outcome"), one.split(), strict=True)) for one in said.split(", ")]
    assert steps.is_down(Run(Operation(history=history))) is down
