"""A real guest gets a second card while it runs, has an address at it by DHCP, lets it go, and gets one for its next start."""
import time

import pytest

from tests.stories.cloud import LabCloud
from tests.stories.guests import Guest, Key, boot, remove_all, wait_for
from tests.stories.portal import Portal

pytestmark = pytest.mark.lab
PLUGGED_LIMIT_S, LET_GO_LIMIT_S = 30, 40


def do(portal: Portal, guest: Guest, verb: str, limit_s: float = 90, **wishes: object) -> dict:
    status, operation = portal.api("POST", f"instances/{guest.pk}/actions/{verb}/", wishes)
    assert status == 202, operation
    done = portal.finish(operation, limit_s)
    assert done["state"] == "succeeded", done
    return done


def new_subnet(portal: Portal) -> str:
    """Of a VPC of its own, so that no other card is in it."""
    place = {name: portal.demo["tenant"]["project"] if name == "project" else portal.demo[name] for name in ("project", "region")}
    status, vpc = portal.api("POST", "vpcs/", place | {"name": "second", "cidr": "10.9.0.0/16"})
    assert status == 201, vpc
    status, subnet = portal.api("POST", "subnets/", {"vpc": vpc["id"], "name": "second", "cidr": "10.9.1.0/24"})
    assert status == 201, subnet
    return subnet["id"]


def cards(guest: Guest) -> str:
    return guest.run("ip link; ip address; ip route")


def test_a_second_card_comes_by_itself_and_goes(portal: Portal, cloud: LabCloud, key: Key) -> None:
    [guest] = boot(portal, key, "two-cards")
    subnet = new_subnet(portal)
    assert "eth1" not in cards(guest)
    begun = time.monotonic()
    port = portal.api("GET", f"ports/{do(portal, guest, 'attach-port', subnet=subnet)['result']['port']}/")[1]
    assert (port["state"], port["instance"], port["ip"]) == ("up", guest.pk, "10.9.1.2")
    wait_for(lambda: "10.9.1.2/24" in cards(guest), lambda: f"an address by DHCP: {cards(guest)}", PLUGGED_LIMIT_S)
    print(f"\na second card, from the request to its address inside: {time.monotonic() - begun:.1f} s")
    inside = cards(guest)
    assert port["mac"] in inside and inside.count("default via") == 1 and "default via 10.0.0.1 dev eth0" in inside
    assert guest.pings("10.9.1.1"), "the second card reaches the router of its own VPC"
    begun = time.monotonic()
    do(portal, guest, "detach-port", port=port["id"])
    print(f"let go of after {time.monotonic() - begun:.1f} s")
    assert time.monotonic() - begun < LET_GO_LIMIT_S and port["mac"] not in cards(guest)
    assert portal.api("GET", f"ports/{port['id']}/")[0] == 404
    do(portal, guest, "attach-port", subnet=subnet, ip="10.9.1.7")
    wait_for(lambda: "10.9.1.7/24" in cards(guest), lambda: f"a second time: {cards(guest)}", PLUGGED_LIMIT_S)
    do(portal, guest, "reboot", force=True)
    guest.await_ssh()
    wait_for(lambda: "10.9.1.7/24" in cards(guest), lambda: f"after its next start: {cards(guest)}", PLUGGED_LIMIT_S)
    assert "default via 10.0.0.1 dev eth0" in cards(guest)
    remove_all(portal)
    for row in portal.api("GET", "vpcs/?is_default=false")[1]["results"]:
        assert portal.api("DELETE", f"vpcs/{row['id']}/")[0] == 204
    portal.await_networks()
