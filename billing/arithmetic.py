"""The one formula of billing, exact: units × seconds ÷ 3600 × price of one unit an hour, half up at ten decimals.

No Django, no clock, no rounding to cents. `billing.rating` says the same in SQL; tests hold both to a third, slow
program that uses fractions.
"""
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext

DECIMALS = 10
MICROSECONDS_AN_HOUR = 3_600_000_000


def amount_of(units: Decimal, duration: timedelta, price_per_hour: Decimal) -> Decimal:
    """What `units` cost for `duration`. All three must not be negative."""
    top, bottom = units.as_integer_ratio()
    price_top, price_bottom = price_per_hour.as_integer_ratio()
    top *= price_top * (duration // timedelta(microseconds=1)) * 10**DECIMALS
    bottom *= price_bottom * MICROSECONDS_AN_HOUR
    return Decimal((2 * top + bottom) // (2 * bottom)).scaleb(-DECIMALS)


def discounted(amount: Decimal, percent: Decimal) -> Decimal:
    """The amount less so many percent, half up at ten decimals. Neither must be negative."""
    with localcontext() as context:
        context.prec = 60
        return (amount * (100 - percent) / 100).quantize(Decimal(1).scaleb(-DECIMALS), ROUND_HALF_UP)
