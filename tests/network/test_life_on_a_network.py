"""Instances on networks: addresses, floating IPs, several at once, and nothing left when they go or never come."""
from ipaddress import IPv4Network

import pytest

from billing.models import UsageInterval
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.network.apply import apply_pool, apply_vpc
from compute.network.errors import TooMany
from compute.network.models import AddressPool, Allocation, FloatingIp, Port, Vpc
from compute.network.operations import (
    add_rule,
    allocate_floating_ip,
    associate,
    create_port,
    create_subnet,
    delete_port,
    disassociate,
    release,
)
from compute.network.reconcile import reconcile_fabric
from portal.kernel.errors import InvalidInput, QuotaExceeded, StateConflict
from portal.kernel.models import Hold
from tenants.models import Quota
from tests.network.networked import Networked
from tests.world import drain


def order(net: Networked, **changes):
    return create_instance(net.world.order(**changes), actor=net.world.people["alice"])


def the_instance(operation) -> Instance:
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error
    return Instance.objects.get(pk=operation.target_id)


def test_an_instance_gets_a_port_in_the_default_subnet_and_the_fabric_knows_it(networked_world: Networked) -> None:
    instance = the_instance(order(networked_world))
    port = Port.objects.get(domain=instance.pk)
    assert (port.ip, port.hostname, port.is_up) == ("10.0.0.2", "web", True)
    assert networked_world.hand.has_port(str(port.pk))
    assert not Vpc.objects.exclude(applied_revision__gte=1).exists()


def test_a_deleted_instance_leaves_nothing_in_the_fabric_and_its_address_is_free(networked_world: Networked) -> None:
    networked_world.default_subnet()
    reconcile_fabric(networked_world.fabric)
    before = networked_world.hand.census()
    instance = the_instance(order(networked_world, networks=Networks(has_floating_ip=True)))
    assert networked_world.hand.census() != before
    act(instance, "purge", actor=networked_world.world.people["alice"])
    drain()
    assert networked_world.hand.census() == before
    assert not Port.objects.live().exists() and not Hold.objects.exists()
    [floating] = FloatingIp.objects.live()  # the address is the tenant's until it is released
    assert (floating.state, floating.port) == ("idle", None)


def test_a_failed_create_gives_back_port_and_address_and_bills_nothing(networked_world: Networked) -> None:
    networked_world.default_subnet()
    reconcile_fabric(networked_world.fabric)
    before, allocated = networked_world.hand.census(), Allocation.objects.count()
    SimulatedHost(networked_world.world.host.endpoint.uri).fail("ensure_started", kind="error", times=1000)
    operation = order(networked_world, networks=Networks(has_floating_ip=True), count=2)
    drain()
    operation.refresh_from_db()
    assert operation.state == "failed"
    assert set(Instance.objects.values_list("state", flat=True)) == {"error"}
    assert networked_world.hand.census() == before
    assert Allocation.objects.count() == allocated and not FloatingIp.objects.live().exists()
    assert not UsageInterval.objects.exists() and not Claim.objects.exists()


def test_several_are_made_as_one_operation_with_their_ids_in_its_result(networked_world: Networked) -> None:
    operation = order(networked_world, count=5, networks=Networks(has_floating_ip=True))
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error
    made = Instance.objects.in_bulk(operation.result["instances"])
    assert sorted(row.name for row in made.values()) == [f"web-{number}" for number in range(1, 6)]
    assert {row.state for row in made.values()} == {"running"}
    assert len(set(Port.objects.values_list("ip", flat=True))) == 5
    assert set(FloatingIp.objects.values_list("state", flat=True)) == {"attached"}


def test_several_are_admitted_together_or_not_at_all(networked_world: Networked) -> None:
    world = networked_world.world
    Quota.objects.create(organization=world.project.organization, region=world.region, dimension="instances", limit=4)
    with pytest.raises(QuotaExceeded):
        order(networked_world, count=5)
    assert not Instance.objects.exists()


def test_several_without_room_for_all_take_no_room_at_all(networked_world: Networked) -> None:
    networked_world.world.host.refresh_from_db()
    capacity = networked_world.world.host.capacity["vcpu"]
    networked_world.world.type.vcpus = capacity // 2 - 1
    networked_world.world.type.save()
    operation = order(networked_world, count=3)
    drain()
    operation.refresh_from_db()
    assert (operation.state, operation.error["code"]) == ("failed", "no_capacity")
    assert not Claim.objects.exists()


def test_a_floating_ip_is_billed_idle_then_attached_then_idle(networked_world: Networked) -> None:
    world, alice = networked_world.world, networked_world.world.people["alice"]
    instance = the_instance(order(networked_world))
    floating = allocate_floating_ip(world.project, world.region, actor=alice)
    associate(floating, Port.objects.get(domain=instance.pk), actor=alice)
    drain()
    floating.refresh_from_db()
    assert floating.state == "attached"
    with pytest.raises(StateConflict):
        release(floating, actor=alice)
    disassociate(floating, actor=alice)
    drain()
    floating.refresh_from_db()
    release(floating, actor=alice)
    told = list(UsageInterval.objects.filter(resource=floating.pk).order_by("period").values_list("meter", flat=True))
    assert told == ["floating_ip.idle", "floating_ip.attached", "floating_ip.idle"]
    assert not UsageInterval.objects.filter(resource=floating.pk, period__endswith=None).exists()
    assert not Allocation.objects.filter(resource=floating.pk).exists()


