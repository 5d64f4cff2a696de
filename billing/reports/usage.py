"""Usage that stands on no invoice yet, and usage without a price: which, and what it costs by rating."""
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import rating
from billing.models import PriceBook
from billing.periods import Month
from portal.kernel.declarations import registry
from tenants.models import Project

MOST_LISTED, HOUR_S = 100, 3600

# Each project's usage is looked up by its own index, and those with an invoice are not looked at: few are left as a rule.
WITHOUT_INVOICE = """
SELECT month.name, organization.id
FROM unnest(%(names)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS month (name, since, until)
CROSS JOIN tenants_organization AS organization
WHERE NOT EXISTS (SELECT FROM billing_invoice AS invoice WHERE invoice.organization_id = organization.id
                  AND invoice.month = month.name AND invoice.kind = 'invoice')
  AND (EXISTS (SELECT FROM tenants_project AS project
               JOIN billing_usageinterval AS used ON used.project_id = project.id
               WHERE project.organization_id = organization.id AND used.period && tstzrange(month.since, month.until))
       OR EXISTS (SELECT FROM tenants_project AS project
                  JOIN billing_counter AS counter ON counter.project_id = project.id
                  JOIN billing_countersample AS sample ON sample.counter_id = counter.id
                  WHERE project.organization_id = organization.id AND sample.at >= month.since AND sample.at < month.until))
ORDER BY 1, 2
"""

# Of a book that nobody falls back from: what it prices for some of the time only counts with the rest of it. Of what is counted
# only that it is: how much it was says rating.
NOT_PRICED = """
WITH price AS (
    SELECT region_id, meter, sku, range_agg(valid) AS times FROM billing_price WHERE book_id = %(book)s
    GROUP BY region_id, meter, sku
)
SELECT region.name, used.meter, used.sku,
       sum(used.quantity * extract(epoch FROM LEAST(COALESCE(upper(used.period), %(until)s), %(until)s)
                                              - GREATEST(used.start, %(since)s)))
FROM billing_usageinterval AS used
JOIN kernel_region AS region ON region.id = used.region_id
LEFT JOIN price USING (region_id, meter, sku)
WHERE used.period && tstzrange(%(since)s, %(until)s)
  AND NOT COALESCE(price.times, '{}') @> (used.period * tstzrange(%(since)s, %(until)s))
GROUP BY 1, 2, 3
UNION ALL
SELECT DISTINCT region.name, counter.meter, counter.sku, NULL::numeric
FROM billing_counter AS counter
JOIN kernel_region AS region ON region.id = counter.region_id
LEFT JOIN price USING (region_id, meter, sku)
WHERE NOT COALESCE(price.times, '{}') @> tstzrange(%(since)s, %(until)s)
  AND EXISTS (SELECT FROM billing_countersample AS sample
              WHERE sample.counter_id = counter.id AND sample.at >= %(since)s AND sample.at < %(until)s)
ORDER BY 1, 2, 3 LIMIT %(most)s
"""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Usage of a SKU that a book does not price, all of the time or some of it."""

    region: str
    meter: str
    sku: str
    unit_hours: Decimal | None
    """Nothing is said of what is counted."""

    @property
    def label(self) -> object:
        return label_of(self.meter)


@dataclass(frozen=True, kw_only=True)
class Sum:
    """What an organization used of a meter in a region, at its price."""

    organization: UUID
    region: UUID | None
    """None: an adjustment."""
    meter: str
    amount: Decimal
    currency: str


def label_of(meter: str) -> object:
    declared = registry.meters.get(meter)
    return declared.label if declared else meter


def without_invoice(months: Iterable[Month]) -> list[tuple[str, UUID]]:
    """(Month, organization) of those that used something in it and have no invoice of it."""
    months = list(months)
    values = {"names": [str(month) for month in months], "starts": [month.start for month in months],
              "ends": [month.end for month in months]}
    with connection.cursor() as cursor:
        cursor.execute(WITHOUT_INVOICE, values)
        return cursor.fetchall()


def not_priced(book: PriceBook, month: Month, now: datetime) -> list[Gap]:
    """What the book itself does not price of the month so far, the first MOST_LISTED."""
    period = DateTimeTZRange(month.start, min(month.end, now))
    if period.lower >= period.upper:
        return []
    with connection.cursor() as cursor:
        cursor.execute(NOT_PRICED, {"since": period.lower, "until": period.upper, "book": book.pk, "most": MOST_LISTED})
        return [Gap(region=region, meter=meter, sku=sku, unit_hours=None if seconds is None else seconds / HOUR_S)
                for region, meter, sku, seconds in cursor.fetchall()]


def rated(month: Month, now: datetime, *, organizations: Collection[UUID] | None = None, under: UUID | None = None,
          discounted: bool = False) -> list[Sum]:
    """By rating, of everybody or of these organizations; `under` and `discounted` as for rating. Two statements."""
    projects = Project.objects.order_by()
    if organizations is not None:
        projects = projects.filter(organization__in=organizations)
    payer = dict(projects.values_list("pk", "organization_id"))
    chosen = rating.Selection(projects=None if organizations is None else list(payer), under=under, discounted=discounted)
    totals = rating.totals(chosen, ("project", "region", "meter"), start=month.start, end=month.end, now=now).totals
    return [Sum(organization=payer[one.project.id], region=one.region, meter=one.meter, amount=one.amount, currency=one.currency)
            for one in totals if one.project.id in payer]  # one may be made meanwhile
