"""What something would cost by the list prices, for whoever asks: no organization, no discount, no tax. Nothing is written.

Tiers and allowances count as if nothing else were used, in months of 730 hours.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from billing.arithmetic import amount_of
from billing.models import Price
from billing.money import Money, together
from billing.prices import HOURS_A_MONTH, NoPrice
from portal.kernel.declarations import Reading
from portal.kernel.models import Region

HOUR = timedelta(hours=1)
ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class CalculatedLine:
    """A reading for the whole time; `price_per_hour` is that of the first unit-hour."""

    meter: str
    sku: str
    quantity: Decimal
    price_per_hour: Decimal
    has_tiers: bool
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Calculation:
    """The lines, and what they come to."""

    lines: tuple[CalculatedLine, ...]
    hours: int
    total: Money


def calculate(region: Region, readings: Iterable[Reading], *, hours: int, count: int, at: datetime) -> Calculation:
    """So many times the readings (at least one) for so many hours, at the list prices of `at`. Raises NoPrice."""
    readings = list(readings)
    rows = Price.objects.at(at).filter(book__is_default=True, region=region, meter__in={one.meter for one in readings},
                                       sku__in={one.sku for one in readings}).select_related("book").prefetch_related("tiers")
    prices = {(row.meter, row.sku): row for row in rows}
    if missing := next((one for one in readings if (one.meter, one.sku) not in prices), None):
        raise NoPrice(sku=missing.sku, meter=missing.meter, region=region.name)
    lines = tuple(_line(one, prices[one.meter, one.sku], hours, count) for one in readings)
    [total] = together(line.amount for line in lines)
    return Calculation(lines=lines, hours=hours, total=total)


def _line(reading: Reading, price: Price, hours: int, count: int) -> CalculatedLine:
    quantity = reading.quantity * count
    steps = [(ZERO, price.price_per_hour), *((tier.from_quantity, tier.price_per_hour) for tier in price.tiers.all())]
    billed = max(Decimal(hours), Decimal(price.minimum_s) / 3600)
    months, rest = divmod(billed, HOURS_A_MONTH)
    amount = months * _month(steps, quantity * HOURS_A_MONTH) + _month(steps, quantity * rest)
    return CalculatedLine(meter=reading.meter, sku=reading.sku, quantity=quantity, price_per_hour=price.price_per_hour,
                          has_tiers=len(steps) > 1, amount=Money(amount, price.book.currency))


def _month(steps: list[tuple[Decimal, Decimal]], unit_hours: Decimal) -> Decimal:
    """So many unit-hours of one month, each part of them at the price of its tier."""
    ends = [since for since, _price in steps[1:]] + [unit_hours]
    return sum((amount_of(min(end, unit_hours) - since, HOUR, price)
                for (since, price), end in zip(steps, ends, strict=True) if unit_hours > since), ZERO)
