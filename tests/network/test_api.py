"""VPCs, subnets, ports, security groups and floating IPs by REST: every verb, and what the fabric holds afterwards."""
from typing import Any

import pytest

from billing.models import UsageInterval
from compute.network import operations, queries
from compute.network.models import Allocation, FloatingIp, Port
from compute.network.operations import make_defaults
from portal.kernel.models import AuditEvent, Operation
from tests.network.networked import API, Networked, settle
from tests.world import drain

COMMON = {"id", "name", "description", "tags", "project", "region", "created_at", "updated_at"}
FIELDS = {
    "vpcs": COMMON | {"cidr", "is_default", "state", "router_address"},
    "subnets": COMMON | {"vpc", "cidr", "gateway", "dhcp", "dns"},
    "ports": COMMON | {"subnet", "vpc", "mac", "ip", "instance", "state", "security_groups", "floating_ip"},
    "security-groups": COMMON | {"is_default", "rules"},
    "security-group-rules": {"id", "security_group", "direction", "protocol", "port_min", "port_max", "remote_cidr",
                             "remote_group", "description", "created_at"},
    "floating-ips": COMMON | {"state", "address", "pool", "port", "instance"},
}


@pytest.fixture
def net(networked_world: Networked) -> Networked:
    return networked_world


@pytest.fixture
def whole(net: Networked) -> dict[str, dict[str, Any]]:
    """One of each, by path."""
    vpc = net.vpc()
    subnet = net.subnet(vpc=vpc["id"])
    group = net.group()
    rule = net.made("security-group-rules", {"security_group": group["id"], "direction": "ingress", "protocol": "udp"})
    port = net.port(subnet["id"], security_groups=[group["id"]])
    return {"vpcs": vpc, "subnets": subnet, "security-groups": group, "security-group-rules": rule, "ports": port,
            "floating-ips": net.floating_ip()}


@pytest.mark.parametrize("path", FIELDS)
def test_what_was_made_is_told_listed_and_shown_alike(net: Networked, whole: dict, path: str) -> None:
    assert whole[path].keys() == FIELDS[path]
    assert whole[path]["id"] in [row["id"] for row in net.listed(path)]
    shown = net.get(f"{path}/{whole[path]['id']}", by="vera")
    assert shown.status_code == 200 and shown.json().keys() == FIELDS[path] and shown["ETag"]


@pytest.mark.parametrize("path", [path for path in FIELDS if path != "security-group-rules"])
def test_a_rename_wants_the_version_that_was_seen(net: Networked, whole: dict, path: str) -> None:
    client, url = net.api(), f"{API}/{path}/{whole[path]['id']}/"
    tag = client.get(url)["ETag"]
    change = {"name": "renamed", "description": "new", "tags": {"env": "prod"}}
    changed = client.patch(url, change, format="json", HTTP_IF_MATCH=tag)
    assert changed.status_code == 200 and change.items() <= changed.json().items()
    assert changed["ETag"] != tag and changed["ETag"] == client.get(url)["ETag"]
    for stale in (client.patch(url, {"name": "again"}, format="json", HTTP_IF_MATCH=tag),
                  client.delete(url, HTTP_IF_MATCH=tag)):
        assert stale.status_code == 412 and stale.json()["code"] == "stale"
    assert client.patch(url, {}, format="json").status_code == 400
    assert client.patch(url, {"cidr": "10.0.0.0/8"}, format="json").json()["errors"] == {"cidr": ["Unknown field."]}
    assert [row["id"] for row in net.listed(path, tag="env:prod", name="renamed")] == [whole[path]["id"]]
    [event] = AuditEvent.objects.filter(resource=whole[path]["id"], action__endswith=".update")
    assert event.after == change and event.before["name"] == whole[path]["name"]


@pytest.mark.parametrize("path", FIELDS)
def test_a_repeated_post_makes_one(net: Networked, path: str) -> None:
    body = {"vpcs": lambda: net.scope | {"name": "net"}, "security-groups": lambda: net.scope | {"name": "web"},
            "floating-ips": lambda: net.scope,
            "subnets": lambda: {"vpc": net.vpc()["id"], "name": "lan", "cidr": "10.1.0.0/24"},
            "ports": lambda: {"subnet": net.subnet()["id"], "name": "card"},
            "security-group-rules": lambda: {"security_group": net.group()["id"], "direction": "egress", "protocol": "tcp"},
            }[path]()
    before = len(net.listed(path))
    first, again = (net.post(path, body, HTTP_IDEMPOTENCY_KEY="k") for _turn in range(2))
    assert first.status_code == again.status_code == 201 and first.json() == again.json()
    assert len(net.listed(path)) == before + 1


