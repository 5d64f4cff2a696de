"""Rating: usage intervals × terms × prices → lines and sums, in one SQL statement that PostgreSQL computes exactly.

Pure: it reads intervals, outages, terms and prices, writes nothing, and looks at no clock (`now` is a parameter; what still runs
is cut there). The same rows give the same lines to the last digit, and sums by any grouping add up to the sum of the lines to the
last digit. Usage that nothing prices is a line without price, never silently missing.

- A line is one interval at one version of the organization's terms and one of the price (and, where the price has tiers, in one
  tier of one month of the issuer). The price is that of the organization's own book, else the default book's in that currency.
- Billed is the time outside of outages: as metered, or in whole minutes or hours and for a minimum, as the price that held when
  the interval began says; so what is billed of the parts of an interval adds up, over months and price changes.
- Tiers count an organization's unit-hours of a meter in a region and month at whatever SKU, as far as they have a price, in the
  order of the lines' starts. What costs the same (in sums) is rated once and multiplied.
- What a counter counted in a day is a line at the day's beginning (or that of a price), of so many units as if each were used for
  an hour: a tier from 100 on begins at 100 GB.
"""
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection
from psycopg import sql

from billing.models import Counter, PriceBook
from billing.rating import pieces
from billing.rating.rates import tables
from billing.rating.records import GROUPS, TAG, Line, Named, Page, Rate, Selection, Total, size_of, unit_of, units_in
from portal.kernel.declarations import COUNTER, registry
from portal.kernel.remembered import remembered

__all__ = ["GROUPS", "TAG", "Line", "Named", "Page", "Rate", "Selection", "Total", "charges", "currency", "lines",
           "size_of", "totals", "unit_of", "units_in"]

UNIT_HOUR = Decimal(3_600_000_000)
"""In unit-microseconds."""

# Amounts are counted in their last decimal until they are shown.
LIST = sql.SQL("COALESCE(round({us} * rate), 0)")
AMOUNT = sql.SQL("CASE WHEN discount_percent = 0 THEN {list} ELSE round({list} * (100 - discount_percent) * 0.01) END")


def _amount(us: str) -> sql.Composed:
    """Of so many unit-microseconds: rounded half up at ten decimals, less the discount, rounded again."""
    return AMOUNT.format(list=LIST.format(us=sql.SQL(us)))


EACH_LINE = sql.SQL("""{asked} {tables}
SELECT line.id, resource_id, resource.name, resource.kind, resource.deleted_at IS NOT NULL, line.project_id, project.name,
       line.region_id, meter, sku, {units}, share_us * 0.000001, lo,
       CASE WHEN is_open AND hi = %(now)s THEN NULL ELSE {till} END, price_id, unit_price, tier, terms_id,
       discount_percent, {list} * 0.0000000001, {amount} * 0.0000000001, currency
FROM ({plain} UNION ALL ({pooled})) AS line
JOIN kernel_resource AS resource ON resource.id = resource_id
JOIN tenants_project AS project ON project.id = line.project_id
ORDER BY lo DESC, line.id DESC, resource_id, meter, sku, tier DESC
""")

CHARGES = sql.SQL("""{asked} {tables}
SELECT id AS interval_id, project_id, region_id, resource_id, meter, sku, tstzrange(lo, {till}) AS span, {units} AS units,
       share_us * 0.000001 AS quantity, price_id, unit_price, tier, discount_percent,
       {list} * 0.0000000001 AS list_amount, {amount} * 0.0000000001 AS amount, currency
FROM ({plain} UNION ALL ({pooled})) AS line
WHERE price_id IS NOT NULL
""")

# What counters counted is shown as one unit, until the day ends.
UNITS = sql.SQL("CASE WHEN counted THEN 1 ELSE units END")
TILL = sql.SQL("""CASE WHEN counted THEN LEAST(date_trunc('day', lo, 'UTC') + interval '24 hours', %(cut)s::timestamptz)
    ELSE hi END""")

# A line's days are differences of its running total, so that they add up to the line exactly.
DAYS = sql.SQL("""
SELECT line.*, (midnight AT TIME ZONE 'UTC')::date AS day, {since} AS since_us, {till} AS till_us
FROM ({lines}) AS line,
     generate_series(date_trunc('day', lo, 'UTC'), hi - interval '1 microsecond', interval '24 hours') AS midnight OFFSET 0
""")


def _at(moment: str) -> sql.Composed:
    """How much of its share a line has billed at the moment, in unit-microseconds."""
    return sql.SQL("LEAST(GREATEST(units * {}, start_us), end_us) - start_us").format(pieces.billed("lo", moment))


