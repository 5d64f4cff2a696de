"""The usage page: who sees which sums, in how many queries."""
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.periods import Month
from portal.kernel.declarations import Reading
from portal.kernel.models import Resource
from tests.billing.lamps import BIG, Shop

TEN = datetime(2026, 2, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
URL = "/usage/?month=2026-02"


def text_of(response) -> str:
    assert response.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def test_it_shows_seconds_times_price_for_each_resource_and_the_sum_by_project(shop: Shop) -> None:
    shop.burnt(shop.lamp("hall"), TEN, TEN + HOUR)
    shop.burnt(shop.lamp("yard"), TEN, TEN + 2 * HOUR, reading=BIG)
    page = text_of(shop.cast.browser("vera").get(URL))
    assert "hall Lamp web Lamp small 1 3,600.0 ¥0.36 per hour ¥0.36" in page
    assert "yard Lamp web Lamp big 1 7,200.0 ¥3.60 per hour ¥7.20" in page
    assert page.index("yard") < page.index("hall")  # dearest first
    assert "Project Amount web ¥7.56" in page


def test_another_organization_sees_nothing_of_it(shop: Shop) -> None:
    shop.burnt(shop.lamp("secret lamp"), TEN, TEN + HOUR)
    page = text_of(shop.cast.browser("mallory").get(URL))
    assert "secret lamp" not in page
    assert "Nothing was used in this month" in page


def test_the_chosen_project_narrows_it(shop: Shop) -> None:
    shop.burnt(shop.lamp("mine"), TEN, TEN + HOUR)
    shop.burnt(shop.lamp("theirs", project=shop.cast.rival_project), TEN, TEN + HOUR)
    browser = shop.cast.browser("root")
    both = text_of(browser.get(f"{URL}&project=all"))
    assert "mine" in both and "theirs" in both
    one = text_of(browser.get(f"{URL}&project={shop.cast.project.pk}"))
    assert "mine" in one and "theirs" not in one


def test_usage_of_other_months_is_elsewhere(shop: Shop) -> None:
    shop.burnt(shop.lamp("hall"), TEN, TEN + HOUR)
    browser = shop.cast.browser("vera")
    assert "hall" not in text_of(browser.get("/usage/?month=2026-03"))
    assert "hall" not in text_of(browser.get("/usage/"))


def test_deleted_resources_and_things_without_a_price_stay_visible(shop: Shop) -> None:
    gone = shop.lamp("<b>gone</b>")
    shop.burnt(gone, TEN, TEN + HOUR, reading=Reading(meter="lamp", sku="odd", quantity=Decimal(1)))
    Resource.objects.filter(pk=gone.pk).update(deleted_at=TEN + HOUR)
    response = shop.cast.browser("vera").get(URL)
    assert b"<b>gone</b>" not in response.content
    assert "<b>gone</b> Lamp · deleted web Lamp odd 1 3,600.0 no price ¥0.00" in text_of(response)


def test_it_takes_the_same_number_of_queries_for_1_and_200_rows(shop: Shop) -> None:
    browser = shop.cast.browser("vera")
    shop.burnt(shop.lamp("first"), TEN, TEN + HOUR)
    browser.get(URL)  # the session is known from here on

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(URL).status_code == 200
        return len(seen)

    for_one = queries()
    for number in range(199):
        shop.burnt(shop.lamp(f"lamp {number}"), TEN, TEN + HOUR)
    assert queries() == for_one
    assert "1 / 2" in text_of(browser.get(URL))
    assert "2 / 2" in text_of(browser.get(f"{URL}&page=2"))
    assert "first" in text_of(browser.get(URL)) + text_of(browser.get(f"{URL}&page=2"))


@pytest.mark.parametrize("nonsense", [
    "month=2026-13", "month=1999-01", "month=26-1", "month=2026-1", "month=%00", "month=2026-11'--",
    "month=２０２６-11", "page=0", "page=-1", "page=x", "page=99999999999999999999", "project=x",
])
def test_nonsense_is_a_clear_4xx(shop: Shop, nonsense: str) -> None:
    assert shop.cast.browser("vera").get(f"/usage/?{nonsense}").status_code in (400, 404)


def test_nobody_is_sent_to_the_sign_in_page(shop: Shop) -> None:
    response = shop.cast.browser(None).get(URL)
    assert (response.status_code, response.headers["Location"].partition("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize(("month", "previous", "following"), [
    ("2026-01", "2025-12", "2026-02"), ("2026-12", "2026-11", "2027-01"), ("2028-02", "2028-01", "2028-03"),
])
def test_months_follow_each_other_without_a_gap(month: str, previous: str, following: str) -> None:
    this = Month.named(month)
    assert (str(this), str(this.previous), str(this.next)) == (month, previous, following)
    assert this.end == this.next.start and this.previous.end == this.start
    assert Month.of(this.end - timedelta(microseconds=1)) == this
