"""What cannot be is refused by name: a clear 4xx problem, nothing made, neither in the rows nor in the fabric."""
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from compute.network.models import AddressPool, Fabric, FloatingIp, Port
from portal.kernel.models import Region
from tenants import operations as tenants
from tenants.models import Quota
from tests.network.networked import API, Networked

HUGE = "1" * 100_000


@pytest.fixture
def net(networked_world: Networked) -> Networked:
    return networked_world


@pytest.fixture
def vpc(net: Networked) -> str:
    return net.vpc("10.1.0.0/16")["id"]


@pytest.fixture
def subnet(net: Networked, vpc: str) -> str:
    return net.subnet("10.1.0.0/24", vpc)["id"]


class Sent(NamedTuple):
    """A request of alice's."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    def to(self, net: Networked) -> Any:
        return getattr(net.api(), self.method)(f"{API}/{self.path}/", self.body, format="json")


def post(path: str, body: dict[str, Any] | None = None) -> Sent:
    return Sent("post", path, body)


def delete(path: str) -> Sent:
    return Sent("delete", path)


def refused(net: Networked, sent: Sent, status: int, code: str, field: str = "") -> dict[str, Any]:
    """The problem document of a request that changes nothing."""
    before = net.census()
    response = sent.to(net)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert response["Content-Type"] == "application/problem+json"
    assert problem["detail"] and len(response.content) < 2000 and "{" not in problem["detail"]
    if field:
        assert list(problem["errors"]) == [field], problem
    assert net.census() == before
    return problem


# -- networks and addresses that cannot be --

def test_subnets_of_a_vpc_do_not_overlap(net: Networked, vpc: str, subnet: str) -> None:
    for cidr in ("10.1.0.0/24", "10.1.0.128/25", "10.1.0.0/20"):
        problem = refused(net, post("subnets", {"vpc": vpc, "name": "again", "cidr": cidr}), 409, "cidr_overlaps")
        assert (problem["cidr"], problem["other"], problem["name"]) == (cidr, "10.1.0.0/24", "lan")


NO_SUBNETS = [
    ({"cidr": "10.2.0.0/24"}, "cidr"), ({"cidr": "10.0.0.0/8"}, "cidr"), ({"cidr": "10.1.1.0/30"}, "cidr"),
    ({"cidr": "10.1.1.0/24", "gateway": "10.1.2.1"}, "gateway"), ({"cidr": "10.1.1.0/24", "gateway": "10.1.1.0"}, "gateway"),
    ({"cidr": "10.1.1.0/24", "gateway": "10.1.1.255"}, "gateway"), ({"cidr": "10.1.1.0/24", "gateway": "fe80::1"}, "gateway"),
    ({"cidr": "10.1.1.0/24", "dns": ["resolver"]}, "dns.0"), ({"cidr": "10.1.1.0/24", "dns": ["9.9.9.9"] * 5}, "dns"),
    ({"cidr": "10.1.1.0/24", "dhcp": "perhaps"}, "dhcp"), ({}, "cidr"), ({"cidr": "10.1.1.0/24", "mtu": 1}, "mtu"),
]


def test_a_subnet_that_cannot_be_names_its_field(net: Networked, vpc: str) -> None:
    for body, field in NO_SUBNETS:
        refused(net, post("subnets", {"vpc": vpc, "name": "lan"} | body), 400, "invalid", field)


NO_NETWORKS = [
    ("10.1.0.5/24", "The network would be 10.1.0.0/24"), ("10.1.0.0/8", "The network would be 10.0.0.0/8"),
    ("fd00::/64", "IPv6 is not offered yet"), ("fd00::1/64", "IPv6 is not offered yet"), ("::/0", "IPv6 is not offered yet"),
    ("nonsense", "not an IPv4 network"), ("10.1.0.0", "not an IPv4 network"), ("10.1.0.0/33", "not an IPv4 network"),
    ("10.1.0.0/255.255.0.0", "not an IPv4 network"), ("010.1.0.0/16", "not an IPv4 network"), ("", "not an IPv4 network"),
    (" 10.1.0.0/16", "not an IPv4 network"), ("١٠.1.0.0/16", "not an IPv4 network"), (HUGE, "not an IPv4 network"),
    (f"10.1.0.0/{HUGE}", "not an IPv4 network"), (f"10.1.0.0/16{' ' * 5000}", "not an IPv4 network"),
    (167837696, "not an IPv4 network"), (["10.1.0.0/16"], "not an IPv4 network"), ({}, "not an IPv4 network"),
    (True, "not an IPv4 network"), (None, "may not be null"), ("10.1.0.0/16\0", "NUL"),
    ("8.8.8.0/24", "private range"), ("0.0.0.0/0", "private range"), ("127.0.0.0/16", "private range"),
    ("169.254.0.0/16", "private range"), ("224.0.0.0/16", "private range"), ("198.18.200.0/24", "private range"),
    ("192.168.0.0/15", "private range"), ("10.0.0.0/8", "between /16 and /28"), ("10.1.0.0/29", "between /16 and /28"),
    ("10.1.0.1/32", "between /16 and /28"),
]


def test_a_network_that_is_none_for_a_vpc_is_told_why(net: Networked) -> None:
    for cidr, said in NO_NETWORKS:
        problem = refused(net, post("vpcs", net.scope | {"name": "net", "cidr": cidr}), 400, "invalid", "cidr")
        assert said in problem["errors"]["cidr"][0], str(cidr)[:40]


def test_an_address_that_a_port_cannot_have_is_refused(net: Networked, subnet: str) -> None:
    for ip in ("10.1.1.5", "10.1.0.1", "10.1.0.0", "10.1.0.255", "fd00::5", "10.1.0", HUGE, 5, [], "10.1.0.5/24", "010.1.0.5"):
        refused(net, post("ports", {"subnet": subnet, "name": "x", "ip": ip}), 400, "invalid", "ip")


def test_an_address_that_another_port_has_is_refused(net: Networked, subnet: str) -> None:
    net.port(subnet, ip="10.1.0.5")
    problem = refused(net, post("ports", {"subnet": subnet, "name": "x", "ip": "10.1.0.5"}), 409, "address_in_use")
    assert (problem["address"], problem["subnet"]) == ("10.1.0.5", "lan")


def test_a_vpc_over_the_public_network_would_shadow_it(net: Networked) -> None:
    AddressPool.objects.filter(pk=net.pool.pk).update(cidr="10.9.0.0/16")
    refused(net, post("vpcs", net.scope | {"name": "net", "cidr": "10.9.8.0/24"}), 409, "cidr_overlaps")


# -- what is full --

def test_a_full_subnet_says_how_many_it_holds(net: Networked, vpc: str) -> None:
    small = net.subnet("10.1.0.0/29", vpc)["id"]
    assert [net.port(small)["ip"] for _port in range(5)] == [f"10.1.0.{number}" for number in range(2, 7)]
    problem = refused(net, post("ports", {"subnet": small, "name": "x"}), 409, "subnet_full")
    assert (problem["size"], problem["cidr"]) == (5, "10.1.0.0/29")


def test_a_full_address_pool_refuses_addresses_and_vpcs(net: Networked) -> None:
    AddressPool.objects.filter(pk=net.pool.pk).update(last="198.18.200.11")
    net.vpc()  # its router takes one
    net.floating_ip()
    problem = refused(net, post("floating-ips", net.scope), 409, "address_pool_full")
    assert (problem["pool"], problem["size"]) == ("Public", 2)
    refused(net, post("vpcs", net.scope | {"name": "more"}), 409, "address_pool_full")


def one_more(net: Networked, dimension: str) -> Sent:
    """A request that takes one more of the dimension."""
    vpc = net.vpc()["id"]
    subnet, group = net.subnet("10.1.0.0/24", vpc)["id"], net.group()["id"]
    net.port(subnet)
    net.floating_ip()
    rule = {"security_group": group, "direction": "ingress", "protocol": "udp"}
    return {"vpcs": post("vpcs", net.scope | {"name": "x"}),
            "subnets": post("subnets", {"vpc": vpc, "name": "x", "cidr": "10.1.1.0/24"}),
            "ports": post("ports", {"subnet": subnet, "name": "x"}),
            "security_groups": post("security-groups", net.scope | {"name": "x"}),
            "security_group_rules": post("security-group-rules", rule),
            "floating_ips": post("floating-ips", net.scope)}[dimension]


@pytest.mark.parametrize(("dimension", "used"), [
    ("vpcs", 1), ("subnets", 1), ("ports", 1), ("security_groups", 2), ("security_group_rules", 5), ("floating_ips", 1)])
def test_a_quota_that_is_used_up_is_told_with_its_figures(net: Networked, dimension: str, used: int) -> None:
    sent = one_more(net, dimension)
    Quota.objects.create(project=net.world.project, region=net.world.region, dimension=dimension, limit=used)
    problem = refused(net, sent, 409, "quota_exceeded")
    assert {name: problem[name] for name in ("resource", "scope", "limit", "used", "wanted")} == {
        "resource": dimension, "scope": "web", "limit": used, "used": used, "wanted": 1}
    Quota.objects.update(limit=used + 1)
    assert sent.to(net).status_code == 201


# -- what is another's --

@pytest.fixture
def theirs(net: Networked) -> dict[str, str]:
    """The rival's network."""
    scope = {"project": str(net.world.rival_project.pk), "region": str(net.world.region.pk), "name": "theirs"}
    vpc = net.made("vpcs", scope, by="mallory")["id"]
    subnet = net.made("subnets", {"vpc": vpc, "name": "theirs", "cidr": "10.0.0.0/24"}, by="mallory")["id"]
    return {"vpc": vpc, "subnet": subnet, "group": net.made("security-groups", scope, by="mallory")["id"],
            "port": net.made("ports", {"subnet": subnet, "name": "theirs"}, by="mallory")["id"]}


