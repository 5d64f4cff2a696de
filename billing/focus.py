"""What was charged as FOCUS, the FinOps foundation's open format for bills (version 1.2, https://focus.finops.org).

A row for each charge, for the tax, and for each credit that paid: BilledCost adds up to the invoice's total to the last digit.
What is not invoiced yet has rows without an invoice's number, and they change until it is.
An account is an organization, a sub-account a project. Amounts have ten decimals, quantities of pricing hours with as many as
make price × quantity the cost at ten decimals. Values are text; nothing is empty text, a missing value is None.
"""
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange as Period
from django.utils import translation
from psycopg import sql

from billing import issuing, rating
from billing.models import Invoice
from billing.money import plain
from portal.kernel.declarations import Meter, registry
from portal.kernel.rest.rendering import as_json
from tenants.models import Organization

VERSION = "1.2"
COLUMNS = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice",
    "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
    "ServiceCategory", "ServiceName", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
)
NUMBERS = frozenset({"BilledCost", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "ListCost",
                     "ListUnitPrice", "PricingQuantity"})
"""Columns that no spreadsheet mistakes for a formula: a minus before them is a minus."""
NOBODY = "Mains"
"""The issuer while none was entered."""
USAGE, TAX, CREDIT, ADJUSTMENT, CORRECTION = "Usage", "Tax", "Credit", "Adjustment", "Correction"
CATEGORIES = {"usage": USAGE, "correction": USAGE, "adjustment": ADJUSTMENT, "rounding": ADJUSTMENT}
BATCH, LAST = 2000, Decimal("0.0000000001")
ALL = 10**12
WRITES = ("charge.kind", "charge.text", "charge.meter", "charge.sku", "lower(charge.span)", "upper(charge.span)",
          "charge.quantity", "trim_scale(round(charge.quantity / 3600, 20))", "charge.unit_price", "charge.tier",
          "charge.discount_percent",
          "charge.list_amount", "charge.amount", "charge.price_id", "region.slug", "{region_name}", "charge.resource_id",
          "{resource_name}", "resource.kind", "{resource_tags}", "charge.project_id", "{project_name}")
"""What `_charge` takes."""
# What is renamed later keeps the name, and the tags, under which it was invoiced; what is open has those of today.
AS_ISSUED = {"region_name": sql.SQL("NULLIF(charge.region_name, '')"), "resource_tags": sql.SQL("charge.resource_tags"),
             "resource_name": sql.SQL("NULLIF(charge.resource_name, '')"),
             "project_name": sql.SQL("NULLIF(charge.project_name, '')")}
OF_TODAY = {"region_name": sql.SQL("region.name"), "resource_tags": sql.SQL("resource.tags"),
            "resource_name": sql.SQL("resource.name"), "project_name": sql.SQL("project.name")}
NAMED = sql.SQL("""
LEFT JOIN kernel_region AS region ON region.id = charge.region_id
LEFT JOIN kernel_resource AS resource ON resource.id = charge.resource_id
LEFT JOIN tenants_project AS project ON project.id = charge.project_id
""")
# Of one invoice, in the order of its lines, from one of them on: the rows are looked for before they are named.
CHARGES = sql.SQL("""
SELECT position, charge.id, {columns}
FROM (SELECT line.position, line.project_name, line.region_name, charge.* FROM billing_charge AS charge
      JOIN billing_invoiceline AS line ON line.id = charge.line_id
      WHERE line.invoice_id = %(invoice)s AND (line.position, charge.id) > (%(position)s, %(charge)s)
      ORDER BY line.position, charge.id LIMIT %(most)s) AS charge {named}
ORDER BY position, charge.id
""")
# What no invoice has yet: what rating says of a month so far, and what waits for the next invoice.
OPEN = sql.SQL("SELECT charge.currency, {columns}"
               " FROM (SELECT 'usage' AS kind, '' AS text, rated.* FROM ({rated}) AS rated) AS charge {named}")
WAITING = sql.SQL("SELECT charge.currency, {columns} FROM billing_charge AS charge {named}"
                  " WHERE charge.organization_id = %(organization)s AND charge.line_id IS NULL ORDER BY charge.id")
