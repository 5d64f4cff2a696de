"""Prices have versions; what something costs from now on is known before it is ordered."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import operations, prices
from billing.models import Price, PriceBook
from billing.money import Money
from billing.seed import seed_prices
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent
from tests.billing.lamps import OIL, SMALL, Shop

NOW = datetime(2026, 11, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def versions(shop: Shop) -> list[tuple[Decimal, datetime, datetime | None]]:
    rows = Price.objects.filter(book=shop.book, meter="lamp", sku="small").order_by("valid")
    return [(row.price_per_hour, row.valid.lower, row.valid.upper) for row in rows]


def set_price(shop: Shop, price: object, valid_from: datetime | None = NOW, **changes: object) -> Price:
    wanted = {"region": shop.cast.region, "meter": "lamp", "sku": "small", "price_per_hour": price,
              "actor": shop.cast.root, "valid_from": valid_from, "now": NOW}
    return operations.set_price(shop.book, **(wanted | changes))


@pytest.fixture
def new_year(shop: Shop) -> datetime:
    return versions(shop)[0][1]


def test_a_new_price_ends_the_one_before_and_is_audited(shop: Shop, new_year: datetime) -> None:
    price = set_price(shop, Decimal("0.5"), NOW + DAY)
    assert versions(shop) == [(Decimal("0.36"), new_year, NOW + DAY), (Decimal("0.5"), NOW + DAY, None)]
    event = AuditEvent.objects.get(target_id=str(price.pk))
    assert (event.action, event.actor, event.before) == (
        "price.set", shop.cast.root, {"price_per_hour": "0.3600000000"})


def test_the_past_is_never_changed(shop: Shop, new_year: datetime) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_price(shop, Decimal("0.5"), NOW - timedelta(seconds=1))
    assert list(refused.value.errors) == ["valid_from"]
    assert versions(shop) == [(Decimal("0.36"), new_year, None)]


def test_a_price_before_a_planned_one_lasts_until_that(shop: Shop, new_year: datetime) -> None:
    set_price(shop, Decimal("0.9"), NOW + 9 * DAY)
    set_price(shop, Decimal("0.5"), NOW + DAY)
    assert versions(shop) == [(Decimal("0.36"), new_year, NOW + DAY), (Decimal("0.5"), NOW + DAY, NOW + 9 * DAY),
                              (Decimal("0.9"), NOW + 9 * DAY, None)]


def test_a_planned_price_may_be_corrected_one_in_force_not(shop: Shop, new_year: datetime) -> None:
    set_price(shop, Decimal("0.9"), NOW + DAY)
    set_price(shop, Decimal("0.8"), NOW + DAY)
    assert versions(shop)[-1] == (Decimal("0.8"), NOW + DAY, None)
    set_price(shop, Decimal("0.5"), NOW)
    with pytest.raises(InvalidInput):
        set_price(shop, Decimal("0.6"), NOW)


def test_the_same_price_again_changes_nothing(shop: Shop, new_year: datetime) -> None:
    set_price(shop, Decimal("0.36"))
    assert versions(shop) == [(Decimal("0.36"), new_year, None)]


@pytest.mark.parametrize(("field", "changes"), [
    ("price_per_hour", {"price_per_hour": Decimal("-1")}), ("price_per_hour", {"price_per_hour": Decimal("NaN")}),
    ("price_per_hour", {"price_per_hour": Decimal("1e30")}), ("price_per_hour", {"price_per_hour": "a lot"}),
    ("price_per_hour", {"price_per_hour": Decimal("0.00000000001")}), ("meter", {"meter": "unheard.of"}),
    ("sku", {"sku": ""}), ("sku", {"sku": "x" * 101}),
])
def test_nonsense_is_refused_by_name(shop: Shop, field: str, changes: dict) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_price(shop, Decimal(1), **changes)
    assert list(refused.value.errors) == [field]
    assert len(versions(shop)) == 1


def test_an_order_is_priced_by_the_hour_and_by_the_month(shop: Shop) -> None:
    estimate = prices.price_of(shop.cast.region, [SMALL, OIL], NOW)
    assert estimate.hourly == Money(Decimal("0.36025"), "CNY")
    assert estimate.monthly == Money(Decimal("262.9825"), "CNY")
    assert [(line.sku, line.hourly.amount) for line in estimate.lines] == [
        ("small", Decimal("0.36")), ("whale", Decimal("0.00025"))]
    assert estimate.as_json()["hourly"] == {"amount": "0.36025", "currency": "CNY"}


def test_what_has_no_price_cannot_be_ordered(shop: Shop) -> None:
    with pytest.raises(prices.NoPrice) as refused:
        prices.price_of(shop.cast.region, [SMALL, Reading(meter="lamp", sku="huge", quantity=Decimal(1))], NOW)
    assert (refused.value.status, refused.value.facts["sku"]) == (400, "huge")
    with pytest.raises(prices.NoPrice):
        prices.price_of(shop.cast.region, [SMALL], datetime(2025, 1, 1, tzinfo=UTC))


def test_what_runs_without_a_price_is_reported_to_operators(shop: Shop) -> None:
    shop.burnt(shop.lamp(), NOW - DAY, None)
    assert prices.unpriced(NOW) == []
    shop.burnt(shop.lamp(), NOW - DAY, None, reading=Reading(meter="lamp", sku="huge", quantity=Decimal(1)))
    assert prices.unpriced(NOW) == [("Lab", "lamp", "huge")]


def test_seeding_again_changes_nothing(shop: Shop) -> None:
    before = list(Price.objects.order_by("pk").values())
    wanted = [("lamp", "small", Decimal(7)), ("lamp", "tiny", Decimal("0.1"))]
    book = seed_prices(shop.cast.region, wanted)
    seed_prices(shop.cast.region, wanted)
    assert book == shop.book
    assert list(Price.objects.exclude(sku="tiny").order_by("pk").values()) == before
    assert Price.objects.get(sku="tiny").price_per_hour == Decimal("0.1")


def test_seeding_an_empty_site_makes_the_default_book(db: None, cast, lamps_are_metered: None) -> None:
    seed_prices(cast.region, [("lamp", "small", Decimal(1))])
    assert PriceBook.objects.get().is_default
