"""Prices have versions; what something costs from now on is known before it is ordered."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import operations, prices, rating
from billing.models import Charge, Credit, Outage, Price, PriceBook, Terms
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
    wanted = {"book": shop.book, "region": shop.cast.region, "meter": "lamp", "sku": "small", "price_per_hour": price,
              "actor": shop.cast.root, "valid_from": valid_from, "now": NOW}
    return operations.set_price(**(wanted | changes))


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
    estimate = prices.price_of(shop.cast.organization, shop.cast.region, [SMALL, OIL], NOW)
    assert estimate.hourly == Money(Decimal("0.36025"), "CNY")
    assert estimate.monthly == Money(Decimal("262.9825"), "CNY")
    assert [(line.sku, line.hourly.amount) for line in estimate.lines] == [
        ("small", Decimal("0.36")), ("whale", Decimal("0.00025"))]
    assert estimate.as_json()["hourly"] == {"amount": "0.36025", "currency": "CNY"}


def test_an_order_costs_what_the_organization_agreed_on(shop: Shop) -> None:
    """Its own price, and the list's where it has none; less the discount; and what rating says of the hour afterwards."""
    own, cast = PriceBook.objects.create(name="Acme's"), shop.cast
    set_price(shop, Decimal("0.30"), book=own)
    operations.set_terms(cast.organization, book=own, discount_percent=Decimal("12.5"), actor=cast.root, valid_from=NOW, now=NOW)
    found = prices.price_of(cast.organization, cast.region, [SMALL, OIL], NOW)
    assert [line.hourly.amount for line in found.lines] == [Decimal("0.2625"), Decimal("0.00021875")]
    for reading in (SMALL, OIL):
        shop.burnt(shop.lamp(), NOW, NOW + timedelta(hours=1), reading=reading)
    used = rating.totals(rating.Selection(projects=[cast.project.pk]), ("project",), start=NOW, end=NOW + DAY, now=NOW + DAY)
    assert used.totals[0].amount == found.hourly.amount
    theirs = prices.price_of(cast.rival_organization, cast.region, [SMALL], NOW)
    assert theirs.hourly.amount == Decimal("0.36")


def test_a_book_in_another_currency_leaves_the_list_out(shop: Shop) -> None:
    own, cast = PriceBook.objects.create(name="Euro", currency="EUR"), shop.cast
    set_price(shop, Decimal("0.05"), book=own)
    operations.set_terms(cast.organization, book=own, actor=cast.root, valid_from=NOW, now=NOW)
    assert prices.price_of(cast.organization, cast.region, [SMALL], NOW).hourly == Money(Decimal("0.05"), "EUR")
    with pytest.raises(prices.NoPrice):
        prices.price_of(cast.organization, cast.region, [OIL], NOW)


def test_what_has_no_price_cannot_be_ordered(shop: Shop) -> None:
    with pytest.raises(prices.NoPrice) as refused:
        prices.price_of(shop.cast.organization, shop.cast.region,
                        [SMALL, Reading(meter="lamp", sku="huge", quantity=Decimal(1))], NOW)
    assert (refused.value.status, refused.value.facts["sku"]) == (400, "huge")
    with pytest.raises(prices.NoPrice):
        prices.price_of(shop.cast.organization, shop.cast.region, [SMALL], datetime(2025, 1, 1, tzinfo=UTC))


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


def test_tiers_steps_and_minimums_make_a_version_and_the_same_again_none(shop: Shop, new_year: datetime) -> None:
    more = {"tiers": [(Decimal(100), Decimal("0.3")), (Decimal(10), Decimal("0.4"))], "granularity_s": 60, "minimum_s": 600}
    price = set_price(shop, Decimal("0.36"), **more)
    assert set_price(shop, Decimal("0.36"), NOW + DAY, **more) == price
    assert [str(tier) for tier in price.tiers.all()] == ["10.000000: 0.4000000000", "100.000000: 0.3000000000"]
    event = AuditEvent.objects.get(target_id=str(price.pk))
    assert (event.after["granularity_s"], event.after["tiers"]) == (
        60, [["10.000000", "0.4000000000"], ["100.000000", "0.3000000000"]])
    assert set_price(shop, Decimal("0.36"), NOW + DAY, **(more | {"tiers": []})) != price