# Each kind of line is added up by itself, so that PostgreSQL's workers may share the one that needs no order. Names are looked
# up for the sums of one page alone: joined with all lines, they cost many times what the sums do. Most rows stand for one line,
# which is not multiplied: that is dear.
SUMS = sql.SQL("""{asked} {tables}
, sums AS (
    SELECT {names}, currency, sum(quantity) * 0.000001 AS quantity, sum(total) * 0.0000000001 AS total, count(*) OVER () AS count
    FROM ({plain} UNION ALL {pooled}) AS added
    GROUP BY {numbers}
    ORDER BY {order}
    LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {columns}, quantity, total, currency, count
FROM sums {named}
ORDER BY {order_of_names}
""")
ADDED = sql.SQL("""
    SELECT {keys}, currency, sum(CASE alike WHEN 1 THEN {share} ELSE ({share}) * alike END) AS quantity,
           sum(CASE alike WHEN 1 THEN {amount} ELSE ({amount}) * alike END) AS total
    FROM ({lines}) AS line {tagged} GROUP BY {numbers}, hashed
""")
KEYS = {"project": ("project_id",), "resource": ("resource_id",), "meter": ("meter",), "region": ("region_id",), "day": ("day",),
        "price": ("sku", "units", "unit_price", "discount_percent")}
SHOWN = {"units": UNITS + sql.SQL(" AS units")}
# What a sum shows of its groups; the rest of KEYS is shown as it is.
COLUMNS = {"project": sql.SQL("sums.project_id, project.name"), "region": sql.SQL("sums.region_id"),
           "resource": sql.SQL("resource_id, resource.name, resource.kind, resource.deleted_at IS NOT NULL")}
NAMES = {"project": sql.SQL("JOIN tenants_project AS project ON project.id = sums.project_id"),
         "resource": sql.SQL("JOIN kernel_resource AS resource ON resource.id = resource_id")}
TAGGED = sql.SQL("JOIN (SELECT id AS resource_id, tags FROM kernel_resource) AS tagged USING (resource_id)")


def lines(selection: Selection, *, start: datetime | None, end: datetime, now: datetime) -> list[Line]:
    """Every line of the half-open period, newest first; without `start` from the first second on."""
    values = _values(selection, start, end, now)
    if values is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_of_lines(EACH_LINE, selection, values), values)
        return [_line(*row) for row in cursor.fetchall()]


def charges(organization_id: UUID, *, start: datetime, end: datetime) -> tuple[sql.Composed, dict[str, object]]:
    """A SELECT of all priced lines of an organization and its parameters. The period is one or more whole months of the issuer
    that are over. Columns: interval_id, project_id, region_id, resource_id, meter, sku, span, units, quantity, price_id,
    unit_price, tier, discount_percent, list_amount, amount, currency."""
    selection = Selection(projects=None, organization=organization_id)
    values = _values(selection, start, end, end)
    return _of_lines(CHARGES, selection, values), values


def totals(selection: Selection, groups: Sequence[str], *, start: datetime | None, end: datetime, now: datetime,
           limit: int | None = None, offset: int = 0, dearest_first: bool = False) -> Page:
    """Sums by `groups` (some of GROUPS, region, or tag:<name>) and currency, in a fixed order. Currencies are never added up."""
    values = _values(selection, start, end, now)
    if values is None:
        return Page(totals=(), count=0)
    values |= {"limit": limit, "offset": offset} | {f"tag{n}": name.removeprefix(TAG) for n, name in enumerate(groups)
                                                    if name.startswith(TAG)}
    with connection.cursor() as cursor:
        cursor.execute(_sums(selection, groups, dearest_first, values), values)
        rows = cursor.fetchall()
    return Page(totals=tuple(_total(groups, iter(row)) for row in rows), count=rows[0][-1] if rows else 0)


def _values(selection: Selection, start: datetime | None, end: datetime, now: datetime) -> dict[str, object] | None:
    """The statement's parameters; None when the period holds nothing yet."""
    cut = min(end, now)
    if start is not None and start >= cut:
        return None
    chosen = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    counters = {meter.name: UNIT_HOUR / meter.size for meter in registry.meters.values() if meter.kind == COUNTER}
    before = None  # from the first second on
    if start is not None:
        with suppress(OverflowError):  # in the first month that there is
            before = start - timedelta(days=32)  # the month that it is in began later
    return {"start": start, "before": before, "cut": cut, "now": now, "under": None, "counters": [*counters],
            "factors": [*counters.values()]} | {
        name: list(value) if isinstance(value, Collection) else value for name, value in chosen.items() if value is not None}


def _asked(values: dict[str, object]) -> sql.Composed:
    """A remark that makes each question a statement of its own, which PostgreSQL plans for just its values. One that comes again
    and again gets a plan for any values in the end, and such a plan reads the usage of everybody and of all times."""
    return sql.SQL("/* {} */").format(sql.Literal(hash(repr(values))))


def _counts(selection: Selection) -> bool:
    """Whether what counters counted belongs to it. A cloud's first counter is seen after a minute; a month is closed later."""
    return selection.intervals is None and remembered(("counters",), Counter.objects.exists, least_s=60)


def _of_lines(statement: sql.SQL, selection: Selection, values: dict[str, object]) -> sql.Composed:
    chosen, how = pieces.chosen(selection), {"is_each": True, "counts": _counts(selection)}
    return statement.format(asked=_asked(values), tables=tables(chosen, counts=how["counts"]), plain=pieces.plain(chosen, **how),
                            pooled=pieces.pooled(chosen, pieces.pool(selection), **how), units=UNITS, till=TILL,
                            list=LIST.format(us=sql.SQL("share_us")), amount=_amount("share_us"))


