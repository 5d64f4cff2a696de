"""Many at once, over real connections: exactly as many are made as fit, the rest are refused cleanly, nothing is left half."""
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction
from rest_framework.test import APIClient

from compute.network.apply import changing
from compute.network.models import AddressPool, Allocation, FloatingIp, Port, SecurityGroup, SecurityGroupRule, Subnet, Vpc
from compute.network.operations import add_rule
from compute.network.reconcile import reconcile_fabric
from portal.kernel import live
from portal.kernel.models import Resource
from tenants.models import Quota
from tests.network.networked import API, Networked, settle

Attempt = Callable[[APIClient, int], Any]


@pytest.fixture
def net(racing_world: Networked) -> Networked:
    return racing_world


def at_once(net: Networked, count: int, attempt: Attempt) -> Counter:
    """Send `attempt(client, number)` from as many threads; counts what each was answered."""
    answers, ready = Counter(), threading.Barrier(count)
    clients = [net.api() for _thread in range(count)]
    clients[0].get(f"{API}/regions/")  # the middleware is loaded once, before all of them want it

    def one(number: int) -> None:
        ready.wait()
        try:
            response = attempt(clients[number], number)
            answers[response.status_code if response.status_code < 300 else response.json()["code"]] += 1
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def posting(path: str, body: Callable[[int], dict[str, Any]]) -> Attempt:
    return lambda client, number: client.post(f"{API}/{path}/", body(number), format="json")


def test_of_fifty_ports_as_many_are_made_as_a_small_subnet_holds(net: Networked) -> None:
    subnet = net.subnet("10.1.0.0/28")["id"]
    answers = at_once(net, 50, posting("ports", lambda number: {"subnet": subnet, "name": f"card-{number}"}))
    assert answers == {201: 13, "subnet_full": 37}
    addresses = list(Port.objects.live().values_list("ip", flat=True))
    assert sorted(addresses) == sorted(f"10.1.0.{number}" for number in range(2, 15))
    settle()
    # Three more: the router's port in the subnet, its port in the public switch, and that one's way out.
    assert net.hand.census()["Logical_Switch_Port"] == 13 + 3


def test_an_address_wanted_by_many_is_given_to_one(net: Networked) -> None:
    subnet = net.subnet("10.1.0.0/28")["id"]
    net.port(subnet)
    body = {"subnet": subnet, "name": "card", "ip": "10.1.0.9"}
    assert at_once(net, 20, posting("ports", lambda number: body)) == {201: 1, "address_in_use": 19}
    assert Port.objects.live().filter(ip="10.1.0.9").count() == 1


def test_the_last_public_addresses_go_to_as_many(net: Networked) -> None:
    AddressPool.objects.update(last="198.18.200.12")
    answers = at_once(net, 20, posting("floating-ips", lambda number: net.scope | {"name": f"a{number}"}))
    assert answers == {201: 3, "address_pool_full": 17}
    assert Allocation.objects.count() == FloatingIp.objects.live().count() == 3
    assert Resource.objects.filter(kind="floating_ip").count() == 3


def test_vpcs_and_floating_ips_share_a_pool_without_a_double(net: Networked) -> None:
    AddressPool.objects.update(last="198.18.200.19")

    def either(client: APIClient, number: int) -> Any:
        path = "vpcs" if number % 2 else "floating-ips"
        return client.post(f"{API}/{path}/", net.scope | {"name": f"n{number}"}, format="json")

    assert at_once(net, 24, either) == {201: 10, "address_pool_full": 14}
    assert Vpc.objects.live().count() + FloatingIp.objects.live().count() == 10
    settle()
    assert net.hand.census().get("Logical_Router", 0) == Vpc.objects.live().count()


def test_of_subnets_that_overlap_one_is_made(net: Networked) -> None:
    vpc = net.vpc()["id"]
    cidrs = ["10.1.0.0/24", "10.1.0.128/25", "10.1.0.0/20", "10.1.0.0/16"]
    body = posting("subnets", lambda number: {"vpc": vpc, "name": f"s{number}", "cidr": cidrs[number % 4]})
    assert at_once(net, 20, body) == {201: 1, "cidr_overlaps": 19}
    assert Subnet.objects.live().count() == 1
    apart = posting("subnets", lambda number: {"vpc": net.vpc("10.2.0.0/16")["id"], "name": "s", "cidr": f"10.2.{number}.0/24"})
    assert at_once(net, 8, apart) == {201: 8}


def test_a_quota_admits_exactly_its_number(net: Networked) -> None:
    Quota.objects.create(organization=net.world.project.organization, region=net.world.region, dimension="vpcs", limit=4)
    answers = at_once(net, 16, posting("vpcs", lambda number: net.scope | {"name": f"n{number}"}))
    assert answers == {201: 4, "quota_exceeded": 12}
    assert Vpc.objects.live().count() == Allocation.objects.count() == 4


