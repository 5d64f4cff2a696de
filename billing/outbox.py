"""Which bills go out by mail: rows written in the transaction that issues them, so that none is lost and none goes out that was
not issued. `billing.mailing` sends them."""
from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing.models import Invoice, InvoiceMail
from billing.profiles import profile_of
from portal.kernel import audit
from portal.kernel.errors import PortalError
from portal.kernel.operations.doorbell import ring_task
from portal.kernel.states import database_now
from tenants.models import Organization

SEND, QUEUE = "billing.send", "default"
MOST_A_DAY = 5
"""Mails of one invoice: an address that somebody else named is not to be flooded."""


class NotMailed(PortalError):
    """A bill is not sent again now."""

    code, status = "not_mailed", 409
    title = _("Not mailed")
    text = _("This is not mailed now: {reason}")


def post(invoice: Invoice) -> InvoiceMail | None:
    """Mail what was just issued to the address of the billing profile; None where there is none, or it wants no mail."""
    profile = profile_of(invoice.organization)
    return _write(invoice, profile.email, None) if profile.email and profile.sends_mail else None


@transaction.atomic
def send_again(invoice: Invoice, *, actor) -> InvoiceMail:
    """Mail it to the address that the billing profile names now, also where new bills are not mailed.

    Raises NotMailed without an address, while a mail is on its way, and beyond MOST_A_DAY.
    """
    organization = Organization.objects.select_for_update(no_key=True).get(pk=invoice.organization_id)
    address = profile_of(organization).email
    if not address:
        raise NotMailed(reason=_("The billing profile names no e-mail."))
    mails = InvoiceMail.objects.filter(invoice=invoice)
    if mails.filter(state=InvoiceMail.State.PENDING).exists():
        raise NotMailed(reason=_("It is on its way already."))
    if mails.filter(created_at__gt=database_now() - timedelta(days=1)).count() >= MOST_A_DAY:
        raise NotMailed(reason=_("Mailed %(most)s times in a day: tomorrow again.") % {"most": MOST_A_DAY})
    mail = _write(invoice, address, actor)
    audit.record("invoice.send", invoice, actor=actor, after={"address": address})
    return mail


def _write(invoice: Invoice, address: str, actor) -> InvoiceMail:
    now = database_now()
    mail = InvoiceMail.objects.create(invoice=invoice, address=address, asked_by=actor, next_at=now, created_at=now)
    ring_task(SEND, QUEUE)
    return mail
