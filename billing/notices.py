"""Who is told of bills: members who see all of them, each as they chose. The mail with the PDF is `billing.mailing`'s."""
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import NoticeKind
from tenants.bound import people_who_may
from tenants.models import User

VIEW = "invoice.view"


def who_sees_bills(event: Any) -> QuerySet[User]:
    """Whoever is bound to the organization as a whole as one who sees its bills."""
    return people_who_may(VIEW, event.organization_id)


def still_sees_bills(user: Any, notice: Any) -> bool:
    return notice.organization_id is not None and user.grants.may_in_organization(VIEW, notice.organization_id)


KINDS = (
    NoticeKind(
        name="invoice.issued", label=_("Invoices and credit notes"), hint=_("When one is issued."), page="invoices:list",
        receivers=who_sees_bills, may_hear=still_sees_bills, acts={
            "invoice.issue": _("An invoice of %(place)s was issued: %(target)s"),
            "invoice.credit_note": _("A credit note of %(place)s was issued: %(target)s. %(reason)s")}),
)
