"""What runs costs: so far this month, an hour from now, and what both make of the month. All by `billing.rating`."""
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing import rating
from billing.costs import this_month
from billing.money import Money, together
from billing.periods import Month
from billing.queries import projects_seen
from portal.kernel.remembered import remembered
from tenants.models import Project

HOUR = timedelta(hours=1)
DEAREST = 5
LEAST_S = 5  # in which everything goes on costing what it did; `until` adds that


@dataclass(frozen=True, kw_only=True)
class Spending:
    """This month: so far, and what the present rate makes of the rest; of each an amount for every currency, at least one."""

    so_far: tuple[Money, ...]
    hourly: tuple[Money, ...]
    at: datetime
    month: Month
    dearest: tuple[rating.Total, ...]
    """By meter, dearest first."""

    @property
    def forecast(self) -> list[Money]:
        return together([*self.so_far, *self._of(self.month.end - self.at)])

    def until(self, now: datetime) -> "Spending":
        """The same a moment later, if all went on as it was."""
        passed = max(timedelta(0), min(now, self.month.end) - self.at)
        return replace(self, so_far=tuple(together([*self.so_far, *self._of(passed)])), at=self.at + passed)

    def _of(self, duration: timedelta) -> list[Money]:
        return [Money(one.amount * Decimal(duration / HOUR), one.currency) for one in self.hourly]


def spending(user: Any, project: Project | None, *, now: datetime) -> Spending | None:
    """None for those who may not see usage."""
    if not user.grants.may_anywhere("usage.view"):
        return None
    projects = projects_seen(user, project)
    month = this_month(now)
    key = ("spending", month, None if projects is None else frozenset(projects))
    return remembered(key, lambda: _spending(projects, month, now), least_s=LEAST_S).until(now)


def _spending(projects: Collection[UUID] | None, month: Month, now: datetime) -> Spending:
    selection = rating.Selection(projects=projects)
    found = rating.totals(selection, ("meter",), start=month.start, end=month.end, now=now, dearest_first=True).totals
    # What an hour costs from now on is what it will have cost when nothing changes.
    ahead = rating.totals(selection, ("meter",), start=now, end=now + HOUR, now=now + HOUR).totals
    so_far, hourly = together(total.money for total in found), together(total.money for total in ahead)
    # Both name the same currencies, so that pages show them side by side.
    nothing = [Money(Decimal(0), currency) for currency in {one.currency for one in (*so_far, *hourly)} or {rating.currency()}]
    return Spending(so_far=tuple(together([*so_far, *nothing])), hourly=tuple(together([*hourly, *nothing])), at=now, month=month,
                    dearest=found[:DEAREST])
