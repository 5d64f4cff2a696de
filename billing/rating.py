"""Rating: usage intervals × price versions → lines and sums, in one SQL statement that PostgreSQL computes exactly.

Pure: it reads intervals and prices, writes nothing, and looks at no clock (`now` is a parameter; what still runs is cut
there). The same intervals and prices give the same lines to the last digit, and sums by any grouping add up to the sum
of the lines to the last digit. Usage that nothing prices is a line without price, never silently missing.
"""
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection
from psycopg import sql

from billing.models import PriceBook
from billing.money import Money
from portal.kernel.declarations import registry

GROUPS = ("project", "meter", "day", "resource", "price")  # and tag:<name>
TAG = "tag:"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which usage: None means all of it. `projects` is what the asker may see, so it is never left out by accident."""

    projects: Collection[UUID] | None
    organization: UUID | None = None
    regions: Collection[UUID] | None = None
    resources: Collection[UUID] | None = None
    meters: Collection[str] | None = None
    skus: Collection[str] | None = None
    intervals: Collection[UUID] | None = None


@dataclass(frozen=True, kw_only=True)
class Named:
    """A row of another table, as a line shows it."""

    id: UUID
    name: str
    type: str
    is_gone: bool = False
    """Deleted by now; its usage stays."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One interval at one price version. `price_per_hour` None: nothing prices it. `end` None: it still runs."""

    interval: UUID
    resource: Named
    project: Named
    meter: str
    unit: str
    sku: str
    units: Decimal
    quantity: Decimal
    """Unit-seconds: units × seconds."""
    start: datetime
    end: datetime | None
    price_per_hour: Decimal | None
    amount: Decimal
    currency: str

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What lines summed by price have in common."""

    sku: str
    units: Decimal
    price_per_hour: Decimal | None


@dataclass(frozen=True, kw_only=True)
class Total:
    """The sum of the lines that agree in the groups asked for; the other groups are None."""

    project: Named | None = None
    resource: Named | None = None
    meter: str | None = None
    day: date | None = None
    price: Rate | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    quantity: Decimal
    seconds: Decimal
    amount: Decimal
    currency: str

    @property
    def money(self) -> Money:
        return Money(self.amount, self.currency)

    @property
    def unit(self) -> str | None:
        """The unit of `quantity`; None when different meters were added up."""
        return unit_of(self.meter) if self.meter else None


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some of the totals, how many there are, and what all of them amount to."""

    totals: tuple[Total, ...]
    count: int


def unit_of(meter: str) -> str:
    """What the quantity of a meter counts (`GiB-second`). A meter whose room is gone keeps its old usage."""
    declared = registry.meters.get(meter)
    return declared.unit if declared else "second"


def _amount(seconds: str) -> sql.Composed:
    """The formula of `billing.arithmetic`; div() is the exact whole quotient, so nothing is rounded in between."""
    formula = sql.SQL("div(units * {} * price_per_hour * 20000000000 + 3600, 7200) * 0.0000000001")
    return formula.format(sql.SQL(seconds))


LINES = sql.SQL("""
WITH book AS (
    SELECT id, currency FROM billing_pricebook WHERE is_default
), used AS (
    SELECT id, resource_id, project_id, region_id, meter, sku, quantity, period,
           period * tstzrange(%(start)s::timestamptz, %(cut)s) AS part
    FROM billing_usageinterval
    WHERE period && tstzrange(%(start)s::timestamptz, %(cut)s)
      AND (%(projects)s::uuid[] IS NULL OR project_id = ANY (%(projects)s::uuid[]))
      AND (%(organization)s::uuid IS NULL
           OR project_id = ANY (ARRAY(SELECT id FROM tenants_project WHERE organization_id = %(organization)s::uuid)))
      AND (%(regions)s::uuid[] IS NULL OR region_id = ANY (%(regions)s::uuid[]))
      AND (%(resources)s::uuid[] IS NULL OR resource_id = ANY (%(resources)s::uuid[]))
      AND (%(meters)s::text[] IS NULL OR meter = ANY (%(meters)s::text[]))
      AND (%(skus)s::text[] IS NULL OR sku = ANY (%(skus)s::text[]))
      AND (%(intervals)s::uuid[] IS NULL OR id = ANY (%(intervals)s::uuid[]))
), own AS (
    SELECT region_id, meter, sku, valid, price_per_hour
    FROM billing_price JOIN book ON book.id = book_id
), priced AS (
    SELECT * FROM own
    UNION ALL
    SELECT region_id, meter, sku,
           unnest(tstzmultirange(tstzrange(NULL, NULL)) - COALESCE(range_agg(own.valid), tstzmultirange())), NULL
    FROM (SELECT DISTINCT region_id, meter, sku FROM used) AS kinds LEFT JOIN own USING (region_id, meter, sku)
    GROUP BY region_id, meter, sku
), lines AS (
    SELECT used.id, resource_id, project_id, meter, sku, quantity AS units, price_per_hour, used.part * priced.valid AS span,
           upper_inf(used.period) AND upper(used.part * priced.valid) = %(now)s AS runs
    FROM used
    JOIN priced USING (region_id, meter, sku)
    WHERE priced.valid && used.part
)""")

