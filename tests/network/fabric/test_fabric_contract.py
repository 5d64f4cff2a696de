"""The contract that every fabric keeps, on simulated ones and on real OVN databases."""
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from compute.network.fabric.contract import FabricFault, StaleRevision
from compute.network.fabric.design import public_document, vpc_document
from compute.network.fabric.document import Document
from compute.network.fabric.plan import GatewayPlan

from .plans import CHASSIS, allow, default_group, ip, port, public, subnet, uid, vpc
from .stands import Recorder, Stand

HELD_BY = {
    "switch": f"subnet-{uid('v1-a')}", "port": str(uid("v1-web")), "router": f"vpc-{uid('v1')}",
    "router port": f"lrp-{uid('v1-a')}", "gateway port": f"gw-{uid('v1')}", "nat": f"fip-{uid('v1-fip')}",
    "route": f"route-{uid('v1')}", "policy": f"policy-{uid('v1')}-unasked", "carrier": f"gw-{uid('v1')}-h2",
    "lease": f"dhcp-{uid('v1-a')}", "names": f"dns-{uid('v1')}", "port group": f"vpc_{uid('v1').hex}",
    "acl": f"acl-{uid('v1')}-{uid('v1-sg-ssh')}", "link outside": f"pub-{uid('v1')}-{uid('public')}",
}


@pytest.fixture
def network(stand: Stand) -> Stand:
    """With the public network in place."""
    stand.fabric().apply(public_document(public()))
    return stand


def apply(stand: Stand, name: str = "v1", **more: Any) -> Document:
    document = vpc_document(vpc(name, **more))
    stand.fabric().apply(document)
    return document


def has_all(stand: Stand, document: Document) -> bool:
    """Every row that the document lists is there once, with the columns that it lists."""
    rows = {row.key: stand.hand.row(row.key) for row in document.own}
    return all(_same(rows[row.key].get(column), value) for row in document.own for column, value in row.columns.items())


def _same(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, tuple):
        listed = found if isinstance(found, (list, tuple)) else [found]
        return sorted(listed) == sorted(wanted)
    return found == wanted


def test_what_is_applied_is_there(network: Stand) -> None:
    assert has_all(network, apply(network))


def test_applying_again_changes_nothing(network: Stand) -> None:
    document = apply(network)
    before = network.hand.census()
    assert network.fabric().apply(document) is False
    assert network.hand.census() == before == network.fabric().census()


def test_a_newer_revision_of_the_same_is_a_change_that_is_remembered(network: Stand) -> None:
    apply(network)
    assert network.fabric().apply(vpc_document(vpc(revision=7))) is True
    assert network.fabric().owners() == {uid("public"): 1, uid("v1"): 7}


def test_removing_leaves_things_as_they_were(network: Stand) -> None:
    before = network.hand.census()
    apply(network)
    assert network.fabric().remove(uid("v1"), 1) is True
    assert network.hand.census() == before
    assert network.fabric().remove(uid("v1"), 1) is False
    assert network.fabric().owners() == {uid("public"): 1}


@pytest.mark.parametrize("what", HELD_BY)
def test_a_row_removed_by_hand_comes_back(network: Stand, what: str) -> None:
    document = apply(network)
    census = network.hand.census()
    network.hand.remove_row(HELD_BY[what])
    assert network.hand.census() != census
    assert network.fabric().apply(document) is True
    assert network.hand.census() == census
    assert has_all(network, document)
    assert network.fabric().apply(document) is False


@pytest.mark.parametrize(("what", "column", "value"), [
    ("port", "addresses", ["unknown"]), ("port", "port_security", []), ("port", "type", "virtual"),
    ("port", "enabled", [False]), ("acl", "match", "1"), ("acl", "action", "drop"), ("lease", "options", {}),
    ("nat", "logical_ip", "10.0.1.99"), ("carrier", "priority", 77), ("names", "records", {"evil": "6.6.6.6"}),
    ("router port", "networks", ["10.9.9.9/24"]), ("router", "enabled", [False]), ("route", "nexthop", "198.18.7.66")])
def test_what_was_changed_by_hand_is_mended(network: Stand, what: str, column: str, value: Any) -> None:
    document = apply(network)
    network.hand.change_row(HELD_BY[what], column, value)
    assert not has_all(network, document)
    assert network.fabric().apply(document) is True
    assert has_all(network, document)


