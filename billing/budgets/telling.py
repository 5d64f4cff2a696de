"""Who hears of a budget's alarm: whoever manages it, where the threshold says that they are told."""
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from billing.models import Budget
from portal.kernel.declarations import ROLES, NoticeKind
from tenants.models import Binding, Role, User
from tenants.roles import permissions_of

MANAGE = "budget.manage"


def managers(event: Any) -> QuerySet[User]:
    """Whoever is bound to the organization, or to the budget's project or what is above it, as one who manages budgets."""
    people = User.objects.filter(is_active=True)
    if Budget.Action.NOTIFY not in (event.after or {}).get("actions", ()):
        return people.none()
    budget = Budget.objects.select_related("project").filter(pk=UUID(event.target_id)).first()
    if budget is None:
        return people.none()
    own = Role.objects.filter(organization=budget.organization_id, permissions__contains=[MANAGE]).values_list("pk", flat=True)
    roles = [*(role for role in ROLES if MANAGE in permissions_of(role)), *map(str, own)]
    above = budget.project.ancestor_ids if budget.project else []
    bound = Binding.objects.filter(Q(project=None) | Q(project__in=above), organization=budget.organization_id, role__in=roles)
    return people.filter(Q(pk__in=bound.exclude(user=None).values("user"))
                         | Q(groups__of_organization__in=bound.exclude(group=None).values("group"))).distinct()


def still_manages(user: Any, notice: Any) -> bool:
    if notice.project_id:
        return user.grants.may(MANAGE, notice.project_id)
    return user.grants.may_in_organization(MANAGE, notice.organization_id)


KIND = NoticeKind(
    name="budget.alarm", label=_("Budgets"), hint=_("When a threshold of a budget that you manage is reached."),
    page="budgets:list", receivers=managers, may_hear=still_manages, mail="now", acts={
        "budget.alarm": _("The budget “%(target)s” of %(place)s: spent are %(reason)s."),
        "budget.forecast": _("The budget “%(target)s” of %(place)s: to be expected are %(reason)s.")})
