"""Old samples are forgotten, and no hour, day, month or invoice that was counted from them says anything else."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import counters, operations, rating
from billing.counters import Sample
from billing.models import CounterSample, Issuer, Terms
from billing.periods import Month
from portal.kernel import remembered
from portal.kernel.declarations import COUNTER, Meter, registry
from portal.kernel.models import Resource
from portal.upkeep import retention
from tests.billing.lamps import Lamp, Shop

MAY = datetime(2026, 5, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture(autouse=True)
def moths_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "meters", dict(registry.meters))
    registry.add(Meter(name="lamp.moths", label="moths", unit="moth", price_unit="moth", kind=COUNTER))


@pytest.fixture
def lamp(shop: Shop) -> Lamp:
    made = shop.lamp()
    Resource.objects.filter(pk=made.pk).update(created_at=MAY)
    return made


def count(lamp: Lamp, start: datetime, minutes: int, *, epoch: int = 1, value: int = 0) -> int:
    """A sample a minute or so, each with some growth; the last value."""
    dice, samples = Random(epoch), []
    for minute in range(0, minutes, 3):
        value += dice.randrange(50)
        at = start + minute * MINUTE + timedelta(seconds=minute % 60)
        samples.append(Sample(lamp.pk, "lamp.moths", "grey", epoch, at, value))
    assert counters.ingest(samples, now=NOW).refused == []
    return value


def hours(start: datetime, end: datetime) -> list[tuple]:
    query, values = counters.usage(start=start, end=end, projects=None)
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return sorted(cursor.fetchall(), key=lambda row: row[5])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu"])
def test_what_was_used_is_the_same_to_the_byte(lamp: Lamp, zone: str) -> None:
    """Also where the issuer's month begins at half past one of our hours, or at a quarter."""
    Issuer.objects.create(pk=1, name="Waterworks Ltd", time_zone=zone)
    value = count(lamp, datetime(2026, 5, 31, 12, tzinfo=UTC), 3000)  # over the end of May in every zone
    count(lamp, datetime(2026, 6, 2, 15, tzinfo=UTC), 100, value=value)
    count(lamp, datetime(2026, 6, 2, 15, tzinfo=UTC), 300, epoch=2)
    months = [Month(2026, 5, zone), Month(2026, 6, zone)]
    before = [hours(month.start, month.end) for month in months] + [hours(MAY, NOW)]
    days = counters.by_day(lamp.pk, "lamp.moths", start=MAY, end=NOW)
    kept = CounterSample.objects.count()
    assert counters.thin(NOW - timedelta(days=counters.WHOLE_DAYS)) > kept * 0.8
    assert [hours(month.start, month.end) for month in months] + [hours(MAY, NOW)] == before
    assert counters.by_day(lamp.pk, "lamp.moths", start=MAY, end=NOW) == days
    for epoch in (1, 2):
        left = [at.astimezone(ZoneInfo(zone)) for at in CounterSample.objects.filter(counter__epoch=epoch).values_list(
            "at", flat=True)]
        pieces = {(at.astimezone(UTC).replace(minute=0, second=0), at.replace(minute=0, second=0)) for at in left}
        assert len(left) == len(pieces)


def test_what_it_costs_is_the_same_where_prices_changed_within_an_hour(shop: Shop, lamp: Lamp) -> None:
    """At 10:20 and 10:40:30 of a day long gone; and the organization's discount began at 13:07."""
    day = datetime(2026, 6, 2, tzinfo=UTC)
    ten = day + 10 * HOUR
    for since, price in ((MAY, "2"), (ten + 20 * MINUTE, "3"), (ten + 40.5 * MINUTE, "5")):
        operations.set_price(shop.book, region=shop.cast.region, meter="lamp.moths", sku="grey", price_per_hour=Decimal(price),
                             actor=None, valid_from=since, now=since)
    Terms.objects.create(organization=shop.cast.organization, discount_percent=10,
                         valid=DateTimeTZRange(day + timedelta(hours=13, minutes=7), None))
    count(lamp, day + 8 * HOUR, 600)

    def lines() -> list[tuple]:
        remembered.forget()
        found = rating.lines(rating.Selection(projects=None), start=MAY, end=NOW, now=NOW)
        return [(line.start, line.end, line.quantity, line.amount) for line in found]

    before = lines()
    assert len(before) == 4
    assert counters.thin(NOW - timedelta(days=counters.WHOLE_DAYS)) > 150  # of two hundred
    assert lines() == before


def test_the_open_month_and_the_two_before_it_keep_every_sample(lamp: Lamp) -> None:
    count(lamp, datetime(2026, 9, 1, tzinfo=UTC), 120)
    kept = CounterSample.objects.count()
    assert counters.thin(NOW - timedelta(days=counters.WHOLE_DAYS)) == 0
    assert CounterSample.objects.count() == kept
    for month in (Month(2026, 3), Month(2027, 1), Month(2026, 10)):  # February between the two before, and longer ones
        last_moment = month.end - timedelta(microseconds=1)
        assert last_moment - timedelta(days=counters.WHOLE_DAYS) <= month.previous.previous.start


def test_thinning_again_forgets_nothing_more_and_what_comes_late_still_finds_its_place(lamp: Lamp) -> None:
    value = count(lamp, MAY, 600)
    before = NOW - timedelta(days=counters.WHOLE_DAYS)
    assert counters.thin(before) > 0
    assert counters.thin(before) == 0
    late = Sample(lamp.pk, "lamp.moths", "grey", 1, MAY + 11 * HOUR, value + 5)
    assert counters.ingest([late], now=NOW).added == 1
    falls = Sample(lamp.pk, "lamp.moths", "grey", 1, MAY + 12 * HOUR, value)
    assert [refusal.reason for refusal in counters.ingest([falls], now=NOW).refused] == ["falls"]


def test_the_daily_clock_does_it_and_the_dry_run_says_how_many(lamp: Lamp) -> None:
    count(lamp, MAY, 120)
    [told] = [number for rule, number in retention.counts() if rule.name == "counter_samples"]
    assert told == 38  # of forty in two hours
    assert retention.prune()["counter_samples"] == 38
    assert CounterSample.objects.count() == 2