@pytest.mark.parametrize("what", ["router", "port", "acl", "port group", "names", "nat"])
def test_a_row_whose_marks_were_wiped_is_known_again(network: Stand, what: str) -> None:
    document = apply(network)
    census = network.hand.census()
    network.hand.wipe_marks(HELD_BY[what])
    assert network.fabric().apply(document) is True
    assert network.hand.census() == census == network.fabric().census()


@pytest.mark.parametrize("what", ["names", "lease", "switch", "router"])
def test_a_copy_of_ours_made_by_hand_goes(network: Stand, what: str) -> None:
    document = apply(network)
    census = network.hand.census()
    network.hand.copy_row(HELD_BY[what])
    assert network.fabric().apply(document) is True
    assert network.hand.census() == census


def test_what_is_not_ours_is_left_alone(network: Stand) -> None:
    document = apply(network)
    network.hand.add_foreign_switch("somebody's")
    network.hand.add_foreign_port(HELD_BY["switch"], "guest-of-ours")
    census = network.hand.census()
    assert network.fabric().apply(document) is False
    smaller = vpc_document(vpc(revision=2, ports=vpc().ports[1:], floating=()))
    assert network.fabric().apply(smaller) is True
    assert network.hand.has_port("guest-of-ours")
    network.fabric().remove(uid("v1"), 2)
    assert network.hand.census()["Logical_Switch"] == 2 == census["Logical_Switch"] - 2


def test_another_deployment_in_the_same_place_is_not_ours(network: Stand) -> None:
    apply(network)
    other = network.fabric(deployment="other")
    assert other.owners() == {} and other.census() == {}
    assert other.remove(uid("v1"), 99) is False
    assert other.ports_up([HELD_BY["port"]]) == set()
    assert network.fabric().owners()[uid("v1")] == 1


def test_an_older_document_is_refused_and_changes_nothing(network: Stand) -> None:
    document = apply(network, revision=5)
    for attempt in (lambda: network.fabric().apply(vpc_document(vpc(revision=4, ports=()))),
                    lambda: network.fabric().remove(uid("v1"), 4)):
        with pytest.raises(StaleRevision) as refused:
            attempt()
        assert (refused.value.facts["known"], refused.value.facts["given"]) == (5, 4)
    assert has_all(network, document)


def test_a_port_moves_to_another_subnet(network: Stand) -> None:
    apply(network)
    [web, *others] = vpc().ports
    moved = replace(web, subnet=uid("v1-b"), ip=ip("10.0.2.77"))
    document = apply(network, revision=2, ports=(moved, *others))
    assert has_all(network, document) and network.fabric().apply(document) is False


def test_the_way_out_comes_and_goes(network: Stand) -> None:
    plain = vpc_document(vpc(gateway=None))
    network.fabric().apply(plain)
    census = network.hand.census()
    apply(network, revision=2)
    assert network.hand.census() != census
    apply(network, revision=3, gateway=None)
    assert network.hand.census() == census


def test_the_way_out_moves_to_another_public_network(network: Stand) -> None:
    other = replace(public("other"), cidr=public().cidr, revision=1)
    network.fabric().apply(public_document(other))
    apply(network)
    census = network.hand.census()
    document = apply(network, revision=2, gateway=GatewayPlan(public=other, address=ip("198.18.7.21"), chassis=CHASSIS))
    assert has_all(network, document)
    assert network.hand.census() == census and network.fabric().apply(document) is False


def test_rules_and_members_follow_the_groups(network: Stand) -> None:
    apply(network)
    closed = replace(default_group("v1-sg"), rules=(allow("v1-sg-other", first=8080, last=8090),))
    document = apply(network, revision=2, groups=(closed, default_group("second")),
                     ports=(port("v1-web", "10.0.1.10", "v1-a", "second"),), floating=())
    assert has_all(network, document) and network.fabric().apply(document) is False
    with pytest.raises(StopIteration):
        network.hand.row(HELD_BY["acl"])


def test_nothing_is_half_made_while_the_public_network_is_missing(stand: Stand) -> None:
    with pytest.raises(FabricFault) as missing:
        stand.fabric().apply(vpc_document(vpc()))
    assert missing.value.transient
    assert stand.hand.census() == {}


def test_the_public_network_keeps_its_vpcs_when_it_is_applied_again(network: Stand) -> None:
    document = apply(network)
    assert network.fabric().apply(public_document(public(revision=2))) is True
    assert network.fabric().apply(document) is False
    network.hand.remove_row(f"localnet-{uid('public')}")
    assert network.fabric().apply(public_document(public(revision=2))) is True
    assert network.fabric().apply(document) is False


