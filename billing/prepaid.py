"""How long what is left lasts, and who is told in time that it ends. What is left is `billing.credit`'s to say.

The forecast takes what runs now at what it costs in the hour that comes, by rating's own lines, and assumes that nothing
changes. Credit that expires before ends it earlier; counted traffic is in it only as far as it was used.
"""
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from billing import credit
from billing.credit import Balance
from billing.models import Dunning
from billing.money import Money, plain, shown
from portal.kernel import audit
from portal.kernel.remembered import remembered
from tenants.models import Organization

ZERO = Decimal(0)
WARNINGS = (168, 24, 2)
"""Hours before the end at which people are told."""
MOST_HOURS = 10 * 8760
"""What lasts for longer has no end that anybody could name."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A balance with what runs now. `lasts_until` None: it does not end, as far as can be seen."""

    balance: Balance
    hourly: Money
    now: datetime

    @property
    def hours(self) -> Decimal | None:
        """For so many what is left suffices."""
        if self.hourly.amount <= 0:
            return None
        hours = max(ZERO, self.balance.reach) / self.hourly.amount
        return hours if hours < MOST_HOURS else None

    @property
    def lasts_until(self) -> datetime | None:
        return None if self.hours is None else self.now + timedelta(seconds=int(self.hours * 3600))


def hourly(organization: Organization, currency: str, now: datetime) -> Money:
    """What runs now costs in the hour that comes, before tax. One statement."""
    return Money(sum(credit.running(organization, currency, now).values(), ZERO), currency)


def outlook(balance: Balance, *, now: datetime, lately: bool = False) -> Outlook:
    """`lately`: only to be shown, so what runs may be some seconds old."""
    organization, currency = balance.organization, balance.left.currency

    def read() -> Money:
        return hourly(organization, currency, now)

    key = ("hourly", organization.pk, currency)
    return Outlook(balance=balance, now=now, hourly=remembered(key, read, least_s=credit.LATELY_S) if lately else read())


def warned(found: Outlook) -> int | None:
    """The warning that fits: the least of WARNINGS that it does not outlast."""
    return None if found.hours is None else min((least for least in WARNINGS if found.hours <= least), default=None)


def warn(row: Dunning, found: Outlook) -> bool:
    """Tell once of each falling below; what was topped up is told of anew. The caller holds the organization, and saves the row.

    Returns whether the row changed.
    """
    level, before = warned(found), row.warned_hours
    row.warned_hours = level
    if level is not None and (before is None or level < before):
        audit.record("credit.low", row.organization, actor=None, after={
            "left": found.balance.left.amount, "hourly": found.hourly.amount, "currency": found.hourly.currency,
            "lasts_until": found.lasts_until.isoformat(), "hours": level, "reason": said(found)})
    return level != before


def said(found: Outlook) -> str:
    """The numbers of a warning, in no language."""
    left = found.balance.left
    return f"{plain(shown(left.amount))} {left.currency} → {found.lasts_until:%Y-%m-%d %H:%M} UTC"
