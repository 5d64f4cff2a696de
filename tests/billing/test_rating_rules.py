"""Steps, minimums, outages, tiers, discounts and books of one's own, told as accounting stories."""
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from psycopg import sql

from billing import operations, rating
from billing.models import Issuer, Price, PriceBook, UsageInterval
from billing.periods import Month
from billing.rating.rates import microseconds
from portal.kernel.declarations import Reading
from tests.billing.lamps import BIG, Shop

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 6, 1, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EVERYTHING = rating.Selection(projects=None)
TWO = Reading(meter="lamp", sku="small", quantity=Decimal(2))


def at(day: int, hour: int = 0, minute: int = 0, *, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def reprice(shop: Shop, price: str = "0.36", since: datetime = NEW_YEAR + HOUR, *, sku: str = "small",
            book: PriceBook | None = None, **more: object) -> Price:
    return operations.set_price(book or shop.book, region=shop.cast.region, meter="lamp", sku=sku, price_per_hour=Decimal(price),
                                actor=None, valid_from=since, now=since, **more)


def agree(shop: Shop, since: datetime, **more: object) -> None:
    operations.set_terms(shop.cast.organization, actor=None, valid_from=since, now=since, **more)


def down(shop: Shop, lamp, start: datetime, end: datetime, *meters: str) -> None:
    operations.record_outage(lamp, start=start, end=end, reason="Power cut", actor=None, meters=meters, now=LATER)


def lines(month: Month = NOVEMBER, *, start: datetime | None = None, end: datetime | None = None, now: datetime = LATER,
          **chosen: object) -> list[rating.Line]:
    """Oldest first."""
    selection = rating.Selection(**{"projects": None, **chosen})
    return rating.lines(selection, start=start or month.start, end=end or month.end, now=now)[::-1]


def hours(found: Iterable[rating.Line]) -> list[Decimal]:
    return [line.quantity / 3600 for line in found]


def unread() -> int:
    """How many of the places at which the statement of sums may read usage were not come to."""
    values = rating._values(EVERYTHING, NOVEMBER.start, NOVEMBER.end, LATER) | {"limit": None, "offset": 0}
    statement = rating._sums(EVERYTHING, ("meter",), False, values)
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("EXPLAIN (ANALYZE, COSTS OFF) {}").format(statement), values)
        plan = [line for line, in cursor.fetchall()]
    return sum("billing_usageinterval" in line and "never executed" in line for line in plan)


def amounts(found: Iterable[rating.Line]) -> list[Decimal]:
    return [line.amount for line in found]


class TestStepsAndMinimums:
    """A step that has begun is billed whole, an interval at least for the minimum; parts of it add up."""

    def test_ninety_one_minutes_by_the_hour_are_two_hours(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600)
        shop.burnt(shop.lamp(), at(3, 10), at(3, 11, 31))
        (line,) = lines()
        assert (hours([line]), line.amount, line.billed) == ([2], Decimal("0.72"), 7200)

    def test_a_second_by_the_minute_is_a_minute(self, shop: Shop) -> None:
        reprice(shop, granularity_s=60)
        shop.burnt(shop.lamp(), at(3), at(3) + timedelta(seconds=1))
        assert amounts(lines()) == [Decimal("0.006")]

    def test_what_runs_for_a_minute_costs_the_minimum_of_ten(self, shop: Shop) -> None:
        reprice(shop, minimum_s=600)
        shop.burnt(shop.lamp(), at(3), at(3, 0, 1))
        shop.burnt(shop.lamp(), at(3), at(3, 0, 11))
        assert sorted(amounts(lines())) == [Decimal("0.06"), Decimal("0.066")]

    def test_the_hour_that_began_in_october_is_octobers(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600)
        shop.burnt(shop.lamp(), at(31, 23, 30, month=10), at(1, 0, 20))
        assert (hours(lines(OCTOBER)), hours(lines())) == ([1], [0])

    def test_the_step_of_its_beginning_goes_with_an_interval_over_a_price_change(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600)
        reprice(shop, "0.72", at(3, 12), granularity_s=1)
        shop.burnt(shop.lamp(), at(3, 11, 15), at(3, 13, 30))  # 2 h 15 min: three hours, of which 45 min were at the old price
        old, new = lines()
        assert (hours([old, new]), amounts([old, new])) == ([1, 2], [Decimal("0.36"), Decimal("1.44")])

    def test_what_still_runs_is_billed_to_its_present_step(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600)
        shop.burnt(shop.lamp(), at(3, 10), None)
        assert [hours(lines(now=at(3, 10, minute))) for minute in (1, 59)] == [[1], [1]]
        assert hours(lines(now=at(3, 11, 1))) == [2]

    def test_days_of_a_stepped_line_add_up_to_it(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600, minimum_s=4 * 3600)
        shop.burnt(shop.lamp(), at(3, 23, 30), at(4, 5))
        days = rating.totals(EVERYTHING, ("day",), start=NOVEMBER.start, end=NOVEMBER.end, now=LATER).totals
        assert [total.quantity / 3600 for total in days] == [4, 2]  # the minimum falls due at once


