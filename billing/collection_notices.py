"""Who is told that money runs out, and of every rung of the ladder: whoever may change how bills are paid, and of the last rung
the operators too. The numbers are in `reason`, in no language."""
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import User

MANAGE = "billing.manage"


def payers(event: Any) -> QuerySet[User]:
    """Bound to the whole organization with a role that includes changing how bills are paid."""
    return people_who_may(MANAGE, event.organization_id)


def operators(event: Any) -> QuerySet[User]:
    return User.objects.filter(is_active=True, is_superuser=True)


def still_pays(user: Any, notice: Any) -> bool:
    return user.grants.may_in_organization(MANAGE, notice.organization_id)


KINDS = (
    NoticeKind(
        name="billing.low", label=_("What is left ends soon"), hint=_("7 days, 1 day and 2 hours before credit, or money paid in "
                                                                      "advance, is used up."),
        page="balance:page", receivers=payers, may_hear=still_pays, mail="now", acts={
            "credit.low": _("What is left in %(place)s ends soon: %(reason)s")}),
    NoticeKind(
        name="billing.unpaid", label=_("Unpaid bills"), hint=_("Reminders, and what follows when nobody pays."),
        page="balance:page", receivers=payers, may_hear=still_pays, mail="now", is_fixed=True, acts={
            "dunning.remind": _("Reminder: %(place)s has not paid what is due since %(reason)s"),
            "dunning.block": _("Nothing new starts in %(place)s until it is paid what is due since %(reason)s"),
            "dunning.stop": _("The instances of %(place)s are stopped, until it is paid what is due since %(reason)s"),
            "dunning.recycle": _("The instances of %(place)s go to the recycle bin, and are deleted for good when their time "
                                 "there is over: nobody paid what is due since %(reason)s"),
            "dunning.lower": _("%(place)s is a step further down, and something is still due since %(reason)s"),
            "dunning.lift": _("Nothing of %(place)s is overdue any more: what was blocked works again, and what was stopped can "
                              "be started.")}),
    NoticeKind(
        name="billing.to_delete", label=_("Organizations to be deleted"),
        hint=_("For operators: nobody paid up to the last rung."),
        receivers=operators, may_hear=lambda user, notice: user.is_superuser, mail="now", acts={
            "dunning.recycle": _("%(place)s is on the last rung: its instances go to the recycle bin, what else it has is "
                                 "to be deleted by hand. Due since %(reason)s")}),
)
