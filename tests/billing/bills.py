"""Invoices as closing a month would have left them, made by hand: lines, charges, the ledger's entry, payments."""
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Account, Charge, Entry, Invoice, InvoiceLine, Leg, Payment, Price, UsageInterval
from billing.periods import Month
from portal.kernel.models import Region, Resource
from tenants.models import Organization, Project

CENT, LAST, HOUR = Decimal("0.01"), Decimal("0.0000000001"), 3600
SELLER = {"name": "Waterworks Ltd", "address": "1 Mains Street\nShanghai", "country": "CN", "tax_id": "91310000MA1",
          "email": "bills@waterworks.example", "bank": "Bank of Pipes\nIBAN CN00 1234 5678"}


@dataclass(frozen=True, kw_only=True)
class Used:
    """So many units of a SKU for so long, at a price."""

    project: Project
    region: Region
    seconds: int = HOUR
    units: Decimal = Decimal(1)
    price_per_hour: Decimal = Decimal("0.36")
    meter: str = "instance.running"
    sku: str = "small"
    tier: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    resource: Resource | None = None
    interval: UsageInterval | None = None
    price: Price | None = None

    @property
    def quantity(self) -> Decimal:
        return self.units * self.seconds

    @property
    def list_amount(self) -> Decimal:
        return (self.quantity * self.price_per_hour / HOUR).quantize(LAST, ROUND_HALF_UP)

    @property
    def amount(self) -> Decimal:
        return (self.list_amount * (100 - self.discount) / 100).quantize(LAST, ROUND_HALF_UP)


@transaction.atomic
def invoice(organization: Organization, *used: Used, month: str = "2026-10", number: str = "", tax: str = "0",
            currency: str = "CNY", credit: Decimal = Decimal(0), name: str = "", address: str = "",
            language: str = "en") -> Invoice:
    """An invoice with a line for each of `used`, rounded half up to a cent, whose difference is a charge of its own."""
    period = Month.named(month)
    lines = [one.amount.quantize(CENT, ROUND_HALF_UP) for one in used]
    subtotal = sum(lines, Decimal(0))
    owed = ((subtotal - credit) * Decimal(tax) / 100).quantize(CENT, ROUND_HALF_UP)
    buyer = {"name": name or organization.name, "address": address, "country": "CN", "tax_id": "", "email": "",
             "language": language}
    made = Invoice.objects.create(
        organization=organization, number=number or f"T-{month}-{organization.pk.hex[-12:]}-{currency}", month=month,
        period=DateTimeTZRange(period.start, period.end), currency=currency, subtotal=subtotal, credit=credit,
        tax_name="VAT" if Decimal(tax) else "", tax_percent=Decimal(tax), tax=owed, total=subtotal - credit + owed,
        seller=SELLER, buyer=buyer, issued_at=period.end, due_at=period.end + timedelta(days=14))
    for position, (one, amount) in enumerate(zip(used, lines, strict=True), start=1):
        _line(made, position, one, amount)
    legs = {Account.RECEIVABLE: made.total, Account.REVENUE: -subtotal, Account.CREDITS: credit, Account.TAX: -owed}
    book(made, "invoice", legs)
    return made


def _line(made: Invoice, position: int, one: Used, amount: Decimal) -> None:
    common: dict[str, Any] = {"project": one.project, "region": one.region, "meter": one.meter, "sku": one.sku,
                              "unit_price": one.price_per_hour, "tier": one.tier, "discount_percent": one.discount}
    line = InvoiceLine.objects.create(invoice=made, position=position, kind="usage", quantity=one.quantity, amount=amount,
                                      project_name=one.project.name if one.project else "",
                                      region_name=one.region.name if one.region else "", **common)
    start = made.period.lower + timedelta(seconds=position - 1)  # PostgreSQL refuses the same charge twice
    common |= {"line": line, "organization": made.organization, "currency": made.currency, "created_at": made.issued_at}
    Charge.objects.create(
        **common, kind="usage", resource=one.resource, resource_name=one.resource.name if one.resource else "",
        resource_tags=one.resource and one.resource.tags, interval=one.interval, units=one.units, quantity=one.quantity,
        span=DateTimeTZRange(start, start + timedelta(seconds=one.seconds)), price=one.price, list_amount=one.list_amount,
        amount=one.amount)
    if amount != one.amount:
        Charge.objects.create(**common, kind="rounding", span=made.period, amount=amount - one.amount)


@transaction.atomic
def credit_note(of: Invoice, amount: Decimal, *, number: str, reason: str = "We were down") -> Invoice:
    """Takes back so much of an invoice (no tax)."""
    made = Invoice.objects.create(
        organization=of.organization, kind="credit_note", number=number, month=of.month, period=of.period,
        currency=of.currency, subtotal=amount, total=amount, seller=of.seller, buyer=of.buyer, corrects=of, reason=reason,
        issued_at=of.issued_at + timedelta(days=3), due_at=of.issued_at + timedelta(days=3))
    InvoiceLine.objects.create(invoice=made, position=1, kind="adjustment", text=reason, amount=amount)
    book(made, "credit_note", {Account.RECEIVABLE: -amount, Account.REVENUE: amount})
    return made


@transaction.atomic
def paid(of: Invoice, amount: Decimal, *, reference: str) -> Payment:
    """Money came and settled so much of the invoice."""
    at = of.issued_at + timedelta(days=1)
    payment = Payment.objects.create(organization=of.organization, amount=amount, currency=of.currency, provider="manual",
                                     reference=reference, received_at=at)
    book(of, "payment", {Account.CASH: amount, Account.PREPAID: -amount}, key=reference, invoice=None)
    book(of, "settlement", {Account.PREPAID: amount, Account.RECEIVABLE: -amount}, key=reference)
    return payment


def book(of: Invoice, kind: str, legs: dict[str, Decimal], *, key: str = "", **fields: Any) -> Entry:
    entry = Entry.objects.create(**({"invoice": of} | fields), organization=of.organization, kind=kind,
                                 key=f"{kind}:{key or of.pk}", at=of.issued_at)
    Leg.objects.bulk_create(Leg(entry=entry, organization=of.organization, account=account, amount=amount,
                                currency=of.currency) for account, amount in legs.items() if amount)
    return entry


def day(number: int) -> datetime:
    """In October 2026."""
    return datetime(2026, 10, number, tzinfo=UTC)