class TestOutages:
    """Time of the platform's own fault is nobody's bill."""

    def test_an_hour_of_outage_is_taken_out(self, shop: Shop) -> None:
        lamp = shop.lamp()
        shop.burnt(lamp, at(3), at(4))
        down(shop, lamp, at(3, 5), at(3, 6))
        shop.burnt(shop.lamp(), at(3), at(4))
        assert sorted(hours(lines())) == [23, 24]

    def test_it_is_taken_out_before_steps_are_counted(self, shop: Shop) -> None:
        reprice(shop, granularity_s=3600)
        lamp = shop.lamp()
        shop.burnt(lamp, at(3, 10), at(3, 12, 10))
        down(shop, lamp, at(3, 11), at(3, 11, 15))
        assert hours(lines()) == [2]  # of 1 h 55 min

    def test_who_was_down_all_the_time_owes_no_minimum(self, shop: Shop) -> None:
        reprice(shop, minimum_s=3600)
        lamp = shop.lamp()
        shop.burnt(lamp, at(3, 10), at(3, 10, 5))
        down(shop, lamp, at(3, 9), at(3, 11))
        assert amounts(lines()) == [0]

    def test_only_the_meters_that_failed_are_free(self, shop: Shop) -> None:
        lamp = shop.lamp()
        shop.burnt(lamp, at(3), at(3, 2))
        shop.burnt(lamp, at(3), at(3, 2), reading=Reading(meter="lamp.oil", sku="whale", quantity=Decimal(1)))
        down(shop, lamp, at(3), at(3, 1), "lamp.oil")
        assert {line.meter: line.quantity / 3600 for line in lines()} == {"lamp": 2, "lamp.oil": 1}


