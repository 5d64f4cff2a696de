"""What the pages of budgets show: the list with its bars, one budget with its thresholds, and what was reached."""
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from billing import budgets
from billing.models import Budget, BudgetAlarm
from billing.money import Money
from portal.kernel.lists import Column, Empty
from tenants.lists import BY_NAME, ID, NAME, Listing

MOST_ALARMS = 50


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A budget as it is drawn."""

    budget: Budget

    @property
    def of(self) -> str:
        """Whose spending it counts."""
        budget = self.budget
        if budget.project is not None:
            return f"{budget.organization.name} / {budget.project.name}"
        tag = f" · {budget.tag_key}={budget.tag_value}" if budget.tag_key else ""
        return f"{budget.organization.name}{tag}"

    @property
    def spent(self) -> Money:
        return Money(self.budget.spent, self.budget.currency)

    @property
    def forecast(self) -> Money:
        return Money(self.budget.forecast, self.budget.currency)

    @property
    def percent(self) -> int:
        return int(self.budget.spent * 100 / self.budget.amount)

    @property
    def forecast_percent(self) -> int:
        return int(self.budget.forecast * 100 / self.budget.amount)

    @property
    def is_over(self) -> bool:
        return self.budget.spent >= self.budget.amount

    @property
    def will_be_over(self) -> bool:
        return self.budget.forecast >= self.budget.amount


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """One of a budget's, with the alarm of this month that is in force, if it was reached."""

    percent: int
    basis: Any
    actions: list[Any]
    alarm: BudgetAlarm | None


class BudgetList(Listing):
    """Budgets of the project that is looked at and of its organization; of all that the user sees when none is."""

    name, url_name, row_template, title = "budgets", "budgets:list", "billing/_budget_row.html", _("Budgets")
    columns = (
        ID, NAME, Column(label=_("Whose spending"), kind="wide-only", value=lambda line: line.item.of),
        Column(label=_("Spent"), value=lambda line: line.row.spent),
        Column(label=_("To be expected"), kind="wide-only", value=lambda line: line.row.forecast),
        Column(label=_("Amount a month"), kind="text-end", value=lambda line: line.row.amount),
        Column(label=_("Currency"), only_in_csv=True, value=lambda line: line.row.currency),
        Column(label=_("Month"), only_in_csv=True, value=lambda line: line.row.month))
    filters = (BY_NAME,)
    ordering = "name"
    empty = Empty(icon="coin", title=_("No budgets yet"), action=_("Create budget"), url_name="budgets:create",
                  permission="budget.manage", command="mains budget create team --amount 1000 --currency CNY --project web",
                  text=_("A budget tells when a month becomes dearer than planned, and may refuse what is new or stop what "
                         "runs."))

    def rows(self) -> QuerySet[Budget]:
        rows = Budget.objects.visible_to(self.user).select_related("organization", "project")
        if self.project is None:
            return rows
        return rows.filter(Q(project__in=self.project.ancestor_ids) | Q(project=None, organization=self.project.organization_id))

    def items(self, rows: list[Budget]) -> list[Standing]:
        return [Standing(budget=row) for row in rows]


def thresholds(budget: Budget, alarms: list[BudgetAlarm], now: datetime) -> list[Threshold]:
    """Each with what it does, and whether it was reached in this month with this amount."""
    in_force = {(one.percent, one.basis): one for one in alarms if one.since <= now < one.until and (
        one.amount, one.currency) == (budget.amount, budget.currency)}
    return [Threshold(percent=one["percent"], basis=Budget.Basis(one["basis"]).label, actions=_labels(one["actions"]),
                      alarm=in_force.get((one["percent"], one["basis"]))) for one in budget.thresholds]


def alarms_of(budget: Budget) -> list[BudgetAlarm]:
    """The newest of them."""
    return list(BudgetAlarm.objects.filter(budget=budget)[:MOST_ALARMS])


def shown(alarms: list[BudgetAlarm]) -> list[tuple[BudgetAlarm, Money, Money, list[Any]]]:
    """With what was spent or to be expected then, of which amount, and what was to be done."""
    return [(one, Money(budgets.Spending(spent=one.spent, forecast=one.forecast).of(one.basis), one.currency),
             Money(one.amount, one.currency), _labels(one.actions)) for one in alarms]


def _labels(actions: list[str]) -> list[Any]:
    return [Budget.Action(one).label for one in actions]
