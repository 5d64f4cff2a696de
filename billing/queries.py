"""Page-shaped reads: what the usage page shows, in a fixed number of statements."""
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.urls import reverse

from billing import rating
from billing.money import Money
from billing.periods import Month
from portal.kernel.declarations import registry
from tenants.access import Grants
from tenants.models import Project

ROWS_A_PAGE = 100


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """One resource on one meter at one price: seconds × units × price = amount."""

    total: rating.Total

    @property
    def url(self) -> str | None:
        """The resource's page; None when it is deleted or its kind has none."""
        resource = self.total.resource
        declared = registry.kinds.get(resource.type)
        if resource.is_gone or declared is None or declared.page is None:
            return None
        return reverse(declared.page, args=[resource.id])

    @property
    def meter(self) -> str:
        declared = registry.meters.get(self.total.meter)
        return str(declared.label) if declared else self.total.meter

    @property
    def price_unit(self) -> str:
        declared = registry.meters.get(self.total.meter)
        return str(declared.price_unit) if declared else ""


@dataclass(frozen=True, kw_only=True)
class MonthUsage:
    """One page of a month's rows, and the whole month's sums."""

    month: Month
    is_current: bool
    rows: tuple[UsageRow, ...]
    projects: tuple[rating.Total, ...]
    sum: Money | None
    page: int
    pages: int

    @property
    def newer(self) -> Month | None:
        return None if self.is_current else self.month.next


def month_usage(user, month: Month, *, project: Project | None, page: int, now: datetime) -> MonthUsage:
    """What `user` may see of the month's usage (in one project, or in all), dearest first."""
    selection = rating.Selection(projects=_projects(user.grants, project))
    period = {"start": month.start, "end": month.end, "now": now}
    found = rating.totals(selection, ("project", "resource", "meter", "price"), **period, dearest_first=True,
                          limit=ROWS_A_PAGE, offset=(page - 1) * ROWS_A_PAGE)
    projects = rating.totals(selection, ("project",), **period, dearest_first=True).totals
    amount = sum((total.amount for total in projects), Decimal(0))
    return MonthUsage(month=month, is_current=month == Month.of(now), projects=projects, page=page,
                      rows=tuple(UsageRow(total=total) for total in found.totals),
                      pages=max(1, -(-found.count // ROWS_A_PAGE)),
                      sum=Money(amount, projects[0].currency) if projects else None)


def _projects(grants: Grants, chosen: Project | None) -> set[UUID] | None:
    """Whose usage is shown; None is everybody's."""
    if grants.sees_everything:
        return {chosen.pk} if chosen else None
    seen = grants.projects("usage.view")
    return seen & {chosen.pk} if chosen else seen
