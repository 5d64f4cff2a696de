"""Closing a month of an organization: what it used becomes charges, these become lines, and these an invoice for each currency.

All in one transaction that holds the organization: whoever closes again, or at the same time, finds the invoices and adds
nothing; whoever is killed leaves nothing. What waits (corrections, adjustments) goes along when it was there a day after the
month's end, whenever the month is closed. Credit pays first, each for what it is good for (`billing.scopes`), and tax is added to
what is left; what was paid in advance settles at once.
"""
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.utils.translation import gettext_lazy as _

from billing import issuing, ledger, outbox, payments, scopes
from billing.closing import statements
from billing.models import Account, Charge, ClosingFailure, Credit, CreditUse, Invoice, InvoiceLine, Issuer
from billing.periods import Month
from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from tenants.models import Organization

log = structlog.get_logger(__name__)
ZERO = Decimal(0)
CLOSES_AFTER = timedelta(days=1)
"""So long after its end a month waits for what comes late, and then is closed."""


def period_of(month: Month, issuer: Issuer | None = None) -> DateTimeTZRange:
    """The month of the issuer's time zone, whichever zone the given one is of."""
    ours = replace(month, zone=(issuer or issuing.issuer()).time_zone)
    return DateTimeTZRange(ours.start, ours.end)


def last_to_close(now: datetime) -> Month:
    """The latest month of the issuer that is over since `CLOSES_AFTER`."""
    return Month.of(now - CLOSES_AFTER, issuing.issuer().time_zone).previous


def require_over(month: Month, now: datetime) -> None:
    """Raise InvalidInput while the month is not over."""
    if now < period_of(month).upper:
        raise InvalidInput.field("month", _("This month is not over."))


@transaction.atomic
def close(organization: Organization, month: Month, *, now: datetime, actor=None) -> list[Invoice]:
    """Issue the month's invoices, one for each currency of its charges; those that are issued already are found again.

    Raises InvalidInput while the month is not over.
    """
    issuer = issuing.issuer()
    period = period_of(month, issuer)
    require_over(month, now)
    organization = Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    ClosingFailure.objects.filter(organization=organization, month=str(month)).delete()
    issued = Invoice.objects.filter(organization=organization, month=str(month), kind=Invoice.Kind.INVOICE)
    if found := list(issued.order_by("currency")):
        return found
    statements.take_time()
    written = statements.write_lines(organization.pk, period, now, period.upper + CLOSES_AFTER)
    invoices = [_issue(organization, issuer, month, pk, currency, subtotal, now, actor) for pk, currency, subtotal in written]
    payments.settle(organization, actor=actor)
    return invoices


def _issue(organization: Organization, issuer: Issuer, month: Month, pk: UUID, currency: str, subtotal: Decimal, now: datetime,
           actor) -> Invoice:
    """The invoice of lines that are written."""
    period = period_of(month, issuer)
    used = _credit(organization, currency, period, pk, subtotal)
    credit = sum(used.values(), ZERO)
    last_day = date(month.next.year, month.next.month, 1) - timedelta(days=1)
    rate = issuing.tax_on(organization, issuer, last_day)
    tax = issuing.taxed(subtotal - credit, rate.percent) if rate else ZERO
    invoice = Invoice.objects.create(
        pk=pk, organization=organization, number=issuing.next_number(issuer, now), month=str(month), period=period,
        currency=currency, subtotal=subtotal, credit=credit, tax_name=rate.name if rate else "",
        tax_percent=rate.percent if rate else ZERO, tax=tax, total=subtotal - credit + tax, seller=issuing.seller(issuer),
        buyer=issuing.buyer(organization, issuer), issued_at=now, due_at=now + timedelta(days=issuer.due_days))
    statements.write_rounding(invoice)
    CreditUse.objects.bulk_create(CreditUse(credit_id=one, invoice=invoice, amount=part) for one, part in used.items())
    legs = {Account.RECEIVABLE: invoice.total, Account.REVENUE: -subtotal, Account.CREDITS: credit, Account.TAX: -tax}
    if any(legs.values()):  # a month in which all that was used is free has an invoice over nothing
        ledger.book(organization, f"invoice:{invoice.pk}", "invoice", legs, currency, actor=actor, invoice=invoice,
                    text=invoice.number)
    audit.record("invoice.issue", invoice, actor=actor, after={
        "month": str(month), "total": invoice.total, "currency": currency, "paid_by_credit": credit})
    outbox.post(invoice)
    return invoice


