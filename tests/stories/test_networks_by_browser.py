"""Networks in a real Chromium: key → two instances → SSH and curl as the page says → a rule bites → the topology.

Screenshots of each station go to var/test/screenshots.
"""
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browsing import confirm, shoot, sign_in, until
from tests.stories.cloud import LabCloud
from tests.stories.guests import Guest, Key, at_once, curl, look_at, remove_all
from tests.stories.portal import Portal

pytestmark = [pytest.mark.lab, pytest.mark.browser, pytest.mark.slow]
BITE_LIMIT_S = 2


def test_a_tenant_reaches_two_instances_and_watches_a_rule_bite(
    portal: Portal, cloud: LabCloud, page: Page, tmp_path: Path
) -> None:
    before = cloud.census()
    sign_in(page, portal)
    guests = create_two(page, portal, generate(page, portal, tmp_path))
    for guest in guests:
        reach(page, portal, guest)
    the_rule_bites(page, portal, guests)
    the_topology_shows(page, portal, guests)
    page.goto("about:blank")
    remove_all(portal)
    until(page, lambda: cloud.census() == before, "the cloud is as before", 20)


def generate(page: Page, portal: Portal, folder: Path) -> Key:
    """A key pair from the page that shows its private part once."""
    page.goto(f"{portal.url}/ssh-keys/")
    page.fill("form[action$='/generate/'] input[type=text]", "laptop")
    page.click("form[action$='/generate/'] button")
    file = folder / "laptop"
    file.touch(mode=0o600)
    file.write_text(page.inner_text("#private-key").strip() + "\n")
    page.goto(f"{portal.url}/ssh-keys/")
    assert page.locator("#private-key").count() == 0
    return Key(portal.api("GET", "ssh-keys/?name=laptop")[1]["results"][0]["id"], file)


def create_two(page: Page, portal: Portal, key: Key) -> list[Guest]:
    page.goto(f"{portal.url}/instances/create/")
    page.fill("input[name=name]", "shop")
    page.fill("input[name=count]", "2")
    page.check("input[name=floating_ip]")
    assert page.is_checked(f"input[name=ssh_keys][value='{key.id}']")  # whoever has a key wants it in
    expect(page.locator("#summary")).to_contain_text("2 / 20")
    shoot(page, "networks-create", whole=True)
    begun = time.monotonic()
    page.click("form[method=post] button[type=submit]:has-text('Create')")
    page.wait_for_url("**/instances/")
    shoot(page, "networks-building")
    for name in ("shop-1", "shop-2"):
        expect(page.locator(f"tr:has-text('{name}'):has-text('Running')")).to_have_count(1, timeout=60_000)
    print(f"\nclick to two instances running, in the open list: {time.monotonic() - begun:.1f} s")
    shoot(page, "networks-running")
    rows = portal.api("GET", "instances/?ordering=name")[1]["results"]
    return [look_at(portal, row["id"], key) for row in rows if row["name"].startswith("shop-")]


def reach(page: Page, portal: Portal, guest: Guest) -> None:
    """By SSH and curl at the address that the page shows, and by its button."""
    page.goto(f"{portal.url}/instances/{guest.pk}/")
    shown = re.search(r"ssh (\w+)@([0-9.]+)", page.inner_text("#connect pre"))
    web = page.get_attribute("#connect a:has-text('Open in browser')", "href")
    assert shown and web == f"http://{shown[2]}/"
    at_page = replace(guest, outside=shown[2])
    at_page.await_ssh()
    assert at_page.ssh("hostname", user=shown[1]).stdout.strip() == guest.name
    assert f"<h1>{guest.name}</h1>" in at_page.curl()
    shoot(page, f"networks-{guest.name}", whole=True)
    with page.context.expect_page() as opened:
        page.click("#connect a:has-text('Open in browser')")
    expect(opened.value.locator("h1")).to_have_text(guest.name)
    opened.value.close()
    page.goto(f"{portal.url}/instances/{guest.pk}/?tab=network")
    expect(page.locator("#part[data-tab=network]")).to_contain_text(at_page.outside)
    shoot(page, f"networks-{guest.name}-network", whole=True)


def the_rule_bites(page: Page, portal: Portal, guests: list[Guest]) -> None:
    page.goto(f"{portal.url}/security-groups/")
    page.click("a.name:has-text('default')")
    page.wait_for_selector("#rules")
    shoot(page, "networks-rules", whole=True)

    def delete() -> None:
        page.click("#ingress tr:has-text('HTTP') button")
        confirm(page)

    seconds = bites(page, delete, lambda: not any(at_once(lambda guest: curl(guest.outside, 0.5), guests)))
    print(f"rule deleted: nobody answers after {seconds:.2f} s")
    expect(page.locator("#ingress tr:has-text('HTTP')")).to_have_count(0)
    assert all(guest.ssh("true").returncode == 0 for guest in guests)  # the other rules stay
    shoot(page, "networks-rule-deleted", whole=True)
    page.select_option("#add-rule select[name=preset]", "http")
    seconds = bites(page, lambda: page.click("#add-rule button:has-text('Add rule')"),
                    lambda: all(at_once(lambda guest: curl(guest.outside, 0.5), guests)))
    print(f"rule added: all answer after {seconds:.2f} s")
    expect(page.locator("#ingress tr:has-text('HTTP')")).to_have_count(1)
    shoot(page, "networks-rule-added", whole=True)


def bites(page: Page, click: Callable[[], None], condition: Callable[[], bool]) -> float:
    """Seconds from the answer to the click until the look that finds the condition true; a look at silence takes a while."""
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        click()
    begun = looked = time.monotonic()
    while not condition():
        looked = time.monotonic()
        assert looked - begun < BITE_LIMIT_S
    assert time.monotonic() - begun < BITE_LIMIT_S
    return looked - begun


def the_topology_shows(page: Page, portal: Portal, guests: list[Guest]) -> None:
    page.goto(f"{portal.url}/vpcs/")
    page.click("a.name:has-text('default')")
    page.wait_for_selector("svg.topology")
    drawing = page.locator("svg.topology:visible")
    for guest in guests:
        for text in (guest.name, guest.inside, guest.outside):
            expect(drawing).to_contain_text(text)
    shoot(page, "networks-topology", whole=True)
    drawing.locator(f"a.topo-card:has-text('{guests[1].name}')").click()
    page.wait_for_url(f"**/instances/{guests[1].pk}/**")
