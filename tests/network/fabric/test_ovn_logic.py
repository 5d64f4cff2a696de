"""What OVN makes of our rows: real databases and northd, packets traced through the logical network. No host needed."""
from collections.abc import Iterator

import pytest

from compute.network.fabric import open_fabric
from compute.network.fabric.design import public_document, vpc_document

from .central import Central, wait_until
from .plans import PortPlan, public, subnet, uid, vpc

PORTS = {port.hostname: port for port in vpc().ports}
GATEWAY_MAC = dict(row.columns["networks"] and (row.columns["name"], row.columns["mac"])
                   for row in vpc_document(vpc()).own if row.table == "Logical_Router_Port")


@pytest.fixture(scope="module")
def traced(central: Central) -> Iterator[Central]:
    fabric = open_fabric("ovn", central.unix())
    fabric.apply(public_document(public()))
    fabric.apply(vpc_document(vpc()))
    fabric.apply(vpc_document(vpc("v2", floating=(), subnets=(subnet("v2-a", "10.0.1.0/24"), subnet("v2-b", "10.0.2.0/24")))))
    central.settle()
    yield central
    for owner in (uid("v1"), uid("v2"), uid("public")):
        fabric.remove(owner, 1)
    central.settle()


def sent(source: PortPlan, **fields: object) -> str:
    """A packet from a port, as it may send it."""
    usual = {"inport": f'"{source.id}"', "eth.src": source.mac, "ip4.src": source.ip, "ip.ttl": 64}
    return " && ".join(f"{name} == {value}" for name, value in (usual | fields).items() if value is not None)


def to(other: PortPlan, **fields: object) -> dict[str, object]:
    return {"eth.dst": other.mac, "ip4.dst": other.ip, **fields}


def through_router(address: object, **fields: object) -> dict[str, object]:
    return {"eth.dst": GATEWAY_MAC[f"lrp-{uid('v1-a')}"], "ip4.dst": address, **fields}


def trace(central: Central, packet: str, *options: str) -> str:
    return central.trace("--minimal", *options, f"subnet-{uid('v1-a')}", packet)


def arrives(traced: str, port: PortPlan) -> bool:
    return f'output("{port.id}")' in traced


WEB, DB, APP = PORTS["v1-web"], PORTS["v1-db"], PORTS["v1-app"]


@pytest.mark.parametrize(("what", "fields", "passes"), [
    ("ssh", {"tcp.dst": 22}, True), ("http", {"tcp.dst": 80}, True), ("ping", {"icmp4.type": 8}, True),
    ("other tcp", {"tcp.dst": 8080}, False), ("udp", {"udp.dst": 22}, False), ("sctp", {"sctp.dst": 22}, False),
    ("gre", {"ip.proto": 47}, False), ("names", {"udp.src": 53, "udp.dst": 99}, False),
    ("lease", {"udp.src": 67, "udp.dst": 68}, False), ("lease by another door", {"udp.src": 1067, "udp.dst": 68}, False)])
@pytest.mark.parametrize("other", ["v1-db", "v1-app"])
def test_the_default_group_lets_in_what_it_says(traced: Central, what: str, fields: dict, passes: bool, other: str) -> None:
    """Beside and behind the router."""
    target = to(DB, **fields) if other == "v1-db" else through_router(APP.ip, **fields)
    assert arrives(trace(traced, sent(WEB, **target), "--ct", "new", "--ct", "new"), PORTS[other]) is passes


@pytest.mark.parametrize("fields", [
    {"eth.src": "02:66:66:66:66:66"}, {"ip4.src": "10.0.1.66"}, {"ip4.src": DB.ip}, {"eth.src": DB.mac, "ip4.src": DB.ip}])
def test_a_liar_gets_nowhere(traced: Central, fields: dict) -> None:
    assert "output(" not in trace(traced, sent(WEB, **to(DB, **{"tcp.dst": 22}), **fields))


@pytest.mark.parametrize("fields", [
    {"arp.spa": "10.0.1.1", "arp.sha": WEB.mac}, {"arp.spa": WEB.ip, "arp.sha": DB.mac}])
def test_nobody_claims_anothers_address(traced: Central, fields: dict) -> None:
    packet = {"ip4.src": None, "ip.ttl": None, "eth.dst": "ff:ff:ff:ff:ff:ff", "arp.op": 1, "arp.tpa": DB.ip}
    assert "output(" not in trace(traced, sent(WEB, **(packet | fields)))
    honest = packet | {"arp.spa": WEB.ip, "arp.sha": WEB.mac}
    assert "output(" in trace(traced, sent(WEB, **honest))


