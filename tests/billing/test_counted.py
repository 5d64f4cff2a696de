"""What counters counted, on bills: a day is a line, tiers count units, and what is charged is charged once."""
from collections.abc import Iterator
from decimal import Decimal

import pytest

from billing import closing, counters, operations, rating
from billing.counters import Sample
from billing.exports import steps
from billing.models import Charge, Issuer, Price
from portal.kernel import remembered
from portal.kernel.declarations import COUNTER, Meter, registry
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Resource
from tests.billing.exported import export, rows
from tests.billing.lamps import Lamp, Shop
from tests.billing.months import HOUR, NOVEMBER, OCTOBER, SECOND_OF_NOVEMBER, books_add_up, close, october

MOTHS = "lamp.moths"
EVERYTHING = rating.Selection(projects=None)
LEDGER_OF = {"start": OCTOBER.start, "end": OCTOBER.end, "now": SECOND_OF_NOVEMBER}


@pytest.fixture(autouse=True)
def moths_are_priced(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Iterator[None]:
    """A thousand moths cost 2, from the twentieth on 3; from ten thousand a month on half a unit."""
    monkeypatch.setattr(registry, "meters", dict(registry.meters))
    registry.add(Meter(name=MOTHS, label="Moths", unit="moth", price_unit="thousand", kind=COUNTER, size=1000))
    remembered.forget()
    price(shop, "2", october(1))
    yield
    remembered.forget()


def price(shop: Shop, amount: str, since, **more: object) -> Price:
    return operations.set_price(shop.book, region=shop.cast.region, meter=MOTHS, sku="grey", price_per_hour=Decimal(amount),
                                actor=None, valid_from=since, now=since, **more)


def counted(lamp: Lamp, *seen: tuple[object, int], epoch: int = 1) -> None:
    Resource.objects.filter(pk=lamp.pk).update(created_at=october(1))
    found = counters.ingest([Sample(lamp.pk, MOTHS, "grey", epoch, at, value) for at, value in seen], now=SECOND_OF_NOVEMBER)
    assert not found.refused
    remembered.forget()


def lines() -> list[tuple]:
    return [(line.start, line.quantity, line.tier, line.amount) for line in rating.lines(EVERYTHING, **LEDGER_OF)[::-1]]


def test_each_day_is_a_line_at_the_price_of_a_thousand(shop: Shop) -> None:
    counted(shop.lamp(), (october(3, 1), 500), (october(3, 23), 1500), (october(5, 12), 1501))
    assert lines() == [(october(3), 1500, 0, 3), (october(5), 1, 0, Decimal("0.002"))]
    (line, _other) = rating.lines(EVERYTHING, **LEDGER_OF)[::-1]
    assert (line.interval, line.end, line.billed, line.unit) == (None, october(4), None, "moth")


def test_a_sample_at_midnight_is_of_the_day_that_begins(shop: Shop) -> None:
    counted(shop.lamp(), (october(3, 1), 500), (october(4), 700))
    assert [line[:2] for line in lines()] == [(october(3), 500), (october(4), 200)]


def test_an_epoch_begins_from_nothing_and_adds_to_its_day(shop: Shop) -> None:
    lamp = shop.lamp()
    counted(lamp, (october(3, 1), 5000), (october(3, 2), 6000))
    counted(lamp, (october(3, 3), 400), epoch=2)
    assert lines() == [(october(3), 6400, 0, Decimal("12.8"))]


def test_a_price_that_changes_at_noon_divides_the_day(shop: Shop) -> None:
    price(shop, "3", october(20, 12))
    counted(shop.lamp(), (october(20, 11), 1000), (october(20, 13), 3000))
    assert lines() == [(october(20), 1000, 0, 2), (october(20, 12), 2000, 0, 6)]


def test_the_first_ten_thousand_are_free_and_others_count_too(shop: Shop) -> None:
    price(shop, "0", october(2), tiers=[(Decimal(10), Decimal("0.5"))])
    counted(shop.lamp("one"), (october(3, 1), 4000))
    counted(shop.lamp("two"), (october(4, 1), 8000))
    assert lines() == [(october(3), 4000, 0, 0), (october(4), 6000, 0, 0), (october(4), 2000, 10, 1)]


def test_sums_are_those_of_the_lines_whatever_they_are_by(shop: Shop) -> None:
    price(shop, "1", october(20, 12), tiers=[(Decimal(3), Decimal("0.5"))])
    lamp = shop.lamp()
    counted(lamp, *((october(1) + number * 7 * HOUR, 123 * number) for number in range(1, 100)))
    shop.burnt(lamp, october(3), october(4))
    whole = sum(line.amount for line in rating.lines(EVERYTHING, **LEDGER_OF))
    for groups in (("day",), ("meter", "price"), ("resource",), ("project",)):
        assert sum(total.amount for total in rating.totals(EVERYTHING, groups, **LEDGER_OF).totals) == whole
    by_meter = {total.meter: total for total in rating.totals(EVERYTHING, ("meter",), **LEDGER_OF).totals}
    assert (by_meter[MOTHS].quantity, by_meter[MOTHS].unit) == (123 * 99, "moth")
    halves = [rating.totals(EVERYTHING, ("meter",), **LEDGER_OF | period).totals for period in (
        {"end": october(9, 13)}, {"start": october(9, 13)})]
    assert sum(total.amount for half in halves for total in half) == whole


def test_what_was_counted_is_on_the_invoice_once(shop: Shop) -> None:
    counted(shop.lamp(), (october(3, 1), 1000), (october(9, 1), 2500))
    shop.burnt(shop.lamp(), october(3), october(4))
    (invoice,) = close(shop)
    assert close(shop) == [invoice]
    charges = Charge.objects.filter(meter=MOTHS, kind="usage").order_by("span")
    assert [(charge.span.lower, charge.span.upper, charge.units, charge.amount) for charge in charges] == [
        (october(3), october(4), 1, 2), (october(9), october(10), 1, 3)]
    books_add_up()
    assert not closing.rerate(shop.cast.organization, OCTOBER, actor=None, commit=False).count


def test_a_batch_that_comes_after_the_close_is_a_correction(shop: Shop) -> None:
    lamp = shop.lamp()
    counted(lamp, (october(3, 1), 1000))
    close(shop)
    counted(lamp, (october(9, 1), 1500))
    found = closing.rerate(shop.cast.organization, OCTOBER, actor=None, commit=True)
    assert [(one.interval, one.resource, one.money.amount) for one in found.differences] == [(None, lamp.pk, 1)]
    assert not closing.rerate(shop.cast.organization, OCTOBER, actor=None, commit=False).count
    assert Charge.objects.get(kind="correction").amount == 1


@pytest.mark.parametrize("steps", [{"granularity_s": 60}, {"minimum_s": 600}])
def test_what_is_counted_has_no_steps_of_time(shop: Shop, steps: dict) -> None:
    with pytest.raises(InvalidInput):
        price(shop, "1", october(25), **steps)


def test_nothing_of_the_rival_is_counted(shop: Shop) -> None:
    counted(shop.lamp(project=shop.cast.rival_project), (october(3, 1), 1000))
    mine = rating.Selection(projects=[shop.cast.project.pk])
    assert not rating.lines(mine, **LEDGER_OF)
    assert not rating.totals(mine, ("meter",), **LEDGER_OF).totals


# -- in files --

@pytest.fixture
def directory(settings, tmp_path) -> None:
    settings.DOORBELLS = False
    settings.EXPORTS = settings.EXPORTS | {"directory": tmp_path}


def in_file(shop: Shop, *months: str) -> list[tuple[str, str, str]]:
    found = [row for row in rows(export(shop, "usage", "json", *months, now=SECOND_OF_NOVEMBER)) if row["interval"] is None]
    assert {(row["meter"], row["sku"], row["units"], row["seconds"]) for row in found} == {(MOTHS, "grey", None, None)}
    return [(row["start"], row["end"], row["quantity"]) for row in found]


def test_a_file_of_usage_tells_what_was_counted_by_days(shop: Shop, directory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    lamp = shop.lamp("counted")
    counted(lamp, (october(3, 1), 500), (october(3, 23), 1500), (october(5, 12), 1501), (NOVEMBER.start, 1601))
    counted(lamp, (october(5, 13), 7), (october(5, 14), 9), epoch=2)
    counted(shop.lamp("rival", project=shop.cast.rival_project), (october(4), 77))
    fifth = ("2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z")
    october_has = [("2026-10-03T00:00:00Z", "2026-10-04T00:00:00Z", "1500"), (*fifth, "1"), (*fifth, "9")]
    assert in_file(shop, "2026-10") == october_has
    # The second of November is not over yet.
    november_has = [("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "100")]
    assert in_file(shop, "2026-11") == november_has and in_file(shop, "2026-10", "2026-11") == october_has + november_has
    monkeypatch.setattr(steps, "READ_ROWS", 1)
    assert in_file(shop, "2026-10", "2026-11") == october_has + november_has
    assert sum(int(quantity) for _start, _end, quantity in october_has) == sum(
        line.quantity for line in rating.lines(rating.Selection(projects=[shop.cast.project.pk]), **LEDGER_OF))


def test_a_month_of_the_issuer_cuts_the_day_in_files_too(shop: Shop, directory: None) -> None:
    Issuer.objects.create(pk=1, name="Waterworks Ltd", time_zone="Asia/Shanghai")
    counted(shop.lamp(), (october(31, 15), 10), (october(31, 16), 30), (october(31, 23), 31))
    assert in_file(shop, "2026-10") == [("2026-10-31T00:00:00Z", "2026-10-31T16:00:00Z", "10")]
    assert in_file(shop, "2026-11") == [("2026-10-31T16:00:00Z", "2026-11-01T00:00:00Z", "21")]
