"""Where a file's rows come from: sections one after the other, each read from a place in it on, so that whoever goes on where
another one was killed finds the same rows again.

What is final (invoices, the ledger) is read where it is. What changes until it is invoiced is taken in one moment's view first,
by `collect`, into a file of its own. What counters counted is told by days (of UTC, within a month of the issuer), as on the page
of usage.
"""
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import focus
from billing.closing import period_of
from billing.exports.columns import COLUMNS
from billing.models import Export, Invoice
from billing.models.exports import What
from billing.money import plain
from billing.periods import Month
from portal.kernel.rest.rendering import as_json

Row = dict[str, str | None]
Section = dict[str, Any]
Place = Any
"""Within a section, as JSON; None: its beginning."""
BATCH = 2000
COUNTED = "counted"

# Of each the first two columns are the row's place.
TABLES = {
    What.USAGE: """
SELECT used.start, used.id, used.id, used.resource_id, resource.name, resource.kind, used.project_id, project.name, region.slug,
       used.meter, used.sku, used.quantity, lower(cut.period), CASE WHEN NOT upper_inf(used.period) OR upper(cut.period) < %(now)s
       THEN upper(cut.period) END, extract(epoch FROM upper(cut.period) - lower(cut.period)),
       used.quantity * extract(epoch FROM upper(cut.period) - lower(cut.period))
FROM billing_usageinterval AS used
CROSS JOIN LATERAL (SELECT used.period * tstzrange(%(start)s, LEAST(%(end)s, %(now)s)) AS period) AS cut
JOIN kernel_resource AS resource ON resource.id = used.resource_id
JOIN tenants_project AS project ON project.id = used.project_id
JOIN kernel_region AS region ON region.id = used.region_id
WHERE project.organization_id = %(organization)s AND NOT isempty(cut.period)
  AND used.period && tstzrange(%(start)s, LEAST(%(end)s, %(now)s)) AND (used.start, used.id) > (%(after_0)s, %(after_1)s::uuid)
ORDER BY used.start, used.id LIMIT %(most)s""",
    # What is on record of a counter before a moment is what its last sample before said, as in rating. Counter by counter: so a
    # part of the file reads no more than it has.
    COUNTED: """
SELECT day.since, counter.id, NULL, counter.resource_id, resource.name, resource.kind, counter.project_id, project.name,
       region.slug, counter.meter, counter.sku, NULL, day.since, day.until, NULL, latest.value - COALESCE(before.value, 0)
FROM (SELECT counter.* FROM billing_counter AS counter JOIN tenants_project AS project ON project.id = counter.project_id
      WHERE project.organization_id = %(organization)s AND counter.id >= %(after_1)s::bigint ORDER BY counter.id) AS counter
CROSS JOIN LATERAL (
    SELECT GREATEST(midnight, %(start)s) AS since, LEAST(midnight + interval '24 hours', %(end)s, %(now)s) AS until
    FROM generate_series(date_trunc('day', %(start)s::timestamptz, 'UTC'), LEAST(%(end)s, %(now)s),
                         interval '24 hours') AS midnight
) AS day
CROSS JOIN LATERAL (SELECT value FROM billing_countersample WHERE counter_id = counter.id AND at >= day.since AND at < day.until
                    ORDER BY at DESC LIMIT 1) AS latest
LEFT JOIN LATERAL (SELECT value FROM billing_countersample WHERE counter_id = counter.id AND at < day.since
                   ORDER BY at DESC LIMIT 1) AS before ON true
JOIN kernel_resource AS resource ON resource.id = counter.resource_id
JOIN tenants_project AS project ON project.id = counter.project_id
JOIN kernel_region AS region ON region.id = counter.region_id
WHERE latest.value > COALESCE(before.value, 0) AND (counter.id, day.since) > (%(after_1)s::bigint, %(after_0)s::timestamptz)
ORDER BY counter.id, day.since LIMIT %(most)s""",
    What.INVOICES: """
SELECT invoice.issued_at, invoice.id, invoice.id, invoice.number, invoice.kind, invoice.month, lower(invoice.period),
       upper(invoice.period), invoice.currency, sign * invoice.subtotal, sign * invoice.credit, invoice.tax_name,
       invoice.tax_percent, sign * invoice.tax, sign * invoice.total, corrected.number, invoice.reason, invoice.buyer->>'name',
       invoice.buyer->>'country', invoice.buyer->>'tax_id', invoice.issued_at, invoice.due_at
FROM billing_invoice AS invoice
CROSS JOIN LATERAL (SELECT CASE invoice.kind WHEN 'credit_note' THEN -1 ELSE 1 END AS sign) AS signed
LEFT JOIN billing_invoice AS corrected ON corrected.id = invoice.corrects_id
WHERE invoice.organization_id = %(organization)s AND invoice.month BETWEEN %(first)s AND %(last)s
  AND invoice.issued_at <= %(now)s AND (invoice.issued_at, invoice.id) > (%(after_0)s, %(after_1)s::uuid)
ORDER BY invoice.issued_at, invoice.id LIMIT %(most)s""",
    What.LEDGER: """
SELECT entry.at, leg.id, entry.id, entry.at, entry.kind, invoice.number, entry.text, leg.account, leg.amount, leg.currency
FROM billing_entry AS entry JOIN billing_leg AS leg ON leg.entry_id = entry.id
LEFT JOIN billing_invoice AS invoice ON invoice.id = entry.invoice_id
WHERE entry.organization_id = %(organization)s AND entry.at >= %(start)s AND entry.at < %(end)s AND entry.at <= %(now)s
  AND (entry.at, leg.id) > (%(after_0)s, %(after_1)s::bigint)
ORDER BY entry.at, leg.id LIMIT %(most)s""",
}
BEGIN = {What.USAGE: str(UUID(int=0)), What.INVOICES: str(UUID(int=0)), What.LEDGER: 0, COUNTED: 0}
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def period(export: Export) -> DateTimeTZRange:
    """The months of the export as moments, by the issuer's time zone."""
    first, last = (period_of(Month.named(name)) for name in (export.first_month, export.last_month))
    return DateTimeTZRange(first.lower, last.upper)


