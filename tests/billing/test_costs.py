"""Where a month's money goes: every figure is rating's own, to the last digit, by currency and in the issuer's months."""
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import operations, rating
from billing.costs import forecast, month_asked, this_month
from billing.costs.explorer import BY, Question, Sheet, charts, outlooks, sheets
from billing.models import Issuer, PriceBook, Terms
from billing.money import Money
from billing.periods import Month
from portal.kernel import remembered
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Resource
from tenants import operations as tenants
from tests.billing.lamps import BIG, OIL, SMALL, Shop

JANUARY, FEBRUARY = Month(2026, 1), Month(2026, 2)
TEN = datetime(2026, 2, 3, 10, tzinfo=UTC)
NOON = datetime(2026, 2, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> Iterator[None]:
    remembered.forget()
    yield
    remembered.forget()


def yuan(amount: str) -> Money:
    return Money(Decimal(amount), "CNY")


def asked(shop: Shop, month: Month = FEBRUARY, now: datetime = NOON) -> Question:
    return Question(selection=rating.Selection(projects={shop.cast.project.pk}), month=month, now=now)


def only(question: Question, by: str, **options: int) -> Sheet:
    [sheet] = sheets(question, by, **options)
    return sheet


def rated(question: Question, *groups: str) -> list[rating.Total]:
    month = question.month
    return list(rating.totals(question.selection, groups, start=month.start, end=month.end, now=question.now).totals)


def furnish(shop: Shop) -> None:
    """A month with odd seconds, several meters, tags, and something that still runs."""
    for number in range(14):
        tags = {"room": f"room {number % 3}"} if number % 4 else {}
        shop.burnt(shop.lamp(f"lamp {number}", tags=tags), TEN + number * 7 * HOUR,
                   TEN + number * 8 * HOUR + timedelta(seconds=1234), reading=BIG if number % 2 else SMALL)
    oily = shop.lamp("oily")
    shop.burnt(oily, TEN, None)
    shop.burnt(oily, TEN, TEN + 50 * HOUR, reading=OIL)
    shop.burnt(shop.lamp("last month's"), TEN - 20 * DAY, TEN - 19 * DAY)


@pytest.mark.parametrize("by", [*BY, "tag:room"])
def test_parts_and_rest_are_the_month_to_the_last_digit(shop: Shop, by: str) -> None:
    furnish(shop)
    question = asked(shop)
    whole = sum(line.amount for line in rating.lines(question.selection, start=FEBRUARY.start, end=FEBRUARY.end, now=NOON))
    sheet = only(question, by, top=2)
    assert sheet.so_far == Money(whole, "CNY")
    shown = sum(part.amount.amount for part in sheet.parts)
    assert shown + (sheet.rest.amount if sheet.rest else 0) == whole
    assert [part.amount.amount for part in sheet.parts] == sorted((part.amount.amount for part in sheet.parts), reverse=True)
    everything = only(question, by, top=100)
    assert everything.rest is None and sum(part.amount.amount for part in everything.parts) == whole


def test_each_part_is_what_rating_says_of_it(shop: Shop) -> None:
    furnish(shop)
    question = asked(shop)
    by_meter = {total.meter: total.amount for total in rated(question, "meter")}
    assert {part.key: part.amount.amount for part in only(question, "meter").parts} == by_meter
    by_resource = {str(total.resource.id): total.amount for total in rated(question, "resource")}
    assert {part.key: part.amount.amount for part in only(question, "resource", top=99).parts} == by_resource
    rooms = {part.key: part.label for part in only(question, "tag:room").parts}
    assert rooms[None] == "Without this tag" and set(rooms) == {None, "room 0", "room 1", "room 2"}


def test_days_add_up_to_the_month_and_their_parts_to_the_day(shop: Shop) -> None:
    furnish(shop)
    question = asked(shop)
    [chart] = charts(question, "meter")
    assert sum(day.total.amount for day in chart.days) == only(question, "meter").so_far.amount
    assert all(sum(one.amount for one in day.amounts) == day.total.amount for day in chart.days)
    assert chart.series == ("Lamp", "Oil")
    [undivided] = charts(question, "resource")
    assert undivided.series == () and [day.total for day in undivided.days] == [day.total for day in chart.days]


def test_what_is_not_among_the_dearest_five_is_the_others(shop: Shop) -> None:
    for number in range(1, 8):
        project = tenants.create_project(shop.cast.organization, f"p{number}", actor=None)
        shop.burnt(shop.lamp(project=project), TEN, TEN + number * HOUR)
    question = Question(selection=rating.Selection(projects=None), month=FEBRUARY, now=NOON)
    [chart] = charts(question, "project")
    assert chart.series == ("p7", "p6", "p5", "p4", "p3", "Others")
    [day] = chart.days
    assert day.amounts[-1] == yuan("1.08")


def test_two_currencies_are_two_sheets(shop: Shop) -> None:
    """An organization pays in euros since the tenth: nothing adds them up."""
    book = PriceBook.objects.create(name="Euro", currency="EUR")
    operations.set_price(book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.05"),
                         actor=shop.cast.root, valid_from=datetime(2026, 1, 1, tzinfo=UTC), now=datetime(2026, 1, 1, tzinfo=UTC))
    Terms.objects.create(organization=shop.cast.organization, book=book, valid=(datetime(2026, 2, 10, tzinfo=UTC), None))
    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    shop.burnt(shop.lamp(), TEN + 10 * DAY, TEN + 10 * DAY + HOUR)
    question = asked(shop)
    assert [sheet.so_far for sheet in sheets(question, "service")] == [yuan("0.36"), Money(Decimal("0.05"), "EUR")]
    assert [chart.currency for chart in charts(question, "service")] == ["CNY", "EUR"]
    assert [one.expected for one in outlooks(question)] == [yuan("0.36"), Money(Decimal("0.05"), "EUR")]


def test_deleted_projects_and_resources_still_cost(shop: Shop) -> None:
    gone = tenants.create_project(shop.cast.organization, "gone", actor=None)
    lamp = shop.lamp(project=gone)
    shop.burnt(lamp, TEN, TEN + HOUR)
    Resource.objects.filter(pk=lamp.pk).update(deleted_at=TEN + HOUR)
    type(gone).objects.filter(pk=gone.pk).update(deleted_at=TEN + 2 * HOUR)
    sheet = only(Question(selection=rating.Selection(projects={gone.pk}), month=FEBRUARY, now=NOON), "resource")
    assert sheet.so_far == yuan("0.36") and sheet.parts[0].resource.is_gone


# ---- forecast ----

def test_the_forecast_is_what_was_spent_and_what_runs_times_the_hours_left(shop: Shop) -> None:
    shop.burnt(shop.lamp(), TEN, TEN + HOUR)
    shop.burnt(shop.lamp(), NOON - HOUR, None)
    left = Decimal((FEBRUARY.end - NOON) / HOUR)
    question = asked(shop)
    assert forecast(question.selection, FEBRUARY, NOON) == [Money(Decimal("0.72") + left * Decimal("0.36"), "CNY")]
    [outlook] = outlooks(question)
    assert (outlook.expected, outlook.before) == (Money(Decimal("0.72") + left * Decimal("0.36"), "CNY"), yuan("0"))


def test_the_forecast_knows_a_price_that_was_announced(shop: Shop) -> None:
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.72"),
                         actor=shop.cast.root, valid_from=FEBRUARY.end - DAY, now=NOON)
    shop.burnt(shop.lamp(), NOON, None)
    hours = int((FEBRUARY.end - NOON) / HOUR)
    found = forecast(asked(shop).selection, FEBRUARY, NOON)
    assert found == [Money((hours - 24) * Decimal("0.36") + 24 * Decimal("0.72"), "CNY")]


