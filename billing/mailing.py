"""Bills by mail: what `billing.outbox` wrote is sent with the PDF, in the language of whoever is billed.

Names come from tenants and operators: they lose line ends, and stay text in the subject, in the text, and in HTML.
"""
from typing import Any

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import translation
from django.utils.translation import gettext as _

from billing.documents import file_name, invoice_pdf
from billing.models import BillingProfile, Invoice, InvoiceMail
from billing.money import Money
from portal.kernel import posting
from portal.kernel.posting import clipped, on_one_line

log = structlog.get_logger(__name__)
LONGEST_SUBJECT = 150


def run() -> int:
    """Send what is due; how many were tried."""
    return posting.run("bill", claim, _send)


def claim() -> list[InvoiceMail]:
    return posting.claim(InvoiceMail, "invoice__organization")


def _send(mail: InvoiceMail, server: BaseEmailBackend) -> None:
    posting.deliver("bill", mail, server, lambda: message(mail, server), settle)


def settle(mail: InvoiceMail, state: str, error: str = "") -> bool:
    is_kept = posting.settle(mail, state, error)
    log.info("billing.mail", mail=str(mail.pk), invoice=str(mail.invoice_id), state=state, error=error, kept=is_kept)
    return is_kept


def message(mail: InvoiceMail, connection: BaseEmailBackend) -> EmailMultiAlternatives:
    """The mail; the same Message-ID whenever it is sent, by which a doubled one is known."""
    invoice = mail.invoice
    with translation.override(invoice.buyer.get("language", BillingProfile.Language.ENGLISH)):
        shown = _shown(invoice)
        found = EmailMultiAlternatives(
            f"[Mains] {clipped(shown['subject'], LONGEST_SUBJECT)}", render_to_string("billing/mail/invoice.txt", shown),
            to=[mail.address], connection=connection, headers=posting.headers("invoice", mail))
        found.attach_alternative(render_to_string("billing/mail/invoice.html", shown), "text/html")
    found.attach(file_name(invoice), invoice_pdf(invoice), "application/pdf")
    return found


def _shown(invoice: Invoice) -> dict[str, Any]:
    is_note, total = invoice.kind == Invoice.Kind.CREDIT_NOTE, str(Money(invoice.total, invoice.currency))
    what = _("Credit note %(number)s over %(total)s") if is_note else _("Invoice %(number)s over %(total)s")
    return {"invoice": invoice, "is_note": is_note, "total": total, "subject": what % {"number": invoice.number, "total": total},
            "seller": on_one_line(invoice.seller.get("name")), "buyer": on_one_line(invoice.buyer.get("name")),
            "reason": on_one_line(invoice.reason), "url": settings.SITE_URL + reverse("invoices:detail", args=[invoice.pk]),
            "site_url": settings.SITE_URL, "language": translation.get_language()}
