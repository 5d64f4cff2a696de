"""Budgets that stop what runs: who may ask for it, and what then is stopped, again and again, while an alarm is in force.

To say when something is stopped is to stop it, so who asks needs the permissions with which rooms let a person do that. Nothing
is written here: what something else is being done to cannot be stopped now, and is looked at again.
"""
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog
from django.db.models import Q, QuerySet

from billing.budgets.limits import in_force
from billing.models import Budget
from portal.kernel.declarations import registry
from portal.kernel.models import Resource
from tenants import access
from tenants.models import Organization, Project

REASON = "budget"
log = structlog.get_logger(__name__)


def stops(thresholds: list[dict[str, Any]]) -> bool:
    return any(Budget.Action.STOP in one["actions"] for one in thresholds)


def why_not(user: Any, place: Organization | Project | None = None) -> str:
    """Why the user may not have things stopped in the place (None: in none at all); empty when they may."""
    grants = user.grants
    for one in registry.stopping_hooks:
        if not (grants.may_anywhere(one.permission) if place is None else grants.allows(one.permission, place)):
            return grants.refusal(one.permission, place).detail
    return ""


def require_new(user: Any, place: Organization | Project, thresholds: list[dict[str, Any]]) -> None:
    """Raise Forbidden where these would stop what runs in the place and the user (None: nobody, the site itself) may not."""
    for one in registry.stopping_hooks if user is not None and stops(thresholds) else ():
        access.require(user, one.permission, place)


def require_change(user: Any, budget: Budget, values: Mapping[str, Any]) -> None:
    """Raise Forbidden where the budget will stop what runs, these change when it does, and the user may not."""
    if any(name != "name" and getattr(budget, name) != value for name, value in values.items()):
        require_new(user, budget.project or budget.organization, values.get("thresholds", budget.thresholds))


def stop_over(*, now: datetime) -> None:
    """Let the rooms stop what runs within budgets that ask for it. One that fails keeps none of the others back."""
    for alarm in in_force(Q(), Budget.Action.STOP, now):
        for one in registry.stopping_hooks:
            try:
                one.stop(resources_of(alarm.budget), REASON)
            except Exception:
                log.exception("budget.not_stopped", budget=str(alarm.budget_id))


def resources_of(budget: Budget) -> QuerySet[Resource]:
    """What is there now that the budget is of."""
    rows = Resource.objects.filter(deleted_at=None)
    if budget.project is not None:
        return rows.filter(project__path__contains=[str(budget.project_id)])
    rows = rows.filter(project__organization=budget.organization_id)
    return rows.filter(tags__contains={budget.tag_key: budget.tag_value}) if budget.tag_key else rows
