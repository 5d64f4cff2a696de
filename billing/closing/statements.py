"""The SQL of closing: usage becomes charges, charges become lines, all of a month at once. Nothing is added up in Python."""
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Exists, OuterRef, Q
from psycopg import sql

from billing import rating
from billing.models import Counter, CounterSample, Invoice, UsageInterval
from tenants.models import Project

# A month of 100,000 resources takes some seconds; one of some millions shall be closed too.
TAKE_TIME = "SELECT set_config('statement_timeout', '1h', true), set_config('lock_timeout', '10min', true)"

# Lines are written before their invoice, which they name: its sums are known then, and the foreign key is looked at when the
# transaction ends. What waits goes along when it was there before `closing_until`.
WRITE = sql.SQL("""
WITH rated AS MATERIALIZED ({rated}), waiting AS MATERIALIZED (
    SELECT * FROM billing_charge
    WHERE organization_id = %(closing_organization)s::uuid AND line_id IS NULL AND created_at < %(closing_until)s::timestamptz
), found AS (
    SELECT 'usage' AS kind, '' AS text, {same}, quantity, amount FROM rated
    UNION ALL
    SELECT kind, text, {same}, quantity, amount FROM waiting
), invoices AS MATERIALIZED (
    SELECT currency, gen_random_uuid() AS invoice_id FROM (SELECT DISTINCT currency FROM found) AS currencies
), sums AS MATERIALIZED (
    SELECT summed.*, project.name AS project_name, region.name AS region_name, invoice_id, row_number() OVER (
        PARTITION BY currency ORDER BY kind <> 'usage', project.name, kind, text, {same}) AS position
    FROM (SELECT kind, text, {same}, sum(quantity) AS quantity, round(sum(amount), 2) AS amount
          FROM found GROUP BY kind, text, {same}) AS summed
    JOIN invoices USING (currency)
    LEFT JOIN tenants_project AS project ON project.id = project_id
    LEFT JOIN kernel_region AS region ON region.id = region_id
), lines AS (
    INSERT INTO billing_invoiceline (invoice_id, position, kind, text, project_id, region_id, project_name, region_name, meter,
                                     sku, unit_price, tier, discount_percent, quantity, amount)
    SELECT invoice_id, position, kind, text, project_id, region_id, COALESCE(project_name, ''), COALESCE(region_name, ''), meter,
           sku, unit_price, tier, discount_percent, quantity, amount
    FROM sums RETURNING id, invoice_id, position
), charged AS (
    INSERT INTO billing_charge (line_id, organization_id, kind, text, created_at, interval_id, project_id, region_id, resource_id,
                                meter, sku, span, units, quantity, price_id, unit_price, tier, discount_percent, list_amount,
                                amount, currency, resource_name, resource_tags)
    SELECT lines.id, %(closing_organization)s::uuid, 'usage', '', %(closing_now)s::timestamptz, rated.*, resource.name,
           resource.tags
    FROM rated
    JOIN (SELECT * FROM sums WHERE kind = 'usage') AS sums USING ({same})
    JOIN lines USING (invoice_id, position)
    JOIN kernel_resource AS resource ON resource.id = rated.resource_id
), joined AS (
    UPDATE billing_charge SET line_id = lines.id
    FROM waiting
    JOIN sums ON waiting.kind = sums.kind AND waiting.text = sums.text AND ({waited}) IS NOT DISTINCT FROM ({summed})
    JOIN lines USING (invoice_id, position)
    WHERE billing_charge.id = waiting.id
)
SELECT invoice_id, currency, sum(amount) FROM sums GROUP BY invoice_id, currency ORDER BY currency
""")
SAME = ("project_id", "region_id", "meter", "sku", "tier", "discount_percent", "unit_price", "currency")
"""What the charges of one line have in common, beside their kind and text."""


def _columns(table: str = "") -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*filter(None, (table, name))) for name in SAME)


ROUNDING = sql.SQL("""
INSERT INTO billing_charge (line_id, organization_id, project_id, region_id, kind, meter, sku, text, span, units, quantity, tier,
                            discount_percent, list_amount, amount, currency, created_at)
SELECT line.id, invoice.organization_id, line.project_id, line.region_id, 'rounding', line.meter, line.sku, '', invoice.period,
       0, 0, line.tier, line.discount_percent, 0, line.amount - sum(charge.amount), invoice.currency, invoice.issued_at
FROM billing_invoice AS invoice
JOIN billing_invoiceline AS line ON line.invoice_id = invoice.id
JOIN billing_charge AS charge ON charge.line_id = line.id
WHERE invoice.id = %(invoice)s::uuid
GROUP BY invoice.id, line.id HAVING line.amount <> sum(charge.amount)
""")

