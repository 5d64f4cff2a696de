"""Who hears that a schedule is not carried out: in whose name it acts."""
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.models import User


def owner(event: Any) -> QuerySet[User]:
    told = (event.after or {}).get("owner")
    return User.objects.filter(pk=UUID(told), is_active=True) if told else User.objects.none()


def about_their_own(user: Any, notice: Any) -> bool:
    """They made the schedule, and hear of its end also where they may not look any more."""
    return True


KIND = NoticeKind(
    name="instance.schedules", label=_("My schedules of instances"), hint=_("When one could not be carried out in my name."),
    page="instance_schedules:list", receivers=owner, may_hear=about_their_own, mail="now", acts={
        "instance_schedule.refuse": _("The schedule “%(target)s” of %(place)s was not carried out: it acts in your name, and you "
                                      "may not operate instances there any more."),
        "instance_schedule.disable": _("The schedule “%(target)s” of %(place)s was disabled, since it could not be carried out "
                                       "any more.")})