class TestTiers:
    """What an organization used of a meter in a month decides what more of it costs."""

    def test_the_first_hundred_hours_are_free(self, shop: Shop) -> None:
        reprice(shop, "0", tiers=[(Decimal(100), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3), at(3) + 130 * HOUR)
        free, paid = lines()
        assert (hours([free, paid]), amounts([free, paid])) == ([100, 30], [0, 15])
        assert [(line.tier, line.price_per_hour, line.start, line.end) for line in (free, paid)] == [
            (0, 0, at(3), at(3) + 130 * HOUR), (100, Decimal("0.5"), at(3), at(3) + 130 * HOUR)]

    def test_lines_fill_the_tiers_in_the_order_of_their_beginnings(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5")), (Decimal(15), Decimal("0.1"))])
        shop.burnt(shop.lamp("second"), at(4), at(4, 4))
        shop.burnt(shop.lamp("first"), at(3), at(3, 8))
        shop.burnt(shop.lamp("third"), at(5), at(5, 4))
        assert [(line.resource.name, line.tier, line.quantity / 3600) for line in lines()] == [
            ("first", 0, 8), ("second", 0, 2), ("second", 10, 2), ("third", 10, 3), ("third", 15, 1)]

    def test_what_is_alike_is_rated_together_and_cut_where_tiers_begin(self, shop: Shop) -> None:
        """Ten lamps of three hours each: tiers begin within the fourth, within it again, and between the seventh and eighth."""
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5")), (Decimal(11), Decimal("0.2")), (Decimal(21), Decimal("0.1"))])
        for _lamp in range(10):
            shop.burnt(shop.lamp(), at(3), at(3, 3))
        found = lines()
        assert sorted((line.tier, line.quantity / 3600) for line in found) == [
            (0, 1), *[(0, 3)] * 3, (10, 1), (11, 1), *[(11, 3)] * 3, *[(21, 3)] * 3]
        november = {"start": NOVEMBER.start, "end": NOVEMBER.end, "now": LATER}
        together = rating.totals(EVERYTHING, ("price",), **november).totals
        assert {total.price.price_per_hour: total.quantity / 3600 for total in together} == {
            Decimal(1): 10, Decimal("0.5"): 1, Decimal("0.2"): 10, Decimal("0.1"): 9}
        assert sum(total.amount for total in together) == sum(line.amount for line in found) == Decimal("13.4")
        hour = {"start": at(3, 1), "end": at(3, 2), "now": LATER}
        assert (rating.totals(EVERYTHING, ("day",), **hour).totals[0].amount
                == sum(line.amount for line in rating.lines(EVERYTHING, **hour)))

    def test_what_ends_at_a_border_stays_below_it(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3), at(3, 10))
        shop.burnt(shop.lamp(), at(4), at(4, 1))
        assert [line.tier for line in lines()] == [0, 10]

    def test_other_skus_count_others_meters_and_organizations_do_not(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(1), at(1, 10), reading=BIG)
        shop.burnt(shop.lamp(), at(2), at(3), reading=Reading(meter="lamp.oil", sku="whale", quantity=Decimal(9)))
        shop.burnt(shop.lamp(project=shop.cast.rival_project), at(2), at(2, 4))
        shop.burnt(shop.lamp(), at(3), at(3, 1))
        found = [line for line in lines() if line.sku == "small"]
        assert [(line.project.name, line.tier) for line in found] == [(shop.cast.rival_project.name, 0), ("web", 10)]

    def test_one_projects_lines_stand_where_the_organization_stands(self, shop: Shop) -> None:
        from tenants.operations import create_project

        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        other = create_project(shop.cast.organization, "other", actor=None)
        shop.burnt(shop.lamp(project=other), at(1), at(1, 10))
        mine = shop.burnt(shop.lamp(), at(3), at(3, 1))
        for chosen in ({"projects": [shop.cast.project.pk]}, {"intervals": [mine.pk]}, {"resources": [mine.resource_id]}):
            assert [line.tier for line in lines(**chosen)] == [10]
        assert [line.tier for line in lines(organization=shop.cast.organization.pk, skus=["small"])] == [0, 10]

    def test_a_new_month_begins_anew(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(31, 4, month=10), at(1, 12))
        assert hours(lines(OCTOBER)) == [10, 10] and hours(lines()) == [10, 2]
        both = lines(start=OCTOBER.start, end=NOVEMBER.end)
        assert (hours(both), [line.tier for line in both]) == ([10, 10, 10, 2], [0, 10, 0, 10])
        assert lines(start=datetime(2000, 1, 1, tzinfo=UTC), end=NOVEMBER.end) == both
        assert rating.lines(EVERYTHING, start=None, end=NOVEMBER.end, now=LATER)[::-1] == both

    def test_months_are_the_issuers(self, shop: Shop) -> None:
        Issuer.objects.create(id=1, name="Mains", time_zone="Asia/Shanghai")
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(31, 4, month=10), at(1, 12))  # Shanghai's November began at 16:00
        october = Month(2026, 10, "Asia/Shanghai")
        assert october.end == at(31, 16, month=10)
        assert hours(lines(october)) == [10, 2] and hours(lines(october.next)) == [10, 10]

    def test_a_part_of_the_month_is_a_part_of_its_lines(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3), at(3, 20))
        shop.burnt(shop.lamp(), at(3, 5), at(3, 6))
        parts = [lines(start=at(3, hour), end=at(3, hour + 1)) for hour in range(20)]
        assert sum(amounts(line for part in parts for line in part)) == sum(amounts(lines())) == Decimal("15.5")

    def test_units_count_not_hours_and_a_crossing_is_divided_exactly(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal("0.000001"), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3), at(3, 1), reading=TWO)
        first, rest = lines()
        assert (first.quantity, rest.quantity) == (Decimal("0.0036"), Decimal("7199.9964"))
        assert (first.amount, rest.amount) == (Decimal("0.000001"), Decimal("0.9999995"))

    def test_an_outage_moves_nobody_into_a_higher_tier(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        lamp = shop.lamp()
        shop.burnt(lamp, at(3), at(3, 12))
        down(shop, lamp, at(3, 1), at(3, 3))
        assert [(line.tier, line.quantity / 3600) for line in lines()] == [(0, 10)]

    def test_usage_without_a_price_uses_up_no_allowance(self, shop: Shop) -> None:
        reprice(shop, "0", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(1), at(2), reading=Reading(meter="lamp", sku="odd", quantity=Decimal(1)))
        shop.burnt(shop.lamp(), at(3), at(3, 10))
        assert [(line.sku, line.price_per_hour, line.tier) for line in lines()] == [("odd", None, 0), ("small", 0, 0)]

    def test_half_of_the_statement_reads_nothing_while_all_that_is_used_is_pooled(self, shop: Shop) -> None:
        """And all of it once there is a kind that is not, even of the same meter, before or after the others by its name."""
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3), at(3, 10))
        was_unread = unread()
        for sku in ("odd", "tiny"):
            shop.burnt(shop.lamp(), at(4), at(4, 1), reading=Reading(meter="lamp", sku=sku, quantity=Decimal(1)))
            assert unread() == was_unread - 1
        found = rating.totals(EVERYTHING, ("price",), start=NOVEMBER.start, end=NOVEMBER.end, now=LATER).totals
        assert [(total.price.sku, total.seconds, total.amount) for total in found] == [
            ("odd", 3600, 0), ("small", 36000, 10), ("tiny", 3600, 0)]

    def test_days_and_prices_of_tiers_add_up(self, shop: Shop) -> None:
        reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
        shop.burnt(shop.lamp(), at(3, 20), at(4, 12))
        period = {"start": NOVEMBER.start, "end": NOVEMBER.end, "now": LATER}
        days = rating.totals(EVERYTHING, ("day",), **period).totals
        assert [(total.day.day, total.amount) for total in days] == [(3, 4), (4, 9)]
        prices = rating.totals(EVERYTHING, ("price",), **period).totals
        assert [(total.price.price_per_hour, total.seconds) for total in prices] == [(Decimal("0.5"), 21600), (1, 36000)]


