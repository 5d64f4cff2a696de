"""What a rival tries on networks by timing, failures and locks: nothing is taken that nobody pays for, nothing waits for ever."""
import threading
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from billing.models import UsageInterval
from compute.hosts.models import Claim, Host
from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.network import operations
from compute.network.apply import changing, vpcs_with
from compute.network.errors import AlreadyAssociated
from compute.network.models import AddressPool, Allocation, FloatingIp, Port, SecurityGroup, Subnet, Vpc
from compute.network.operations.vpcs import lock_groups
from portal.kernel.errors import Busy, StateConflict
from portal.kernel.models import Hold, Operation
from portal.kernel.operations import request_cancel
from tenants.models import Quota
from tests.network.networked import API, Networked
from tests.world import drain


def placed(net: Networked, **changes: Any) -> Operation:
    return create_instance(net.world.order(**changes), actor=net.world.people["alice"])


def running(net: Networked, **changes: Any) -> Instance:
    operation = placed(net, **changes)
    drain()
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error
    return Instance.objects.get(pk=operation.target_id)


# -- addresses that nobody pays for --

def nothing_is_left(net: Networked, allocated: int) -> None:
    assert not FloatingIp.objects.live().exists() and Allocation.objects.count() == allocated
    assert not Port.objects.live().exists() and not Hold.objects.exists() and not Claim.objects.exists()
    assert not UsageInterval.objects.exists()


def test_orders_that_find_no_host_keep_no_public_addresses(net: Networked) -> None:
    """Else a few hopeless orders empty the public network for everybody, free of charge."""
    net.default_subnet()
    allocated = Allocation.objects.count()
    Host.objects.update(is_in_maintenance=True)
    operation = placed(net, count=5, networks=Networks(has_floating_ip=True))
    drain()
    operation.refresh_from_db()
    assert (operation.state, operation.error["code"]) == ("failed", "no_capacity")
    nothing_is_left(net, allocated)


def test_orders_that_are_cancelled_before_they_begin_keep_no_public_addresses(net: Networked) -> None:
    net.default_subnet()
    allocated = Allocation.objects.count()
    operation = placed(net, count=3, networks=Networks(has_floating_ip=True))
    request_cancel(operation)
    drain()
    operation.refresh_from_db()
    assert operation.state == "cancelled"
    nothing_is_left(net, allocated)


def test_a_port_made_before_is_free_again_and_keeps_its_address_when_no_host_is_found(net: Networked) -> None:
    subnet = net.default_subnet()
    port = Port.objects.get(pk=net.port(str(subnet.pk))["id"])
    floating = FloatingIp.objects.get(pk=net.floating_ip()["id"])
    operations.associate(floating, port, actor=None)
    drain()
    Host.objects.update(is_in_maintenance=True)
    placed(net, networks=Networks(ports=(port,)))
    drain()
    port.refresh_from_db()
    floating.refresh_from_db()
    assert (port.deleted_at, port.domain, port.ip) == (None, None, "10.0.0.2")
    assert (floating.state, floating.port_id) == ("attached", port.pk)


def test_an_address_is_metered_by_one_interval_at_a_time_whatever_fails(net: Networked) -> None:
    port = Port.objects.get(pk=net.port(str(net.default_subnet().pk))["id"])
    floating = FloatingIp.objects.get(pk=net.floating_ip()["id"])
    for _again in range(3):
        operation = operations.associate(floating, port, actor=None)
        request_cancel(operation)
        drain()
        floating.refresh_from_db()
        assert (floating.state, floating.port_id) == ("idle", None)
        assert UsageInterval.objects.filter(resource_id=floating.pk, period__upper_inf=True).count() == 1
    operations.release(floating, actor=None)
    assert not UsageInterval.objects.filter(resource_id=floating.pk, period__upper_inf=True).exists()


@pytest.mark.xfail(strict=True, reason="routers' public addresses count in no quota of addresses and cost nothing")
def test_who_may_have_no_public_address_takes_none_by_vpcs(net: Networked, theirs: dict) -> None:
    Quota.objects.create(organization=net.world.rival_project.organization, region=net.world.region,
                         dimension="floating_ips", limit=0)
    AddressPool.objects.update(last="198.18.200.20")
    taken = [net.post("vpcs", theirs | {"name": f"n{number}"}, by="mallory").status_code for number in range(12)]
    assert net.post("floating-ips", net.scope).status_code == 201, taken


# -- rows that are gone or change hands between look and lock --

