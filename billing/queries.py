"""Page-shaped reads: what the usage page shows, in a fixed number of statements."""
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing import rating
from billing.costs import this_month
from billing.money import Money, together
from billing.periods import Month
from portal.kernel.declarations import registry
from portal.kernel.remembered import remembered
from tenants.access import projects_ever
from tenants.models import Project

ROWS_A_PAGE = 100
FILE_COLUMNS = (_("Project"), _("Name"), _("Id"), _("Meter"), _("SKU"), _("Units"), _("Seconds"), _("Price"), _("Amount"),
                _("Currency"))


def page_of(resource: rating.Named) -> str | None:
    """The resource's page; None when it is deleted or its kind has none."""
    declared = registry.kinds.get(resource.type)
    if resource.is_gone or declared is None or declared.page is None:
        return None
    return reverse(declared.page, args=[resource.id])


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """One resource on one meter at one price: seconds × units × price = amount, or units × price of what was counted."""

    total: rating.Total

    @property
    def units(self) -> Decimal:
        """Of what is counted so many as the price is for: GB, not bytes."""
        size = rating.size_of(self.total.meter)
        return self.total.quantity / size if size else self.total.price.units

    @property
    def url(self) -> str | None:
        return page_of(self.total.resource)

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
    sums: tuple[Money, ...]
    """By currency."""
    page: int
    pages: int

    @property
    def newer(self) -> Month | None:
        return None if self.is_current else self.month.next


def month_usage(user, month: Month, *, project: Project | None, page: int, now: datetime) -> MonthUsage:
    """What `user` may see of the month's usage (in one project, or in all), dearest first.

    Where adding up takes long, as for tens of thousands of resources, it is what it was when it was last added up.
    """
    projects = projects_seen(user, project)
    key = ("usage", month, None if projects is None else frozenset(projects), page)
    return remembered(key, lambda: _month_usage(projects, month, page, now))


def _month_usage(seen: set[UUID] | None, month: Month, page: int, now: datetime) -> MonthUsage:
    selection = rating.Selection(projects=seen)
    period = {"start": month.start, "end": month.end, "now": now}
    found = rating.totals(selection, ("project", "resource", "meter", "price"), **period, dearest_first=True,
                          limit=ROWS_A_PAGE, offset=(page - 1) * ROWS_A_PAGE)
    projects = rating.totals(selection, ("project",), **period, dearest_first=True).totals
    return MonthUsage(month=month, is_current=month == this_month(now), projects=projects, page=page,
                      rows=tuple(UsageRow(total=total) for total in found.totals),
                      pages=max(1, -(-found.count // ROWS_A_PAGE)),
                      sums=tuple(together(total.money for total in projects)))


def month_file(user, month: Month, *, project: Project | None, most: int, now: datetime) -> tuple[list[list[object]], bool]:
    """The month's rows for a file, as `FILE_COLUMNS` says, and whether there are more than `most`."""
    selection = rating.Selection(projects=projects_seen(user, project))
    found = rating.totals(selection, ("project", "resource", "meter", "price"), start=month.start, end=month.end, now=now,
                          dearest_first=True, limit=most)
    rows = [[one.project.name, one.resource.name, one.resource.id, one.meter, one.price.sku, UsageRow(total=one).units,
             one.seconds, one.price.price_per_hour, one.amount, one.currency] for one in found.totals]
    return rows, found.count > most


def projects_seen(user, chosen: Project | None) -> set[UUID] | None:
    """Whose usage is shown, of deleted projects too when none is chosen; None is everybody's."""
    if chosen is not None:
        return {chosen.pk} if user.grants.may("usage.view", chosen.pk) else set()
    return None if user.grants.sees_everything else projects_ever(user, "usage.view")
