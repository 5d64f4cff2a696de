"""What about money somebody should look at now, for pages: bills that are due, money that ends soon, budgets that are reached.

It may be some seconds old; nothing is decided by it.
"""
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q

from billing.budget_lists import Standing
from billing.budgets.limits import asked
from billing.credit import LATELY_S
from billing.models import Budget, BudgetAlarm, Dunning, Rung
from billing.models.ledger import billed_to
from portal.kernel.remembered import remembered
from portal.kernel.states import CLOCK
from tenants.models import Project

MOST_READ, MOST = 100, 6
IS_DUE = Q(began_at__isnull=False) | Q(warned_hours__isnull=False)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A budget of which a threshold is reached, and the actions for which it asks there."""

    budget: Budget
    actions: frozenset[str]

    @property
    def standing(self) -> Standing:
        return Standing(budget=self.budget)

    @property
    def blocks(self) -> bool:
        return Budget.Action.BLOCK in self.actions

    @property
    def stops(self) -> bool:
        return Budget.Action.STOP in self.actions


def due(user: Any, project: Project | None = None) -> list[Dunning]:
    """Where the organizations whose bills the user sees (or that of the project alone) stand, as far as something is due there
    or what is left ends soon: what is due the longest first."""
    if user.grants.sees_everything:
        ids = frozenset({project.organization_id} if project else ())
    else:
        ids = frozenset(billed_to(user, "invoice.view"))
    rows = Dunning.objects.filter(IS_DUE, pk__in=ids).select_related("organization").order_by("began_at", "pk")
    found = remembered(("due", ids), lambda: list(rows[:MOST_READ]), least_s=LATELY_S) if ids else []
    return [one for one in found if project is None or one.pk == project.organization_id]


def refused(user: Any) -> list[Dunning]:
    """Those of them that stand on the ladder."""
    return [one for one in due(user) if one.rung != Rung.NONE]


def reached(user: Any, project: Project | None) -> list[Reached]:
    """Budgets that the user sees (or those of the project, of what is above it and of its organization), the fullest first."""
    alarms = remembered(_key(user, project), lambda: list(_alarms(user, project)[:MOST_READ]), least_s=LATELY_S)
    actions: dict[Budget, set[str]] = {}
    for alarm in alarms:
        if wanted := asked(alarm):
            actions.setdefault(alarm.budget, set()).update(wanted)
    found = [Reached(budget=budget, actions=frozenset(names)) for budget, names in actions.items()]
    return sorted(found, key=lambda one: one.budget.spent / one.budget.amount, reverse=True)[:MOST]


def _alarms(user: Any, project: Project | None) -> Any:
    rows = BudgetAlarm.objects.visible_to(user).in_force(CLOCK)
    if project is not None:
        of_all = Q(budget__project=None, budget__organization=project.organization_id)
        rows = rows.filter(Q(budget__project__in=project.ancestor_ids) | of_all)
    return rows.select_related("budget__organization", "budget__project").order_by("-at", "-pk")


def _key(user: Any, project: Project | None) -> tuple[Any, ...]:
    """Whose budgets those are: what the user may see is in it, so that nobody is shown another's."""
    grants, seen = user.grants, "usage.view"
    whole: frozenset[UUID] = frozenset(billed_to(user, seen))
    return "reached", grants.sees_everything, whole, frozenset(grants.projects(seen)), project and project.pk
