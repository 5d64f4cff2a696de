"""From plans to rows: golden documents, and what holds for every plan."""
import json
import re
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compute.network.fabric import schema
from compute.network.fabric.contract import FabricAddress
from compute.network.fabric.design import GATEWAYS, public_document, vpc_document
from compute.network.fabric.document import Document, Row
from compute.network.fabric.plan import FloatingPlan, GroupPlan, GroupRule, VpcPlan
from compute.network.fabric.registry import open_fabric
from compute.network.fabric.rules import group_name

from .plans import CHASSIS, allow, default_group, ip, net, port, public, subnet, uid, vpc

GOLDEN = Path(__file__).parent / "golden"


def as_json(document: Document) -> str:
    rows = [{"table": row.table, "key": row.key, **({"extends": True} if row.extends else {}),
             "columns": dict(row.columns), "refs": {name: sorted(keys) for name, keys in row.refs.items()}}
            for row in document.rows]
    return json.dumps({"owner": str(document.owner), "revision": document.revision, "anchor": document.anchor,
                       "rows": rows}, indent=1, sort_keys=True) + "\n"


EVERY_RULE = (
    allow("any"), allow("one", first=22, last=22), allow("range", first=8000, last=8100), allow("open end", first=53),
    allow("udp", protocol="udp", first=123, last=123), allow("all of udp", protocol="udp"),
    allow("ping", protocol="icmp", first=8), allow("ping code", protocol="icmp", first=3, last=4),
    allow("from net", first=5432, last=5432, remote_cidr=net("10.0.0.0/8")),
    allow("from all", protocol="any", remote_cidr=net("0.0.0.0/0")),
    allow("from group", protocol="any", remote_group=uid("other")),
    allow("to group", "egress", remote_group=uid("other"), first=443, last=443),
    allow("to net", "egress", "any", remote_cidr=net("192.168.0.0/16")), allow("to unknown", remote_group=uid("nobody")))

PLANS = {
    "public": lambda: public_document(public()),
    "vpc": lambda: vpc_document(vpc()),
    "vpc-closed": lambda: vpc_document(vpc(gateway=None)),
    "vpc-empty": lambda: vpc_document(vpc(subnets=(), ports=(), groups=(), floating=(), gateway=None)),
    "vpc-rules": lambda: vpc_document(vpc(gateway=None, ports=(), groups=(
        GroupPlan(id=uid("all"), rules=EVERY_RULE), GroupPlan(id=uid("other"))))),
    "vpc-plain-subnet": lambda: vpc_document(vpc(gateway=None, groups=(), subnets=(
        subnet("v1-a", "10.0.1.0/24", has_dhcp=False, dns=(), domain=""),), ports=(
            port("v1-web", "10.0.1.10", "v1-a", hostname="Web", is_enabled=False),
            port("v1-db", "10.0.1.11", "v1-a", hostname="web")))),
}


@pytest.mark.parametrize("name", PLANS)
def test_documents_are_as_they_were_approved(name: str, request: pytest.FixtureRequest) -> None:
    made, file = as_json(PLANS[name]()), GOLDEN / f"{name}.json"
    if request.config.getoption("regenerate"):
        file.write_text(made)
    assert made == file.read_text()


def test_every_column_that_is_known_is_written_by_somebody() -> None:
    """But for what OVN writes itself, and where others may put ACLs."""
    written = {(row.table, name) for plan in PLANS.values() for row in plan().rows for name in (*row.columns, *row.refs)}
    known = {(table, name) for table, declared in schema.TABLES.items() for name in declared.columns}
    assert known - written == {("Logical_Switch_Port", "up"), ("Logical_Switch", "acls")}


# -- what holds for every plan -----------------------------------------------------------------------------------------

names = st.sampled_from([f"n{number}" for number in range(6)])
ports_of_rules = st.one_of(st.none(), st.integers(1, 65535))
rules = st.builds(
    lambda name, direction, protocol, first, last, cidr, group: GroupRule(
        id=uid(f"r{name}"), direction=direction, protocol=protocol, port_min=first, port_max=last,
        remote_cidr=cidr, remote_group=None if cidr else group),
    st.integers(), st.sampled_from(["ingress", "egress"]), st.sampled_from(["tcp", "udp", "any"]), ports_of_rules,
    ports_of_rules, st.one_of(st.none(), st.just(net("10.1.0.0/16"))), st.one_of(st.none(), names.map(uid)))
