"""Who hears that a schedule is not carried out: in whose name it acts; where nobody is left, those who may make it theirs."""
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances.schedules.reasons import GONE, LEFT, NO_RIGHT, REASONS
from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import User

MANAGE = "instance.operate"
WHY = {NO_RIGHT: _("It acts in your name, and you may not operate instances there any more."),
       LEFT: _("Nobody is left in whose name it acts: whoever saves it becomes its owner."), GONE: REASONS[GONE]}


def those_concerned(event: Any) -> QuerySet[User]:
    said = event.after or {}
    if said.get("reason") == LEFT:
        return people_who_may(MANAGE, event.project.organization_id, event.project.ancestor_ids).people()
    told = said.get("owner")
    return User.objects.filter(pk=UUID(told), is_active=True) if told else User.objects.none()


def may_hear(user: Any, notice: Any) -> bool:
    """Owners hear of the end of what they made also where they may not look any more; others as long as it is theirs to mend."""
    return notice.facts.get("reason") != LEFT or user.grants.may(MANAGE, notice.project_id)


def words(facts: Mapping[str, Any]) -> dict[str, str]:
    return {"why": str(WHY.get(facts.get("reason", ""), ""))}


KIND = NoticeKind(
    name="instance.schedules", label=_("Schedules of instances"), page="instance_schedules:list",
    hint=_("When one could not be carried out in my name, or nobody is left in whose name it acts."),
    receivers=those_concerned, may_hear=may_hear, words=words, mail="now", acts={
        "instance_schedule.refuse": _("The schedule “%(target)s” of %(place)s was not carried out. %(why)s"),
        "instance_schedule.disable": _("The schedule “%(target)s” of %(place)s was disabled, since it could not be carried out "
                                       "any more. %(why)s")})