Row = dict[str, str | None]
Place = tuple[int, int]
"""Of a charge in its invoice: the line's position, and its id."""
BEGIN: Place = (0, 0)


def rows(invoice: Invoice) -> Iterator[Row]:
    """The invoice's rows. A million of them take no more memory than some thousand: PostgreSQL keeps the rest."""
    for _place, row in charges(invoice, BEGIN, ALL):
        yield row
    yield from of_the_whole(invoice)


def charges(invoice: Invoice, after: Place, most: int) -> Iterator[tuple[Place, Row]]:
    """So many of the invoice's charges at most, in their order, after that place. None of a credit note."""
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        return
    common = _common(invoice)
    with connection.chunked_cursor() as cursor:
        cursor.execute(CHARGES.format(columns=_columns(AS_ISSUED), named=NAMED), {
            "invoice": invoice.pk, "position": after[0], "charge": after[1], "most": most})
        while found := cursor.fetchmany(BATCH):
            yield from (((position, pk), common | _charge(*row)) for position, pk, *row in found)


def of_the_whole(invoice: Invoice) -> Iterator[Row]:
    """The rows that are no charges: credit that paid, tax; of a credit note what it takes back."""
    common = _common(invoice)
    if invoice.kind == Invoice.Kind.CREDIT_NOTE:
        yield from (common | _whole(*part) | {"ChargeClass": CORRECTION} for part in _taken_back(invoice))
        return
    for use in invoice.credit_uses.select_related("credit").order_by("pk"):
        yield common | _whole(CREDIT, use.credit.reason, -use.amount)
    if invoice.tax:
        yield common | _whole(TAX, _tax_of(invoice), invoice.tax)


def not_invoiced(organization: Organization, period: Period, now: datetime) -> Iterator[Row]:
    """What a month of the organization that has no invoice costs so far, charge by charge, in one moment's view of it."""
    rated, values = rating.charges(organization.pk, start=period.lower, end=min(period.upper, now))
    yield from _open(OPEN.format(columns=_columns(OF_TODAY), named=NAMED, rated=rated), values, _of_nobody(organization, period))


def waiting(organization: Organization, period: Period) -> Iterator[Row]:
    """What waits for the next invoice, which is that of the given month."""
    yield from _open(WAITING.format(columns=_columns(OF_TODAY), named=NAMED), {"organization": organization.pk},
                     _of_nobody(organization, period))


def _open(statement: sql.Composed, values: dict[str, Any], common: Row) -> Iterator[Row]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, values)
        while found := cursor.fetchmany(BATCH):
            yield from (common | {"BillingCurrency": currency} | _charge(*row) for currency, *row in found)


def _columns(names: dict[str, sql.SQL]) -> sql.Composed:
    return sql.SQL(", ").join(sql.SQL(name).format(**names) for name in WRITES)


def _taken_back(note: Invoice) -> Iterator[tuple[str, str, Decimal]]:
    """A credit note's own amounts are what it takes back, so here they are below zero."""
    for line in note.lines.order_by("position"):
        yield CREDIT, line.text or note.reason or note.number, -line.amount
    if note.tax:
        yield TAX, _tax_of(note), -note.tax


def _tax_of(invoice: Invoice) -> str:
    return f"{invoice.tax_name} {plain(invoice.tax_percent, 0)} %"


def _common(invoice: Invoice) -> Row:
    """What all rows of an invoice say alike, and None for the rest."""
    return _billed(invoice.organization_id, str(invoice.buyer["name"]), str(invoice.seller["name"]), invoice.period) | {
        "BillingCurrency": invoice.currency, "InvoiceId": invoice.number}


def _of_nobody(organization: Organization, period: Period) -> Row:
    """As an invoice of the month would say, if it were issued now."""
    issuer = issuing.issuer()
    return _billed(organization.pk, issuing.buyer(organization, issuer)["name"], issuer.name, period)


