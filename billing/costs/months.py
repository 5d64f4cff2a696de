"""Months of the issuer, as pages and programs name them: what a page calls November is what November's invoice bills."""
from datetime import datetime

from django.utils.translation import gettext as _

from billing.issuing import issuer
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.remembered import remembered

STANDS_S = 60
"""So long after it was changed, which is possible until the first invoice only, the zone before may still be shown."""


def zone() -> str:
    """The issuer's time zone, for what is shown; whoever closes months asks `billing.issuing` itself."""
    return remembered(("zone of months",), lambda: issuer().time_zone, least_s=STANDS_S)


def this_month(now: datetime) -> Month:
    return Month.of(now, zone())


def month_asked(text: str | None, now: datetime) -> Month:
    """The month that an address names, else this one. Raises InvalidInput."""
    if not text:
        return this_month(now)
    try:
        return Month.named(text, zone())
    except ValueError as error:
        raise InvalidInput.field("month", _("A month like 2026-11.")) from error
