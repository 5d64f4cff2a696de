"""How money and quantities are written in pages, in the reader's language."""
from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django import template
from django.utils.formats import number_format

from billing.money import CENT, SYMBOLS, Money, plain, shown, shown_decimals
from billing.rating import size_of
from portal.kernel.declarations import registry

register = template.Library()
TENTH, UNIT_HOUR_S = Decimal("0.1"), 3600


@register.filter
def money(value: Money) -> str:
    """`¥1,234.56`; amounts below a cent show two digits that mean something."""
    return _with_currency(number_format(shown(value.amount), shown_decimals(value.amount), force_grouping=True),
                          value.currency)


@register.filter
def moneys(values: Iterable[Money]) -> str:
    """Sums of several currencies in one line: they are never added up."""
    return " + ".join(map(money, values))


@register.filter
def cents(value: Money) -> str:
    """For a headline: to the cent, and what is less than one as `< ¥0.01`."""
    is_less = 0 < value.amount < CENT
    return f"< {money(Money(CENT, value.currency))}" if is_less else money(value)


@register.filter
def price(value: Money) -> str:
    """An amount per hour, with all of its digits: rounded to the cent it would contradict the month's."""
    return rate(value.amount, value.currency)


@register.filter
def hourly_moneys(values: Iterable[Money]) -> str:
    """The same of several currencies."""
    return " + ".join(map(price, values))


@register.filter
def rate(price_per_hour: Decimal, currency: str) -> str:
    """A price, with all of its digits."""
    return _with_currency(exact(price_per_hour, 2), currency)


@register.filter
def exact(number: Decimal, least: int = 0) -> str:
    """A number with all of its digits and none that say nothing."""
    text = plain(number, least)
    return number_format(Decimal(text), len(text.partition(".")[2]), force_grouping=True)


@register.filter
def seconds(number: Decimal) -> str:
    """Seconds to a tenth; the exact number stays beside it for programs."""
    return number_format(number.quantize(TENTH, ROUND_HALF_UP), 1, force_grouping=True)


@register.filter
def counted(row: Any) -> Decimal | None:
    """Of a charge or line of what a counter counted: how much, in what its price is for. None: it is billed by time."""
    return row.quantity / UNIT_HOUR_S if size_of(row.meter) else None


@register.filter
def price_unit(meter: str) -> str:
    """What a price of the meter is for."""
    declared = registry.meters.get(meter)
    return str(declared.price_unit) if declared else ""


def _with_currency(number: str, currency: str) -> str:
    symbol = SYMBOLS.get(currency)
    sign = "-" if number.startswith("-") else ""
    return f"{sign}{symbol}{number.removeprefix('-')}" if symbol else f"{number} {currency}"


@register.filter(name="plain")
def plain_digits(number: Decimal) -> str:
    """For programs: digits and a point in every language."""
    return plain(number, 0)