groups = st.lists(st.builds(lambda name, rules: GroupPlan(id=uid(name), rules=tuple({rule.id: rule for rule in rules}.values())),
                            names, st.lists(rules, max_size=3)), unique_by=lambda group: group.id, max_size=3)


@st.composite
def plans(draw: st.DrawFn) -> VpcPlan:
    count = draw(st.integers(0, 3))
    made = draw(groups)
    subnets = tuple(subnet(f"s{number}", f"10.{number}.0.0/16", has_dhcp=draw(st.booleans())) for number in range(count))
    ports = tuple(port(f"p{number}-{one}", f"10.{number}.0.{one + 9}", f"s{number}", hostname=draw(names),
                       groups=frozenset(draw(st.lists(st.sampled_from([group.id for group in made]))) if made else ()))
                  for number in range(count) for one in range(draw(st.integers(0, 3))))
    floats = tuple(FloatingPlan(id=uid(f"f{one.id}"), address=ip("198.18.7.99"), port=one.id)
                   for one in ports if draw(st.booleans()))
    gateway = draw(st.sampled_from([None, vpc().gateway, replace(vpc().gateway, chassis=())]))
    rules = {rule.id for group in made for rule in group.rules}
    made = [group for group in made if len(rules) == sum(len(group.rules) for group in made)]
    return vpc(draw(names), subnets=subnets, ports=ports, groups=tuple(made), floating=floats, gateway=gateway)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_document_is_sound(plan: VpcPlan) -> None:
    document = vpc_document(plan)
    keys = {row.key: row.table for row in document.rows}
    for row in document.rows:
        for column, value in row.columns.items():
            schema.column(row.table, column).plain(value)
        for column, members in row.refs.items():
            assert {keys[member] for member in members} <= {schema.column(row.table, column).kind}
    assert is_held_once(document)
    assert document == vpc_document(plan)


def is_held_once(document: Document) -> bool:
    """Every row that is no root has exactly one parent: two would be two answers in OVN, none would be none."""
    held = [key for row in document.rows for column, members in row.refs.items()
            if schema.column(row.table, column).strength == "strong" for key in members]
    loose = [row.key for row in document.own if not schema.TABLES[row.table].is_root]
    return sorted(held) == sorted(loose)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_names_fit(plan: VpcPlan) -> None:
    for row in vpc_document(plan).own:
        if row.table == "ACL":
            assert len(row.columns["name"][0]) <= 63 and 0 <= row.columns["priority"] <= 32767
        if row.table == "Port_Group":
            assert re.fullmatch("[a-zA-Z_][a-zA-Z_0-9]*", row.columns["name"])


@settings(max_examples=60, deadline=None)
@given(plans())
def test_matches_name_only_what_is_in_the_document(plan: VpcPlan) -> None:
    document = vpc_document(plan)
    known = {row.key for row in document.own}
    for row in document.own:
        match = str(row.columns.get("match", ""))
        assert set(re.findall(r"[@$](\w+?)(?:_ip4)?\b", match)) <= known
        assert set(re.findall(r'"([^"]+)"', match)) <= known
        assert "!(" not in match and "!ip" not in match, "OVN cannot negate what names a protocol, and drops the flow"


@settings(max_examples=60, deadline=None)
@given(plans())
def test_two_vpcs_have_no_row_in_common(plan: VpcPlan) -> None:
    """Ports, subnets and rules have ids of their own in life; here only what comes from the VPC is told apart."""
    other = replace(plan, id=uid("another"), subnets=(), ports=(), floating=())
    shared = {row.key for row in vpc_document(plan).own} & {row.key for row in vpc_document(other).own}
    assert shared == set()


# -- single choices ----------------------------------------------------------------------------------------------------


def rows(document: Document, table: str) -> list[Row]:
    return [row for row in document.own if row.table == table]


def test_a_vpc_without_a_chassis_has_no_way_out() -> None:
    document = vpc_document(vpc(gateway=replace(vpc().gateway, chassis=())))
    assert not rows(document, "NAT") and not rows(document, "Logical_Router_Static_Route")
    assert not list(document.extended)


def test_load_is_spread_over_chassis_and_few_vpcs_move_when_one_is_added() -> None:
    def first(name: str, chassis: tuple[str, ...]) -> str:
        carriers = rows(vpc_document(vpc(name, gateway=replace(vpc().gateway, chassis=chassis))), "Gateway_Chassis")
        return max(carriers, key=lambda row: row.columns["priority"]).columns["chassis_name"]

    before = {name: first(name, CHASSIS) for name in map(str, range(120))}
    after = {name: first(name, (*CHASSIS, "h4")) for name in before}
    assert all(25 <= list(before.values()).count(chassis) <= 55 for chassis in CHASSIS)
    assert all(after[name] in (chassis, "h4") for name, chassis in before.items())