def test_what_is_the_rivals_answers_like_what_is_not_there(net: Networked, subnet: str, theirs: dict) -> None:
    port, floating = net.port(subnet)["id"], net.floating_ip()["id"]
    group = net.group()["id"]
    sent = [
        ("subnets", lambda pk: {"vpc": pk, "name": "x", "cidr": "10.0.1.0/24"}, "vpc", "vpc"),
        ("ports", lambda pk: {"subnet": pk, "name": "x"}, "subnet", "subnet"),
        ("ports", lambda pk: {"subnet": subnet, "name": "x", "security_groups": [pk]}, "group", "security_groups.0"),
        ("security-group-rules", lambda pk: {"security_group": pk, "direction": "ingress", "protocol": "any"}, "group",
         "security_group"),
        ("security-group-rules", lambda pk: {"security_group": group, "direction": "ingress", "protocol": "any",
                                             "remote_group": pk}, "group", "remote_group"),
        (f"floating-ips/{floating}/actions/associate", lambda pk: {"port": pk}, "port", "port"),
        (f"floating-ips/{floating}/actions/associate", lambda pk: {"instance": pk}, "port", "instance"),
    ]
    for path, body, kind, field in sent:
        hidden = refused(net, post(path, body(theirs[kind])), 404, "not_found", field)
        absent = refused(net, post(path, body(str(uuid4()))), 404, "not_found", field)
        assert hidden | {"request_id": ""} == absent | {"request_id": ""}
    change = Sent("patch", f"ports/{port}", {"security_groups": [theirs["group"]]})
    refused(net, change, 404, "not_found", "security_groups.0")


