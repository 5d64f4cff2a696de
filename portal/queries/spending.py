"""What runs costs: so far this month, an hour from now, and what both make of the month. All by `billing.rating`."""
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing import rating
from billing.money import Money
from billing.periods import Month
from portal.kernel.remembered import remembered
from tenants.access import projects_ever
from tenants.models import Project

HOUR = timedelta(hours=1)
DEAREST = 5
LEAST_S = 5  # in which everything goes on costing what it did; `until` adds that


@dataclass(frozen=True, kw_only=True)
class Spending:
    """This month: so far, and what the present rate makes of the rest."""

    so_far: Money
    hourly: Money
    at: datetime
    month: Month
    dearest: tuple[rating.Total, ...]
    """By meter, dearest first."""

    @property
    def forecast(self) -> Money:
        return self.so_far + self._of(self.month.end - self.at)

    def until(self, now: datetime) -> "Spending":
        """The same a moment later, if all went on as it was."""
        passed = max(timedelta(0), min(now, self.month.end) - self.at)
        return replace(self, so_far=self.so_far + self._of(passed), at=self.at + passed)

    def _of(self, duration: timedelta) -> Money:
        return Money(self.hourly.amount * Decimal(duration / HOUR), self.hourly.currency)


def spending(user: Any, project: Project | None, *, now: datetime) -> Spending | None:
    """None for those who may not see usage."""
    if not user.grants.may_anywhere("usage.view"):
        return None
    projects = _paying(user, project)
    month = Month.of(now)
    key = ("spending", month, None if projects is None else frozenset(projects))
    return remembered(key, lambda: _spending(projects, month, now), least_s=LEAST_S).until(now)


def _spending(projects: Collection[UUID] | None, month: Month, now: datetime) -> Spending:
    selection = rating.Selection(projects=projects)
    found = rating.totals(selection, ("meter",), start=month.start, end=month.end, now=now, dearest_first=True).totals
    # What an hour costs from now on is what it will have cost when nothing changes.
    ahead = rating.totals(selection, ("meter",), start=now, end=now + HOUR, now=now + HOUR).totals
    currency = next((total.currency for total in (*found, *ahead)), None) or rating.currency()
    so_far, hourly = (sum((total.amount for total in totals), Decimal(0)) for totals in (found, ahead))
    return Spending(so_far=Money(so_far, currency), hourly=Money(hourly, currency), at=now, month=month,
                    dearest=found[:DEAREST])


def _paying(user: Any, project: Project | None) -> Collection[UUID] | None:
    if project is None:
        return None if user.grants.sees_everything else projects_ever(user, "usage.view")
    return [project.pk] if user.grants.may("usage.view", project.pk) else []