def _sums(selection: Selection, groups: Sequence[str], dearest_first: bool, values: dict[str, object]) -> sql.Composed:
    chosen, names = pieces.chosen(selection), [key for n, name in enumerate(groups) for key in _names(n, name)]
    numbers = [sql.Literal(n) for n in range(1, len(names) + 2)]  # and the currency
    how = {"counts": _counts(selection), "is_each": selection.resources is not None or selection.intervals is not None or any(
        name == "resource" or name.startswith(TAG) for name in groups)}
    share, amount, comma = sql.SQL("share_us"), _amount("share_us"), sql.SQL(", ")
    if "day" in groups:
        share, amount = sql.SQL("till_us - since_us"), sql.SQL("({}) - ({})").format(_amount("till_us"), _amount("since_us"))

    def added(lines: sql.Composable) -> sql.Composed:
        if "day" in groups:
            lines = DAYS.format(lines=lines, since=_at("GREATEST(lo, midnight)"),
                                till=_at("LEAST(hi, midnight + interval '24 hours')"))
        return ADDED.format(keys=comma.join(key for n, name in enumerate(groups) for key in _keys(n, name)), lines=lines,
                            share=share, amount=amount, numbers=comma.join(numbers),
                            tagged=TAGGED if any(name.startswith(TAG) for name in groups) else sql.SQL(""))

    first = [sql.SQL("total DESC")] if dearest_first else []
    columns = [COLUMNS.get(name) or comma.join(_names(n, name)) for n, name in enumerate(groups)]
    order = [sql.SQL("sums.{}").format(key) for key in (*names, sql.Identifier("currency"))]
    return SUMS.format(
        asked=_asked(values), tables=tables(chosen, counts=how["counts"]), plain=added(pieces.plain(chosen, **how)),
        pooled=added(pieces.pooled(chosen, pieces.pool(selection), **how)), names=comma.join(names),
        numbers=comma.join(numbers), order=comma.join(first + numbers), columns=comma.join(columns),
        order_of_names=comma.join(first + order),
        named=sql.SQL(" ").join(NAMES[name] for name in groups if name in NAMES))


def _names(number: int, group: str) -> list[sql.Identifier]:
    """The columns of `sums` that tell its groups apart."""
    return [sql.Identifier(name) for name in ((f"tag{number}",) if group.startswith(TAG) else KEYS[group])]


def _keys(number: int, group: str) -> list[sql.Composable]:
    if group.startswith(TAG):
        return [sql.SQL("tags ->> {} AS {}").format(sql.Placeholder(f"tag{number}"), sql.Identifier(f"tag{number}"))]
    return [SHOWN.get(name) or sql.Identifier(name) for name in KEYS[group]]


def _line(interval, resource_id, name, kind, gone, project_id, project_name, region, meter, sku, units, quantity, start, end,
          price, price_per_hour, tier, terms, discount_percent, list_amount, amount, currency) -> Line:
    return Line(interval=interval, resource=Named(id=resource_id, name=name, type=kind, is_gone=gone),
                project=Named(id=project_id, name=project_name, type="project"), region=region, meter=meter, unit=unit_of(meter),
                sku=sku, units=units, quantity=units_in(meter, quantity), start=start, end=end, price=price,
                price_per_hour=price_per_hour,
                tier=tier, terms=terms, discount_percent=discount_percent, list_amount=list_amount, amount=amount,
                currency=_currency(currency))


def _total(groups: Sequence[str], row: Iterator) -> Total:
    """Reads the row in the order in which `_sums` wrote the columns."""
    found: dict[str, object] = {}
    tags = []
    for name in groups:
        if name.startswith(TAG):
            tags.append((name.removeprefix(TAG), next(row)))
        else:
            found[name] = READERS[name](*(next(row) for _column in range(WIDTHS[name])))
    quantity, amount, currency = next(row), next(row), next(row)
    return Total(**found, tags=tuple(tags), quantity=units_in(found.get("meter"), quantity), amount=amount,
                 currency=_currency(currency))


WIDTHS = {"project": 2, "resource": 4, "meter": 1, "region": 1, "day": 1, "price": 4}
READERS = {
    "project": lambda pk, name: Named(id=pk, name=name, type="project"),
    "resource": lambda pk, name, kind, gone: Named(id=pk, name=name, type=kind, is_gone=gone),
    "meter": str,
    "region": lambda pk: pk,
    "day": lambda day: day,
    "price": lambda sku, units, price_per_hour, discount_percent: Rate(
        sku=sku, units=units, price_per_hour=price_per_hour, discount_percent=discount_percent),
}


def currency() -> str:
    """Of the list prices; what sums are in when there is nothing to add up."""
    return _currency(PriceBook.objects.filter(is_default=True).values_list("currency", flat=True).first())


def _currency(found: str | None) -> str:
    """Without any price book there is nothing to pay, in the usual currency."""
    return found or PriceBook._meta.get_field("currency").default
