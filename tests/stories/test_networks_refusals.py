"""What cannot be is refused in words on the real fabric too, and leaves not one row in OVN."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stories.cloud import LabCloud
from tests.stories.guests import remove_all
from tests.stories.portal import Portal

pytestmark = pytest.mark.lab
PORTS_OF_A_29 = 5  # eight addresses less network, broadcast and gateway


@dataclass(frozen=True)
class Site:
    """A VPC of the tenant with a subnet of /29."""

    portal: Portal
    cloud: LabCloud
    vpc: str
    subnet: str

    def refused(self, path: str, body: dict[str, Any], *problems: tuple[int, str]) -> dict[str, Any]:
        """The problem of a POST that changes nothing."""
        before = self.now()
        status, problem = self.portal.api("POST", path, body)
        assert (status, problem["code"]) in problems and problem["detail"], problem
        assert self.now() == before
        return problem

    def now(self) -> tuple[object, ...]:
        """All rows of OVN, and how many resources and operations there are."""
        self.portal.await_networks()
        return self.cloud.fabric(), self.portal.query(
            "SELECT (SELECT count(*) FROM kernel_resource), (SELECT count(*) FROM kernel_operation)")

    def no_instance(self, code: tuple[int, str], **changes: object) -> dict[str, Any]:
        return self.refused("instances/", self.portal.body("none", **changes), code)


@pytest.fixture(scope="module")
def site(portal: Portal, cloud: LabCloud) -> Iterator[Site]:
    before = cloud.census()
    vpc = made(portal, "vpcs/", scope(portal) | {"name": "small", "cidr": "10.7.0.0/16"})
    subnet = made(portal, "subnets/", {"vpc": vpc, "name": "eight", "cidr": "10.7.0.0/29"})
    portal.await_networks()
    yield Site(portal, cloud, vpc, subnet)
    remove_all(portal)
    assert portal.api("DELETE", f"vpcs/{vpc}/")[0] == 204
    portal.await_networks()
    assert cloud.census() == before


def scope(portal: Portal, who: str = "tenant") -> dict[str, str]:
    return {"project": portal.demo[who]["project"], "region": portal.demo["region"]}


def made(portal: Portal, path: str, body: dict[str, Any], who: str = "tenant") -> str:
    status, answer = portal.api("POST", path, body, who=who)
    assert status == 201, answer
    return answer["id"]


def test_networks_that_cannot_be(site: Site) -> None:
    for cidr in ("10.7.0.0/29", "10.7.0.0/24", "10.7.0.4/30"):
        site.refused("subnets/", {"vpc": site.vpc, "name": "again", "cidr": cidr}, (409, "cidr_overlaps"), (400, "invalid"))
    outside = {"vpc": site.vpc, "name": "lan", "cidr": "10.7.1.0/24", "gateway": "10.7.2.1"}
    assert "gateway" in site.refused("subnets/", outside, (400, "invalid"))["errors"]
    elsewhere = {"vpc": site.vpc, "name": "lan", "cidr": "10.8.1.0/24"}
    assert "cidr" in site.refused("subnets/", elsewhere, (400, "invalid"))["errors"]
    site.refused("vpcs/", scope(site.portal) | {"name": "public", "cidr": "8.8.0.0/16"}, (400, "invalid"))


def test_the_same_range_in_another_vpc_is_no_overlap(site: Site) -> None:
    before = site.cloud.census()
    twin = made(site.portal, "vpcs/", scope(site.portal) | {"name": "twin", "cidr": "10.7.0.0/16"})
    made(site.portal, "subnets/", {"vpc": twin, "name": "eight", "cidr": "10.7.0.0/29"})
    site.portal.await_networks()
    assert site.cloud.show().count('networks: ["10.7.0.1/29"]') == 2
    assert site.portal.api("DELETE", f"vpcs/{twin}/")[0] == 204
    site.portal.await_networks()
    assert site.cloud.census() == before


def test_a_full_subnet_takes_all_of_an_order_or_none(site: Site) -> None:
    for number in range(PORTS_OF_A_29 - 1):
        made(site.portal, "ports/", {"subnet": site.subnet, "name": f"port {number}"})
    site.no_instance((409, "subnet_full"), subnets=[site.subnet], count=2)  # one would fit
    made(site.portal, "ports/", {"subnet": site.subnet, "name": "the last"})
    site.no_instance((409, "subnet_full"), subnets=[site.subnet])
    problem = site.refused("ports/", {"subnet": site.subnet, "name": "one more"}, (409, "subnet_full"))
    assert problem["size"] == PORTS_OF_A_29 and "10.7.0.0/29" in problem["detail"]


def test_a_full_public_network_leaves_no_instance_half_made(site: Site) -> None:
    [[pool, last]] = site.portal.query("SELECT slug, last FROM network_addresspool")
    squeeze = "UPDATE network_addresspool SET last = %s WHERE slug = %s RETURNING slug"
    taken = [row[0] for row in site.portal.query("SELECT host(address::inet) FROM network_allocation ORDER BY address::inet")]
    try:
        site.portal.query(squeeze, taken[-1], pool)
        site.refused("floating-ips/", scope(site.portal), (409, "address_pool_full"))
        site.no_instance((409, "address_pool_full"), floating_ip=True)
    finally:
        site.portal.query(squeeze, last, pool)


def test_what_is_anothers_is_as_if_it_were_not_there(site: Site) -> None:
    portal = site.portal
    [subnet, *_others] = portal.api("GET", "subnets/", who="rival")[1]["results"]
    [group, *_others] = portal.api("GET", "security-groups/", who="rival")[1]["results"]
    port = made(portal, "ports/", {"subnet": subnet["id"], "name": "theirs"}, who="rival")
    try:
        for field, pk in (("ports", port), ("subnets", subnet["id"]), ("security_groups", group["id"])):
            problem = site.no_instance((404, "not_found"), **{field: [pk]})
            assert all(name.startswith(field) for name in problem["errors"]), problem
        mixed = {"subnet": site.subnet, "name": "mixed", "security_groups": [group["id"]]}
        site.refused("ports/", mixed, (404, "not_found"))
        site.refused("ports/", {"subnet": subnet["id"], "name": "guest"}, (404, "not_found"))
    finally:
        assert portal.api("DELETE", f"ports/{port}/", who="rival")[0] == 204
