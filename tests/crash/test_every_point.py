"""Every operation kind, killed before and after every outside call on the simulated driver."""
import pytest

from compute.hosts.operations import prepare_host
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from portal.kernel.models import Operation
from storage.models import ImageCopy
from tests.crash.harness import census, every_point, one_audit_row
from tests.world import World, drain


def running(world: World) -> Instance:
    operation = create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get(pk=operation.target_id)


def stopped(world: World) -> Instance:
    instance = running(world)
    act(instance, "stop", actor=world.people["alice"], force=True)
    drain()
    return instance


def remove(world: World) -> None:
    """Back to an empty world, so that the next point starts alike."""
    for instance in Instance.objects.exclude(state="deleted"):
        act(instance, "delete", actor=world.people["alice"])
    drain()


def settled_as(world: World, *states: str):
    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        census(world)
        one_audit_row(operation)
        assert Instance.objects.get(pk=operation.target_id).state in states
        remove(world)
        census(world)
    return check


@pytest.mark.slow
@pytest.mark.parametrize(("verb", "begin", "ends"), [
    ("start", stopped, "running"), ("stop", running, "stopped"), ("reboot", running, "running"),
    ("delete", running, "deleted")])
def test_a_verb_killed_anywhere_settles_and_leaves_nothing(world: World, verb: str, begin, ends: str) -> None:
    tally = every_point(lambda: act(begin(world), verb, actor=world.people["alice"]), settled_as(world, ends))
    assert tally.points > 20


@pytest.mark.slow
def test_a_create_killed_anywhere_settles_and_leaves_nothing(world: World) -> None:
    def begin() -> Operation:
        ImageCopy.objects.filter(image=world.image).delete()  # so that bringing the image is interrupted too
        return create_instance(world.order(), actor=world.people["alice"])

    tally = every_point(begin, settled_as(world, "running"))
    assert tally.points > 60


@pytest.mark.slow
def test_a_create_that_fails_and_is_killed_while_undoing_leaves_nothing(world: World) -> None:
    """The host refuses to boot, so that every undo runs, and is killed anywhere in there."""
    from compute.hosts.drivers.simulated import SimulatedHost

    def begin() -> Operation:
        host = SimulatedHost(world.host.endpoint.uri)
        host.heal()
        host.fail("ensure_started", kind="error", times=1000)
        return create_instance(world.order(), actor=world.people["alice"])

    def check(operation: Operation) -> None:
        assert operation.state == "failed" and operation.error["code"] == "host_fault"
        assert Instance.objects.get(pk=operation.target_id).state == "error"
        census(world)
        one_audit_row(operation)
        SimulatedHost(world.host.endpoint.uri).heal()
        remove(world)

    assert every_point(begin, check).points > 80


@pytest.mark.slow
def test_preparing_a_host_killed_anywhere_makes_it_ready(world: World) -> None:
    def begin() -> Operation:
        ImageCopy.objects.all().delete()
        return prepare_host(world.host, actor=world.people["root"])

    def check(operation: Operation) -> None:
        world.host.refresh_from_db()
        assert (operation.state, world.host.state) == ("succeeded", "ready")
        assert ImageCopy.objects.get().is_complete
        census(world)

    assert every_point(begin, check).points > 20
