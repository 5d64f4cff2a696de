"""Who hears of a budget's alarm: whoever manages it, where the threshold says that they are told."""
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from billing.models import Budget
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


KIND = NoticeKind(
    name="budget.alarm", label=_("Budgets"), hint=_("When a threshold of a budget that you manage is reached."),
    page="budgets:list", receivers=managers, may_hear=still_manages, mail="now", acts={
        "budget.alarm": _("The budget “%(target)s” of %(place)s: spent are %(reason)s."),
        "budget.forecast": _("The budget “%(target)s” of %(place)s: to be expected are %(reason)s.")})