def test_the_forecast_comes_true_when_nothing_changes(shop: Shop) -> None:
    furnish(shop)
    selection = asked(shop).selection
    told = forecast(selection, FEBRUARY, NOON)
    assert told == forecast(selection, FEBRUARY, FEBRUARY.end + DAY)
    [outlook] = outlooks(asked(shop, now=FEBRUARY.end + DAY))
    assert outlook.expected is None, "a month that is over is what it was"


def test_last_month_stands_beside_it(shop: Shop) -> None:
    shop.burnt(shop.lamp(), TEN - 20 * DAY, TEN - 20 * DAY + 2 * HOUR)
    [outlook] = outlooks(asked(shop))
    assert (outlook.before, outlook.expected) == (yuan("0.72"), yuan("0"))
    assert sheets(asked(shop), "service") == []


# ---- months ----

def test_months_are_the_issuers(shop: Shop) -> None:
    Issuer.objects.create(name="Waterworks", time_zone="Asia/Shanghai")
    march = datetime(2026, 2, 28, 16, 30, tzinfo=UTC)  # half past midnight in Shanghai
    assert str(this_month(march)) == "2026-03"
    month = month_asked("2026-02", march)
    assert (month.start, month.end) == (datetime(2026, 1, 31, 16, tzinfo=UTC), datetime(2026, 2, 28, 16, tzinfo=UTC))
    shop.burnt(shop.lamp(), datetime(2026, 2, 28, 15, tzinfo=UTC), datetime(2026, 2, 28, 17, tzinfo=UTC))
    assert only(asked(shop, month, march + DAY), "service").so_far == yuan("0.36")
    assert only(asked(shop, month.next, march + DAY), "service").so_far == yuan("0.36")


@pytest.mark.parametrize("text", ["2026-13", "1999-01", "26-1", "x", "2026-1", "２０２６-11"])
def test_a_month_that_is_none_is_refused_by_name(db: None, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        month_asked(text, NOON)
    assert list(refused.value.errors) == ["month"]