def test_no_instance_is_plugged_into_a_subnet_that_was_deleted_meanwhile(net: Networked) -> None:
    subnet = Subnet.objects.get(pk=net.subnet()["id"])
    stale = net.world.order(networks=Networks(subnets=(subnet,)))
    operations.delete_subnet(subnet, actor=None)
    with pytest.raises(StateConflict):
        create_instance(stale, actor=None)
    assert not Port.objects.live().exists() and not Instance.objects.exists()


def test_an_address_that_came_to_the_port_meanwhile_is_a_conflict(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    port = Port.objects.get(pk=net.port(str(net.default_subnet().pk))["id"])
    floating = FloatingIp.objects.get(pk=net.floating_ip()["id"])
    lock = Networks.lock

    def late(self: Networks) -> None:
        operations.associate(floating, port, actor=None)
        lock(self)

    monkeypatch.setattr(Networks, "lock", late)
    with pytest.raises(AlreadyAssociated):
        placed(net, networks=Networks(ports=(port,), has_floating_ip=True))


def test_one_port_is_given_to_one_instance_and_one_address(net: Networked) -> None:
    port = Port.objects.get(pk=net.port(str(net.default_subnet().pk))["id"])
    placed(net, networks=Networks(ports=(port,)))
    with pytest.raises(StateConflict):
        placed(net, networks=Networks(ports=(port,)))
    drain()
    one, two = (FloatingIp.objects.get(pk=net.floating_ip()["id"]) for _number in range(2))
    operations.associate(one, port, actor=None)
    with pytest.raises((AlreadyAssociated, Busy)):
        operations.associate(two, port, actor=None)
    with pytest.raises(StateConflict):
        operations.associate(one, port, actor=None)
    two.refresh_from_db()
    assert two.state == "idle"


def test_an_instance_is_not_deleted_under_an_address_that_is_on_its_way(net: Networked) -> None:
    instance = running(net)
    floating = FloatingIp.objects.get(pk=net.floating_ip()["id"])
    port = Port.objects.get(domain=instance.pk)
    operations.associate(floating, port, actor=None)
    with pytest.raises(Busy):
        act(instance, "purge", actor=None)
    drain()
    act(instance, "purge", actor=None)
    for verb in (lambda: operations.disassociate(floating, actor=None), lambda: operations.release(floating, actor=None)):
        with pytest.raises((Busy, StateConflict)):
            verb()
    drain()
    floating.refresh_from_db()
    assert (floating.state, floating.port_id) == ("idle", None)


def test_a_vpc_is_not_deleted_under_an_instance_that_is_being_made(net: Networked) -> None:
    placed(net)
    [vpc] = Vpc.objects.live()
    assert net.api().delete(f"{API}/vpcs/{vpc.pk}/").json()["code"] == "in_use"
    [port] = Port.objects.live()
    assert net.api().delete(f"{API}/ports/{port.pk}/").status_code == 409
    drain()
    assert Instance.objects.get().state == "running"


# -- locks --

def test_a_versioned_change_of_groups_and_a_new_rule_do_not_wait_in_a_circle(racing_world: Networked) -> None:
    """The request waits for the group before it has the VPC, which whoever has the group wants next."""
    net = racing_world
    group, port, client, answers = net.group()["id"], net.port()["id"], net.api(), []
    url = f"{API}/ports/{port}/"
    tag = client.get(url)["ETag"]

    def change() -> None:
        try:
            answers.append(client.patch(url, {"security_groups": [group]}, format="json", HTTP_IF_MATCH=tag).status_code)
        finally:
            connections.close_all()

    changing_it = threading.Thread(target=change)
    with transaction.atomic():
        lock_groups(SecurityGroup.objects.get(pk=group))
        changing_it.start()
        changing_it.join(1)
        changing(Port.objects.get(pk=port).subnet.vpc_id)
    changing_it.join()
    assert answers in ([200], [412])


def test_a_rule_costs_as_much_in_a_vpc_of_many_ports_as_in_one_of_few(net: Networked) -> None:
    """Finding the VPCs of a group must not pair every port of a VPC with every other: 5,000 would be 25 million rows."""
    group = SecurityGroup.objects.get(pk=net.group()["id"])
    operations.add_rule(group, direction="ingress", protocol="tcp", remote_group=group, actor=None)
    subnet = Subnet.objects.get(pk=net.subnet()["id"])
    for number in range(12):
        operations.create_port(subnet, [group], name=f"p{number}", actor=None)
    with CaptureQueriesContext(connection) as asked:
        assert vpcs_with([group.pk]) == {subnet.vpc_id}
    for query in asked:
        with connection.cursor() as cursor:
            cursor.execute(query["sql"])
            assert len(cursor.fetchall()) <= 1