def test_a_name_that_somebody_else_has_is_a_fault(network: Stand) -> None:
    census = network.hand.census()
    network.hand.add_foreign_port(f"public-{uid('public')}", str(uid("v1-web")))
    with pytest.raises(FabricFault):
        apply(network)
    assert network.hand.census() == census | {"Logical_Switch_Port": 2}


def test_many_vpcs_on_one_public_switch_at_once_all_land(network: Stand) -> None:
    documents = [vpc_document(vpc(f"v{number}", floating=())) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda document: network.fabric().apply(document), documents))
    assert len(network.fabric().owners()) == 9
    assert not any(network.fabric().apply(document) for document in documents)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda document: network.fabric().remove(document.owner, 1), documents))
    assert network.hand.census() == {"Logical_Switch": 1, "Logical_Switch_Port": 1}


def test_one_vpc_by_many_at_once_is_there_once(network: Stand) -> None:
    documents = [vpc_document(vpc(revision=revision)) for revision in (1, 2, 3, 3, 3, 3)]

    def attempt(document: Document) -> None:
        try:
            network.fabric().apply(document)
        except StaleRevision:
            assert document.revision < 3

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(attempt, documents))
    assert network.fabric().owners()[uid("v1")] == 3
    assert network.fabric().apply(documents[-1]) is False


def test_remains_without_an_anchor_have_an_owner_without_a_revision(network: Stand) -> None:
    apply(network)
    network.hand.remove_row(HELD_BY["router"])
    assert network.fabric().owners()[uid("v1")] == 0
    assert network.fabric().remove(uid("v1"), 1) is True
    assert network.fabric().owners() == {uid("public"): 1}


def test_ports_that_are_plugged_in_are_up_and_applying_leaves_that(network: Stand) -> None:
    document, name = apply(network), HELD_BY["port"]
    network.hand.plug(name)
    assert network.fabric().ports_up([name, str(uid("nobody"))]) == {name}
    assert network.fabric().apply(document) is False
    network.hand.unplug(name)
    assert network.fabric().ports_up([name]) == set()
    assert network.fabric().ports_up([]) == set()


def test_the_fence_is_told_of_every_call(network: Stand) -> None:
    fence = Recorder()
    fabric = network.fabric(fence)
    fabric.apply(vpc_document(vpc()))
    fabric.ports_up([])
    fabric.owners()
    fabric.census()
    fabric.remove(uid("v1"), 1)
    verbs = [f"ovn.{verb}" for verb in ("apply", "ports_up", "owners", "census", "remove")]
    assert fence.heard == [f"{moment} {verb}" for verb in verbs for moment in ("before", "after")]


def test_what_the_fence_forbids_does_not_happen(network: Stand) -> None:
    document, fence = vpc_document(vpc()), Recorder(forbids=True)
    with pytest.raises(PermissionError):
        network.fabric(fence).apply(document)
    assert fence.heard == ["before ovn.apply"]
    assert network.fabric().owners() == {uid("public"): 1}


def test_after_a_refusal_the_fence_hears_nothing(network: Stand) -> None:
    apply(network, revision=2)
    fence = Recorder()
    with pytest.raises(StaleRevision):
        network.fabric(fence).apply(vpc_document(vpc(revision=1)))
    assert fence.heard == ["before ovn.apply"]


def test_equal_cidrs_side_by_side(network: Stand) -> None:
    first, second = apply(network, "v1"), apply(network, "v2", floating=(), subnets=(subnet("v2-a", "10.0.1.0/24"),
                                                                                    subnet("v2-b", "10.0.2.0/24")))
    assert has_all(network, first) and has_all(network, second)


def test_a_document_is_checked_before_it_is_sent(network: Stand) -> None:
    document = vpc_document(vpc())
    bad = replace(document, rows=(replace(document.rows[0], columns={"name": 7}), *document.rows[1:]))
    census = network.hand.census()
    with pytest.raises(ValueError):
        network.fabric().apply(bad)
    assert network.hand.census() == census


def test_owners_that_make_no_sense_are_passed_over(network: Stand) -> None:
    apply(network)
    network.hand.change_row(HELD_BY["names"], "external_ids", {
        "mains:deployment": "test", "mains:owner": "nonsense", "mains:revision": "x", "mains:key": "k"}) \
        if network.driver == "ovn" else None
    assert network.fabric().owners().keys() == {uid("public"), uid("v1")}
    assert isinstance(next(iter(network.fabric().owners())), UUID)
