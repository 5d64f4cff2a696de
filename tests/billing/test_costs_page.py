"""The page of costs and its parts: who sees which sums, in how many statements; the file; and the same by REST."""
import csv
import io
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing import issuing, operations
from billing.models import PriceBook, Terms
from billing.periods import Month
from portal.kernel import remembered
from portal.kernel.states import database_now
from tenants import operations as tenants
from tests.billing.lamps import BIG, Shop

TEN = datetime(2026, 2, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
URL, API = "/costs/?month=2026-02", "/api/v1/costs/"
PART = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    remembered.forget()
    yield
    remembered.forget()


def text_of(response) -> str:
    assert response.status_code == 200, response.content[:500]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def lit(shop: Shop) -> None:
    shop.burnt(shop.lamp("hall", tags={"room": "=1+1"}), TEN, TEN + HOUR)
    shop.burnt(shop.lamp("yard"), TEN, TEN + 2 * HOUR, reading=BIG)


def test_the_month_and_its_dearest_parts(shop: Shop) -> None:
    lit(shop)
    page = text_of(shop.cast.browser("vera").get(f"{URL}&by=project"))
    assert "2026-02 ¥7.56 The whole month" in page
    assert "Project Share Amount web 100 % 100 % ¥7.56" in page


def test_what_takes_longer_comes_after_the_page(shop: Shop) -> None:
    lit(shop)
    browser = shop.cast.browser("vera")
    page = browser.get(f"{URL}&by=resource").content.decode()
    for part in ("outlook", "days", "parts", "findings"):
        assert f'hx-get="/costs/?month=2026-02&amp;by=resource&amp;part={part}"' in page
    assert "yard" not in page
    parts = browser.get(f"{URL}&by=resource&part=parts", **PART)
    assert "<html" not in parts.content.decode() and parts["Cache-Control"] == "no-store"
    assert "yard Lamp 95 % 95 % ¥7.20 hall Lamp 5 % 5 % ¥0.36" in text_of(parts)
    assert "2026-02-03" in text_of(browser.get(f"{URL}&part=days", **PART))
    assert "2026-01 – the whole month before" in text_of(browser.get(f"{URL}&part=outlook", **PART))
    assert "Nothing was unusual yesterday" in text_of(browser.get(f"{URL}&part=findings", **PART))


@pytest.mark.parametrize(("part", "text"), [("parts", "yard Lamp 95 %"), ("days", "2026-02-03 ¥7.56"),
                                            ("outlook", "2026-01 – the whole"), ("findings", "Nothing was unusual")])
def test_without_a_script_the_same_address_is_the_page_with_it(shop: Shop, part: str, text: str) -> None:
    lit(shop)
    page = shop.cast.browser("vera").get(f"{URL}&by=resource&part={part}")
    assert "<html" in page.content.decode() and text in text_of(page)


def test_a_second_of_use_is_on_the_page_at_once(shop: Shop) -> None:
    now = database_now()
    began = max(now - HOUR, Month.of(now, issuing.issuer().time_zone).start)  # in a month's first hour: since it began
    shop.burnt(shop.lamp(), began, None, reading=BIG)
    page = text_of(shop.cast.browser("vera").get("/costs/"))
    assert abs(Decimal(re.search(r"¥([0-9.]+)", page)[1]) - Decimal("3.6") * Decimal((now - began) / HOUR)) <= Decimal("0.02")
    assert "if all that runs keeps running" in text_of(shop.cast.browser("vera").get("/costs/?part=outlook", **PART))


def test_nobody_sees_what_others_pay(shop: Shop) -> None:
    shop.burnt(shop.lamp("secret lamp"), TEN, TEN + HOUR)
    browser = shop.cast.browser("mallory")
    assert "Nothing was used in this month" in text_of(browser.get(URL))
    for part in ("parts", "days", "findings", "outlook"):
        found = text_of(browser.get(f"{URL}&by=resource&part={part}", **PART))
        assert "secret" not in found and "0.36" not in found
    assert browser.get(f"{URL}&project={shop.cast.project.pk}").status_code == 404
    for query in ("", "&by=resource", f"&project={shop.cast.project.pk}"):
        assert shop.cast.api("mallory").get(f"{API}?month=2026-02{query}").json()["results"] == []


def test_what_is_kept_for_one_is_shown_to_nobody_else(shop: Shop, monkeypatch) -> None:
    """In a large cloud, where sums take long and are kept."""
    monkeypatch.setattr(remembered, "SLOW_S", 0)
    monkeypatch.setattr(remembered, "TIMES", 1e9)
    shop.burnt(shop.lamp("secret lamp", tags={"room": "secret"}), TEN, TEN + HOUR)
    for who in ("alice", "root"):
        assert "secret" in text_of(shop.cast.browser(who).get(f"{URL}&by=resource&part=parts", **PART))
        for part in ("days", "findings", "outlook"):
            text_of(shop.cast.browser(who).get(f"{URL}&by=resource&part={part}", **PART))
    test_nobody_sees_what_others_pay(shop)


def test_the_chosen_project_narrows_it(shop: Shop) -> None:
    below = tenants.create_project(shop.cast.organization, "below", actor=None)
    shop.burnt(shop.lamp("here"), TEN, TEN + HOUR)
    shop.burnt(shop.lamp("there", project=below), TEN, TEN + HOUR)
    browser = shop.cast.browser("alice")
    assert "¥0.72" in text_of(browser.get(f"{URL}&project=all"))
    assert "¥0.36" in text_of(browser.get(f"{URL}&project={below.pk}"))


def test_each_currency_has_a_line_of_its_own(shop: Shop) -> None:
    book = PriceBook.objects.create(name="Euro", currency="EUR")
    operations.set_price(book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.05"),
                         actor=shop.cast.root, valid_from=TEN - HOUR, now=TEN - HOUR)
    Terms.objects.create(organization=shop.cast.organization, book=book, valid=(TEN + HOUR, None))
    shop.burnt(shop.lamp(), TEN, TEN + 2 * HOUR)
    page = text_of(shop.cast.browser("vera").get(URL))
    assert "¥0.36 €0.05" in page and "Service · CNY" in page and "Service · EUR" in page
    assert "¥0.36 €0.05" in text_of(shop.cast.browser("vera").get("/usage/?month=2026-02"))
    rows = shop.cast.api("vera").get(f"{API}?month=2026-02").json()["results"]
    assert [row["so_far"] for row in rows] == [{"amount": "0.36", "currency": "CNY"}, {"amount": "0.05", "currency": "EUR"}]


def test_the_file_has_every_part_and_no_formula(shop: Shop) -> None:
    lit(shop)
    answer = shop.cast.browser("vera").get(f"{URL}&by=tag:room&format=csv")
    with warnings.catch_warnings():  # the test's client is not asynchronous, the portal is
        warnings.simplefilter("ignore", Warning)
        rows = list(csv.reader(io.StringIO(b"".join(answer).decode("utf-8-sig"))))
    assert rows == [["Id", "Name", "Amount", "Currency"], ["", "Without this tag", "7.2000000000", "CNY"],
                    ["'=1+1", "'=1+1", "0.3600000000", "CNY"]]
    assert "costs-2026-02" in answer["Content-Disposition"]


def test_tags_in_use_are_offered(shop: Shop) -> None:
    lit(shop)
    shop.lamp("theirs", project=shop.cast.rival_project, tags={"hush": "x"})
    page = shop.cast.browser("vera").get(URL).content.decode()
    assert '<option value="tag:room">' in page and "hush" not in page


def test_it_takes_the_same_statements_for_1_and_100_resources(shop: Shop) -> None:
    browser = shop.cast.browser("vera")
    shop.burnt(shop.lamp("first"), TEN, TEN + HOUR)
    addresses = [URL, *(f"{URL}&by=resource&part={part}" for part in ("parts", "days", "outlook", "findings"))]

    def counts() -> list[int]:
        found = []
        for address in addresses:
            browser.get(address, **PART)
            with CaptureQueriesContext(connection) as seen:
                assert browser.get(address, **PART).status_code == 200
            found.append(len(seen))
        return found

    for_one = counts()
    for number in range(99):
        shop.burnt(shop.lamp(f"lamp {number}"), TEN, TEN + HOUR)
    assert counts() == for_one and max(for_one) <= 12


@pytest.mark.parametrize("nonsense", ["month=2026-13", "month=x", "by=owner", "by=tag:", "by=tag:" + "x" * 61, "by=tag:%00",
                                      "part=all", "part=../x", "project=x"])
@pytest.mark.parametrize("more", ["", "&format=csv"])
def test_nonsense_is_a_clear_4xx(shop: Shop, nonsense: str, more: str) -> None:
    assert shop.cast.browser("vera").get(f"/costs/?{nonsense}{more}").status_code in (400, 404)


# ---- REST ----

def test_rest_says_the_same(shop: Shop) -> None:
    lit(shop)
    [row] = shop.cast.api("vera").get(f"{API}?month=2026-02&by=resource&limit=1").json()["results"]
    [part] = row["parts"]
    assert (part["name"], part["amount"]["amount"], row["rest"]["amount"]) == ("yard", "7.20", "0.36")
    assert row["so_far"] == {"amount": "7.56", "currency": "CNY"}
    assert (row["days"], row["last_month"]["amount"], row["forecast"]) == (
        [{"day": "2026-02-03", "amount": {"amount": "7.56", "currency": "CNY"}}], "0.00", None)
    assert (row["month"], row["start"], row["end"]) == ("2026-02", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z")
    assert shop.cast.api("vera").get(f"{API}anomalies/").json() == {"results": []}
    assert shop.cast.api("vera").get(f"{API}idle/").json() == {"results": [], "saving": []}


@pytest.mark.parametrize(("field", "query"), [
    ("month", "month=2026-13"), ("by", "by=day"), ("by", "by=tag:"), ("limit", "limit=0"), ("cursor", "cursor=x"),
    ("ordering", "ordering=amount"), ("project", "project=x"), ("nonsense", "nonsense=1")])
def test_nonsense_is_refused_by_name(shop: Shop, field: str, query: str) -> None:
    answer = shop.cast.api("vera").get(f"{API}?{query}")
    assert answer.status_code == 400 and list(answer.json()["errors"]) == [field]


def test_who_holds_no_such_right_is_refused(shop: Shop) -> None:
    key = shop.cast.key("alice", scopes=["project.view"])
    lit(shop)
    assert key.get(f"{API}?month=2026-02").json()["results"] == []
    assert [key.get(f"{API}{name}/").status_code for name in ("anomalies", "idle")] == [403, 403]


def test_what_stands_for_some_seconds_says_until_when_it_counts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "SLOW_S", 0)
    monkeypatch.setattr(remembered, "TIMES", 10**9)
    shop.burnt(shop.lamp(), TEN, None)
    browser, moments = shop.cast.browser("vera"), iter([TEN + HOUR, TEN + 2 * HOUR])
    monkeypatch.setattr("billing.cost_views.database_now", lambda: next(moments))
    for _look in range(2):
        assert "¥0.36 Counted to the second until 2026-02-03 11:00:00 UTC." in text_of(browser.get(URL))