def test_deleting_all_leaves_the_fabric_and_the_pool_as_they_were(net: Networked) -> None:
    net.port()  # a neighbour, and the public switch
    before, taken = net.census(), Allocation.objects.count()
    vpc = net.vpc()
    subnet = net.subnet("10.1.0.0/24", vpc["id"])
    port = net.port(subnet["id"], security_groups=[net.group()["id"]])
    floating = net.floating_ip()
    settle()
    assert net.hand.census() != before[0] and Allocation.objects.count() == taken + 2
    group = port["security_groups"][0]
    for path, pk in (("floating-ips", floating["id"]), ("ports", port["id"]), ("security-groups", group),
                     ("subnets", subnet["id"]), ("vpcs", vpc["id"])):
        gone = net.api().delete(f"{API}/{path}/{pk}/")
        assert gone.status_code == 204 and not gone.content
        assert net.get(f"{path}/{pk}").status_code == 404
        assert net.api().delete(f"{API}/{path}/{pk}/").status_code == 404
    assert net.census() == before and Allocation.objects.count() == taken


# -- VPCs and subnets --

def test_a_vpc_is_pending_until_the_fabric_has_it(net: Networked) -> None:
    made = net.vpc()
    assert (made["state"], made["is_default"], made["router_address"]) == ("pending", False, "198.18.200.10")
    settle()
    assert net.get(f"vpcs/{made['id']}").json()["state"] == "active"
    assert net.hand.census()["Logical_Router"] == 1
    assert [row["id"] for row in net.listed("vpcs", state="active")] == [made["id"]]
    assert net.listed("vpcs", state="pending") == []
    net.subnet("10.1.0.0/24", made["id"])
    assert [row["id"] for row in net.listed("vpcs", state="pending")] == [made["id"]]


def test_a_vpc_has_a_network_unless_told_and_two_may_have_the_same(net: Networked) -> None:
    one, other = (net.made("vpcs", net.scope | {"name": name}) for name in "ab")
    assert one["cidr"] == other["cidr"] == "10.0.0.0/16" and one["router_address"] != other["router_address"]
    theirs = {"project": str(net.world.rival_project.pk), "region": str(net.world.region.pk), "name": "c"}
    assert net.made("vpcs", theirs, by="mallory")["cidr"] == "10.0.0.0/16"
    settle()
    assert net.hand.census()["Logical_Router"] == 3


def test_a_subnet_takes_its_first_address_for_the_gateway_unless_told(net: Networked) -> None:
    vpc = net.vpc()["id"]
    plain = net.subnet("10.1.0.0/24", vpc)
    assert (plain["gateway"], plain["dhcp"], plain["dns"]) == ("10.1.0.1", True, [])
    told = net.subnet("10.1.1.0/24", vpc, gateway="10.1.1.254", dhcp=False, dns=["9.9.9.9", "1.1.1.1"])
    assert (told["gateway"], told["dhcp"], told["dns"]) == ("10.1.1.254", False, ["9.9.9.9", "1.1.1.1"])
    assert [row["id"] for row in net.listed("subnets", vpc=vpc, dhcp="false", cidr="10.1.1.0/24")] == [told["id"]]
    assert net.port(told["id"])["ip"] == "10.1.1.1"
    settle()
    assert net.hand.census()["Logical_Switch"] == 3  # both, and the public one


# -- ports and security groups --

def test_ports_take_the_lowest_free_address_or_the_wanted_one(net: Networked) -> None:
    subnet = net.subnet()["id"]
    made = [net.port(subnet), net.port(subnet, ip="10.1.0.77"), net.port(subnet)]
    assert [port["ip"] for port in made] == ["10.1.0.2", "10.1.0.77", "10.1.0.3"]
    assert len({port["mac"] for port in made}) == 3
    assert {port["state"] for port in made} == {"idle"} and {port["instance"] for port in made} == {None}
    net.api().delete(f"{API}/ports/{made[0]['id']}/")
    assert net.port(subnet)["ip"] == "10.1.0.2"
    assert [row["id"] for row in net.listed("ports", ip="10.1.0.77")] == [made[1]["id"]]
    assert len(net.listed("ports", vpc=made[0]["vpc"], state="idle")) == 3
    assert net.listed("ports", state="up") == net.listed("ports", state="down") == []
    assert [row["id"] for row in net.listed("ports", search="10.1.0.7")] == [made[1]["id"]]


