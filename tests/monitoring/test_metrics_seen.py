"""The tab of measurements in a browser: four charts, in both themes and on a telephone; what comes later appears by itself."""
import math
import re

import pytest
from django.conf import settings as site
from django.db import connection
from django.test import Client
from playwright.sync_api import Page, Route

from compute.monitoring.rollup import roll_up
from tests.monitoring.conftest import Watched
from tests.portal_server import serving
from tests.walk.walker import Walker, axe, chromium, phone

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
DRAWN = """() => [...document.querySelectorAll('[data-plot] canvas')].filter((canvas) => {
  const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(bytes.buffer)).size > 8; }).length === 4"""

# The legend has the newest figures while the pointer is nowhere.
TOLD = "() => [...document.querySelectorAll('.u-value')].some((cell) => /[0-9] %$/.test(cell.textContent))"


def tell_an_hour(watched: Watched) -> None:
    """It idles, works in waves, and was off for some minutes."""
    counters = dict.fromkeys(("cpu_ns", "read_bytes", "write_bytes", "reads", "writes", "rx_bytes", "tx_bytes", "rx_packets",
                              "tx_packets"), 0)
    for number in range(190):
        wave, other = 1 + math.sin(number / 9), 1.2 + math.cos(number / 5)
        for name, amount in (("cpu_ns", 3.6e9), ("read_bytes", 9e6), ("write_bytes", 4e6), ("reads", 900), ("writes", 300),
                             ("rx_bytes", 2.4e7), ("tx_bytes", 9e6), ("rx_packets", 12e3), ("tx_packets", 6e3)):
            counters[name] += round(amount * (other if name in ("reads", "writes", "rx_packets", "tx_packets") else wave))
        if not 60 < number < 85:
            watched.tell(15 * number, **counters, epoch=1 if number < 70 else 2, memory_bytes=256 * 2**20, rss_bytes=231 * 2**20,
                         used_bytes=round((70 + 40 * wave) * 2**20))


def test_the_charts_are_drawn_and_go_on(watched: Watched, tmp_path_factory) -> None:
    tell_an_hour(watched)
    roll_up()
    client = Client()
    client.force_login(watched.world.people["vera"])
    session = client.cookies[site.SESSION_COOKIE_NAME].value
    connection.close()
    shots = tmp_path_factory.mktemp("shots")
    with serving() as address, chromium() as browser:
        for language in ("en", "zh-hans"):
            walker = Walker(browser, address, session=session, language=language)
            page = walker.page
            page.goto(f"http://{address}/instances/{watched.instance.pk}/?tab=metrics", wait_until="networkidle")
            page.wait_for_function(DRAWN)
            page.wait_for_function(TOLD)
            page.screenshot(path=shots / f"light-{language}.png", full_page=True)
            assert page.locator("#nothing-measured").is_hidden() and page.locator("#not-fetched").is_hidden()
            if language == "en":
                page.evaluate("() => document.querySelector('[data-theme-choice=dark]').click()")
                page.wait_for_function(DRAWN)
                page.screenshot(path=shots / "dark.png", full_page=True)
                axe(walker)
                page.goto(f"http://{address}/instances/{watched.instance.pk}/?tab=metrics&range=7d", wait_until="networkidle")
                page.wait_for_function(DRAWN)
            page.locator("#measured summary").click()
            assert page.locator("#measured tbody tr").count() >= 1
            phone(walker)
            page.set_viewport_size({"width": 390, "height": 900})
            page.wait_for_function(DRAWN)
            page.screenshot(path=shots / f"phone-{language}.png", full_page=True)
            assert walker.faults == []
            if language == "en":
                _is_told_why_there_are_no_more(page)
            walker.context.close()


ASK = "() => document.dispatchEvent(new Event('visibilitychange'))"
"""As when somebody comes back to the page."""


def _is_told_why_there_are_no_more(page: Page) -> None:
    """A portal that does not answer is asked again; what it refuses is said in its own words, and not asked again."""
    notice, asked, metrics = page.locator("#not-fetched"), [], re.compile(r"/metrics/\?")
    refusal = {"detail": "Please correct the fields named below.", "errors": {"from": ["<b>It begins after its end.</b>"]}}

    def answer(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:
            route.fulfill(status=503)
        elif len(asked) == 2:
            route.continue_()
        elif len(asked) == 3:
            route.fulfill(status=429, json={"detail": "Too many."})
        else:
            route.fulfill(status=400, json=refusal)

    page.route(metrics, answer)
    for text in ("The portal does not answer just now", "", "Too many.", "<b>It begins after its end.</b>"):
        page.evaluate(ASK)
        notice.get_by_text(text).wait_for() if text else notice.wait_for(state="hidden")
    page.evaluate(ASK)
    page.evaluate("() => fetch('/livez')")  # what was asked before is known by then
    assert notice.is_visible() and len(asked) == 4
