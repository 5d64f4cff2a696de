"""What customers owe, by how long it is due."""
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext_lazy as _

AGES = {"current": _("Not due yet"), "days_30": _("1–30 days"), "days_60": _("31–60 days"), "days_90": _("61–90 days"),
        "older": _("More than 90 days")}
MOST = 100

OPEN = """
WITH bills AS (
    SELECT COALESCE(invoice.corrects_id, invoice.id) AS id, sum(leg.amount) AS unpaid
    FROM billing_leg AS leg JOIN billing_entry AS entry ON entry.id = leg.entry_id
    JOIN billing_invoice AS invoice ON invoice.id = entry.invoice_id
    WHERE leg.account = 'receivable' GROUP BY 1 HAVING sum(leg.amount) > 0
), aged AS (
    SELECT invoice.organization_id, invoice.currency, bills.unpaid, %(now)s - invoice.due_at AS age
    FROM bills JOIN billing_invoice AS invoice USING (id)
)
SELECT organization_id, organization.name, currency,
       COALESCE(sum(unpaid) FILTER (WHERE age < interval '0'), 0),
       COALESCE(sum(unpaid) FILTER (WHERE age >= interval '0' AND age < interval '30 days'), 0),
       COALESCE(sum(unpaid) FILTER (WHERE age >= interval '30 days' AND age < interval '60 days'), 0),
       COALESCE(sum(unpaid) FILTER (WHERE age >= interval '60 days' AND age < interval '90 days'), 0),
       COALESCE(sum(unpaid) FILTER (WHERE age >= interval '90 days'), 0)
FROM aged JOIN tenants_organization AS organization ON organization.id = organization_id
GROUP BY 1, 2, 3 ORDER BY 3, sum(unpaid) DESC, 1
"""


@dataclass(frozen=True, kw_only=True)
class Owed:
    """By one organization, or all (`organization` None), in one currency."""

    organization: UUID | None
    name: str
    currency: str
    ages: dict[str, Decimal]

    @property
    def total(self) -> Decimal:
        return sum(self.ages.values(), Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Receivables:
    """Who owes most comes first, in each currency."""

    rows: tuple[Owed, ...]
    totals: tuple[Owed, ...]


def receivables(now: datetime) -> Receivables:
    """What is open at `now`: one statement."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN, {"now": now})
        rows = [Owed(organization=pk, name=name, currency=currency, ages=dict(zip(AGES, amounts, strict=True)))
                for pk, name, currency, *amounts in cursor.fetchall()]
    sums: dict[str, dict[str, Decimal]] = defaultdict(lambda: dict.fromkeys(AGES, Decimal(0)))
    for row in rows:
        for age, amount in row.ages.items():
            sums[row.currency][age] += amount
    totals = [Owed(organization=None, name="", currency=currency, ages=ages) for currency, ages in sums.items()]
    return Receivables(rows=tuple(rows), totals=tuple(totals))