def _credit(organization: Organization, currency: str, period: DateTimeTZRange, invoice: UUID,
            subtotal: Decimal) -> dict[UUID, Decimal]:
    """Credit → how much of the subtotal it pays: those that were valid in the month, each for lines that it is good for."""
    valid = Q(created_at__lt=period.upper) & (Q(expires_at=None) | Q(expires_at__gt=period.lower))
    rows = Credit.objects.filter(valid, organization=organization, currency=currency).annotate(used=Sum("uses__amount"))
    credits = [(credit, credit.amount - (credit.used or ZERO)) for credit in rows]
    amounts: dict[scopes.Part, Decimal] = {(None, ""): subtotal}
    if any(credit.is_scoped for credit, _left in credits):
        lines = InvoiceLine.objects.filter(invoice_id=invoice).order_by().values_list("region_id", "meter")
        amounts = {(region, meter): amount for region, meter, amount in lines.annotate(sum=Sum("amount"))}
    return scopes.paid_by(credits, amounts, max(subtotal, ZERO))


def close_all(month: Month, *, now: datetime, actor=None) -> tuple[list[Invoice], list[Organization]]:
    """Close the month of every organization where it is open, each by itself; one that fails is logged and keeps none of the
    others back.

    Returns the invoices issued now, and the organizations that failed. Raises InvalidInput while the month is not over.
    """
    require_over(month, now)
    invoices, failed = [], []
    for organization, issued in close_each(to_close(month), month, now=now, actor=actor):
        invoices += issued or []
        failed += [organization] if issued is None else []
    return invoices, failed


def close_each(organizations: Iterable[Organization], month: Month, *, now: datetime,
               actor=None) -> Iterator[tuple[Organization, list[Invoice] | None]]:
    """Close the month of these, each by itself, and say of each what was issued: None where it failed. Whoever does not ask on
    closes no more."""
    for organization in organizations:
        yield organization, _try(organization, month, now, actor)


def close_due(now: datetime) -> None:
    """What the clock closes: what failed before, the oldest first, and then what else is open of the month that is over. Not
    what somebody tried by hand of a month whose day of waiting is not over."""
    last = last_to_close(now)
    failed = ClosingFailure.objects.filter(month__lte=str(last)).select_related("organization").order_by("month", "pk")
    tried = set()
    for failure in failed:
        _try(failure.organization, Month.named(failure.month), now, None)
        tried |= {failure.organization_id} if failure.month == str(last) else set()
    for _closed in close_each(to_close(last).exclude(pk__in=tried), last, now=now):
        pass


def _try(organization: Organization, month: Month, now: datetime, actor) -> list[Invoice] | None:
    """The invoices; None when it failed, which is logged and kept."""
    try:
        return close(organization, month, now=now, actor=actor)
    except Exception as error:
        log.exception("billing.not_closed", organization=str(organization.pk), month=str(month))
        _keep(organization, month, error, now)
        return None


def _keep(organization: Organization, month: Month, error: Exception, now: datetime) -> None:
    """For operators to see, until the month is closed."""
    text = f"{type(error).__name__}: {error}".replace("\x00", "")[:500]
    said, known = {"error": text, "last_at": now}, {"organization": organization, "month": str(month)}
    if not ClosingFailure.objects.filter(**known).update(**said, tries=F("tries") + 1):
        ClosingFailure.objects.create(**known, **said, first_at=now)


def has_to_close(organization: UUID, month: Month) -> bool:
    """Whether something of the month waits to be invoiced."""
    return to_close(month, organization).exists()


def waiting(month: Month) -> QuerySet[Charge]:
    """Charges that wait and go along with the month: those that were there a day after its end."""
    return Charge.objects.filter(line=None, created_at__lt=period_of(month).upper + CLOSES_AFTER)


def to_close(month: Month, organization: UUID | None = None) -> QuerySet[Organization]:
    """Those that used something in the month or have charges that wait for it, and have no invoice of it: of all, or of this
    one. Last those that failed before, so that they keep nobody waiting."""
    charges = waiting(month) if organization is None else waiting(month).filter(organization=organization)
    asked = statements.users_of(period_of(month), organization).union(
        charges.order_by().values_list("organization_id", flat=True).distinct())
    done = Invoice.objects.filter(month=str(month), kind=Invoice.Kind.INVOICE).values("organization")
    has_failed = Exists(ClosingFailure.objects.filter(organization=OuterRef("pk"), month=str(month)))
    return Organization.objects.filter(pk__in=asked).exclude(pk__in=done).order_by(has_failed, "pk")