def test_a_port_without_groups_gets_the_projects_default(net: Networked) -> None:
    port = net.port()
    [default] = net.listed("security-groups", is_default="true")
    assert port["security_groups"] == [default["id"]]
    allowed = {(rule["direction"], rule["protocol"], rule["port_min"]) for rule in default["rules"]}
    assert allowed == {("ingress", "tcp", 22), ("ingress", "tcp", 80), ("ingress", "icmp", None), ("egress", "any", None)}


def test_a_ports_groups_are_exactly_those_asked_for(net: Networked) -> None:
    web, database = net.group(name="web")["id"], net.group(name="database")["id"]
    port = net.port(security_groups=[web, database])
    assert sorted(port["security_groups"]) == sorted([web, database])
    assert [row["id"] for row in net.listed("ports", security_group=[web, database])] == [port["id"]]
    url = f"{API}/ports/{port['id']}/"
    changed = net.api().patch(url, {"security_groups": [database], "name": "db"}, format="json")
    assert changed.json()["security_groups"] == [database] and changed.json()["name"] == "db"
    settle()
    groups = net.hand.census()["Port_Group"]
    assert net.api().patch(url, {"security_groups": []}, format="json").json()["security_groups"] == []
    settle()
    assert net.hand.census()["Port_Group"] == groups - 1
    assert net.listed("ports", security_group=web) == []


def test_a_rule_is_at_work_once_made_and_no_more_once_deleted(net: Networked) -> None:
    group = net.group()["id"]
    net.port(security_groups=[group])
    settle()
    before = net.hand.census()["ACL"]
    rule = net.made("security-group-rules", {"security_group": group, "direction": "ingress", "protocol": "tcp",
                                             "port_min": 443, "remote_cidr": "198.18.0.0/15", "description": "HTTPS"})
    assert (rule["port_min"], rule["port_max"], rule["remote_cidr"]) == (443, 443, "198.18.0.0/15")
    assert rule in net.get(f"security-groups/{group}").json()["rules"]
    assert [row["id"] for row in net.listed("security-group-rules", security_group=group, direction="ingress")] == [rule["id"]]
    settle()
    assert net.hand.census()["ACL"] == before + 1
    assert net.api().delete(f"{API}/security-group-rules/{rule['id']}/").status_code == 204
    settle()
    assert net.hand.census()["ACL"] == before
    assert net.api().patch(f"{API}/security-group-rules/{rule['id']}/", {}, format="json").status_code == 405


def test_a_rule_may_let_in_another_group(net: Networked) -> None:
    web, database = net.group(name="web")["id"], net.group(name="database")["id"]
    rule = net.made("security-group-rules", {"security_group": database, "direction": "ingress", "protocol": "tcp",
                                             "port_min": 5432, "port_max": 5433, "remote_group": web})
    assert (rule["remote_group"], rule["remote_cidr"]) == (web, None)
    assert [row["id"] for row in net.listed("security-group-rules", remote_group=web)] == [rule["id"]]
    named = net.api().delete(f"{API}/security-groups/{web}/")
    assert named.status_code == 409 and named.json()["code"] == "in_use" and named.json()["count"] == 1


# -- floating IPs --

def succeeded(response: Any) -> Operation:
    assert response.status_code == 202, response.content
    assert response["Location"].endswith(f"/api/v1/operations/{response.json()['id']}/")
    drain()
    operation = Operation.objects.get(pk=response.json()["id"])
    assert operation.state == "succeeded", operation.error
    return operation


def meters(floating: str) -> list[str]:
    """What of it is billed now."""
    running = UsageInterval.objects.filter(resource=floating, period__endswith=None)
    return list(running.values_list("meter", flat=True))


