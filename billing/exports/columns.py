"""Which columns a file has, in their order. The guide lists the same names, and a test holds it to that.

Names are for programs: they are the same in every language, and never change their meaning.
"""
from collections.abc import Mapping

from billing import focus
from billing.models.exports import What

USAGE = ("interval", "resource", "resource_name", "resource_type", "project", "project_name", "region", "meter", "sku", "units",
         "start", "end", "seconds", "quantity")
INVOICES = ("invoice", "number", "kind", "month", "start", "end", "currency", "subtotal", "credit", "tax_name", "tax_percent",
            "tax", "total", "corrects", "reason", "buyer_name", "buyer_country", "buyer_tax_id", "issued_at", "due_at")
LEDGER = ("entry", "at", "kind", "invoice_number", "text", "account", "amount", "currency")

COLUMNS: Mapping[str, tuple[str, ...]] = {
    What.FOCUS: focus.COLUMNS, What.USAGE: USAGE, What.INVOICES: INVOICES, What.LEDGER: LEDGER}
NUMBERS = focus.NUMBERS | {"units", "seconds", "quantity", "subtotal", "credit", "tax_percent", "tax", "total", "amount"}
"""Those that a minus may stand before, and that are numbers in a spreadsheet."""


def chosen(what: str, names: list[str]) -> tuple[str, ...]:
    """All columns, or those that were asked for, in the order in which they were."""
    return tuple(names) or COLUMNS[what]