def test_no_more_chassis_than_are_needed_carry_a_vpc() -> None:
    many = tuple(f"h{number}" for number in range(30))
    carriers = rows(vpc_document(vpc(gateway=replace(vpc().gateway, chassis=many))), "Gateway_Chassis")
    assert len(carriers) == GATEWAYS
    assert len({row.columns["priority"] for row in carriers}) == GATEWAYS


def test_a_floating_ip_keeps_its_mac_wherever_it_goes() -> None:
    def mac(plan: VpcPlan) -> str:
        [row] = [row for row in rows(vpc_document(plan), "NAT") if row.columns["type"] == "dnat_and_snat"]
        return row.columns["external_mac"][0]

    elsewhere = vpc("v2", floating=(replace(vpc().floating[0], port=uid("v2-db")),))
    assert mac(vpc()) == mac(elsewhere) and int(mac(vpc())[:2], 16) & 3 == 2


def test_a_floating_ip_of_a_port_that_is_gone_is_left_out() -> None:
    document = vpc_document(vpc(ports=vpc().ports[1:]))
    assert {row.columns["type"] for row in rows(document, "NAT")} == {"snat"}


def test_all_who_have_a_name_are_found_by_it() -> None:
    same = (port("a", "10.0.1.12", "v1-a", hostname="Web"), port("b", "10.0.2.3", "v1-b", hostname="web"))
    [names] = rows(vpc_document(vpc(ports=same, floating=())), "DNS")
    both = "10.0.1.12 10.0.2.3 ::ffff:10.0.1.12 ::ffff:10.0.2.3"
    assert names.columns["records"] == {"web": both, "web.demo.internal": both}


def test_guests_are_sent_to_the_gateway_for_names_when_nobody_else_is_known() -> None:
    document = vpc_document(vpc(subnets=(subnet("v1-a", "10.0.1.0/24", dns=()),), ports=(), floating=()))
    [lease] = rows(document, "DHCP_Options")
    assert lease.columns["options"]["dns_server"] == "{10.0.1.1}"
    assert any("ip4.dst == {10.0.1.1} && udp.dst == 53" in row.columns["match"] for row in rows(document, "ACL"))


def test_a_rule_for_a_group_means_its_members_in_this_vpc() -> None:
    group = replace(default_group("g"), rules=(allow("r", remote_group=uid("g")),))
    first, second = (vpc_document(vpc(name, groups=(group,))) for name in ("v1", "v2"))
    assert any(f"${group_name(uid('v1'), uid('g'))}_ip4" in row.columns["match"] for row in rows(first, "ACL"))
    assert not any(uid("v1").hex in str(row) for row in second.rows)


def test_the_router_knows_every_inner_network() -> None:
    policies = rows(vpc_document(vpc()), "Logical_Router_Policy")
    inner = [IPv4Network(word.strip()) for word in re.findall(r"{(.*?)}", policies[0].columns["match"])[0].split(",")]
    assert inner == [net("10.0.1.0/24"), net("10.0.2.0/24")]


# -- documents and addresses -------------------------------------------------------------------------------------------


def test_a_document_refuses_a_key_twice_and_an_anchor_that_is_not_there() -> None:
    document = vpc_document(vpc())
    with pytest.raises(ValueError, match="twice"):
        replace(document, rows=(*document.rows, document.rows[0]))
    with pytest.raises(ValueError, match="anchor"):
        replace(document, anchor="nothing")


def test_an_unknown_fabric_is_refused() -> None:
    with pytest.raises(Exception, match="no fabric"):
        open_fabric("calico", FabricAddress(uri="", deployment="d"))


@pytest.mark.parametrize(("table", "column", "value"), [
    ("ACL", "priority", "1000"), ("ACL", "priority", True), ("ACL", "match", ("a", "b")), ("DNS", "records", {"a": 1}),
    ("Logical_Switch_Port", "enabled", (True, False)), ("Logical_Router_Port", "networks", ()), ("ACL", "log", True)])
def test_a_value_that_the_database_would_not_take_is_refused(table: str, column: str, value: object) -> None:
    with pytest.raises(ValueError):
        schema.column(table, column).plain(value)
