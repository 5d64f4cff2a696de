"""Operations on networks, killed before and after every statement, host call and fabric transaction: rows and fabric agree."""
import os

import pytest
from django.db import connection, connections

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances import cards
from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.network.apply import apply_vpc
from compute.network.models import Allocation, FloatingIp, Port, Vpc
from compute.network.operations import add_rule, allocate_floating_ip, associate, delete_rule, disassociate, release
from compute.network.reconcile import reconcile_fabric
from portal.kernel import crash
from portal.kernel.models import Operation
from tests.crash.harness import KILLED, Tally, census, every_point, one_audit_row
from tests.network.networked import Networked, settle
from tests.soak import SEED, SOAKING
from tests.soak import STRIDE as SOAK_STRIDE
from tests.world import drain

pytestmark = pytest.mark.slow
# Each point takes longer than one of `test_every_point`, whose steps these are too: a third of its slice.
STRIDE = SOAK_STRIDE if SOAKING else 3 * SOAK_STRIDE
FIRST = 1 + SEED % STRIDE
WITH_ADDRESS = Networks(has_floating_ip=True)


@pytest.fixture
def net(racing_world: Networked) -> Networked:
    racing_world.default_subnet()
    racing_world.default_group()
    settle()
    return racing_world


def agree(net: Networked) -> None:
    """The fabric has every live port and address, and nothing besides; addresses are billed as what they are."""
    instances = Instance.objects.exclude(state__in=["deleted", "error"])
    ports = Port.objects.live()
    assert set(ports.exclude(domain=None).values_list("domain", flat=True)) == set(instances.values_list("pk", flat=True))
    settle()
    before = net.hand.census()
    reconcile_fabric(net.fabric)
    assert net.hand.census() == before, "the fabric differed from the rows"
    assert before["Logical_Switch_Port"] == 3 + ports.count()  # localnet, and two ends at routers
    attached = FloatingIp.objects.live().exclude(port=None)
    assert before["NAT"] == 1 + attached.count()
    assert not FloatingIp.objects.live().filter(state__in=["allocating", "associating", "disassociating"]).exists()
    assert Allocation.objects.count() == Vpc.objects.live().count() + FloatingIp.objects.live().count()
    billed = set(UsageInterval.objects.filter(meter__startswith="floating_ip.", period__endswith=None)
                 .values_list("resource", "meter"))
    assert billed == {(row.pk, f"floating_ip.{row.state}") for row in FloatingIp.objects.live()}


def clear(net: Networked) -> None:
    alice = net.world.people["alice"]
    for instance in Instance.objects.exclude(state="deleted"):
        act(instance, "purge", actor=alice)
    drain()
    for floating in FloatingIp.objects.live():
        release(floating, actor=alice)
    agree(net)
    assert not Port.objects.live().exists() and not FloatingIp.objects.live().exists()


def test_creating_two_with_addresses(net: Networked) -> None:
    def begin() -> Operation:
        return create_instance(net.world.order(networks=WITH_ADDRESS, count=2), actor=net.world.people["alice"])

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert len(operation.result["instances"]) == 2
        assert FloatingIp.objects.live().filter(state="attached").count() == 2
        agree(net)
        clear(net)
        census(net.world)

    told("create of two, networked", every_point(begin, check, first=FIRST, stride=STRIDE), 200)


def test_a_create_that_fails_and_is_killed_while_undoing(net: Networked) -> None:
    host = SimulatedHost(net.world.host.endpoint.uri)

    def begin() -> Operation:
        host.heal()
        host.fail("ensure_started", kind="error", times=1000)
        return create_instance(net.world.order(networks=WITH_ADDRESS), actor=net.world.people["alice"])

    def check(operation: Operation) -> None:
        assert operation.state == "failed" and operation.error["code"] == "host_fault"
        agree(net)
        host.heal()
        clear(net)

    told("create, undone, networked", every_point(begin, check, first=FIRST, stride=STRIDE), 200)


def test_deleting_one_with_an_address(net: Networked) -> None:
    def begin() -> Operation:
        alice = net.world.people["alice"]
        made = create_instance(net.world.order(networks=WITH_ADDRESS), actor=alice)
        drain()
        return act(Instance.objects.get(pk=made.target_id), "purge", actor=alice)

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert [row.state for row in FloatingIp.objects.live()] == ["idle"]
        agree(net)
        one_audit_row(operation)
        clear(net)

    told("delete, networked", every_point(begin, check, first=FIRST, stride=STRIDE), 90)


