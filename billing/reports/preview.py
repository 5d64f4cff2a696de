"""What a month would have cost were a book the list prices: had nobody agreed on anything, and less the discounts that were
agreed on; beside what it costs by the terms that hold. Of a book that says what units cost us nobody has a discount. Amounts in
different currencies are shown beside each other and not subtracted."""
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.models import PriceBook, Terms
from billing.periods import Month
from billing.reports import usage
from billing.reports.usage import Gap
from tenants.models import Organization

ZERO = Decimal(0)
Amounts = dict[str, Decimal]
"""Currency → amount."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One organization, or all of them together (`organization` None). `before` by its terms, `under` by the book, `discounted`
    that less its discounts."""

    organization: UUID | None
    name: str
    before: Amounts
    under: Amounts
    discounted: Amounts

    @property
    def difference(self) -> Decimal | None:
        """Of what would be paid and what is; None between different currencies."""
        used = self.before.keys() | self.discounted.keys()
        if len(used) > 1:
            return None
        return sum(self.discounted.values(), ZERO) - sum(self.before.values(), ZERO)

    @property
    def currency(self) -> str:
        """Of the difference."""
        return next(iter(self.discounted or self.before), "")


@dataclass(frozen=True, kw_only=True)
class Preview:
    """By organization, the greatest difference first. `gaps` is what the book itself does not price: there the default book's
    prices hold, unless the book says what units cost us."""

    book: PriceBook
    month: Month
    rows: tuple[Row, ...]
    total: Row
    gaps: tuple[Gap, ...]


def preview(book: PriceBook, month: Month, *, now: datetime, organization: Organization | None = None) -> Preview:
    """The month so far, of one organization or of everybody."""
    chosen = [organization.pk] if organization else None
    before = _by_organization(usage.rated(month, now, organizations=chosen))
    under = _by_organization(usage.rated(month, now, organizations=chosen, under=book.pk))
    discounted = under
    if not book.is_cost and Terms.objects.exclude(discount_percent=0).exists():
        discounted = _by_organization(usage.rated(month, now, organizations=chosen, under=book.pk, discounted=True))
    ids = before.keys() | under.keys()
    names = dict(Organization.objects.filter(pk__in=ids).values_list("pk", "name"))
    rows = [Row(organization=pk, name=names[pk], before=_money(before[pk]), under=_money(under[pk]),
                discounted=_money(discounted[pk])) for pk in ids]
    rows.sort(key=lambda row: (-abs(row.difference or ZERO), row.name, str(row.organization)))
    total = Row(organization=None, name="", before=_added(row.before for row in rows), under=_added(row.under for row in rows),
                discounted=_added(row.discounted for row in rows))
    return Preview(book=book, month=month, rows=tuple(rows), total=total, gaps=tuple(usage.not_priced(book, month, now)))


def _by_organization(sums: list[usage.Sum]) -> dict[UUID, Amounts]:
    found: dict[UUID, Amounts] = defaultdict(lambda: defaultdict(Decimal))
    for one in sums:
        found[one.organization][one.currency] += one.amount
    return found


def _money(amounts: Amounts) -> Amounts:
    return {currency: amount for currency, amount in sorted(amounts.items()) if amount}


def _added(all_amounts) -> Amounts:
    found: Amounts = defaultdict(Decimal)
    for amounts in all_amounts:
        for currency, amount in amounts.items():
            found[currency] += amount
    return dict(sorted(found.items()))