def collect(export: Export, now: datetime, keep: Callable[[Iterable[bytes]], str]) -> list[Section]:
    """The sections, what changes being kept in a file: `keep` writes lines and says what the file is called. In a transaction
    that sees one moment, so that a month which is closed meanwhile is in neither or one of the two."""
    if export.what == What.USAGE:
        return [{"table": What.USAGE.value}, *({"table": COUNTED, "month": str(month)} for month in _months(export))]
    if export.what != What.FOCUS:
        return [{"table": export.what}]
    invoices = list(Invoice.objects.filter(
        organization=export.organization_id, month__gte=export.first_month, month__lte=export.last_month).order_by(
            "month", "issued_at", "pk").values_list("pk", "month", "kind"))
    found: list[Section] = []
    for pk, _month, _kind in invoices:
        found += [{"charges": str(pk)}, {"whole": str(pk)}]
    invoiced = {month for _pk, month, kind in invoices if kind == Invoice.Kind.INVOICE}
    rows = _not_invoiced(export, invoiced, now)
    return [*found, {"file": keep(as_json(row) + b"\n" for row in rows)}]


def _not_invoiced(export: Export, invoiced: set[str], now: datetime) -> Iterator[Row]:
    """Of every month that has begun and has no invoice; what waits belongs to the present month."""
    for month in _months(export):
        span = period_of(month)
        if str(month) not in invoiced and span.lower < now:
            yield from focus.not_invoiced(export.organization, span, now)
        if span.lower <= now < span.upper:
            yield from focus.waiting(export.organization, span)


def _months(export: Export) -> Iterator[Month]:
    month, last = Month.named(export.first_month), Month.named(export.last_month)
    while str(month) <= str(last):
        yield month
        month = month.next


def read(export: Export, section: Section, after: Place, most: int, now: datetime, folder: Path) -> Iterator[tuple[Place, Row]]:
    """So many rows of the section at most, each with its place."""
    if "charges" in section:
        yield from focus.charges(Invoice.objects.get(pk=section["charges"]), tuple(after or focus.BEGIN), most)
    elif "whole" in section:
        rows = focus.of_the_whole(Invoice.objects.get(pk=section["whole"]))
        yield from islice(enumerate(rows, 1), after or 0, (after or 0) + most)
    elif "file" in section:
        yield from _lines(folder / section["file"], after or 0, most)
    else:
        yield from _table(export, section, after, most, now)


def _lines(path: Path, at: int, most: int) -> Iterator[tuple[int, Row]]:
    with path.open("rb") as file:
        file.seek(at)
        for line in islice(file, most):
            at += len(line)
            yield at, json.loads(line)


def _table(export: Export, section: Section, after: Place, most: int, now: datetime) -> Iterator[tuple[Place, Row]]:
    span = period_of(Month.named(section["month"])) if "month" in section else period(export)
    table, names = section["table"], COLUMNS[export.what]
    begun, number = after or (LONG_AGO.isoformat(), BEGIN[table])
    with connection.chunked_cursor() as cursor:
        cursor.execute(TABLES[table], {
            "organization": export.organization_id, "start": span.lower, "end": span.upper, "first": export.first_month,
            "last": export.last_month, "now": now, "most": most, "after_0": datetime.fromisoformat(begun), "after_1": number})
        while found := cursor.fetchmany(BATCH):
            for at, pk, *values in found:
                place = (at.isoformat(), pk if isinstance(pk, int) else str(pk))
                yield place, dict(zip(names, map(_text, values), strict=True))


def _text(value: Any) -> str | None:
    """Amounts with all their digits, times in UTC."""
    if isinstance(value, Decimal):
        return plain(value, 0)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return None if value is None or value == "" else str(value)
