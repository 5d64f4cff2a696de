"""The page of costs in a browser: parts arrive by themselves, the chart is drawn, on a telephone too, and nothing is refused."""
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from billing import operations
from portal.kernel.states import database_now
from storage.models import Volume
from tenants import operations as tenants
from tests.billing.lamps import BIG, OIL, Shop
from tests.portal_server import serving
from tests.walk.test_walk import session_of
from tests.walk.walker import Walker, axe, chromium, phone

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DRAWN = """() => [...document.querySelectorAll('[data-chart] canvas')].map((canvas) => {
  const bytes = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(bytes.buffer)).size > 8; })"""


def furnish(shop: Shop) -> None:
    """Four weeks of lamps in two projects, one of which burnt much yesterday, and a disk that nobody uses."""
    now = database_now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    lab = tenants.create_project(shop.cast.organization, "laboratory", actor=None)
    usual, extra, oily = shop.lamp("hall", tags={"room": "hall"}), shop.lamp("forgotten", project=lab), shop.lamp("lantern")
    for number in range(1, 28):
        day = today - number * DAY
        shop.burnt(usual, day, day + (2 + number % 4) * HOUR, reading=BIG)
        shop.burnt(extra, day, day + (23 if number == 1 else 2) * HOUR, reading=BIG)
        shop.burnt(oily, day, day + 20 * HOUR, reading=OIL)
    shop.burnt(usual, today, None, reading=BIG)
    operations.set_price(shop.book, region=shop.cast.region, meter="volume", sku="local", price_per_hour=Decimal("0.001"),
                         actor=shop.cast.root, valid_from=now - DAY, now=now - DAY)
    disk = Volume.objects.create(project=shop.cast.project, region=shop.cast.region, name="old-database", state="available",
                                 size_gib=80)
    Volume.objects.filter(pk=disk.pk).update(state_changed_at=now - 30 * DAY)
    shop.burnt(disk, now - DAY, None, reading=next(iter(disk.readings("available"))))


def test_the_page_fills_itself_in_both_themes_and_on_a_telephone(shop: Shop) -> None:
    furnish(shop)
    sessions = {"alice": session_of(shop.cast, "alice")}
    connection.close()
    with serving() as address, chromium() as browser:
        for language in ("en", "zh-hans"):
            walker = Walker(browser, address, session=sessions["alice"], language=language)
            page = walker.page
            page.goto(f"http://{address}/costs/?by=project", wait_until="networkidle")
            page.wait_for_selector("[data-chart] canvas")
            page.wait_for_function(DRAWN)
            assert page.evaluate(DRAWN) == [True]
            assert page.locator("#idle tr").count() == 1 and page.locator("#anomalies tr").count() == 1
            assert page.locator("#expected data").count() == 1
            page.evaluate("() => document.querySelector('[data-theme-choice=dark]').click()")
            page.wait_for_function(DRAWN)
            if language == "en":
                axe(walker)
            phone(walker)
            page.goto(f"http://{address}/costs/?by=resource", wait_until="networkidle")
            assert page.locator("#parts-CNY tbody tr").count() >= 2
            page.goto(f"http://{address}/calculator/", wait_until="networkidle")
            phone(walker)
            assert walker.faults == []
            walker.context.close()
