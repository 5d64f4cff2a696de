"""Revenue of a month and what it cost: of what is invoiced by the lines, of the rest (marked) by rating.

The margin is revenue less what the same usage costs by the book that is marked as ours (`PriceBook.is_cost`), in that book's
currency alone. A book's prices are those of regions, so what a unit costs may differ between them. What the book does not price
is said: it would be a cost of nothing.
"""
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Case, F, Sum, When
from django.utils.translation import gettext_lazy as _

from billing import rating
from billing.models import Invoice, InvoiceLine, PriceBook
from billing.money import Money
from billing.periods import Month
from billing.reports import usage
from billing.reports.usage import Gap, label_of
from portal.kernel.declarations import registry
from portal.kernel.models import Region
from tenants.models import Organization

ZERO = Decimal(0)
MONTHS = 12
BY = {"organization": _("Organization"), "region": _("Region"), "service": _("Service"), "meter": _("Meter")}

# What the invoices of each month (less their credit notes) came to, what was given up of them, and the discounts in their
# charges: these of one month alone, since charges are many.
SUMS = """
SELECT month, currency, 'revenue' AS what, sum(CASE kind WHEN 'credit_note' THEN -subtotal ELSE subtotal END)
FROM billing_invoice WHERE month >= %(first)s AND month <= %(last)s GROUP BY month, currency
UNION ALL
SELECT month, currency, 'credit', sum(credit) FROM billing_invoice
WHERE month >= %(first)s AND month <= %(last)s GROUP BY month, currency
UNION ALL
SELECT month, currency, 'tax', sum(CASE kind WHEN 'credit_note' THEN -tax ELSE tax END)
FROM billing_invoice WHERE month >= %(first)s AND month <= %(last)s GROUP BY month, currency
UNION ALL
SELECT invoice.month, leg.currency, 'written_off', sum(leg.amount)
FROM billing_leg AS leg JOIN billing_entry AS entry ON entry.id = leg.entry_id
JOIN billing_invoice AS invoice ON invoice.id = entry.invoice_id
WHERE leg.account = 'write_off' AND invoice.month >= %(first)s AND invoice.month <= %(last)s GROUP BY invoice.month, leg.currency
UNION ALL
SELECT invoice.month, invoice.currency, 'discount', sum(charge.list_amount - charge.amount)
FROM billing_invoice AS invoice JOIN billing_invoiceline AS line ON line.invoice_id = invoice.id
JOIN billing_charge AS charge ON charge.line_id = line.id
WHERE invoice.month = %(last)s AND charge.kind <> 'rounding' GROUP BY invoice.month, invoice.currency
ORDER BY 1 DESC, 2
"""


@dataclass(kw_only=True)
class Group:
    """What one organization, region, service or meter brought in one currency. `open` is not invoiced yet, and part of
    `revenue`; without a `cost` nobody entered what a unit costs us in this currency."""

    key: Any
    name: str = ""
    currency: str
    revenue: Decimal = ZERO
    open: Decimal = ZERO
    cost: Decimal | None = None
    before: Decimal = ZERO
    """Revenue of the month before."""

    @property
    def margin(self) -> Decimal | None:
        return None if self.cost is None else self.revenue - self.cost

    @property
    def margin_percent(self) -> Decimal | None:
        return None if self.cost is None or self.revenue <= 0 else 100 * (self.revenue - self.cost) / self.revenue

    @property
    def change_percent(self) -> Decimal | None:
        return 100 * (self.revenue - self.before) / self.before if self.before > 0 else None


@dataclass(kw_only=True)
class MonthSums:
    """What the invoices of a month came to in one currency."""

    month: str
    currency: str
    amounts: dict[str, Decimal] = field(default_factory=dict)

    def money(self, what: str) -> Money:
        """One of WORDS."""
        return Money(self.amounts.get(what, ZERO), self.currency)

    @property
    def cells(self) -> list[Money]:
        return [self.money(what) for what in WORDS]


WORDS = {"revenue": _("Revenue"), "discount": _("Discounts given"), "credit": _("Credit used"), "tax": _("Tax"),
         "written_off": _("Written off")}


@dataclass(frozen=True, kw_only=True)
class Revenue:
    """A month by `by`, dearest first, with the sums of each currency and of the months before."""

    month: Month
    by: str
    groups: tuple[Group, ...]
    totals: tuple[Group, ...]
    months: tuple[MonthSums, ...]
    book: PriceBook | None
    gaps: tuple[Gap, ...]

    @property
    def is_open(self) -> bool:
        """Whether some of it is not invoiced yet."""
        return any(one.open for one in self.totals)

    @property
    def sums(self) -> list[MonthSums]:
        """Of the month itself."""
        return [one for one in self.months if one.month == str(self.month)]


