"""What something would cost from now on: the live price of create pages and `?dry_run=true`. Nothing is written."""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Subquery
from django.utils.translation import gettext_lazy as _

from billing.arithmetic import amount_of, discounted
from billing.models import Price, PriceBook, Terms
from billing.money import Money
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.remembered import LATELY_S, remembered
from portal.kernel.states import CLOCK
from tenants.models import Organization

HOURS_A_MONTH = 730  # 8760 / 12, as the peers quote monthly prices


# What is counted is asked of the last day. An organization's own book is asked first, and then the default one, in its currency.
UNPRICED = """
WITH base AS (
    SELECT id, currency FROM billing_pricebook WHERE is_default
), running AS (
    SELECT project_id, region_id, meter, sku FROM billing_usageinterval WHERE period @> %(at)s::timestamptz
    UNION
    SELECT project_id, region_id, meter, sku FROM billing_counter AS counter
    WHERE EXISTS (SELECT FROM billing_countersample AS sample WHERE sample.counter_id = counter.id
                  AND sample.at > %(at)s::timestamptz - interval '1 day' AND sample.at <= %(at)s::timestamptz)
), wanted AS (
    SELECT DISTINCT COALESCE(terms.book_id, (SELECT id FROM base)) AS book_id, region_id, meter, sku
    FROM running JOIN tenants_project AS project ON project.id = project_id
    LEFT JOIN billing_terms AS terms
           ON terms.organization_id = project.organization_id AND terms.valid @> %(at)s::timestamptz
)
SELECT DISTINCT region.name, wanted.meter, wanted.sku
FROM wanted JOIN kernel_region AS region ON region.id = wanted.region_id
LEFT JOIN billing_pricebook AS book ON book.id = wanted.book_id
WHERE NOT EXISTS (
    SELECT FROM billing_price AS price
    WHERE (price.region_id, price.meter, price.sku) = (wanted.region_id, wanted.meter, wanted.sku)
      AND price.valid @> %(at)s::timestamptz
      AND price.book_id IN (wanted.book_id, (SELECT id FROM base WHERE base.currency = book.currency)))
ORDER BY 1, 2, 3
"""


class NoPrice(InvalidInput):
    """Nothing may be started that could never be billed; operators see the gap as a warning in admin."""

    code = "no_price"
    title = _("No price")
    text = _("“{sku}” has no price in {region} yet, so it cannot be ordered there. The operator has to set one.")


@dataclass(frozen=True, kw_only=True)
class EstimateLine:
    """One reading at its price of the hour."""

    meter: str
    sku: str
    quantity: Decimal
    price_per_hour: Decimal
    hourly: Money


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the readings cost together for an hour, and for a month of 730 hours."""

    hourly: Money
    monthly: Money
    currency: str
    lines: tuple[EstimateLine, ...]
    region: UUID | None = None

    def as_json(self) -> dict[str, dict[str, str]]:
        """The `price` part of the dry-run answer."""
        return {"hourly": self.hourly.as_json(), "monthly": self.monthly.as_json()}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What an organization pays by: its own book where that has a price, else the list's of its currency; less a discount."""

    books: tuple[UUID, ...]
    """The one that is asked first stands first."""
    currency: str
    discount_percent: Decimal


def contract_of(organization: Organization, at: datetime) -> Contract:
    """By its terms at the moment. Raises NoPrice while the operator has made no default book."""
    terms = Terms.objects.filter(organization=organization, valid__contains=at)
    house = PriceBook.objects.filter(is_default=True).annotate(**{
        name: Subquery(terms.values(path)[:1]) for name, path in (
            ("own", "book"), ("own_currency", "book__currency"), ("discount", "discount_percent"))}).first()
    if house is None:
        raise NoPrice(sku="*", meter="*", region="*")
    currency = house.own_currency or house.currency
    books = (house.own, house.pk if house.currency == currency else None)
    return Contract(books=tuple(filter(None, books)), currency=currency, discount_percent=house.discount or Decimal(0))


def price_of(organization: Organization, region: Region, readings: Iterable[Reading], at: datetime | None) -> Estimate:
    """What holds for the organization at `at`, as `billing.rating` will say: before tiers, which depend on what it uses. Without
    `at` what holds now, for being shown: on what it agreed may be some seconds old.

    Raises NoPrice (with facts) for the first reading without one.
    """
    readings = list(readings)
    contract = contract_of(organization, at) if at else remembered(
        ("contract", organization.pk), lambda: contract_of(organization, CLOCK), least_s=LATELY_S)
    found, lines = _prices(contract, region, readings, at or CLOCK), []
    for one in readings:
        price = _price(found, contract, one)
        if price is None:
            raise NoPrice(sku=one.sku, meter=one.meter, region=region.name)
        lines.append(_line(one, price, contract))
    hourly = sum((line.hourly.amount for line in lines), Decimal(0))
    return Estimate(hourly=Money(hourly, contract.currency), monthly=Money(hourly * HOURS_A_MONTH, contract.currency),
                    currency=contract.currency, lines=tuple(lines), region=region.pk)


def each_price(organization: Organization, region: Region, readings: Iterable[Reading], at: Any) -> dict[Reading, Money]:
    """What each reading costs the organization an hour, to choose among; those without a price are left out. `at` is a moment
    or the database's clock. Raises NoPrice while the operator has made no default book."""
    readings = list(readings)
    contract = contract_of(organization, at)
    found = _prices(contract, region, readings, at)
    return {one: _line(one, price, contract).hourly for one in readings if (price := _price(found, contract, one)) is not None}


def _prices(contract: Contract, region: Region, readings: list[Reading], at: datetime) -> dict[tuple[UUID, str, str], Decimal]:
    rows = Price.objects.at(at).filter(
        book__in=contract.books, region=region, meter__in={one.meter for one in readings}, sku__in={one.sku for one in readings})
    return {(row.book_id, row.meter, row.sku): row.price_per_hour for row in rows}


def _price(found: dict[tuple[UUID, str, str], Decimal], contract: Contract, one: Reading) -> Decimal | None:
    """By the first book that has one."""
    return next((found[key] for book in contract.books if (key := (book, one.meter, one.sku)) in found), None)


def _line(reading: Reading, price_per_hour: Decimal, contract: Contract) -> EstimateLine:
    listed = amount_of(reading.quantity, timedelta(hours=1), price_per_hour)
    return EstimateLine(meter=reading.meter, sku=reading.sku, quantity=reading.quantity, price_per_hour=price_per_hour,
                        hourly=Money(discounted(listed, contract.discount_percent), contract.currency))


def unpriced(at: datetime) -> list[tuple[str, str, str]]:
    """(region, meter, SKU) of what runs or is counted at `at` without a price in the books of whoever uses it: money lost until
    the operator sets one. One statement."""
    with connection.cursor() as cursor:
        cursor.execute(UNPRICED, {"at": at})
        return cursor.fetchall()