@pytest.fixture
def sibling(net: Networked) -> dict[str, str]:
    """Another project of our own."""
    project = tenants.create_project(net.world.project.organization, "sibling", actor=None)
    return {"project": str(project.pk), "region": str(net.world.region.pk), "name": "sibling"}


def test_projects_of_one_organization_share_no_groups_and_ports(net: Networked, subnet: str, sibling: dict) -> None:
    group, own = net.made("security-groups", sibling)["id"], net.group()["id"]
    body = {"subnet": subnet, "name": "x", "security_groups": [group]}
    refused(net, post("ports", body), 400, "invalid", "security_groups")
    rule = {"security_group": own, "direction": "ingress", "protocol": "any", "remote_group": group}
    refused(net, post("security-group-rules", rule), 400, "invalid", "remote_group")
    floating, port = net.made("floating-ips", sibling)["id"], net.port(subnet)["id"]
    refused(net, post(f"floating-ips/{floating}/actions/associate", {"port": port}), 400, "invalid", "port")


def test_a_region_without_networks_says_so(net: Networked) -> None:
    bare = Region.objects.create(slug="bare", name="Bare")
    scope = net.scope | {"region": str(bare.pk), "name": "x"}
    for path in ("vpcs", "security-groups"):
        refused(net, post(path, scope), 409, "no_network")
    refused(net, post("floating-ips", scope), 409, "no_public_network")
    Fabric.objects.create(region=bare, driver="simulated", uri=f"simulated:memory/{uuid4()}")
    made = net.made("vpcs", scope)
    assert made["router_address"] is None
    foreign = scope | {"pool": str(net.pool.pk)}
    refused(net, post("floating-ips", foreign), 400, "invalid", "pool")
    Region.objects.filter(pk=bare.pk).update(is_open=False)
    refused(net, post("vpcs", scope), 400, "invalid", "region")


def test_a_closed_pool_gives_out_nothing(net: Networked) -> None:
    AddressPool.objects.filter(pk=net.pool.pk).update(is_open=False)
    refused(net, post("floating-ips", net.scope), 409, "no_public_network")
    named = net.scope | {"pool": str(net.pool.pk)}
    refused(net, post("floating-ips", named), 400, "invalid", "pool")


def test_an_address_that_nobody_could_bill_is_not_given(net: Networked) -> None:
    AddressPool.objects.filter(pk=net.pool.pk).update(slug="unpriced")
    refused(net, post("floating-ips", net.scope), 400, "no_price")


# -- rules --

