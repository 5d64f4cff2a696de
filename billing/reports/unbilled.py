"""Usage of months that are over and on no invoice, with the reason; and what runs now without a price."""
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import closing
from billing.models import ClosingFailure, Issuer
from billing.money import Money
from billing.periods import Month
from billing.prices import unpriced
from billing.reports import usage
from tenants.models import Organization

MONTHS = 6
NO_ISSUER, FAILED, WAITS, NOTHING, NOT_YET = "no_issuer", "failed", "waits", "nothing_priced", "not_yet"
WHY = {NO_ISSUER: closing.NOBODY_BILLS, FAILED: _("It could not be closed."),
       WAITS: _("It is closed a day after the month's end."), NOTHING: _("Nothing of it has a price."),
       NOT_YET: _("It was not closed yet.")}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A month of an organization that is on no invoice. Without money nothing of it has a price."""

    month: str
    organization: UUID
    name: str
    money: tuple[Money, ...]
    reason: str
    error: str

    @property
    def why(self) -> Any:
        return WHY[self.reason]


@dataclass(frozen=True, kw_only=True)
class Unbilled:
    """The dearest first in each month, the latest month first; and (region, meter, SKU) of what runs without a price."""

    rows: tuple[Waiting, ...]
    unpriced: tuple[tuple[str, str, str], ...]


def unbilled(now: datetime) -> Unbilled:
    """Of the last MONTHS months of the issuer that are over."""
    issuer = Issuer.objects.first()
    months = list(_over(now, (issuer or Issuer()).time_zone))
    found: dict[str, set[UUID]] = defaultdict(set)
    for name, organization in usage.without_invoice(months):
        found[name].add(organization)
    names = dict(Organization.objects.filter(pk__in=set().union(*found.values())).values_list("pk", "name"))
    failures = {(one.month, one.organization_id): one.error for one in ClosingFailure.objects.all()}
    rows = []
    for month in months:
        amounts = _amounts(month, now, found[str(month)])
        for organization in sorted(found[str(month)], key=lambda pk: (-sum(amounts[pk].values()), str(pk))):
            error = failures.get((str(month), organization), "")
            money = tuple(Money(amount, currency) for currency, amount in sorted(amounts[organization].items()) if amount)
            rows.append(Waiting(month=str(month), organization=organization, name=names[organization], money=money, error=error,
                                reason=_reason(issuer, month, now, error, money)))
    return Unbilled(rows=tuple(rows), unpriced=tuple(unpriced(now)))


def _over(now: datetime, zone: str) -> Iterable[Month]:
    """The latest first."""
    month = Month.of(now, zone)
    for _number in range(MONTHS):
        month = month.previous
        yield month


def _amounts(month: Month, now: datetime, organizations: set[UUID]) -> dict[UUID, dict[str, Decimal]]:
    """Organization → currency → what it used."""
    found: dict[UUID, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for one in usage.rated(month, now, organizations=organizations) if organizations else ():
        found[one.organization][one.currency] += one.amount
    return found


def _reason(issuer: Issuer | None, month: Month, now: datetime, error: str, money: tuple[Money, ...]) -> str:
    if issuer is None:
        return NO_ISSUER
    if error:
        return FAILED
    if now < month.end + closing.CLOSES_AFTER:
        return WAITS
    return NOT_YET if money else NOTHING