EACH_LINE = LINES + sql.SQL("""
SELECT lines.id, resource_id, resource.name, resource.kind, resource.deleted_at IS NOT NULL, lines.project_id, project.name,
       meter, sku, units,
       units * EXTRACT(EPOCH FROM upper(span) - lower(span)),
       lower(span), CASE WHEN runs THEN NULL ELSE upper(span) END, price_per_hour,
       COALESCE({amount}, 0.0000000000), (SELECT currency FROM book)
FROM lines
JOIN kernel_resource AS resource ON resource.id = resource_id
JOIN tenants_project AS project ON project.id = lines.project_id
ORDER BY lower(span) DESC, lines.id DESC
""").format(amount=_amount("EXTRACT(EPOCH FROM upper(span) - lower(span))"))

# A line's days are differences of its running total, so that they add up to the line exactly.
PIECES = {
    False: sql.SQL(", pieces AS (SELECT *, NULL::date AS day, lower(span) AS since, upper(span) AS till FROM lines)"),
    True: sql.SQL(""", pieces AS (
    SELECT lines.*, (midnight AT TIME ZONE 'UTC')::date AS day,
           GREATEST(lower(span), midnight) AS since, LEAST(upper(span), midnight + interval '24 hours') AS till
    FROM lines, generate_series(date_trunc('day', lower(span), 'UTC'), upper(span) - interval '1 microsecond',
                                interval '24 hours') AS midnight
)"""),
}

# Names are looked up for the sums of one page alone: joined with all lines, they cost many times what the sums do.
SUMS = sql.SQL("""
, sums AS (
    SELECT {keys}, sum(units * EXTRACT(EPOCH FROM till - since)) AS quantity, sum(EXTRACT(EPOCH FROM till - since)) AS seconds,
           sum(COALESCE({amount}, 0.0000000000)) AS total, count(*) OVER () AS count
    FROM pieces {tagged}
    GROUP BY {numbers}
    ORDER BY {order}
    LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {columns}, quantity, seconds, total, (SELECT currency FROM book), count
FROM sums {named}
ORDER BY {order_of_names}
""")
KEYS = {"project": ("project_id",), "resource": ("resource_id",), "meter": ("meter",), "day": ("day",),
        "price": ("sku", "units", "price_per_hour")}