NO_RULES = [
    ({"protocol": "icmp", "port_min": 1}, "port_min"), ({"protocol": "any", "port_max": 80}, "port_min"),
    ({"port_min": 90, "port_max": 80}, "port_max"), ({"port_min": 0}, "port_min"), ({"port_max": 65536}, "port_max"),
    ({"port_min": "ssh"}, "port_min"), ({"port_min": 2**63}, "port_min"), ({"remote_cidr": "10.0.0.1/8"}, "remote_cidr"),
    ({"remote_cidr": "fd00::/8"}, "remote_cidr"), ({"direction": "sideways"}, "direction"), ({"protocol": "sctp"}, "protocol"),
    ({"protocol": 6}, "protocol"), ({"description": "x" * 201}, "description"), ({"action": "drop"}, "action"),
]


def test_a_rule_that_cannot_be_names_its_field(net: Networked) -> None:
    group = net.group()["id"]
    for rule, field in NO_RULES:
        body = {"security_group": group, "direction": "ingress", "protocol": "tcp"} | rule
        refused(net, post("security-group-rules", body), 400, "invalid", field)


def test_a_rule_has_one_remote_and_is_made_once(net: Networked) -> None:
    group = net.group()["id"]
    rule = {"security_group": group, "direction": "ingress", "protocol": "tcp", "port_min": 22}
    both = rule | {"remote_cidr": "10.0.0.0/8", "remote_group": group}
    refused(net, post("security-group-rules", both), 400, "invalid", "remote_group")
    net.made("security-group-rules", rule)
    refused(net, post("security-group-rules", rule | {"port_max": 22}), 409, "rule_exists")


# -- what is in use --

def test_what_is_in_use_is_not_deleted(net: Networked, vpc: str, subnet: str) -> None:
    port = net.port(subnet)
    [default] = port["security_groups"]
    for path, pk, users in (("vpcs", vpc, "ports"), ("subnets", subnet, "ports")):
        problem = refused(net, delete(f"{path}/{pk}"), 409, "in_use")
        assert (problem["count"], problem["users"]) == (1, users)
    refused(net, delete(f"security-groups/{default}"), 409, "state_conflict")
    Port.objects.filter(pk=port["id"]).update(domain=uuid4())
    refused(net, delete(f"ports/{port['id']}"), 409, "state_conflict")


def test_an_associated_address_is_neither_released_nor_associated_again(net: Networked, subnet: str) -> None:
    ports = [net.port(subnet)["id"] for _port in range(2)]
    first, second = net.floating_ip()["id"], net.floating_ip()["id"]
    action = f"floating-ips/{first}/actions"
    refused(net, post(f"{action}/disassociate"), 409, "state_conflict")
    for body, field in (({}, "port"), ({"port": ports[0], "instance": ports[0]}, "instance"), ({"port": 5}, "port")):
        refused(net, post(f"{action}/associate", body), 404 if field == "instance" else 400,
                "not_found" if field == "instance" else "invalid", field)
    assert net.post(f"{action}/associate", {"port": ports[0]}).status_code == 202
    refused(net, post(f"{action}/associate", {"port": ports[1]}), 409, "state_conflict")
    other = f"floating-ips/{second}/actions/associate"
    problem = refused(net, post(other, {"port": ports[0]}), 409, "already_associated")
    assert problem["address"] == FloatingIp.objects.get(pk=first).address
    refused(net, delete(f"floating-ips/{first}"), 409, "busy")
    refused(net, delete(f"ports/{ports[0]}"), 409, "busy")


# -- queries --

NO_QUERIES = [
    ("vpcs", {"state": "great"}), ("vpcs", {"cidr": "10.0.0.1/8"}), ("vpcs", {"cidr": HUGE[:3000]}),
    ("vpcs", {"is_default": "1"}),
    ("subnets", {"vpc": "x"}), ("subnets", {"gateway": "router"}), ("subnets", {"state": "active"}), ("ports", {"ip": "fd00::1"}),
    ("ports", {"ip": "10.0.0"}), ("ports", {"security_group": "x"}), ("ports", {"state": "gone"}), ("ports", {"instance": "1"}),
    ("floating-ips", {"address": "nonsense"}), ("floating-ips", {"address": "10.0.0.1/32"}), ("floating-ips", {"state": "x"}),
    ("security-group-rules", {"protocol": "sctp"}), ("security-group-rules", {"name": "x"}), ("address-pools", {"cidr": "x"}),
    ("ports", {"ordering": "mac"}), ("vpcs", {"search": "x" * 201}),
]


def test_a_query_that_makes_no_sense_names_the_parameter(net: Networked) -> None:
    for path, query in NO_QUERIES:
        response = net.get(path, **query)
        assert response.status_code == 400 and list(response.json()["errors"]) == list(query), (path, query)
