"""Rating told as accounting stories, and held to a slow program that counts in fractions."""
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing import operations, rating
from billing.arithmetic import amount_of
from billing.models import Price, UsageInterval
from billing.periods import Month
from tests.billing.lamps import BIG, OIL, SMALL, Shop

NOVEMBER = Month(2026, 11)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
EVERYTHING = rating.Selection(projects=None)
LATER = datetime(2027, 6, 1, tzinfo=UTC)


def november(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def lines_of_november(now: datetime = LATER) -> list[rating.Line]:
    return rating.lines(EVERYTHING, start=NOVEMBER.start, end=NOVEMBER.end, now=now)


def set_price(shop: Shop, price: str, valid_from: datetime, *, sku: str = "small") -> None:
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku=sku, price_per_hour=Decimal(price),
                         actor=shop.cast.root, valid_from=valid_from, now=valid_from)


def test_an_hour_and_a_second_cost_an_hour_and_a_second(shop: Shop) -> None:
    lamp = shop.lamp("desk")
    shop.burnt(lamp, november(3), november(3) + HOUR + timedelta(seconds=1))
    (line,) = lines_of_november()
    assert (line.resource.name, line.resource.type, line.project.name) == ("desk", "lamp", "web")
    assert (line.meter, line.unit, line.sku, line.quantity) == ("lamp", "second", "small", Decimal(3601))
    assert (line.price_per_hour, line.amount, line.currency) == (Decimal("0.36"), Decimal("0.3601"), "CNY")


def test_what_still_runs_is_billed_until_now_and_has_no_end(shop: Shop) -> None:
    shop.burnt(shop.lamp(), november(3), None)
    (line,) = lines_of_november(now=november(3, 10))
    assert (line.end, line.amount) == (None, Decimal("3.6"))


def test_a_price_change_in_the_middle_of_the_month_makes_two_lines(shop: Shop) -> None:
    set_price(shop, "0.72", november(16))
    shop.burnt(shop.lamp(), november(15, 22), november(16, 3))
    newer, older = lines_of_november()
    assert (older.end, older.amount) == (november(16), Decimal("0.72"))
    assert (newer.start, newer.amount) == (november(16), Decimal("2.16"))


def test_a_month_takes_its_part_and_the_next_one_the_rest(shop: Shop) -> None:
    shop.burnt(shop.lamp(), datetime(2026, 10, 31, 23, tzinfo=UTC), datetime(2026, 12, 1, 2, tzinfo=UTC))
    months = [Month(2026, 10), NOVEMBER, Month(2026, 12)]
    hours = [rating.lines(EVERYTHING, start=one.start, end=one.end, now=LATER)[0].quantity / 3600 for one in months]
    assert hours == [1, 30 * 24, 2]


def test_nothing_is_billed_before_it_happened(shop: Shop) -> None:
    shop.burnt(shop.lamp(), november(3), None)
    assert lines_of_november(now=november(2)) == []
    assert lines_of_november(now=november(3)) == []
    assert rating.totals(EVERYTHING, ["project"], start=november(5), end=november(4), now=LATER).count == 0


def test_usage_without_a_price_is_shown_not_lost(shop: Shop) -> None:
    old, lamp = datetime(2025, 12, 31, tzinfo=UTC), shop.lamp()
    shop.burnt(lamp, old, old + 2 * DAY)
    priced, unpriced = rating.lines(EVERYTHING, start=None, end=LATER, now=LATER)
    assert (unpriced.price_per_hour, unpriced.amount, unpriced.quantity) == (None, 0, 86400)
    assert priced.amount == Decimal("8.64")


def test_without_any_price_book_usage_is_still_listed(shop: Shop) -> None:
    Price.objects.all().delete()
    shop.book.delete()
    shop.burnt(shop.lamp(), november(3), november(4))
    (line,) = lines_of_november()
    assert (line.quantity, line.amount, line.currency) == (86400, 0, "CNY")


def test_only_the_asked_projects_are_rated(shop: Shop) -> None:
    shop.burnt(shop.lamp(), november(3), november(4))
    shop.burnt(shop.lamp(project=shop.cast.rival_project), november(3), november(4))
    chosen = rating.Selection(projects=[shop.cast.project.pk])
    (line,) = rating.lines(chosen, start=NOVEMBER.start, end=NOVEMBER.end, now=LATER)
    assert line.project.id == shop.cast.project.pk
    assert rating.lines(rating.Selection(projects=[]), start=NOVEMBER.start, end=NOVEMBER.end, now=LATER) == []


def test_sums_by_project_meter_day_resource_tag_and_price(shop: Shop) -> None:
    red, blue = shop.lamp("red", tags={"room": "attic"}), shop.lamp("blue")
    shop.burnt(red, november(3, 23), november(4, 1))
    shop.burnt(blue, november(4), november(4, 10), reading=BIG)
    shop.burnt(blue, november(4), november(4, 10), reading=OIL)
    found = {groups: [(getattr(total, groups, None) or total.tags, total.amount) for total in _totals(groups)]
             for groups in ("meter", "day", "tag:room")}
    assert found["meter"] == [("lamp", Decimal("36.72")), ("lamp.oil", Decimal("0.0025"))]
    assert found["day"] == [(date(2026, 11, 3), Decimal("0.36")), (date(2026, 11, 4), Decimal("36.3625"))]
    assert found["tag:room"] == [((("room", "attic"),), Decimal("0.72")), ((("room", None),), Decimal("36.0025"))]
    assert [(total.project.name, total.amount) for total in _totals("project")] == [("web", Decimal("36.7225"))]
    assert {total.resource.name: total.amount for total in _totals("resource")} == {
        "red": Decimal("0.72"), "blue": Decimal("36.0025")}
    assert [(total.price.sku, total.price.price_per_hour, total.seconds) for total in _totals("price")] == [
        ("big", Decimal("3.6"), 36000), ("small", Decimal("0.36"), 7200), ("whale", Decimal("0.0001"), 36000)]