# What rating says now of each interval of a month, and of what was counted of each resource, less what was charged before.
DIFFERENCES = sql.SQL("""
WITH now AS (
    SELECT {same}, sum(quantity) AS quantity, sum(list_amount) AS list_amount, sum(amount) AS amount
    FROM ({rated}) AS rated GROUP BY {same}
), before AS (
    SELECT {same}, sum(quantity) AS quantity, sum(list_amount) AS list_amount, sum(amount) AS amount
    FROM billing_charge
    WHERE organization_id = %(closing_organization)s::uuid AND span <@ %(closing_period)s::tstzrange AND {was_used}
    GROUP BY {same}
), difference AS (
    SELECT {same}, COALESCE(sum(quantity), 0) AS quantity, COALESCE(sum(list_amount), 0) AS list_amount,
           COALESCE(sum(amount), 0) AS amount
    FROM (SELECT * FROM now UNION ALL SELECT {same}, -quantity, -list_amount, -amount FROM before) AS both_sides
    GROUP BY {same}
)
SELECT difference.*, COALESCE(used.quantity, 1) AS units
FROM difference LEFT JOIN billing_usageinterval AS used ON used.id = interval_id
WHERE difference.amount <> 0
""")
OF_WHAT = ("interval_id", "project_id", "region_id", "resource_id", "meter", "sku", "currency")
WAS_USED = sql.SQL("resource_id IS NOT NULL AND kind IN ('usage', 'correction')")
LISTED = sql.SQL("SELECT * FROM ({differences}) AS found ORDER BY abs(amount) DESC, interval_id, resource_id"
                 " LIMIT %(closing_most)s")
SUMMED = sql.SQL("SELECT currency, count(*), sum(amount) FROM ({differences}) AS found GROUP BY currency ORDER BY currency")
CORRECT = sql.SQL("""
INSERT INTO billing_charge (organization_id, kind, text, created_at, span, interval_id, project_id, region_id, resource_id, meter,
                            sku, units, quantity, tier, discount_percent, list_amount, amount, currency, resource_name,
                            resource_tags)
SELECT %(closing_organization)s::uuid, 'correction', %(closing_text)s::text, %(closing_now)s::timestamptz,
       %(closing_period)s::tstzrange, interval_id, found.project_id, found.region_id, resource_id, meter, sku, units, quantity, 0,
       0, list_amount, amount, currency, resource.name, resource.tags
FROM ({differences}) AS found JOIN kernel_resource AS resource ON resource.id = resource_id
""")


def users_of(period: DateTimeTZRange, organization: UUID | None = None) -> set[UUID]:
    """Organizations that used anything then; `organization`: only whether that one did."""
    whose = {} if organization is None else {"project__in": Project.objects.filter(organization=organization)}
    metered = UsageInterval.objects.filter(period__overlap=period, **whose).order_by().values("project")
    counted = Counter.objects.filter(Exists(CounterSample.objects.filter(
        counter=OuterRef("pk"), at__gte=period.lower, at__lt=period.upper)), **whose).order_by().values("project")
    projects = Project.objects.filter(Q(pk__in=metered) | Q(pk__in=counted))
    return set(projects.order_by().values_list("organization_id", flat=True))


def take_time() -> None:
    """Until the transaction ends, statements may take longer than those of a request."""
    with connection.cursor() as cursor:
        cursor.execute(TAKE_TIME)


@contextmanager
def patient() -> Iterator[None]:
    """A transaction that sees one moment, and whose statements may take long."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            _run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", {})
        take_time()
        yield


def write_lines(organization_id: UUID, period: DateTimeTZRange, now: datetime,
                until: datetime) -> list[tuple[UUID, str, Decimal]]:
    """Write what rating says of the month as charges with their lines, each rounded half up to a cent, for invoices that are
    still to be written: their ids, currencies and subtotals."""
    rated, values = rating.charges(organization_id, start=period.lower, end=period.upper)
    statement = WRITE.format(rated=rated, same=_columns(), waited=_columns("waiting"), summed=_columns("sums"))
    return _run(statement, values | {"closing_organization": organization_id, "closing_now": now, "closing_until": until})


def write_rounding(invoice: Invoice) -> None:
    """What a line's rounding makes of the sum of its charges is a charge of its own."""
    _run(ROUNDING, {"invoice": invoice.pk})


def differences(organization_id: UUID, period: DateTimeTZRange, *, most: int) -> tuple[list[tuple], list[tuple]]:
    """(The greatest `most` of them, by interval; currency, number and sum of all)."""
    rated, values = rating.charges(organization_id, start=period.lower, end=period.upper)
    values = values | {"closing_organization": organization_id, "closing_period": period, "closing_most": most}
    found = _differences(rated)
    return _run(LISTED.format(differences=found), values), _run(SUMMED.format(differences=found), values)


def _differences(rated: sql.Composable) -> sql.Composed:
    return DIFFERENCES.format(rated=rated, was_used=WAS_USED, same=sql.SQL(", ").join(map(sql.Identifier, OF_WHAT)))


def correct(organization_id: UUID, period: DateTimeTZRange, now: datetime, text: str) -> None:
    """Let the differences wait for the next invoice."""
    rated, values = rating.charges(organization_id, start=period.lower, end=period.upper)
    _run(CORRECT.format(differences=_differences(rated)),
         values | {"closing_organization": organization_id, "closing_period": period, "closing_now": now, "closing_text": text})


def _run(statement: sql.Composable, values: dict[str, object]) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []
