"""The story in a real Chromium: sign in → create → the console paints and answers a key → stop → usage → delete.

Screenshots of each station go to var/test/screenshots.
"""
import time

import pytest
from playwright.sync_api import Page, expect

from tests.stories.browsing import confirm, shoot, sign_in, state_of, until
from tests.stories.cloud import LabCloud
from tests.stories.portal import Portal
from tests.stories.test_by_kill import kill_redis

pytestmark = [pytest.mark.lab, pytest.mark.browser]
# Lit pixels in each line of text (16 pixels high on a VGA text screen), joined by commas.
LINES = """() => { const c = document.querySelector('canvas'); if (!c || !c.width) return '';
 const x = c.getContext('2d'), found = [];
 for (let top = 0; top + 16 <= c.height; top += 16) {
   const d = x.getImageData(0, top, c.width, 16).data; let lit = 0;
   for (let i = 0; i < d.length; i += 4) if (d[i] + d[i+1] + d[i+2] > 60) lit++;
   found.push(lit); }
 return found.join(','); }"""
# The firmware's three lines, the image's banner, the login prompt.
LINES_AT_LOGIN = 5
# A newcomer's way from the sign-in page to a running instance.
MOST_CLICKS, LONGEST_S = 6, 60


def lines(page: Page) -> list[int]:
    """Lit pixels of each line of the guest's screen that has any."""
    return [int(count) for count in (page.evaluate(LINES) or "0").split(",") if int(count) > 20]


def test_a_newcomer_makes_watches_pays_and_deletes_an_instance(portal: Portal, cloud: LabCloud, page: Page) -> None:
    before, begun, clicks = cloud.census(), time.monotonic(), count_clicks(page)
    sign_in(page, portal)
    shoot(page, "dashboard-empty")
    page.click("#content a[href$='/instances/create/'] >> nth=0")
    page.wait_for_selector("#price-hourly")
    shoot(page, "create")
    page.fill("input[name=name]", "first")
    page.click("#create button[type=submit]:has-text('Create')")
    page.wait_for_url("**/instances/*-*-*/**")
    pk = page.url.split("/instances/")[1].split("/")[0].split("?")[0]
    shoot(page, "building")
    until(page, lambda: state_of(portal, pk) == "running", "running")
    taken = time.monotonic() - begun
    print(f"\nfirst instance: {len(clicks)} clicks, {taken:.1f} s from the sign-in page")
    assert 0 < len(clicks) <= MOST_CLICKS and taken <= LONGEST_S
    begun = time.monotonic()
    page.goto(f"{portal.url}/instances/{pk}/?tab=console")
    page.wait_for_selector("canvas")
    until(page, lambda: len(lines(page)) >= LINES_AT_LOGIN, "the console shows the login prompt")
    print(f"\nthe console's login prompt after it runs: {time.monotonic() - begun:.1f} s")
    shoot(page, "console")
    types_into_the_guest(page)
    stop_by_button(page, portal, pk)
    page.goto(f"{portal.url}/usage/")
    expect(page.locator("body")).to_contain_text("first")
    shoot(page, "usage")
    delete_by_button(page, portal, pk)
    release_by_button(page, portal)
    until(page, lambda: cloud.census() == before, "the cloud is as before", 20)


def count_clicks(page: Page) -> list[str]:
    """What is clicked from now on, on every page, as the browser itself sees it."""
    clicks: list[str] = []
    page.expose_function("countClick", lambda tag: clicks.append(tag))
    page.add_init_script("addEventListener('click', event => event.isTrusted && countClick(event.target.tagName), true)")
    return clicks


def types_into_the_guest(page: Page) -> None:
    """The prompt's line gets longer by what was typed, far more than a blinking cursor lights."""
    page.click("canvas")
    page.wait_for_timeout(500)
    before = lines(page)[-1]
    page.keyboard.type("wwwwmmmm", delay=80)
    until(page, lambda: lines(page)[-1] > before + 200, "typed keys appear on the screen", 20)
    page.wait_for_timeout(700)
    shoot(page, "console-typed")


def stop_by_button(page: Page, portal: Portal, pk: str) -> None:
    page.goto(f"{portal.url}/instances/{pk}/")
    page.click("form[action*='/stop/'] button, a[href*='/stop/'], button[formaction*='/stop/']")
    confirm(page)
    until(page, lambda: state_of(portal, pk) == "stopped", "stopped", 60)
    expect(page.locator("body")).to_contain_text("Stopped")
    shoot(page, "stopped")


def delete_by_button(page: Page, portal: Portal, pk: str) -> None:
    page.goto(f"{portal.url}/instances/{pk}/")
    page.click("form[action*='/purge/'] button")
    confirm(page, name="first")
    until(page, lambda: state_of(portal, pk) == "gone", "deleted", 60)


def release_by_button(page: Page, portal: Portal) -> None:
    """The address that came with the instance stays the tenant's until it is given back."""
    page.goto(f"{portal.url}/floating-ips/")
    shoot(page, "floating-ips")
    page.click("form[action*='/release/'] button")
    confirm(page)
    until(page, lambda: not portal.api("GET", "floating-ips/")[1]["results"], "released", 20)


def test_a_stranger_is_led_to_the_login_in_both_languages(portal: Portal, page: Page) -> None:
    page.goto(f"{portal.url}/instances/")
    assert "/accounts/login/" in page.url
    shoot(page, "login")


def test_an_open_page_recovers_by_itself_when_web_and_redis_are_killed(portal: Portal, page: Page) -> None:
    sign_in(page, portal)
    page.goto(f"{portal.url}/instances/")
    page.wait_for_timeout(1000)
    portal.kill("web")
    kill_redis(portal)
    portal.wait(lambda: portal.get("/readyz")[0] == 200, "web is back")
    pk = portal.create("after-the-kill")["target"]["id"]
    seconds = until(page, lambda: "after-the-kill" in page.content(), "the open page shows the new instance", 30)
    until(page, lambda: state_of(portal, pk) == "running", "running")
    until(page, lambda: page.locator("tr:has-text('after-the-kill'):has-text('Running')").count() == 1,
          "the open page shows it running", 15)
    print(f"\nweb and Redis killed: the open page shows a new instance after {seconds:.1f} s")
    portal.finish(portal.api("DELETE", f"instances/{pk}/?purge=true")[1])
