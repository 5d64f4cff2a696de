"""What a budget has to pay for: so far this month, and by its end if all that runs now goes on. Only rating is asked.

The forecast is what rating says of the whole month with its end as `now`: what was used, and what still runs going on
unchanged, with the tiers that it will reach and the prices that are announced already. Counters stay where they are. All of
it before tax and before credit, as lines of invoices are.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing import issuing, rating
from billing.models import Budget
from billing.periods import Month
from tenants.structure import stood_below

ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Of one budget in one month, in its currency; other currencies are not looked at."""

    spent: Decimal
    forecast: Decimal

    def of(self, basis: str) -> Decimal:
        return self.spent if basis == Budget.Basis.ACTUAL else self.forecast


def month_of(now: datetime) -> Month:
    """The issuer's month that the moment is in, as invoices have it."""
    return Month.of(now, issuing.issuer().time_zone)


def spending_of(budget: Budget, month: Month, now: datetime) -> Spending:
    """Two statements; for a project some more, two for each moment at which something was moved in or out."""
    return Spending(spent=_rated(budget, month, now), forecast=_rated(budget, month, max(now, month.end)))


def _rated(budget: Budget, month: Month, now: datetime) -> Decimal:
    return sum((total.amount for total in _totals(budget, month, now) if total.currency == budget.currency), ZERO)


def _totals(budget: Budget, month: Month, now: datetime) -> Iterable[rating.Total]:
    """Of the month until `now`."""
    if budget.project is not None:
        for ids, since, until in stood_below(budget.project, month.start, min(now, month.end)):
            selection = rating.Selection(projects=list(ids))
            yield from rating.totals(selection, ("project",), start=since, end=until, now=now).totals
        return
    selection = rating.Selection(projects=None, organization=budget.organization_id)
    group = f"{rating.TAG}{budget.tag_key}" if budget.tag_key else "meter"
    found = rating.totals(selection, (group,), start=month.start, end=month.end, now=now)
    yield from (one for one in found.totals if not budget.tag_key or one.tags == ((budget.tag_key, budget.tag_value),))