def revenue(month: Month, by: str, *, now: datetime) -> Revenue:
    """The month, which may still run. `by` is one of BY."""
    key, book = _key(by), cost_book()
    groups: dict[tuple[Any, str], Group] = {}

    def group(one: Any) -> Group:
        at = (key(one), one.currency)
        return groups.setdefault(at, Group(key=at[0], currency=at[1]))

    for one in _invoiced(month):
        group(one).revenue += one.amount
    for one in _open(month, now):
        found = group(one)
        found.revenue, found.open = found.revenue + one.amount, found.open + one.amount
    for one in [*_invoiced(month.previous), *_open(month.previous, now)]:
        group(one).before += one.amount
    for one in usage.rated(month, now, under=book.pk) if book else ():
        found = group(one)
        found.cost = (found.cost or ZERO) + one.amount
    if book is not None:
        for found in groups.values():
            found.cost = (found.cost or ZERO) if found.currency == book.currency else None
    shown = _named(by, sorted((one for one in groups.values() if one.revenue or one.cost or one.before),
                              key=lambda one: (one.currency, -one.revenue, str(one.key))))
    return Revenue(month=month, by=by, groups=tuple(shown), totals=tuple(_totals(shown)), months=tuple(_months(month)), book=book,
                   gaps=tuple(usage.not_priced(book, month, now)) if book else ())


def cost_book() -> PriceBook | None:
    """What a unit costs us; of several books that in the currency of the list prices, then the first by name."""
    books = list(PriceBook.objects.filter(is_cost=True))
    ours = rating.currency() if len(books) > 1 else ""
    return min(books, key=lambda book: (book.currency != ours, book.name), default=None)


def _key(by: str) -> Callable[[Any], Any]:
    return {"organization": lambda one: one.organization, "region": lambda one: one.region, "meter": lambda one: one.meter,
            "service": lambda one: service_of(one.meter)}[by]


def service_of(meter: str) -> str:
    """Of an adjustment, which has no meter, none."""
    declared = registry.meters.get(meter)
    return (declared.service or meter) if declared else meter


def _invoiced(month: Month) -> list[usage.Sum]:
    """By the lines of its invoices, less those of their credit notes."""
    amount = Sum(Case(When(invoice__kind=Invoice.Kind.CREDIT_NOTE, then=-F("amount")), default=F("amount")))
    rows = InvoiceLine.objects.filter(invoice__month=str(month)).order_by().values_list(
        "invoice__organization_id", "region_id", "meter", "invoice__currency").annotate(sum=amount)
    return [usage.Sum(organization=organization, region=region, meter=meter, amount=amount, currency=currency)
            for organization, region, meter, currency, amount in rows]


def _open(month: Month, now: datetime) -> list[usage.Sum]:
    """By rating, of organizations without an invoice of the month."""
    organizations = {pk for _month, pk in usage.without_invoice([month])} if month.start < now else set()
    return usage.rated(month, now, organizations=organizations) if organizations else []


def _months(last: Month) -> Iterable[MonthSums]:
    first = last
    for _number in range(MONTHS - 1):
        first = first.previous
    found: dict[tuple[str, str], MonthSums] = {}
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"first": str(first), "last": str(last)})
        for month, currency, what, amount in cursor.fetchall():
            found.setdefault((month, currency), MonthSums(month=month, currency=currency)).amounts[what] = amount
    return found.values()


def _totals(groups: Iterable[Group]) -> Iterable[Group]:
    found: dict[str, Group] = {}
    for one in groups:
        total = found.setdefault(one.currency, Group(key=None, currency=one.currency))
        total.revenue, total.open, total.before = total.revenue + one.revenue, total.open + one.open, total.before + one.before
        if one.cost is not None:
            total.cost = (total.cost or ZERO) + one.cost
    return found.values()


def _named(by: str, groups: list[Group]) -> list[Group]:
    names: dict[Any, Any] = defaultdict(str)
    keys = {one.key for one in groups if isinstance(one.key, UUID)}
    if by in ("organization", "region"):
        model = Organization if by == "organization" else Region
        names |= dict(model.objects.filter(pk__in=keys).values_list("pk", "name"))
    for one in groups:
        name = label_of(one.key) if by == "meter" else names[one.key] if by in ("organization", "region") else one.key
        one.name = str(name or _("Adjustments"))
    return groups
