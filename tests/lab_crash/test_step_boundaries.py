"""Real libvirt, QEMU and OVN: killed at every third step boundary (at all outside calls in `make soak`); nothing is left over."""
import pytest

from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from portal.kernel.models import Operation
from tests.crash.harness import census, every_point, one_audit_row
from tests.crash.test_every_point import the_instance
from tests.lab_crash.conftest import agrees
from tests.soak import SOAKING, STRIDE
from tests.world import World, drain

pytestmark = [pytest.mark.lab, pytest.mark.slow]
KIND, EVERY = ("", STRIDE) if SOAKING else ("step", 3)


# verb, state before, state after, step boundaries at least
VERBS = (("start", "stopped", "running", 6), ("stop", "running", "stopped", 4), ("reboot", "running", "running", 8),
         ("pause", "running", "paused", 2), ("resume", "paused", "running", 6), ("suspend", "running", "suspended", 2),
         ("resume", "suspended", "running", 6), ("delete", "running", "recycled", 2), ("restore", "recycled", "stopped", 2),
         ("purge", "recycled", "deleted", 8))


def test_a_verb_killed_between_its_steps_settles(world: World) -> None:
    for verb, begins, ends, boundaries in VERBS:
        every_boundary_of(world, verb, begins, ends, boundaries)
    leave_nothing(world)


def every_boundary_of(world: World, verb: str, begins: str, ends: str, boundaries: int) -> None:
    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert Instance.objects.get(pk=operation.target_id).state == ends
        census(world)
        agrees(world)
        one_audit_row(operation)

    def begin() -> Operation:
        force = verb in ("stop", "reboot")  # a guest that has not booted yet hears no power button
        return act(the_instance(world, begins), verb, actor=world.people["alice"], force=force)

    tally = every_point(begin, check, only=KIND, stride=EVERY)
    print(f"\n{verb} on real libvirt: killed at {tally.points} points, all settled, nothing left")
    assert tally.points >= -(-boundaries // EVERY)


def test_a_create_killed_between_its_steps_settles(world: World) -> None:
    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        census(world)
        agrees(world)
        one_audit_row(operation)
        leave_nothing(world)

    tally = every_point(lambda: create_instance(world.order(), actor=world.people["alice"]), check, only=KIND, stride=EVERY)
    print(f"\ncreate on real libvirt: killed at {tally.points} points, all settled, nothing left")
    assert tally.points >= -(-12 // EVERY)


def leave_nothing(world: World) -> None:
    for instance in Instance.objects.exclude(state="deleted"):
        act(instance, "purge", actor=world.people["alice"])
    drain()
    census(world)
    agrees(world)
