"""What budgets refuse while an alarm of theirs is in force: until the month ends, the amount is another one, or the threshold
does not ask for it any more. Nothing is written here; `billing.affording` asks for what is new.
"""
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.issuing import issuer
from billing.models import Budget, BudgetAlarm
from billing.models.ledger import sees_costs
from billing.money import plain, shown
from portal.kernel.composed import Composed
from portal.kernel.errors import PortalError
from portal.kernel.remembered import LATELY_S, remembered
from portal.kernel.states import CLOCK
from tenants.models import Project


class BudgetReached(PortalError):
    """A budget that refuses what is new is reached."""

    code, status = "budget_reached", 402
    title = _("Budget reached")
    brief = _("A budget that counts here is reached. Nothing new that costs something is made within it until {day}, or until "
              "somebody raises it.")
    text = _("The budget “{budget}” is {amount} {currency} a month; {spent} are spent and {forecast} are to be expected. Nothing "
             "new that costs something is made within it until {day}, or until somebody raises it.")


def in_force(budgets: Q, action: str, at: Any = CLOCK) -> Iterator[BudgetAlarm]:
    """The alarms of these budgets by which the action is to be done now, the oldest first."""
    rows = BudgetAlarm.objects.in_force(at).filter(budgets).select_related("budget", "budget__project").order_by("at", "pk")
    return (alarm for alarm in rows if action in asked(alarm))


def asked(alarm: BudgetAlarm) -> list[str]:
    """The actions for which the budget asks at this threshold, as it is now."""
    return next((one["actions"] for one in alarm.budget.thresholds
                 if (one["percent"], one["basis"]) == (alarm.percent, alarm.basis)), [])


def require(project: Project, tags: Mapping[str, str], *, actor: Any = None, lately: bool = False) -> None:
    """Raise BudgetReached where a budget refuses something new in the project that bears these tags; which one, and its figures,
    is told to an actor who may see them. `lately`: only to be shown, so that none refuses may be some seconds old."""
    organization = project.organization_id
    if lately and not remembered(("any alarm", organization), lambda: ANY_ALARM.rows(organization=organization),
                                 least_s=LATELY_S):
        return
    alarm = refusing(project, tags)
    if alarm is not None:
        told = sees_costs(actor, alarm.budget.project or project.organization)
        raise BudgetReached(until=alarm.until.isoformat(), **(_figures(alarm) if told else {}),
                            day=f"{alarm.until.astimezone(ZoneInfo(issuer().time_zone)):%Y-%m-%d}")


def _figures(alarm: BudgetAlarm) -> dict[str, str]:
    return {"budget": alarm.budget.name, "budget_id": str(alarm.budget_id), "amount": plain(alarm.amount),
            "currency": alarm.currency, "spent": plain(shown(alarm.spent)), "forecast": plain(shown(alarm.forecast))}


def refusing(project: Project, tags: Mapping[str, str]) -> BudgetAlarm | None:
    """The alarm of a budget that does: of the organization, of the project or one above it, or of one of the tags."""
    if not ANY_ALARM.rows(organization=project.organization_id):
        return None
    around = Q(budget__project=None) | Q(budget__project__in=project.ancestor_ids)
    found = in_force(Q(budget__organization=project.organization_id) & around, Budget.Action.BLOCK)
    return next((alarm for alarm in found if _bears(tags, alarm.budget)), None)


def _bears(tags: Mapping[str, str], budget: Budget) -> bool:
    return not budget.tag_key or tags.get(budget.tag_key) == budget.tag_value


# Asked for each create: nearly always there is none, and that is quickly said.
ANY_ALARM = Composed(lambda organization: BudgetAlarm.objects.in_force(CLOCK).filter(
    budget__organization=organization).order_by().values_list("pk")[:1], organization=UUID)