class TestTerms:
    """What an organization agreed on, from when to when."""

    def test_a_discount_is_taken_off_and_both_sums_are_kept(self, shop: Shop) -> None:
        agree(shop, at(3, 1), discount_percent=Decimal("12.5"))
        shop.burnt(shop.lamp(), at(3), at(3, 2))
        before, after = lines()
        assert [(line.discount_percent, line.list_amount, line.amount) for line in (before, after)] == [
            (0, Decimal("0.36"), Decimal("0.36")), (Decimal("12.5"), Decimal("0.36"), Decimal("0.315"))]
        assert before.terms is None and after.terms is not None

    def test_ones_own_book_goes_before_the_list_and_the_list_fills_its_holes(self, shop: Shop) -> None:
        own = PriceBook.objects.create(name="Acme's", currency="CNY")
        reprice(shop, "0.2", at(3, 1), book=own)
        agree(shop, NEW_YEAR + HOUR, book=own)
        shop.burnt(shop.lamp(), at(3), at(3, 2))
        shop.burnt(shop.lamp(), at(4), at(4, 1), reading=BIG)
        shop.burnt(shop.lamp(project=shop.cast.rival_project), at(5), at(5, 1))
        assert amounts(lines()) == [Decimal("0.36"), Decimal("0.2"), Decimal("3.6"), Decimal("0.36")]

    def test_a_book_in_another_currency_is_not_filled_from_the_list(self, shop: Shop) -> None:
        abroad = PriceBook.objects.create(name="Abroad", currency="EUR")
        reprice(shop, "0.05", NEW_YEAR, book=abroad)
        agree(shop, NEW_YEAR + HOUR, book=abroad)
        shop.burnt(shop.lamp(), at(3), at(3, 1))
        shop.burnt(shop.lamp(), at(4), at(4, 1), reading=BIG)
        assert [(line.amount, line.currency, line.price is None) for line in lines()] == [
            (Decimal("0.05"), "EUR", False), (0, "EUR", True)]

    def test_currencies_are_never_added_up(self, shop: Shop) -> None:
        abroad = PriceBook.objects.create(name="Abroad", currency="EUR")
        reprice(shop, "0.05", NEW_YEAR, book=abroad)
        agree(shop, NEW_YEAR + HOUR, book=abroad)
        for project in (shop.cast.project, shop.cast.rival_project):
            shop.burnt(shop.lamp(project=project), at(3), at(3, 1))
        page = rating.totals(EVERYTHING, ("meter",), start=NOVEMBER.start, end=NOVEMBER.end, now=LATER)
        assert [(total.currency, total.amount) for total in page.totals] == [("CNY", Decimal("0.36")), ("EUR", Decimal("0.05"))]

    def test_the_step_is_that_of_the_book_of_the_beginning(self, shop: Shop) -> None:
        own = PriceBook.objects.create(name="Acme's", currency="CNY")
        reprice(shop, "0.36", NEW_YEAR, book=own, granularity_s=3600)
        agree(shop, at(3, 1), book=own)
        shop.burnt(shop.lamp("began before"), at(3), at(3, 1, 10))
        shop.burnt(shop.lamp("began after"), at(3, 2), at(3, 2, 10))
        assert [(line.resource.name, line.quantity) for line in lines()] == [
            ("began before", 3600), ("began before", 600), ("began after", 3600)]