def test_nobody_makes_himself_a_router(traced: Central) -> None:
    packet = {"ip4.src": None, "eth.dst": "33:33:00:00:00:01", "ip6.src": "fe80::1", "ip6.dst": "ff02::1", "ip.ttl": 255,
              "icmp6.type": 134, "icmp6.code": 0}
    assert "output(" not in trace(traced, sent(WEB, **packet))


def test_a_request_for_a_lease_is_answered_on_the_spot(traced: Central) -> None:
    request = {"ip4.src": "0.0.0.0", "eth.dst": "ff:ff:ff:ff:ff:ff", "ip4.dst": "255.255.255.255", "udp.src": 68, "udp.dst": 67}
    answered = traced.trace("--detailed", f"subnet-{uid('v1-a')}", sent(WEB, **request))
    assert f"offerip = {WEB.ip}" in answered and "mtu = 1442" in answered
    assert not arrives(answered, DB)


def test_the_way_out_is_through_the_carrier_and_the_routers_address(traced: Central) -> None:
    flows = traced.sbctl("lflow-list", f"vpc-{uid('v1')}")
    assert f"ct_snat_in_czone({vpc().gateway.address})" in flows
    assert f"ct_dnat_in_czone({WEB.ip})" in flows
    assert "10.0.1.0/24" in flows and "10.0.2.0/24" in flows
    traced_out = traced.trace("--detailed", f"subnet-{uid('v1-a')}", sent(DB, **through_router("8.8.8.8", **{"tcp.dst": 443})),
                              "--ct", "new")
    assert f"cr-gw-{uid('v1')}" in traced_out


def test_nothing_leads_from_one_vpc_into_another(traced: Central) -> None:
    """No logical flow of one names anything of the other."""
    for one, other in (("v1", "v2"), ("v2", "v1")):
        foreign = [str(uid(other)), uid(other).hex, *(str(port.id) for port in vpc(other).ports),
                   *(str(uid(f"{other}-{part}")) for part in "ab")]
        for datapath in (f"vpc-{uid(one)}", f"subnet-{uid(f'{one}-a')}", f"subnet-{uid(f'{one}-b')}"):
            flows = traced.sbctl("lflow-list", datapath)
            assert flows and not [name for name in foreign if name in flows]


def test_everything_was_understood(traced: Central) -> None:
    """A match that cannot be read is dropped with a line in the log, and with it what it should have stopped."""
    trace(traced, sent(WEB, **to(DB, **{"tcp.dst": 22})))
    assert traced.complaints() == []


def test_a_match_that_is_not_understood_would_be_noticed(traced: Central) -> None:
    group = f"vpc_{uid('v1').hex}"
    traced.nbctl("acl-add", group, "to-lport", "1", f"outport == @{group} && !ip4", "drop")
    traced.settle()
    try:
        trace(traced, sent(WEB, **to(DB, **{"tcp.dst": 22})))
        assert len(traced.complaints()) >= 1
    finally:
        traced.nbctl("acl-del", group, "to-lport", "1", f"outport == @{group} && !ip4")
        traced.settle()


def test_ovn_does_not_change_our_rows_behind_our_back(traced: Central) -> None:
    fabric, before = open_fabric("ovn", traced.unix()), traced.transactions()
    for document in (public_document(public()), vpc_document(vpc())):
        assert fabric.apply(document) is False
    assert traced.transactions() == before


def test_removing_leaves_nothing_in_the_southbound_database(central: Central) -> None:
    fabric = open_fabric("ovn", central.unix("temporary"))
    central.settle()
    before = central.sbctl("--columns=_uuid", "list", "Datapath_Binding").count("_uuid")
    fabric.apply(public_document(public("p2")))
    gateway = vpc().gateway
    plan = vpc("v9", floating=(), gateway=type(gateway)(public=public("p2"), address=gateway.address, chassis=gateway.chassis))
    fabric.apply(vpc_document(plan))
    central.settle()
    assert central.sbctl("--columns=_uuid", "list", "Datapath_Binding").count("_uuid") == before + 4
    fabric.remove(plan.id, 1)
    fabric.remove(uid("p2"), 1)
    central.settle()
    wait_until(lambda: central.sbctl("--columns=_uuid", "list", "Datapath_Binding").count("_uuid") == before)