def _billed(account: UUID, name: str, issuer: str, period: Period) -> Row:
    start, end, issuer = _moment(period.lower), _moment(period.upper), issuer or NOBODY
    return dict.fromkeys(COLUMNS) | {
        "BillingAccountId": str(account), "BillingAccountName": name, "BillingAccountType": "Organization",
        "BillingPeriodStart": start, "BillingPeriodEnd": end, "ChargePeriodStart": start, "ChargePeriodEnd": end,
        "InvoiceIssuerName": issuer, "ProviderName": issuer, "PublisherName": issuer, "ChargeFrequency": "Usage-Based",
        "ServiceCategory": "Other", "ServiceName": "Billing"}


def _whole(category: str, text: str, amount: Decimal) -> Row:
    """Of the invoice as a whole: tax, or what credit paid of it."""
    cost = plain(amount)
    return {"ChargeCategory": category, "ChargeDescription": text, "ChargeFrequency": "One-Time",
            **dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), cost)}


def _charge(kind: str, text: str, meter: str, sku: str, start: datetime, end: datetime, quantity: Decimal, hours: Decimal,
            unit_price: Decimal | None, tier: Decimal, discount: Decimal, list_amount: Decimal, amount: Decimal,
            price: Any, region: str | None, region_name: str | None, resource: Any, resource_name: str | None,
            resource_kind: str | None, tags: str | None, project: Any,
            project_name: str | None) -> Row:
    declared, category = registry.meters.get(meter), CATEGORIES[kind]
    row = {
        "ChargeCategory": category, "ChargeClass": CORRECTION if kind == "correction" else None,
        "ChargeDescription": text or f"{meter} {sku}".strip() or kind, "BilledCost": plain(amount),
        "EffectiveCost": plain(amount), "ListCost": plain(amount), "ContractedCost": plain(amount),
        "ChargePeriodStart": _moment(start), "ChargePeriodEnd": _moment(end), "RegionId": region, "RegionName": region_name,
        "ResourceId": str(resource) if resource else None, "ResourceName": resource_name, "ResourceType": resource_kind,
        "SubAccountId": str(project) if project else None, "SubAccountName": project_name,
        "SubAccountType": "Project" if project else None, "Tags": None if tags in (None, "{}") else tags,
        "ServiceCategory": declared.category if declared else "Other",
        "ServiceName": (declared.service if declared else "") or meter or "Billing"}
    if category != USAGE:
        return row
    row |= {"SkuId": sku, "SkuMeter": meter, "SkuPriceId": str(price) if price else None}
    if kind == "correction" or unit_price is None:
        return row
    unit, size = declared.unit if declared else "second", rating.size_of(meter)
    contracted = unit_price * (100 - discount) / 100
    details = {name: plain(value, 0) for name, value in (("x_Tier", tier), ("x_DiscountPercent", discount)) if value}
    return row | {
        "ListCost": plain(list_amount), "ListUnitPrice": plain(unit_price, 0), "ContractedUnitPrice": plain(contracted, 0),
        "ContractedCost": plain(_cost(contracted, hours)), "PricingCategory": "Standard",
        "PricingQuantity": plain(hours, 0), "PricingUnit": _priced(declared) if size else unit.removesuffix("second") + "Hours",
        "ConsumedQuantity": plain(rating.units_in(meter, quantity), 0),
        "ConsumedUnit": f"{unit.capitalize()}s" if size else unit.removesuffix("second") + "Seconds",
        "SkuPriceDetails": as_json(details).decode() if details else None}


def _cost(unit_price: Decimal, hours: Decimal) -> Decimal:
    """To ten decimals. Quantities of thirty digits times a price need more than the 28 that decimals keep by themselves."""
    with localcontext(prec=60):
        return (unit_price * hours).quantize(LAST, ROUND_HALF_UP)


def _priced(counter: Meter) -> str:
    """What a counter's price is for, in English: GB."""
    with translation.override("en"):
        return str(counter.price_unit)


def _moment(moment: datetime) -> str:
    """ISO 8601 in UTC, as the specification's date/time format asks."""
    text = moment.astimezone(UTC).isoformat()
    return text.replace("+00:00", "Z")