def set_terms(shop: Shop, valid_from: datetime | None = NOW, **changes: object) -> Terms:
    wanted = {"actor": shop.cast.root, "valid_from": valid_from, "now": NOW} | changes
    return operations.set_terms(shop.cast.organization, **wanted)


def terms(shop: Shop) -> list[tuple[Decimal, datetime, datetime | None]]:
    rows = Terms.objects.filter(organization=shop.cast.organization).order_by("valid")
    return [(row.discount_percent, row.valid.lower, row.valid.upper) for row in rows]


def test_new_terms_end_those_before_and_are_audited(shop: Shop) -> None:
    five = set_terms(shop, discount_percent=Decimal(5))
    assert set_terms(shop, NOW + DAY, discount_percent=Decimal(5)) == five
    ten = set_terms(shop, NOW + DAY, discount_percent=Decimal(10))
    assert terms(shop) == [(5, NOW, NOW + DAY), (10, NOW + DAY, None)]
    event = AuditEvent.objects.get(target_id=str(ten.pk))
    assert (event.action, event.organization, event.before["discount_percent"]) == ("terms.set", shop.cast.organization, "5.00")
    set_terms(shop, NOW + DAY)  # planned only: replaced
    assert terms(shop) == [(5, NOW, NOW + DAY), (0, NOW + DAY, None)]


@pytest.mark.parametrize(("field", "changes"), [
    ("discount_percent", {"discount_percent": Decimal("-1")}), ("discount_percent", {"discount_percent": Decimal("100.01")}),
    ("discount_percent", {"discount_percent": Decimal("0.001")}), ("discount_percent", {"discount_percent": Decimal("NaN")}),
    ("discount_percent", {"discount_percent": "half"}), ("discount_percent", {"discount_percent": Decimal("1" * 30)}),
    ("valid_from", {"valid_from": NOW - timedelta(seconds=1)}),
])
def test_nonsense_in_terms_is_refused_by_name(shop: Shop, field: str, changes: dict) -> None:
    with pytest.raises(InvalidInput) as refused:
        set_terms(shop, **changes)
    assert list(refused.value.errors) == [field] and terms(shop) == []


@pytest.mark.parametrize("before", [
    lambda to: Credit.objects.create(organization=to, amount=5, currency="CNY", reason="x", created_at=NOW),
    lambda to: Charge.objects.create(organization=to, kind="adjustment", span=DateTimeTZRange(NOW, NOW + DAY), amount=1,
                                     currency="CNY", created_at=NOW),
])
def test_an_organizations_currency_does_not_change(shop: Shop, before) -> None:
    abroad = PriceBook.objects.create(name="Abroad", currency="EUR")
    set_terms(shop, NOW + DAY, book=abroad)
    before(shop.cast.organization)
    with pytest.raises(InvalidInput) as refused:
        set_terms(shop, NOW + 2 * DAY, book=abroad, discount_percent=Decimal(1))
    assert list(refused.value.errors) == ["book"]


def test_an_outage_is_recorded_once_and_audited(shop: Shop) -> None:
    lamp = shop.lamp()
    known = {"start": NOW - DAY, "end": NOW, "reason": "Power cut", "actor": shop.cast.root, "now": NOW}
    operations.record_outage(lamp, **known, meters=("lamp.oil", "lamp", "lamp"))
    assert AuditEvent.objects.get(action="outage.record").after["meters"] == ["lamp", "lamp.oil"]
    wrong = [("start", {}), ("end", {"end": NOW - DAY}), ("end", {"end": NOW + DAY}), ("meters", {"meters": ["unheard.of"]}),
             ("reason", {"reason": " "}), ("reason", {"reason": "two\nlines"}), ("reason", {"reason": "x" * 201})]
    for field, changes in wrong:
        with pytest.raises(InvalidInput) as refused:
            operations.record_outage(lamp, **(known | changes))
        assert list(refused.value.errors) == [field]
    assert Outage.objects.count() == 1
