"""What something would cost from now on: the live price of create pages and `?dry_run=true`. Nothing is written."""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from billing.arithmetic import amount_of
from billing.models import Price, PriceBook, UsageInterval
from billing.money import Money
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region

HOURS_A_MONTH = 730  # 8760 / 12, as the peers quote monthly prices


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

    def as_json(self) -> dict[str, dict[str, str]]:
        """The `price` part of the dry-run answer."""
        return {"hourly": self.hourly.as_json(), "monthly": self.monthly.as_json()}


def default_book() -> PriceBook:
    """The book that prices everything. Raises NoPrice while the operator has made none."""
    book = PriceBook.objects.filter(is_default=True).first()
    if book is None:
        raise NoPrice(sku="*", meter="*", region="*")
    return book


def price_of(region: Region, readings: Iterable[Reading], at: datetime) -> Estimate:
    """The price that holds at `at`. Raises NoPrice (with facts) for the first reading without one."""
    readings = list(readings)
    book = default_book()
    prices = {(row.meter, row.sku): row.price_per_hour for row in Price.objects.at(at).filter(
        book=book, region=region, meter__in={one.meter for one in readings}, sku__in={one.sku for one in readings})}
    for one in readings:
        if (one.meter, one.sku) not in prices:
            raise NoPrice(sku=one.sku, meter=one.meter, region=region.name)
    lines = tuple(_line(one, prices[one.meter, one.sku], book.currency) for one in readings)
    hourly = sum((line.hourly.amount for line in lines), Decimal(0))
    return Estimate(hourly=Money(hourly, book.currency), monthly=Money(hourly * HOURS_A_MONTH, book.currency),
                    currency=book.currency, lines=lines)


def _line(reading: Reading, price_per_hour: Decimal, currency: str) -> EstimateLine:
    return EstimateLine(meter=reading.meter, sku=reading.sku, quantity=reading.quantity, price_per_hour=price_per_hour,
                        hourly=Money(amount_of(reading.quantity, timedelta(hours=1), price_per_hour), currency))


def unpriced(at: datetime) -> list[tuple[str, str, str]]:
    """(region, meter, SKU) of what runs at `at` without a price: money lost until the operator sets one."""
    priced = set(Price.objects.at(at).filter(book__is_default=True).values_list("region_id", "meter", "sku"))
    running = (UsageInterval.objects.filter(period__contains=at)
               .values_list("region_id", "region__name", "meter", "sku").distinct())
    return sorted((region, meter, sku) for region_id, region, meter, sku in running
                  if (region_id, meter, sku) not in priced)
