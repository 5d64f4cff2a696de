"""Money that comes and goes, and what is taken back of invoices. Everything is booked once and never changed.

What comes in is paid in advance until invoices settle from it, the oldest first; an invoice of which more was paid (or taken
back) than it is over gives the rest back to what is paid in advance. Every verb holds the organization first.
"""
from collections.abc import Collection, Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from billing import credit, issuing, ledger, outbox
from billing.models import Account, Charge, Entry, Invoice, InvoiceLine, Leg, Payment
from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.states import database_now
from tenants.models import Organization

ZERO = Decimal(0)
LONGEST_PROVIDER, LONGEST_REFERENCE = 40, 100


def record(organization: Organization, amount: Decimal, currency: str, provider: str, reference: str, actor,
           received_at: datetime | None = None) -> Payment:
    """Money came in; it settles what is open. A provider's reference is booked once: again, it is the same payment.

    Raises InvalidInput for an amount that is not positive or finer than a cent, and a reference that is another payment's.
    """
    issuing.check(amount=issuing.wrong_amount(amount), **_wrong_names(currency, provider, reference))
    return _move(organization, amount, currency, provider, reference, actor, received_at, "payment")


def refund(organization: Organization, amount: Decimal, currency: str, provider: str, reference: str, actor,
           received_at: datetime | None = None) -> Payment:
    """Money went back: so much of what is paid in advance and not used. Booked once, as what comes in.

    Raises InvalidInput as `record` does, and when less is there: what who pays in advance used and no invoice says yet is gone.
    """
    issuing.check(amount=issuing.wrong_amount(amount), **_wrong_names(currency, provider, reference))
    return _move(organization, -amount, currency, provider, reference, actor, received_at, "refund")


@transaction.atomic
def _move(organization: Organization, amount: Decimal, currency: str, provider: str, reference: str, actor,
          received_at: datetime | None, kind: str) -> Payment:
    organization = _held(organization)
    payment = Payment(organization=organization, amount=amount, currency=currency, provider=provider, reference=reference,
                      received_at=received_at or database_now(), recorded_by=actor)
    Payment.objects.bulk_create([payment], ignore_conflicts=True)  # waits for who records the same reference now
    known = Payment.objects.get(provider=provider, reference=reference)
    if known.pk != payment.pk:
        if (known.organization_id, known.amount, known.currency) != (organization.pk, amount, currency):
            raise InvalidInput.field("reference", _("This reference is another payment's."))
        return known
    if amount < 0 and _returnable(organization, currency) < -amount:
        raise InvalidInput.field("amount", _("Less than this is paid in advance and not used yet."))
    ledger.book(organization, f"payment:{payment.pk}", kind, {Account.CASH: amount, Account.PREPAID: -amount}, currency,
                actor=actor, text=f"{provider} {reference}")
    settle(organization, actor=actor)
    # Last: whoever hears of it finds settled what is paid.
    audit.record(f"payment.{'record' if amount > 0 else 'refund'}", payment, actor=actor, after={
        "amount": abs(amount), "currency": currency, "provider": provider, "reference": reference})
    return payment


def _returnable(organization: Organization, currency: str) -> Decimal:
    """What was paid in and pays for nothing: who pays in advance owes from it what no invoice says yet."""
    there = ledger.prepaid(organization, currency)
    if not credit.prepaid_among([organization]):
        return there
    left = {one.left.currency: one.left.amount for one in credit.balances([organization], now=database_now())}
    return min(there, left.get(currency, ZERO))


def _wrong_names(currency: str, provider: str, reference: str) -> dict[str, list[object]]:
    is_currency = len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.isupper()
    return {"currency": [] if is_currency else [_("A currency is three capital letters.")],
            "provider": _wrong_name(provider, LONGEST_PROVIDER), "reference": _wrong_name(reference, LONGEST_REFERENCE)}


def _wrong_name(text: str, longest: int) -> list[object]:
    fits = text == text.strip() and 0 < len(text) <= longest and text.isprintable()
    return [] if fits else [_("One line of up to %(longest)s characters.") % {"longest": longest}]