@pytest.mark.parametrize("verb", ["associate", "disassociate"])
def test_moving_an_address(net: Networked, verb: str) -> None:
    alice = net.world.people["alice"]
    create_instance(net.world.order(), actor=alice)
    drain()
    port = Port.objects.live().get()
    floating = allocate_floating_ip(net.world.project, net.world.region, actor=alice)

    def begin() -> Operation:
        floating.refresh_from_db()
        wanted = {"associate": "idle", "disassociate": "attached"}[verb]
        if floating.state != wanted:
            disassociate(floating, actor=alice) if wanted == "idle" else associate(floating, port, actor=alice)
            drain()
        return disassociate(floating, actor=alice) if verb == "disassociate" else associate(floating, port, actor=alice)

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        agree(net)
        one_audit_row(operation)

    told(verb, every_point(begin, check, first=FIRST, stride=STRIDE), 20)


@pytest.mark.parametrize("verb", ["attach", "detach"])
def test_a_card_that_comes_or_goes_while_it_runs(net: Networked, verb: str) -> None:
    alice, subnet = net.world.people["alice"], net.default_subnet()
    create_instance(net.world.order(), actor=alice)
    drain()
    instance = Instance.objects.get()

    def change(attach: bool) -> Operation:
        if attach:
            return cards.attach(instance, cards.Card(subnet=subnet), actor=alice)
        return cards.detach(instance, Port.objects.live().order_by("position").last(), actor=alice)

    def begin() -> Operation:
        has_two = Port.objects.live().count() == 2
        if has_two == (verb == "attach"):
            change(not has_two)
            drain()
        return change(verb == "attach")

    def check(operation: Operation) -> None:
        assert operation.state == "succeeded", operation.error
        assert Port.objects.live().count() == (2 if verb == "attach" else 1)
        with hypervisor(net.world.host) as driver:
            assert set(driver.taps(instance.pk)) == set(Port.objects.live().values_list("pk", flat=True))
        agree(net)
        one_audit_row(operation)
        census(net.world)

    told(f"{verb} a card", every_point(begin, check, first=FIRST, stride=STRIDE), 20)


def test_a_card_without_a_slot_killed_while_undoing(net: Networked) -> None:
    host, alice, subnet = SimulatedHost(net.world.host.endpoint.uri), net.world.people["alice"], net.default_subnet()
    create_instance(net.world.order(), actor=alice)
    drain()
    instance = Instance.objects.get()

    def begin() -> Operation:
        host.heal()
        host.fail("ensure_plugged", kind="error", times=1000)
        return cards.attach(instance, cards.Card(subnet=subnet), actor=alice)

    def check(operation: Operation) -> None:
        assert operation.state == "failed" and operation.error["code"] == "host_fault"
        assert Port.objects.live().count() == 1
        agree(net)
        census(net.world)

    told("attach a card, undone", every_point(begin, check, first=FIRST, stride=STRIDE), 20)


class Points:
    """A fence that is nothing but crash points: what a doorbell's task passes outside of any operation."""

    def before(self, verb: str) -> None:
        crash.point(f"before {verb}")

    def after(self, verb: str) -> None:
        crash.point(f"after {verb}")


def test_applying_a_rule_killed_anywhere_is_carried_on_by_the_sweep(net: Networked) -> None:
    alice, group = net.world.people["alice"], net.default_group()
    create_instance(net.world.order(), actor=alice)
    drain()
    vpc = Vpc.objects.live().get(is_default=True, project=net.world.project)
    kills = 0
    stride = 1 if SOAKING else 4
    for k in range(1, 200, stride):
        rule = add_rule(group, actor=alice, direction="ingress", protocol="tcp", port_min=8000 + k)
        died = _apply_and_die(vpc.pk, k)
        settle()  # what the sweep would ring for
        assert net.hand.row(f"acl-{vpc.pk}-{rule.pk}")["match"].endswith(f"tcp.dst == {8000 + k}")
        delete_rule(rule, actor=alice)
        agree(net)
        if not died:
            break
        kills += 1
    print(f"\nnetwork.apply: killed at {kills} points, all carried on")
    assert kills * stride >= 10


def told(what: str, tally: Tally, at_least: int) -> None:
    """The harness itself must have seen the whole operation."""
    print(f"\n{what}: killed at {tally.points} points (every {STRIDE}), all settled, rows and fabric agree")
    assert tally.points and (tally.points + 1) * STRIDE > at_least


def _apply_and_die(vpc_id, k: int) -> bool:
    connections.close_all()
    child = os.fork()
    if child == 0:
        code, passed = 1, 0

        def count(_what: str) -> None:
            nonlocal passed
            passed += 1
            if passed >= k:
                os._exit(KILLED)

        try:
            crash.arm(count)
            with connection.execute_wrapper(crash.statement_wrapper):
                apply_vpc(vpc_id, Points())
            code = 0
        finally:
            os._exit(code)
    _pid, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, KILLED)
    return os.waitstatus_to_exitcode(status) == KILLED