def test_a_floating_ip_is_billed_idle_associated_and_idle_again(net: Networked) -> None:
    port, floating = net.port(), net.floating_ip()
    assert (floating["state"], floating["name"], floating["port"]) == ("idle", floating["address"], None)
    assert meters(floating["id"]) == ["floating_ip.idle"]
    settle()
    before = net.hand.census()
    associated = succeeded(net.post(f"floating-ips/{floating['id']}/actions/associate", {"port": port["id"]}, by="oscar"))
    shown = net.get(f"floating-ips/{floating['id']}").json()
    assert (shown["state"], shown["port"], associated.kind) == ("attached", port["id"], "floating_ip.associate")
    assert net.get(f"ports/{port['id']}").json()["floating_ip"] == floating["id"]
    assert meters(floating["id"]) == ["floating_ip.attached"]
    assert net.hand.census()["NAT"] == before["NAT"] + 1
    for query in ({"state": "attached"}, {"address": floating["address"]}, {"port": port["id"]},
                  {"search": floating["address"]}, {"pool": floating["pool"]}):
        assert [row["id"] for row in net.listed("floating-ips", **query)] == [floating["id"]], query
    assert net.api().delete(f"{API}/floating-ips/{floating['id']}/").json()["code"] == "state_conflict"
    succeeded(net.post(f"floating-ips/{floating['id']}/actions/disassociate", by="oscar"))
    assert net.get(f"floating-ips/{floating['id']}").json()["state"] == "idle"
    assert meters(floating["id"]) == ["floating_ip.idle"] and net.hand.census() == before
    assert net.api().delete(f"{API}/floating-ips/{floating['id']}/").status_code == 204
    assert meters(floating["id"]) == []


def test_an_instance_is_given_by_its_first_port_without_an_address(net: Networked) -> None:
    subnet = net.subnet()["id"]
    instance = str(net.world.image.pk)  # opaque here: any id
    ports = [net.port(subnet) for _card in range(2)]
    for position, port in enumerate(ports):
        use(port["id"], instance, position)
    first, second, third = (net.floating_ip()["id"] for _address in range(3))
    for floating, port in ((first, ports[0]), (second, ports[1])):
        succeeded(net.post(f"floating-ips/{floating}/actions/associate", {"instance": instance}))
        assert FloatingIp.objects.get(pk=floating).port_id == FloatingIp.objects.get(port=port["id"]).port_id
    assert {row["instance"] for row in net.listed("floating-ips", instance=instance)} == {instance}
    none_left = net.post(f"floating-ips/{third}/actions/associate", {"instance": instance})
    assert none_left.status_code == 409 and none_left.json()["code"] == "already_associated"


def use(port: str, instance: str, position: int) -> None:
    Port.objects.filter(pk=port).update(domain=instance, position=position)


def test_a_port_that_is_deleted_leaves_its_floating_ip_idle(net: Networked) -> None:
    port, floating = net.port()["id"], net.floating_ip()["id"]
    succeeded(net.post(f"floating-ips/{floating}/actions/associate", {"port": port}))
    assert net.api().delete(f"{API}/ports/{port}/").status_code == 204
    shown = net.get(f"floating-ips/{floating}").json()
    assert (shown["state"], shown["port"]) == ("idle", None) and meters(floating) == ["floating_ip.idle"]


def test_a_port_that_is_deleted_is_counted_nowhere(net: Networked) -> None:
    port = Port.objects.get(pk=net.port()["id"])
    group, vpc = port.groups.get(), port.subnet.vpc
    operations.create_port(port.subnet, [group], name="other", actor=None)

    def counted() -> tuple[int, int, int]:
        [subnet] = queries.subnet_rows(vpc)
        return queries.group_rows([group])[0].ports, queries.vpc_rows([vpc])[0].ports, subnet.used

    assert counted() == (2, 2, 2)
    assert net.api().delete(f"{API}/ports/{port.pk}/").status_code == 204
    assert counted() == (1, 1, 1)


# -- the catalogue, and what is the operators' alone --

def test_tenants_see_pools_by_name_and_no_fabric(net: Networked) -> None:
    [pool] = net.listed("address-pools", by="mallory", slug="public")
    assert pool == {"id": str(net.pool.pk), "name": "Public", "slug": "public", "region": str(net.world.region.pk)}
    assert net.get("fabrics").status_code == net.get(f"fabrics/{net.fabric.pk}").status_code == 404
    [fabric] = net.listed("fabrics", by="root", health="unknown")
    assert fabric == net.get(f"fabrics/{fabric['id']}", by="root").json()
    assert fabric.keys() == {"id", "region", "driver", "uri", "health", "health_reason", "last_seen_at"}


def test_a_new_project_finds_its_default_network(net: Networked) -> None:
    make_defaults(net.world.project, net.world.people["alice"])
    [vpc], [subnet] = net.listed("vpcs", is_default="true"), net.listed("subnets")
    assert (vpc["cidr"], subnet["cidr"], subnet["vpc"]) == ("10.0.0.0/16", "10.0.0.0/20", vpc["id"])
    assert [group["name"] for group in net.listed("security-groups")] == ["default"]