def _held(organization: Organization) -> Organization:
    return Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)


def receivable(legs: QuerySet[Leg]) -> QuerySet[Leg]:
    """Invoice (`bill`) → what its entries and those of its credit notes left to be paid (`left`)."""
    bill = Coalesce("entry__invoice__corrects", "entry__invoice")
    of_invoices = legs.filter(account=Account.RECEIVABLE, entry__invoice__isnull=False)
    return of_invoices.order_by().annotate(bill=bill).values("bill").annotate(left=Sum("amount"))


def open_amount(invoices: Iterable[Invoice]) -> dict[UUID, Decimal]:
    """Invoice → what is still to be paid of it (below zero never stays: it settles). One statement."""
    asked = {invoice.pk: invoice.organization_id for invoice in invoices}
    bills = receivable(Leg.objects.filter(organization__in=set(asked.values()))).filter(bill__in=asked)
    return dict.fromkeys(asked, ZERO) | dict(bills.values_list("bill", "left"))


@transaction.atomic
def settle(organization: Organization, *, actor=None) -> list[Entry]:
    """Settle what is open from what is paid in advance, in each currency, the oldest invoice first."""
    organization = _held(organization)
    left = dict(receivable(Leg.objects.filter(organization=organization)).exclude(left=0).values_list("bill", "left"))
    invoices = list(Invoice.objects.filter(pk__in=left).annotate(booked=Count("entries")).order_by("due_at", "number"))
    # What was paid too much is there for the others.
    invoices.sort(key=lambda invoice: left[invoice.pk] > 0)
    there: dict[str, Decimal] = {}
    entries = []
    for invoice in invoices:
        if invoice.currency not in there:
            there[invoice.currency] = ledger.prepaid(organization, invoice.currency)
        part = min(left[invoice.pk], max(there[invoice.currency], ZERO))
        if not part:
            continue
        there[invoice.currency] -= part
        entries.append(ledger.book(
            organization, f"settlement:{invoice.pk}:{invoice.booked}", "settlement",
            {Account.PREPAID: part, Account.RECEIVABLE: -part}, invoice.currency, actor=actor, invoice=invoice,
            text=invoice.number))
    return entries


@transaction.atomic
def credit_note(invoice: Invoice, *, reason: str, actor, amount: Decimal | None = None,
                lines: Collection[InvoiceLine] = (), now: datetime | None = None) -> Invoice:
    """Take back `amount` of an invoice, or these `lines` of it, before tax, and the tax on it. On a credit note amounts say what
    is taken back. What was paid already is paid in advance again. Credit that paid for part of the invoice stays used.

    Raises InvalidInput for a missing reason, lines that are another's or were taken back, more than is left of the invoice,
    and one that was written off.
    """
    organization = _held(invoice.organization)
    taken = _taken_back(invoice)
    if lines:
        amount = sum((line.amount for line in lines), ZERO)
    issuing.check(amount=_wrong_part(invoice, amount, taken["subtotal"]), reason=issuing.wrong_text(reason),
                  lines=_wrong_lines(invoice, lines), invoice=_wrong_invoice(invoice))
    now, issuer = now or database_now(), issuing.issuer()
    # Of the sum of all notes, so that the last one takes back what is left of the tax to the cent.
    tax = issuing.taxed(taken["subtotal"] + amount, invoice.tax_percent) - taken["tax"]
    note = Invoice.objects.create(
        organization=organization, kind=Invoice.Kind.CREDIT_NOTE, number=issuing.next_number(issuer, now), corrects=invoice,
        month=invoice.month, period=invoice.period, currency=invoice.currency, subtotal=amount, tax_name=invoice.tax_name,
        tax_percent=invoice.tax_percent, tax=tax, total=amount + tax, seller=issuing.seller(issuer), buyer=invoice.buyer,
        reason=reason.strip(), issued_at=now, due_at=now)
    _write_lines(note, lines)
    ledger.book(organization, f"credit_note:{note.pk}", "credit_note",
                {Account.RECEIVABLE: -note.total, Account.REVENUE: amount, Account.TAX: tax}, invoice.currency, actor=actor,
                invoice=note, text=note.number)
    settle(organization, actor=actor)
    # Last: whoever hears of it finds settled what is paid.
    audit.record("invoice.credit_note", note, actor=actor, after={
        "invoice": invoice.number, "total": note.total, "currency": note.currency, "reason": note.reason})
    outbox.post(note)
    return note