def test_a_page_of_sums_knows_how_many_there_are(shop: Shop) -> None:
    for number in range(5):
        shop.burnt(shop.lamp(f"lamp {number}"), november(3), november(3, 1 + number))
    page = rating.totals(EVERYTHING, ["resource"], start=NOVEMBER.start, end=NOVEMBER.end, now=LATER, limit=2, offset=1,
                         dearest_first=True)
    assert (page.count, [total.resource.name for total in page.totals]) == (5, ["lamp 3", "lamp 2"])


@pytest.mark.parametrize("ask", [
    lambda: rating.lines(EVERYTHING, start=NOVEMBER.start, end=NOVEMBER.end, now=LATER),
    lambda: _totals("project", "day", "resource", "price", "tag:room"),
])
def test_lines_and_sums_are_one_statement_each_and_repeat_to_the_last_digit(shop: Shop, ask: Callable) -> None:
    for number in range(1, 20):
        lamp = shop.lamp(f"lamp {number}")
        shop.burnt(lamp, november(3) + number * timedelta(seconds=7, microseconds=3), november(number + 5))
    set_price(shop, "0.123456789", november(10))
    with CaptureQueriesContext(connection, ) as seen:
        first = ask()
    assert len(seen) == 1
    assert repr(ask()) == repr(first)


SECONDS = st.integers(0, 40 * 86400 * 1000).map(lambda milliseconds: timedelta(milliseconds=milliseconds))
SPANS = st.lists(st.tuples(SECONDS, SECONDS, st.decimals("0.000001", "5000", places=6)), max_size=8)
PRICES = st.lists(st.tuples(SECONDS, st.decimals("0", "900", places=10)), max_size=4, unique_by=lambda one: one[0])


class Undo(Exception):
    """Takes back what one example wrote."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=SPANS, prices=PRICES, now=SECONDS)
def test_any_usage_at_any_prices_is_what_fractions_say(shop: Shop, spans: list, prices: list, now: timedelta) -> None:
    zero = datetime(2026, 10, 25, tzinfo=UTC)
    with pytest.raises(Undo), transaction.atomic():
        for moment, price in sorted(prices):
            set_price(shop, str(price), zero + moment)
        for start, length, units in spans:
            shop.burnt(shop.lamp(), zero + start, zero + start + length + timedelta(seconds=1), reading=SMALL)
            UsageInterval.objects.filter(start=zero + start).update(quantity=units)
        found = lines_of_november(now=zero + now)
        wanted = list(_oracle(zero + now))
        assert sorted((line.interval, line.start, line.quantity, line.amount) for line in found) == sorted(wanted)
        total = sum((line.amount for line in found), Decimal(0))
        for groups in (("day",), ("project", "day", "resource"), ("meter",), ("price", "tag:none")):
            sums = rating.totals(EVERYTHING, groups, start=NOVEMBER.start, end=NOVEMBER.end, now=zero + now).totals
            assert sum((one.amount for one in sums), Decimal(0)) == total
        raise Undo


@given(units=st.decimals("0", "99999999", places=6), microseconds=st.integers(0, 10**14),
       price=st.decimals("0", "9999999999", places=10))
def test_the_formula_rounds_half_up_at_ten_decimals(units: Decimal, microseconds: int, price: Decimal) -> None:
    exact = Fraction(units) * microseconds * Fraction(price) / 3_600_000_000
    got = Fraction(amount_of(units, timedelta(microseconds=microseconds), price))
    assert -Fraction(1, 2 * 10**10) < got - exact <= Fraction(1, 2 * 10**10)


def test_half_of_the_last_digit_goes_up() -> None:
    assert amount_of(Decimal(1), timedelta(minutes=30), Decimal("0.0000000001")) == Decimal("0.0000000001")
    assert amount_of(Decimal(1), timedelta(minutes=29, seconds=59), Decimal("0.0000000001")) == 0


def _totals(*groups: str) -> tuple[rating.Total, ...]:
    return rating.totals(EVERYTHING, groups, start=NOVEMBER.start, end=NOVEMBER.end, now=LATER).totals


def _oracle(now: datetime):
    """Interval by interval, price by price, in fractions; rounded once, with digits to spare."""
    prices = list(Price.objects.values_list("region_id", "meter", "sku", "valid", "price_per_hour"))
    for row in UsageInterval.objects.all():
        start, end = max(row.period.lower, NOVEMBER.start), min(row.period.upper or now, NOVEMBER.end, now)
        for region_id, meter, sku, valid, price in prices:
            since, until = max(start, valid.lower), min(end, valid.upper or end)
            if (region_id, meter, sku) == (row.region_id, row.meter, row.sku) and since < until:
                seconds = Fraction((until - since) // timedelta(microseconds=1), 10**6)
                cost = Fraction(row.quantity) * seconds * Fraction(price) / 3600
                quantity = Fraction(row.quantity) * seconds
                yield row.pk, since, _decimal(quantity), _decimal(cost).quantize(Decimal("1e-10"), ROUND_HALF_UP)


def _decimal(fraction: Fraction) -> Decimal:
    with localcontext() as context:
        context.prec = 100
        return Decimal(fraction.numerator) / Decimal(fraction.denominator)
