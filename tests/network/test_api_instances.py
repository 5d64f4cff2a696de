"""Instances on networks by REST: orders with subnets, ports, groups and addresses, dry runs, and why it runs where."""
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from compute.hosts.models import Endpoint, Host
from compute.instances.models import Instance
from compute.network.models import AddressPool, FloatingIp, Port
from portal.kernel.models import Operation
from tenants import operations as tenants
from tests.network.networked import API, Networked, settle
from tests.world import drain


@pytest.fixture
def net(networked_world: Networked) -> Networked:
    return networked_world


@pytest.fixture
def order(net: Networked) -> Callable[..., dict[str, Any]]:
    """A body that is accepted."""
    world = net.world
    return lambda **further: net.scope | {"name": "web", "type": str(world.type.pk), "image": str(world.image.pk)} | further


def created(net: Networked, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The instances, as they are shown once they run."""
    response = net.post("instances", body)
    assert response.status_code == 202, response.content
    drain()
    operation = Operation.objects.get(pk=response.json()["id"])
    assert operation.state == "succeeded", operation.error
    return [net.get(f"instances/{pk}").json() for pk in operation.result["instances"]]


def nothing_made(net: Networked, response: Any, status: int, code: str, field: str = "") -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.json()
    assert not field or list(response.json()["errors"]) == [field]
    assert not Instance.objects.exists() and not Operation.objects.filter(kind="instance.create").exists()
    assert not Port.objects.live().exclude(domain=None).exists() and not FloatingIp.objects.live().exists()


def test_an_instance_is_on_the_default_subnet_unless_told(net: Networked, order: Callable) -> None:
    [instance] = created(net, order())
    [address] = instance["addresses"]
    assert address.keys() == {"subnet", "ip", "mac", "floating_ip"}
    assert (address["ip"], address["floating_ip"]) == ("10.0.0.2", None)
    [subnet], [port] = net.listed("subnets"), net.listed("ports", instance=instance["id"], state="up")
    assert (address["subnet"], port["mac"]) == (subnet["id"], address["mac"])
    [listed] = net.listed("instances", by="vera")
    assert listed["addresses"] == instance["addresses"]


def test_several_cards_keep_their_order_and_the_first_has_the_floating_ip(net: Networked, order: Callable) -> None:
    vpc = net.vpc()["id"]
    subnets = [net.subnet(f"10.1.{number}.0/24", vpc)["id"] for number in range(2)]
    group, port = net.group()["id"], net.port(subnets[1], ip="10.1.1.77")["id"]
    body = order(ports=[port], subnets=subnets, security_groups=[group], floating_ip=True)
    [instance] = created(net, body)
    assert [row["ip"] for row in instance["addresses"]] == ["10.1.1.77", "10.1.0.2", "10.1.1.2"]
    [floating] = net.listed("floating-ips", instance=instance["id"])
    assert [row["floating_ip"] for row in instance["addresses"]] == [floating["address"], None, None]
    assert (floating["state"], floating["port"]) == ("attached", port)
    groups = {row["ip"]: row["security_groups"] for row in net.listed("ports", instance=instance["id"])}
    assert groups["10.1.0.2"] == groups["10.1.1.2"] == [group] != groups["10.1.1.77"]
    taken = net.post("instances", order(ports=[port]))
    assert taken.status_code == 409 and taken.json()["code"] in ("state_conflict", "busy")


def test_a_count_is_one_operation_with_all_ids_or_none(net: Networked, order: Callable) -> None:
    made = created(net, order(count=3, floating_ip=True))
    assert [instance["name"] for instance in made] == ["web-1", "web-2", "web-3"]
    addresses = [instance["addresses"][0] for instance in made]
    assert sorted(row["ip"] for row in addresses) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert len({row["floating_ip"] for row in addresses}) == 3
    AddressPool.objects.update(last="198.18.200.15")  # four are taken: three instances, one router
    before = net.census()
    refused = net.post("instances", order(count=3, floating_ip=True))
    assert refused.status_code == 409 and refused.json()["code"] == "address_pool_full"
    assert net.census() == before and Instance.objects.count() == 3


def test_what_an_order_for_networks_cannot_mean_is_named(net: Networked, order: Callable) -> None:
    subnet = net.subnet()["id"]
    port = net.port(subnet)["id"]
    sibling = tenants.create_project(net.world.project.organization, "sibling", actor=None)
    foreign = net.made("vpcs", net.scope | {"project": str(sibling.pk), "name": "theirs"})["id"]
    foreign = net.subnet("10.0.0.0/24", foreign)["id"]
    settle()
    for body, field in (
            ({"count": 0}, "count"), ({"count": 21}, "count"), ({"count": "many"}, "count"), ({"subnets": ["x"]}, "subnets.0"),
            ({"subnets": [subnet] * 9}, "subnets"), ({"subnets": [subnet] * 8, "ports": [port]}, "subnets"),
            ({"ports": [port, port]}, "ports"), ({"ports": [port], "count": 2}, "ports"),
            ({"floating_ip": "yes!"}, "floating_ip"), ({"ports": [port], "security_groups": []}, "security_groups"),
            ({"subnets": [foreign]}, "subnets")):
        nothing_made(net, net.post("instances", order(**body)), 400, "invalid", field)
    AddressPool.objects.update(is_open=False)
    nothing_made(net, net.post("instances", order(floating_ip=True)), 400, "invalid", "floating_ip")


def test_a_key_that_may_not_take_addresses_takes_none_by_an_order(net: Networked, order: Callable) -> None:
    _key, secret = tenants.create_api_key(net.world.people["alice"], name="ci", actor=None, scopes=["instance.create"])
    client = net.api(None)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    url = f"{API}/instances/?dry_run=true"
    image = net.world.image
    assert image.visibility == "public"
    refused = client.post(url, order(floating_ip=True), format="json")
    assert refused.status_code == 403 and refused.json()["permission"] == "floatingip.manage"
    assert client.post(url, order(), format="json").status_code == 200


# -- dry runs --

def forecast(net: Networked, body: dict[str, Any]) -> dict[str, Any]:
    before = net.census()
    response = net.api().post(f"{API}/instances/?dry_run=true", body, format="json")
    assert response.status_code == 200, response.content
    assert net.census() == before
    return response.json()


def test_a_dry_run_counts_ports_addresses_and_all_of_them(net: Networked, order: Callable) -> None:
    one, four = forecast(net, order()), forecast(net, order(count=4, floating_ip=True))
    wanted = {line["resource"]: line["wanted"] for line in four["quota"]}
    assert wanted == {"instances": 4, "vcpus": 4, "memory_mib": 1024, "volumes": 4, "volume_gib": 4, "ports": 4,
                      "floating_ips": 4, "operations": 1}
    assert {line["resource"]: line["wanted"] for line in one["quota"]}["ports"] == 1
    # An instance 0.36, its GiB 0.001, an address 0.01; an hour.
    assert (one["price"]["hourly"]["amount"], four["price"]["hourly"]["amount"]) == ("0.361", "1.484")
    assert one["allowed"] and four["allowed"] and four["placement"] == {"feasible": True, "reasons": []}


def test_a_dry_run_says_what_is_too_little_for_all_of_them(net: Networked, order: Callable) -> None:
    Host.objects.update(memory_mib=3 * 256, reserved_memory_mib=0)
    assert forecast(net, order(count=3))["placement"] == {"feasible": True, "reasons": []}
    four = forecast(net, order(count=4))
    assert four["placement"] == {"feasible": False, "reasons": ["no_memory_mib"]} and not four["allowed"]
    small = net.subnet("10.1.0.0/29")["id"]
    AddressPool.objects.update(last="198.18.200.11")
    full = forecast(net, order(count=3, subnets=[small, small], floating_ip=True))["placement"]
    assert full == {"feasible": False, "reasons": ["address_pool_full", "subnet_full"]}
    Host.objects.update(chassis="")
    assert forecast(net, order())["placement"]["reasons"] == ["no_network"]


# -- lists, and placement --

def test_a_list_of_instances_reads_all_their_addresses_at_once(net: Networked, order: Callable) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert all(row["addresses"][0]["floating_ip"] for row in client.get(f"{API}/instances/").json()["results"])
        return len(captured)

    client = net.api("vera")
    created(net, order(floating_ip=True))
    one = queries()
    created(net, order(count=4, floating_ip=True))
    assert queries() == one


def test_placement_is_told_to_operators_by_host_and_to_tenants_without(net: Networked, order: Callable) -> None:
    endpoint = Endpoint.objects.create(name="sim-2", driver="simulated", uri="simulated:memory/sim-2")
    idle = Host.objects.create(region=net.world.region, zone=net.world.zone, name="sim-2", endpoint=endpoint)
    [instance] = created(net, order())
    url = f"instances/{instance['id']}/placement"
    assert net.get(url, by="vera").json() == {"feasible": True, "reasons": [], "hosts": None}
    told = net.get(url, by="root").json()
    chosen, other = told["hosts"]
    assert (chosen["host"], chosen["name"], chosen["chosen"], chosen["reason"]) == (str(net.world.host.pk), "sim-1", True, "")
    assert chosen["weight"] > 0
    assert other == {"host": str(idle.pk), "name": "sim-2", "chosen": False, "weight": None, "reason": "not_ready"}
    assert net.get(url, by="mallory").status_code == 404


def test_a_tenant_learns_why_nothing_was_found_and_no_names(net: Networked, order: Callable) -> None:
    Host.objects.update(is_in_maintenance=True)
    response = net.post("instances", order())
    drain()
    url = f"instances/{response.json()['target']['id']}/placement"
    assert net.get(url).json() == {"feasible": False, "reasons": ["in_maintenance"], "hosts": None}
    [host] = net.get(url, by="root").json()["hosts"]
    assert (host["name"], host["reason"], host["chosen"]) == ("sim-1", "in_maintenance", False)
