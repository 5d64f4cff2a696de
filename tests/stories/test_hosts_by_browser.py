"""A fourth host: switched on in the lab, added in admin by name and address, ready by itself, and its first instance."""
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from compute.lab import HostFacts
from tests.stories.browsing import shoot, sign_in, until
from tests.stories.cloud import EXTRA_HOST, LabCloud
from tests.stories.guests import Key, boot, remove_all
from tests.stories.portal import Portal

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.slow]
# What the portal keeps of a host, leaves first; it has no page yet that takes one away.
ROWS_OF_A_HOST = (
    "DELETE FROM storage_imagecopy WHERE pool_id IN (SELECT id FROM storage_pool WHERE host_id = %s) RETURNING 1",
    "DELETE FROM storage_pool WHERE host_id = %s RETURNING 1", "DELETE FROM hosts_verdict WHERE host_id = %s RETURNING 1",
    "DELETE FROM hosts_discovered WHERE host_id = %s RETURNING 1",
    "DELETE FROM network_trafficcount WHERE host_id = %s RETURNING 1",
    "DELETE FROM monitoring_measuringpass WHERE host_id = %s RETURNING 1",
    "DELETE FROM hosts_host WHERE provider_id = %s RETURNING 1",
    "DELETE FROM hosts_provider WHERE id = %s RETURNING 1")
# What the beat does every 30 s.
COMPARE = ("from compute.network.models import Fabric; from compute.network.reconcile import reconcile_fabric; "
           "reconcile_fabric(Fabric.objects.get())")


@pytest.fixture
def fourth(portal: Portal, cloud: LabCloud) -> Iterator[HostFacts]:
    """One more host of the lab, which the portal does not know; lab and portal have three again afterwards."""
    before = cloud.census()
    yield cloud.lab.add(EXTRA_HOST)
    remove_all(portal)
    for row in hosts(portal):
        if row["name"] == EXTRA_HOST:
            for statement in ROWS_OF_A_HOST:
                portal.query(statement, row["id"])
        else:
            keep_out(portal, row["id"], False)
    cloud.lab.remove(EXTRA_HOST)
    assert cloud.lab.host_names == [host.facts.name for host in cloud.hosts]
    portal.shell(COMPARE)
    assert cloud.census() == before  # VPCs go out by the three alone


def hosts(portal: Portal) -> list[dict]:
    return portal.api("GET", "hosts/", who="admin")[1]["results"]


def keep_out(portal: Portal, pk: str, enabled: bool) -> None:
    status, answer = portal.api("POST", f"hosts/{pk}/maintenance/", {"enabled": enabled}, who="admin")
    assert status == 200, answer


def test_a_host_added_by_name_and_address_gets_ready_and_takes_an_instance(
    portal: Portal, cloud: LabCloud, fourth: HostFacts, page: Page, key: Key
) -> None:
    others = [row["id"] for row in hosts(portal)]
    ways = cloud.gateways()
    sign_in(page, portal, "admin")
    begun = time.monotonic()
    add(page, portal, fourth)
    until(page, lambda: page.locator("#host[data-state=ready]").count() == 1, "the open page says ready", 90)
    print(f"\nhost added in admin: ready after {time.monotonic() - begun:.1f} s")
    expect(page.locator("#host")).to_contain_text(fourth.chassis)
    shoot(page, "host-ready", whole=True)
    until(page, lambda: cloud.gateways() == ways // 3 * 4, "every VPC may go out by it", 10)
    for pk in others:
        keep_out(portal, pk, True)
    [guest] = boot(portal, key, "first-of-the-fourth")
    assert guest.run("hostname") == guest.name
    [ours] = [row["id"] for row in hosts(portal) if row["name"] == EXTRA_HOST]
    assert portal.api("GET", f"instances/{guest.pk}/", who="admin")[1]["host"] == ours
    until(page, lambda: page.locator(f"#host:has-text('{guest.name}')").count() == 1, "the host's page shows its instance", 20)
    shoot(page, "host-in-use", whole=True)
    page.goto(f"{portal.url}/hosts/")
    expect(page.locator("body")).to_contain_text(EXTRA_HOST)
    shoot(page, "hosts", whole=True)


def add(page: Page, portal: Portal, host: HostFacts) -> None:
    page.goto(f"{portal.url}/admin/hosts/host/add/")
    page.fill("input[name=name]", host.name)
    page.fill("input[name=address]", f"{host.user}@{host.address}")
    page.click("details summary:has-text('More')")
    page.fill("input[name=pool_path]", host.pool_path)  # all hosts of a lab are on one machine's disk
    shoot(page, "host-add", whole=True)
    page.click("#add-host button[type=submit]")
    page.wait_for_url("**/hosts/*-*-*/")
    page.wait_for_timeout(1500)
    shoot(page, "host-preparing", whole=True)
