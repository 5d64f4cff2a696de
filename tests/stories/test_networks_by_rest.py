"""Networks by REST on real guests: a dozen at once on three hosts, names, the way out, floating IPs while running."""
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.stories.cloud import LabCloud
from tests.stories.guests import Guest, Key, at_once, await_made, curl, order, remove_all, wait_for
from tests.stories.portal import Portal

pytestmark = [pytest.mark.lab, pytest.mark.slow]
DOZEN, DOZEN_LIMIT_S = 12, 120
# Counts in its web server's reach, once for each answer of a machine outside.
COUNTER = """
number=0
while :; do
  ping -c 1 -W 1 {outside} > /dev/null 2>&1 && number=$((number + 1))
  echo $number > /run/www/count
  sleep 0.3
done
"""


@dataclass(frozen=True)
class Dozen:
    """Guests of one order, and the seconds from the order to each one's login by SSH."""

    guests: list[Guest]
    seconds: list[float]
    running_s: float


@pytest.fixture(scope="module")
def dozen(portal: Portal, cloud: LabCloud, key: Key) -> Iterator[Dozen]:
    before = cloud.census()
    begun = time.monotonic()
    guests = await_made(portal, order(portal, key, "web", count=DOZEN), key)
    running_s = time.monotonic() - begun

    def login(guest: Guest) -> float:
        guest.await_ssh()
        return time.monotonic() - begun

    yield Dozen(guests, at_once(login, guests), running_s)
    remove_all(portal)
    assert cloud.census() == before


def test_twelve_guests_on_three_hosts_answer_at_floating_ips_with_the_tenants_key(portal: Portal, dozen: Dozen) -> None:
    print(f"\n{DOZEN} guests on three hosts, order to login by SSH at the floating IP: first {min(dozen.seconds):.1f} s, "
          f"last {max(dozen.seconds):.1f} s; running after {dozen.running_s:.1f} s")
    assert max(dozen.seconds) < DOZEN_LIMIT_S
    assert at_once(lambda guest: guest.run("hostname"), dozen.guests) == [f"web-{number}" for number in range(1, DOZEN + 1)]
    assert len({guest.outside for guest in dozen.guests}) == len({guest.inside for guest in dozen.guests}) == DOZEN
    shown = [portal.api("GET", f"instances/{guest.pk}/", who="admin")[1] for guest in dozen.guests]
    assert sorted(Counter(instance["host"] for instance in shown).values()) == [4, 4, 4]
    assert portal.api("GET", f"instances/{dozen.guests[0].pk}/")[1]["host"] is None  # not for tenants to know


def test_inside_each_guest_is_what_the_api_says(dozen: Dozen) -> None:
    def looks(guest: Guest) -> bool:
        card = guest.run("ip address show eth0; ip route")
        return all(text in card for text in (guest.mac, f"{guest.inside}/20", "default via 10.0.0.1"))

    assert all(at_once(looks, dozen.guests))


def test_guests_find_each_other_by_name(dozen: Dozen) -> None:
    ring = list(zip(dozen.guests, [*dozen.guests[1:], dozen.guests[0]], strict=True))
    begun = time.monotonic()
    assert at_once(lambda pair: pair[0].pings(pair[1].name), ring) == [True] * DOZEN
    print(f"\neach pings the next by name: {time.monotonic() - begun:.1f} s")
    begun = time.monotonic()
    assert f"<h1>{dozen.guests[5].name}</h1>" in dozen.guests[4].run(f"wget -q -O - http://{dozen.guests[5].name}/")
    assert time.monotonic() - begun < 4  # a resolver that waits for an answer waits 5 s


def test_a_floating_ip_comes_and_goes_while_the_guest_runs_and_its_way_out_stays(
    portal: Portal, cloud: LabCloud, dozen: Dozen
) -> None:
    guest, neighbour = dozen.guests[:2]
    [floating] = portal.api("GET", f"floating-ips/?instance={guest.pk}")[1]["results"]
    script = COUNTER.format(outside=cloud.facts["public"]["gateway"])
    guest.run(f"setsid sh -c '{script}' > /dev/null 2>&1 &", user="root")
    wait_for(lambda: count(neighbour, guest) > 1, "the guest counts answers from outside", 30)

    begun = time.monotonic()
    act(portal, floating, "disassociate", {})
    wait_for(lambda: not curl(guest.outside, 1), "nobody answers at the address any more", 10)
    print(f"\ndisassociated and gone after {time.monotonic() - begun:.1f} s")
    seen = count(neighbour, guest)
    wait_for(lambda: count(neighbour, guest) > seen + 2, "without a floating IP it still reaches the outside", 30)
    assert open_meters(portal, floating) == ["floating_ip.idle"]

    begun = time.monotonic()
    act(portal, floating, "associate", {"instance": guest.pk})
    wait_for(lambda: f"<h1>{guest.name}</h1>" in curl(guest.outside, 1), "the guest answers at its address again", 10)
    print(f"associated and open after {time.monotonic() - begun:.1f} s")
    assert open_meters(portal, floating) == ["floating_ip.attached"]
    assert portal.api("GET", f"instances/{guest.pk}/")[1]["state"] == "running"


def count(neighbour: Guest, guest: Guest) -> int:
    """What the guest has counted, asked by its neighbour: it may have no address for us."""
    return int(neighbour.ssh(f"wget -q -O - http://{guest.name}/count").stdout.strip() or 0)


def act(portal: Portal, floating: dict[str, Any], verb: str, body: dict[str, Any]) -> None:
    status, operation = portal.api("POST", f"floating-ips/{floating['id']}/actions/{verb}/", body)
    assert status == 202, operation
    assert portal.finish(operation)["state"] == "succeeded"


def open_meters(portal: Portal, floating: dict[str, Any]) -> list[str]:
    """What is being billed of the address now."""
    rows = portal.api("GET", f"usage/?resource={floating['id']}")[1]["results"]
    return [row["meter"] for row in rows if row["end"] is None]
