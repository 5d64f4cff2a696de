"""Invoices and credit notes as PDF, in the language of whoever is billed. The same invoice gives the same bytes.

Nothing is fetched while one is made: the style is ours, the QR code is drawn in place, fonts are the system's. Names and
addresses come from tenants, and are text whatever is in them.
"""
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import segno
from django.db import connection
from django.db.models import Count, Sum
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe
from segno import helpers

from billing.invoice_lists import ShownLine
from billing.models import BillingProfile, Invoice, InvoiceLine, Issuer
from billing.money import Money

IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?:[ ]?[A-Z0-9]){11,30}\b", re.ASCII)
LONGEST_PAYEE, MOST_EUROS = 70, Decimal(10**9)
MOST_LINES, MOST_SUMS = 200, 100
"""What is printed line by line, and of the rest by project; all lines are in the file beside the invoice (CSV)."""
SETTLED_AT_ONCE = """
SELECT coalesce(-sum(leg.amount), 0) FROM billing_invoice AS invoice
JOIN billing_entry AS entry ON entry.invoice_id = invoice.id AND entry.kind = 'settlement'
 AND entry.written_in = invoice.written_in
JOIN billing_leg AS leg ON leg.entry_id = entry.id AND leg.account = 'receivable'
WHERE invoice.id = %s"""
"""From what was paid in advance, in the transaction that issued the invoice: what comes later is on no paper."""


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Lines of one project that are not printed; without a name, those of all further projects."""

    name: str
    count: int
    money: Money


def file_name(invoice: Invoice) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", invoice.number) + ".pdf"


def as_file(invoice: Invoice, content: bytes) -> HttpResponse:
    """A download under the invoice's number."""
    return HttpResponse(content, content_type="application/pdf", headers={
        "Content-Disposition": f'attachment; filename="{file_name(invoice)}"', "Cache-Control": "private, no-store",
        "X-Content-Type-Options": "nosniff"})


def invoice_pdf(invoice: Invoice) -> bytes:
    """The invoice as it was issued, printed."""
    # Only who prints loads Pango and all that stands on it.
    from weasyprint import CSS, HTML
    from weasyprint.text.fonts import FontConfiguration
    from weasyprint.urls import URLFetcher

    with translation.override(invoice.buyer.get("language", BillingProfile.Language.ENGLISH)):
        text = render_to_string("billing/invoice_pdf.html", _context(invoice))
    fetcher = URLFetcher(allowed_protocols=())
    page = HTML(string=text, url_fetcher=fetcher)
    return page.write_pdf(stylesheets=[CSS(string=_style(), url_fetcher=fetcher)], font_config=FontConfiguration(),
                          pdf_identifier=hashlib.sha256(invoice.pk.bytes).digest()[:16])


def _context(invoice: Invoice) -> dict[str, Any]:
    sign = -1 if invoice.kind == Invoice.Kind.CREDIT_NOTE else 1
    lines = InvoiceLine.objects.filter(invoice=invoice).order_by("position")
    printed = [ShownLine(line=row, currency=invoice.currency, sign=sign) for row in lines[:MOST_LINES]]
    zone = Issuer.objects.values_list("time_zone", flat=True).first() or "UTC"

    paid = Decimal(0) if sign < 0 else _settled_at_once(invoice)
    to_pay = invoice.total - paid

    def money(amount: Decimal) -> Money:
        return Money(sign * amount, invoice.currency)

    return {
        "invoice": invoice, "is_note": sign < 0, "lines": printed, "rest": _rest(invoice, printed, sign), "zone": zone,
        "issued": invoice.issued_at.astimezone(ZoneInfo(zone)).date(), "due": invoice.due_at.astimezone(ZoneInfo(zone)).date(),
        "subtotal": money(invoice.subtotal), "credit": money(-invoice.credit), "tax": money(invoice.tax),
        "total": money(invoice.total), "paid": money(-paid), "to_pay": money(to_pay), "language": translation.get_language(),
        "code": None if sign < 0 or to_pay <= 0 else _drawn(_code(invoice, to_pay))}


def _settled_at_once(invoice: Invoice) -> Decimal:
    with connection.cursor() as cursor:
        cursor.execute(SETTLED_AT_ONCE, [invoice.pk])
        return cursor.fetchone()[0]


def _rest(invoice: Invoice, printed: Sequence[ShownLine], sign: int) -> list[Rest]:
    """What is not printed line by line, by project, dearest first."""
    if len(printed) < MOST_LINES:
        return []
    beyond = InvoiceLine.objects.filter(invoice=invoice, position__gt=printed[-1].line.position)
    sums = beyond.order_by().values("project_name", "project").annotate(count=Count("pk"), sum=Sum("amount"))
    found = [Rest(name=one["project_name"] or "–", count=one["count"], money=Money(sign * one["sum"], invoice.currency))
             for one in sums.order_by("-sum", "project")[:MOST_SUMS]]
    whole = beyond.aggregate(count=Count("pk"), sum=Sum("amount"))
    if (count := whole["count"] - sum(one.count for one in found)) > 0:
        left = sign * whole["sum"] - sum((one.money.amount for one in found), Decimal(0))
        found.append(Rest(name="", count=count, money=Money(left, invoice.currency)))
    return found


def _code(invoice: Invoice, amount: Decimal) -> segno.QRCode:
    """What a bank's program reads: a transfer in euros filled in (EPC 069-12) where the seller names an IBAN; else the number and
    what is to be paid."""
    name, iban = invoice.seller.get("name", "")[:LONGEST_PAYEE].strip(), _iban(invoice.seller.get("bank", ""))
    if iban and name and invoice.currency == "EUR" and amount < MOST_EUROS:
        return helpers.make_epc_qr(name=name, iban=iban, amount=amount, text=invoice.number)
    return segno.make(f"{invoice.number}\n{amount} {invoice.currency}", error="m", micro=False)


def _iban(text: str) -> str | None:
    """The first in the text whose check digits are right."""
    for found in IBAN.findall(text):
        iban = re.sub(r"\s", "", found)
        if int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97 == 1:
            return iban
    return None


def _drawn(code: segno.QRCode) -> SafeString:
    """As a drawing; of what it says only squares are left."""
    return mark_safe(code.svg_inline(scale=1, border=0, omitsize=True))


@cache
def _style() -> str:
    return render_to_string("billing/invoice.css")