def test_a_port_made_before_is_given_to_one_instance_and_survives_it(networked_world: Networked) -> None:
    alice = networked_world.world.people["alice"]
    port = create_port(networked_world.default_subnet(), [networked_world.default_group()], name="mine", actor=alice)
    instance = the_instance(order(networked_world, networks=Networks(ports=(port,))))
    port.refresh_from_db()
    assert port.domain == instance.pk
    with pytest.raises(StateConflict):
        order(networked_world, name="second", networks=Networks(ports=(port,)))
    with pytest.raises(StateConflict):
        delete_port(port, actor=alice)
    act(instance, "purge", actor=alice)
    drain()
    port.refresh_from_db()
    assert (port.domain, port.deleted_at) == (None, None)
    delete_port(port, actor=alice)


def test_another_projects_networks_are_refused_by_field(networked_world: Networked) -> None:
    world = networked_world.world
    with pytest.raises(InvalidInput) as refused:
        theirs = Networks(subnets=(networked_world.default_subnet(),), groups=(networked_world.default_group(),))
        create_instance(world.order(project=world.rival_project, networks=theirs), actor=world.people["mallory"])
    assert set(refused.value.errors) == {"subnets", "security_groups"}
    assert not Instance.objects.exists()


def test_what_was_changed_by_hand_is_mended_and_strangers_stay(networked_world: Networked) -> None:
    instance = the_instance(order(networked_world))
    port = Port.objects.get(domain=instance.pk)
    networked_world.hand.add_foreign_switch("somebody-else")
    before = networked_world.hand.census()
    networked_world.hand.remove_row(str(port.pk))
    assert not networked_world.hand.has_port(str(port.pk))
    reconcile_fabric(networked_world.fabric)
    assert networked_world.hand.has_port(str(port.pk))
    assert networked_world.hand.census() == before


def test_an_unreachable_fabric_is_shown_and_nothing_is_assumed(networked_world: Networked) -> None:
    instance = the_instance(order(networked_world))
    networked_world.hand.set_unreachable()
    reconcile_fabric(networked_world.fabric)
    networked_world.fabric.refresh_from_db()
    assert networked_world.fabric.health == "unreachable"
    assert Port.objects.get(domain=instance.pk).is_up is True
    networked_world.hand.set_unreachable(False)
    reconcile_fabric(networked_world.fabric)
    networked_world.fabric.refresh_from_db()
    assert networked_world.fabric.health == "up"


def test_a_deleted_vpc_that_somebody_made_again_is_removed(networked_world: Networked) -> None:
    """As by a worker that slept before its transaction and woke after the deletion."""
    from compute.network.operations import delete_vpc

    reconcile_fabric(networked_world.fabric)
    before = networked_world.hand.census()
    vpc = networked_world.default_subnet().vpc
    apply_vpc(vpc.pk)
    delete_vpc(vpc, actor=None)
    reconcile_fabric(networked_world.fabric)  # the deletion was never applied
    assert networked_world.hand.census() == before


def test_a_vpc_from_before_the_public_network_goes_out_by_it_later(networked_world: Networked) -> None:
    AddressPool.objects.update(is_open=False)
    vpc = networked_world.default_subnet().vpc
    assert Vpc.objects.get(pk=vpc.pk).pool is None
    AddressPool.objects.update(is_open=True)
    reconcile_fabric(networked_world.fabric)
    vpc = Vpc.objects.select_related("allocation").get(pk=vpc.pk)
    assert (vpc.pool, vpc.router_address, vpc.state) == (networked_world.pool, "198.18.200.10", "active")


def test_a_vpc_and_a_group_have_limits_that_no_quota_lifts(networked_world: Networked, monkeypatch) -> None:
    from compute.network.operations import security, vpcs

    alice = networked_world.world.people["alice"]
    group, subnet = networked_world.default_group(), networked_world.default_subnet()
    monkeypatch.setattr(vpcs, "MOST_PORTS", 1)
    monkeypatch.setattr(vpcs, "MOST_SUBNETS", 1)
    monkeypatch.setattr(security, "MOST_RULES", group.rules.count())
    create_port(subnet, [group], name="one", actor=alice)
    for too_many in (
        lambda: create_port(subnet, [group], name="two", actor=alice),
        lambda: create_subnet(subnet.vpc, name="two", cidr=IPv4Network("10.0.64.0/24"), actor=alice),
        lambda: add_rule(group, actor=alice, direction="ingress", protocol="udp"),
    ):
        with pytest.raises(TooMany):
            too_many()


def test_a_newer_public_network_does_not_hide_a_vpc_that_was_not_applied(networked_world: Networked) -> None:
    """As when the pool is changed between our look at it and our call."""
    vpc = networked_world.default_subnet().vpc
    pool = AddressPool.objects.get()
    AddressPool.objects.update(revision=2)
    apply_pool(AddressPool.objects.get())
    AddressPool.objects.update(revision=pool.revision)
    port = create_port(networked_world.default_subnet(), [networked_world.default_group()], name="one", actor=None)
    apply_vpc(vpc.pk)
    assert networked_world.hand.has_port(str(port.pk))
