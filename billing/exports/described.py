"""What the columns of files mean, for the guide. Of FOCUS only what is ours to say: the specification tells the rest."""
from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.exports.columns import COLUMNS
from billing.models.exports import What

RESOURCE, PROJECT, REGION = _("Id of the resource"), _("Id of the project"), _("Slug of the region")
START, END = _("From this moment on (UTC)"), _("Until this moment (UTC), not included; empty: it still runs")
TEXTS: Mapping[str, Mapping[str, Any]] = {
    What.USAGE: {
        "interval": _("Id of the interval of usage; empty: it was counted, and the row is a day"),
        "resource": RESOURCE, "resource_name": _("Its name now"),
        "resource_type": _("Its kind, such as instance"), "project": PROJECT, "project_name": _("Its name now"), "region": REGION,
        "meter": _("Meter"), "sku": _("Which size or class of it"), "units": _("How many units of the meter"), "start": START,
        "end": END, "seconds": _("How long within the months asked for; empty: it was counted"),
        "quantity": _("units × seconds; of what was counted its units"),
    },
    What.INVOICES: {
        "invoice": _("Id of the invoice or credit note"), "number": _("Its number"), "kind": _("invoice or credit_note"),
        "month": _("Month of the issuer, such as 2026-10"), "start": START, "end": _("Until this moment (UTC), not included"),
        "currency": _("Of all amounts of the row"), "subtotal": _("Before credit and tax; below zero on credit notes"),
        "credit": _("What credit paid"), "tax_name": _("Name of the tax"), "tax_percent": _("Its rate"),
        "tax": _("Tax; below zero on credit notes"), "total": _("subtotal − credit + tax"),
        "corrects": _("Number of the invoice that a credit note takes back part of"), "reason": _("Why"),
        "buyer_name": _("Who was billed"), "buyer_country": _("Country, as in ISO 3166"), "buyer_tax_id": _("Tax id"),
        "issued_at": _("When it was issued (UTC)"), "due_at": _("Until when it is to be paid (UTC)"),
    },
    What.LEDGER: {
        "entry": _("Id of the entry; its legs sum to zero"), "at": _("When it was booked (UTC)"),
        "kind": _("What happened, such as invoice or payment"), "invoice_number": _("Number of the invoice that it is about"),
        "text": _("What was said about it"), "account": _("Account that the leg is of"),
        "amount": _("Debit above, credit below zero"), "currency": _("Currency of the leg"),
    },
    What.FOCUS: {
        "BilledCost": _("All rows of a month add up to its invoices, tax and credit included"),
        "BillingAccountId": _("Id of the organization"), "InvoiceId": _("Number of the invoice; empty: not invoiced yet"),
        "ChargeCategory": _("Usage, Adjustment, Credit or Tax"), "RegionId": REGION, "ResourceId": RESOURCE,
        "SkuPriceId": _("Id of the version of the price"), "SubAccountId": PROJECT, "SubAccountName": _("Its name now"),
        "SkuPriceDetails": _("x_Tier: from how many unit-hours of the month on; x_DiscountPercent"),
        "Tags": _("Tags of the resource now, as a JSON object"),
    },
}


def described() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Title of a kind of file → its columns in their order, each with its text."""
    for what in What:
        yield what.label, [(name, TEXTS[what].get(name, "")) for name in COLUMNS[what]]