def test_a_rule_that_many_add_is_there_once_and_goes_once(net: Networked) -> None:
    group = net.group()["id"]
    net.port(security_groups=[group])
    rule = {"security_group": group, "direction": "ingress", "protocol": "tcp", "port_min": 22}
    assert at_once(net, 12, posting("security-group-rules", lambda number: rule)) == {201: 1, "rule_exists": 11}
    [made] = SecurityGroupRule.objects.filter(group=group, port_min=22)
    answers = at_once(net, 8, lambda client, number: client.delete(f"{API}/security-group-rules/{made.pk}/"))
    assert answers[204] >= 1 and set(answers) <= {204, "not_found", "state_conflict"}
    assert not SecurityGroupRule.objects.filter(pk=made.pk).exists()


def test_ports_and_the_end_of_their_vpc_meet_without_a_half(net: Networked) -> None:
    """Either the VPC goes and nothing is in it, or ports were made and it stays."""
    vpc = net.vpc()["id"]
    subnet = net.subnet("10.1.0.0/24", vpc)["id"]
    net.group()

    def either(client: APIClient, number: int) -> Any:
        if number % 4 == 0:
            return client.delete(f"{API}/vpcs/{vpc}/", HTTP_IF_MATCH="*")
        return client.post(f"{API}/ports/", {"subnet": subnet, "name": f"c{number}"}, format="json")

    answers = at_once(net, 16, either)
    assert set(answers) <= {201, 204, "in_use", "state_conflict", "not_found"}, answers
    gone = not Vpc.objects.live().filter(pk=vpc).exists()
    assert gone == (answers[204] == 1) == (not Port.objects.live().filter(subnet=subnet).exists())
    settle()
    assert ("Logical_Router" in net.hand.census()) != gone


def test_a_group_is_deleted_or_used_and_never_both(net: Networked) -> None:
    group, other, subnet = net.group()["id"], net.group(name="other")["id"], net.subnet()["id"]
    port = net.port(subnet)["id"]

    def either(client: APIClient, number: int) -> Any:
        match number % 4:
            case 0:
                return client.delete(f"{API}/security-groups/{group}/")
            case 1:
                return client.post(f"{API}/ports/", {"subnet": subnet, "name": "c", "security_groups": [group]}, format="json")
            case 2:
                return client.patch(f"{API}/ports/{port}/", {"security_groups": [group, other]}, format="json")
        rule = {"security_group": other, "direction": "ingress", "protocol": "tcp", "port_min": 1000 + number}
        return client.post(f"{API}/security-group-rules/", rule | {"remote_group": group}, format="json")

    answers = at_once(net, 24, either)
    assert set(answers) <= {200, 201, 204, "in_use", "state_conflict", "not_found"}, answers
    used = Port.objects.live().filter(groups=group).exists() or SecurityGroupRule.objects.filter(remote_group=group).exists()
    assert used != (answers[204] == 1)


def test_a_rule_that_is_not_yet_committed_reaches_a_port_that_joins_meanwhile(net: Networked) -> None:
    """Whoever comes second finds what the first one brought in; a port waits for the rule, or the rule for the port."""
    group, port, client = net.group()["id"], net.port()["id"], net.api()
    settle()

    def join() -> None:
        try:
            client.patch(f"{API}/ports/{port}/", {"security_groups": [group]}, format="json")
            settle()
        finally:
            connections.close_all()

    joining = threading.Thread(target=join)
    with transaction.atomic():
        add_rule(SecurityGroup.objects.get(pk=group), direction="ingress", protocol="tcp", port_min=443, actor=None)
        joining.start()
        joining.join(1)
    joining.join()
    settle()
    followed = net.hand.census()
    reconcile_fabric(net.fabric)  # a full comparison, which overlooks nothing
    assert followed == net.hand.census()


def test_a_version_is_compared_under_the_locks_of_the_verb_in_their_order(net: Networked) -> None:
    """Whoever has the VPC may still touch its row: a request with If-Match that waits for the VPC does not hold it."""
    vpc, client, answers = net.vpc()["id"], net.api(), []
    url = f"{API}/vpcs/{vpc}/"
    tag = client.get(url)["ETag"]

    def delete() -> None:
        try:
            answers.append(client.delete(url, HTTP_IF_MATCH=tag).json()["code"])
        finally:
            connections.close_all()

    deleting = threading.Thread(target=delete)
    with transaction.atomic():
        [row] = changing(vpc)
        deleting.start()
        deleting.join(1)
        live.touch(row)
    deleting.join()
    assert answers == ["stale"]