# What a sum shows of its groups; the rest of KEYS is shown as it is.
COLUMNS = {"project": sql.SQL("sums.project_id, project.name"),
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
        cursor.execute(EACH_LINE, values)
        return [_line(*row) for row in cursor.fetchall()]


def totals(selection: Selection, groups: Sequence[str], *, start: datetime | None, end: datetime, now: datetime,
           limit: int | None = None, offset: int = 0, dearest_first: bool = False) -> Page:
    """Sums by `groups` (some of GROUPS, or tag:<name>), in a fixed order."""
    values = _values(selection, start, end, now)
    if values is None:
        return Page(totals=(), count=0)
    values |= {"limit": limit, "offset": offset} | {f"tag{n}": name.removeprefix(TAG) for n, name in enumerate(groups)}
    with connection.cursor() as cursor:
        cursor.execute(_sums(groups, dearest_first), values)
        rows = cursor.fetchall()
    return Page(totals=tuple(_total(groups, iter(row)) for row in rows), count=rows[0][-1] if rows else 0)


def _values(selection: Selection, start: datetime | None, end: datetime, now: datetime) -> dict[str, object] | None:
    """The statement's parameters; None when the period holds nothing yet."""
    cut = min(end, now)
    if start is not None and start >= cut:
        return None
    chosen = {field.name: getattr(selection, field.name) for field in fields(Selection)}
    return {"start": start, "cut": cut, "now": now,
            **{name: list(value) if isinstance(value, Collection) else value for name, value in chosen.items()}}


def _sums(groups: Sequence[str], dearest_first: bool) -> sql.Composed:
    keys = [key for n, name in enumerate(groups) for key in _keys(n, name)]
    numbers = [sql.Literal(n) for n in range(1, len(keys) + 1)]
    first = [sql.SQL("total DESC")] if dearest_first else []
    amount = _amount("EXTRACT(EPOCH FROM till - lower(span))")
    if "day" in groups:
        amount = sql.SQL("{} - {}").format(amount, _amount("EXTRACT(EPOCH FROM since - lower(span))"))
    columns = [COLUMNS.get(name) or sql.SQL(", ").join(_names(n, name)) for n, name in enumerate(groups)]
    order = first + [sql.SQL("sums.{}").format(key) for n, name in enumerate(groups) for key in _names(n, name)]
    return LINES + PIECES["day" in groups] + SUMS.format(
        keys=sql.SQL(", ").join(keys), numbers=sql.SQL(", ").join(numbers), order=sql.SQL(", ").join(first + numbers),
        amount=amount, columns=sql.SQL(", ").join(columns),
        named=sql.SQL(" ").join(NAMES[name] for name in groups if name in NAMES),
        tagged=TAGGED if any(name.startswith(TAG) for name in groups) else sql.SQL(""), order_of_names=sql.SQL(", ").join(order))


def _names(number: int, group: str) -> list[sql.Identifier]:
    """The columns of `sums` that tell its groups apart."""
    return [sql.Identifier(name) for name in ((f"tag{number}",) if group.startswith(TAG) else KEYS[group])]


def _keys(number: int, group: str) -> list[sql.Composable]:
    if group.startswith(TAG):
        return [sql.SQL("tags ->> {} AS {}").format(sql.Placeholder(f"tag{number}"), sql.Identifier(f"tag{number}"))]
    return list(_names(number, group))


def _line(interval, resource_id, name, kind, gone, project_id, project_name, meter, sku, units, quantity, start, end,
          price_per_hour, amount, currency) -> Line:
    return Line(interval=interval, resource=Named(id=resource_id, name=name, type=kind, is_gone=gone),
                project=Named(id=project_id, name=project_name, type="project"), meter=meter, unit=unit_of(meter),
                sku=sku, units=units, quantity=quantity, start=start, end=end, price_per_hour=price_per_hour,
                amount=amount, currency=_currency(currency))


def _total(groups: Sequence[str], row: Iterator) -> Total:
    """Reads the row in the order in which `_sums` wrote the columns."""
    found: dict[str, object] = {}
    tags = []
    for name in groups:
        if name.startswith(TAG):
            tags.append((name.removeprefix(TAG), next(row)))
        else:
            found[name] = READERS[name](*(next(row) for _column in range(WIDTHS[name])))
    quantity, seconds, amount, currency = next(row), next(row), next(row), next(row)
    return Total(**found, tags=tuple(tags), quantity=quantity, seconds=seconds, amount=amount,
                 currency=_currency(currency))


WIDTHS = {"project": 2, "resource": 4, "meter": 1, "day": 1, "price": 3}
READERS = {
    "project": lambda pk, name: Named(id=pk, name=name, type="project"),
    "resource": lambda pk, name, kind, gone: Named(id=pk, name=name, type=kind, is_gone=gone),
    "meter": str,
    "day": lambda day: day,
    "price": lambda sku, units, price_per_hour: Rate(sku=sku, units=units, price_per_hour=price_per_hour),
}


def currency() -> str:
    """Of the prices that hold; what sums are in when there is nothing to add up."""
    return _currency(PriceBook.objects.filter(is_default=True).values_list("currency", flat=True).first())


def _currency(found: str | None) -> str:
    """Without any price book there is nothing to pay, in the usual currency."""
    return found or PriceBook._meta.get_field("currency").default