@pytest.mark.parametrize(("zone", "month", "start"), [
    ("America/Havana", Month(2020, 11), "2020-11-01 04:00"),  # that midnight comes twice
    ("America/Asuncion", Month(2017, 10), "2017-10-01 04:00"),  # and this one not at all
    ("Europe/Berlin", Month(2028, 4), "2028-03-31 22:00"), ("Pacific/Kiritimati", Month(2026, 11), "2026-10-31 10:00"),
])
def test_python_and_postgresql_agree_when_a_month_begins(shop: Shop, zone: str, month: Month, start: str) -> None:
    Issuer.objects.create(id=1, name="Mains", time_zone=zone)
    here = Month(month.year, month.month, zone)
    assert here.start == datetime.fromisoformat(start).replace(tzinfo=UTC)
    Price.objects.all().delete()
    reprice(shop, "1", datetime(2017, 1, 1, tzinfo=UTC), tiers=[(Decimal(1), Decimal("0.5"))])
    shop.burnt(shop.lamp(), here.start - 2 * HOUR, here.start + 2 * HOUR)
    found = lines(start=here.start - HOUR, end=here.start + HOUR, now=here.end)
    assert [(line.tier, line.start) for line in found] == [(1, here.start - HOUR), (0, here.start)]


def test_charges_are_the_priced_lines_of_a_month(shop: Shop) -> None:
    reprice(shop, "1", tiers=[(Decimal(10), Decimal("0.5"))])
    agree(shop, at(3), discount_percent=Decimal(10))
    shop.burnt(shop.lamp(), at(3), at(3, 12))
    shop.burnt(shop.lamp(), at(3), at(4), reading=Reading(meter="lamp", sku="odd", quantity=Decimal(1)))
    shop.burnt(shop.lamp(project=shop.cast.rival_project), at(3), at(4))
    shop.burnt(shop.lamp(), at(1), at(2), reading=BIG)
    statement, values = rating.charges(shop.cast.organization.pk, start=NOVEMBER.start, end=NOVEMBER.end)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    assert names == ["interval_id", "project_id", "region_id", "resource_id", "meter", "sku", "span", "units", "quantity",
                     "price_id", "unit_price", "tier", "discount_percent", "list_amount", "amount", "currency"]
    found = {(row["interval_id"], row["tier"]): (row["list_amount"], row["amount"]) for row in rows}
    priced = lines(organization=shop.cast.organization.pk)
    assert found == {(line.interval, line.tier): (line.list_amount, line.amount) for line in priced if line.price}
    assert len(rows) == 2 and all(row["span"].upper <= NOVEMBER.end for row in rows)
    assert UsageInterval.objects.count() == 4


def test_lengths_of_time_are_exact_to_the_microsecond(db):
    """Half a century of usage, which a double just holds, and single microseconds of it."""
    since, lengths = NEW_YEAR + timedelta(microseconds=123_457), [1, 999_999, 3_600_000_001, 1_577_847_599_999_999]
    with connection.cursor() as cursor:
        for length in lengths:
            cursor.execute(sql.SQL("SELECT {} FROM (SELECT %s::timestamptz AS since, %s::timestamptz AS until) AS span").format(
                microseconds("since", "until")), [since, since + timedelta(microseconds=length)])
            assert cursor.fetchone() == (length,)
