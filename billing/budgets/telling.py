"""Who hears of a budget's alarm, and in which words: whoever manages it, where the threshold says that they are told."""
from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.formats import number_format
from django.utils.translation import gettext_lazy as _

from billing.models import Budget
from billing.money import Money
from billing.templatetags.money import money
from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import User

MANAGE = "budget.manage"


def managers(event: Any) -> QuerySet[User]:
    """Whoever is bound to the organization, or to the budget's project or what is above it, as one who manages budgets."""
    if Budget.Action.NOTIFY not in (event.after or {}).get("actions", ()):
        return User.objects.none()
    budget = Budget.objects.select_related("project").filter(pk=UUID(event.target_id)).first()
    if budget is None:
        return User.objects.none()
    return people_who_may(MANAGE, budget.organization_id, budget.project.ancestor_ids if budget.project else ())


def still_manages(user: Any, notice: Any) -> bool:
    if notice.project_id:
        return user.grants.may(MANAGE, notice.project_id)
    return user.grants.may_in_organization(MANAGE, notice.organization_id)


TOLD = ("month", "percent", "amount", "currency", "spent", "forecast")
TENTH = Decimal("0.1")


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    """Amounts with their separators and currency, and the percentages that were really reached: never more than is so."""
    if not all(name in facts for name in TOLD):  # of an older version, which kept the reason alone
        return dict.fromkeys((*TOLD, "spent_percent", "forecast_percent"), "–")
    amounts = {name: Decimal(facts[name]) for name in ("amount", "spent", "forecast")}
    shares = {f"{name}_percent": number_format((amounts[name] * 100 / amounts["amount"]).quantize(TENTH, ROUND_DOWN), 1,
                                               force_grouping=True) for name in ("spent", "forecast")}
    return {"month": str(facts["month"]), "percent": str(facts["percent"]), **shares,
            **{name: money(Money(amount, facts["currency"])) for name, amount in amounts.items()}}


KIND = NoticeKind(
    name="budget.alarm", label=_("Budgets"), hint=_("When a threshold of a budget that you manage is reached."),
    page="budgets:list", target_page="budgets:detail", receivers=managers, may_hear=still_manages, mail="now", keeps=TOLD,
    words=words, acts={
        "budget.alarm": _("Budget “%(target)s” of %(place)s: in %(month)s %(spent)s of %(amount)s are spent "
                          "(%(spent_percent)s %%), so the threshold of %(percent)s %% is reached."),
        "budget.forecast": _("Budget “%(target)s” of %(place)s: by the end of %(month)s %(forecast)s of %(amount)s are to be "
                             "expected (%(forecast_percent)s %%), so the threshold of %(percent)s %% is reached. Spent so far: "
                             "%(spent)s (%(spent_percent)s %%).")})