def _taken_back(invoice: Invoice) -> dict[str, Decimal]:
    """By the credit notes so far."""
    sums = invoice.credit_notes.aggregate(subtotal=Sum("subtotal"), tax=Sum("tax"))
    return {name: amount or ZERO for name, amount in sums.items()}


def _wrong_part(invoice: Invoice, amount: Decimal | None, taken: Decimal) -> list[object]:
    if wrong := issuing.wrong_amount(amount):
        return wrong
    left = invoice.subtotal - invoice.credit - taken
    return [_("Only %(left)s is left of this invoice before tax.") % {"left": left}] if amount > left else []


def _wrong_lines(invoice: Invoice, lines: Collection[InvoiceLine]) -> list[object]:
    if len({line.pk for line in lines}) != len(lines) or any(line.invoice_id != invoice.pk for line in lines):
        return [_("Each once, and of this invoice.")]
    before = {_same(line) for line in InvoiceLine.objects.filter(invoice__corrects=invoice)}
    return [_("This was taken back already.")] if any(_same(line) in before for line in lines) else []


def _same(line: InvoiceLine) -> tuple[object, ...]:
    """What tells the lines of one invoice apart."""
    return (line.kind, line.project_id, line.region_id, line.meter, line.sku, line.text, line.unit_price, line.tier,
            line.discount_percent)


def _wrong_invoice(invoice: Invoice) -> list[object]:
    if invoice.kind != Invoice.Kind.INVOICE:
        return [_("A credit note is not taken back.")]
    # What nobody paid is not given back.
    is_written_off = Leg.objects.filter(entry__invoice=invoice, account=Account.WRITE_OFF).exists()
    return [_("This invoice was written off.")] if is_written_off else []


def _write_lines(note: Invoice, lines: Collection[InvoiceLine]) -> None:
    """As on the invoice; one of the note's own where just an amount is taken back. Each has one charge."""
    kept = ("kind", "project_id", "region_id", "meter", "sku", "text", "quantity", "unit_price", "tier", "discount_percent",
            "amount")
    said = [{name: getattr(line, name) for name in kept} for line in lines] or [
        {"kind": Charge.Kind.ADJUSTMENT, "text": note.reason, "amount": note.subtotal}]
    named = [{"project_name": line.project_name, "region_name": line.region_name} for line in lines] or [{}]
    written = InvoiceLine.objects.bulk_create(
        InvoiceLine(invoice=note, position=position, **one, **names)
        for position, (one, names) in enumerate(zip(said, named, strict=True), start=1))
    Charge.objects.bulk_create(
        Charge(line=line, organization_id=note.organization_id, span=note.period, currency=note.currency,
               created_at=note.issued_at, list_amount=one["amount"], **(one | {"kind": Charge.Kind.ADJUSTMENT}))
        for line, one in zip(written, said, strict=True))


@transaction.atomic
def write_off(invoice: Invoice, *, reason: str, actor) -> Entry:
    """Give up what is open of an invoice: nobody pays it any more. Raises InvalidInput when nothing is open."""
    organization = _held(invoice.organization)
    part = open_amount([invoice])[invoice.pk]
    issuing.check(reason=issuing.wrong_text(reason), invoice=[] if part > 0 else [_("Nothing of it is open.")])
    booked = Entry.objects.filter(invoice=invoice).count()
    entry = ledger.book(organization, f"write_off:{invoice.pk}:{booked}", "write_off",
                        {Account.WRITE_OFF: part, Account.RECEIVABLE: -part}, invoice.currency, actor=actor, invoice=invoice,
                        text=reason.strip())
    audit.record("invoice.write_off", invoice, actor=actor, after={
        "amount": part, "currency": invoice.currency, "reason": entry.text})
    return entry
