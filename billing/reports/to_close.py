"""What closing a month would bill: the organizations where it is open, each with what it used by rating and what waits to go
along with it. Before credit and tax, and before each line is rounded to a cent."""
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Sum

from billing import closing
from billing.models import ClosingFailure
from billing.money import Money, together
from billing.periods import Month
from billing.reports import usage
from tenants.models import Organization


@dataclass(frozen=True, kw_only=True)
class Closable:
    """An organization where the month is open; without money nothing of it has a price, and no invoice is issued. `error` is why
    it could not be closed the last time."""

    organization: UUID
    name: str
    money: tuple[Money, ...]
    error: str


@dataclass(frozen=True, kw_only=True)
class ToClose:
    """By name of the organization."""

    month: Month
    is_over: bool
    rows: tuple[Closable, ...]

    @property
    def billed(self) -> list[Closable]:
        """Those that get an invoice."""
        return [row for row in self.rows if row.money]

    @property
    def sums(self) -> list[Money]:
        return together(money for row in self.rows for money in row.money)


def to_close(month: Month, *, now: datetime, organization: Organization | None = None) -> ToClose:
    """Of one organization, or of all. A month that is not over has none."""
    is_over = now >= closing.period_of(month).upper
    open_ones = closing.to_close(month, organization and organization.pk) if is_over else Organization.objects.none()
    names = dict(open_ones.values_list("pk", "name"))
    amounts = _amounts(month, now, set(names)) if names else {}
    failed = dict(ClosingFailure.objects.filter(month=str(month), organization__in=names).values_list("organization_id", "error"))
    rows = [Closable(organization=pk, name=name, error=failed.get(pk, ""), money=tuple(
        Money(amount, currency) for currency, amount in sorted(amounts.get(pk, {}).items()))) for pk, name in names.items()]
    return ToClose(month=month, is_over=is_over, rows=tuple(sorted(rows, key=lambda row: (row.name, str(row.organization)))))


def _amounts(month: Month, now: datetime, organizations: set[UUID]) -> dict[UUID, dict[str, Decimal]]:
    """Organization → currency → what its invoice would begin with."""
    found: dict[UUID, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for one in usage.rated(month, now, organizations=organizations):
        found[one.organization][one.currency] += one.amount
    waiting = closing.waiting(month).filter(organization__in=organizations).order_by()
    for pk, currency, amount in waiting.values_list("organization_id", "currency").annotate(sum=Sum("amount")):
        found[pk][currency] += amount
    return found
