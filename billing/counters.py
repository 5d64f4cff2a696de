"""The one writer of counter samples, and the usage that follows from them.

A batch may come twice, late and in any order, and some of it may be wrong: a sample is stored once (by resource, meter,
epoch and moment), whatever cannot be true is refused with its reason, and the others go in. Usage is computed at reading:
what a counter grew since the sample before it in its epoch (since 0 for the first), in the hour of the later sample; so the
order in which samples came is of no matter.
"""
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from psycopg import sql

from billing.models import Counter, CounterSample, Issuer, Price, Terms
from portal.kernel.declarations import COUNTER, registry

MOST = 2**63 - 1  # of what a column of 64 bits holds
AHEAD = timedelta(minutes=5)
"""So far a host's clock may be before ours, and behind ours when it samples what has just been made."""
INGESTING = 0x6D61696E73_0501  # with a region's id: the key under which one batch of a region goes in at a time


class Sample(NamedTuple):
    """A counter as its collector read it. An epoch counts from 0: a device made anew or a booted host has another number."""

    resource: UUID
    meter: str
    sku: str
    epoch: int
    at: datetime
    value: int


class Reason(StrEnum):
    """Why a sample is refused."""

    METER = "meter"  # nobody declared this counter
    TOO_BIG = "too_big"  # numbers of more than 63 bits
    UNKNOWN = "unknown"  # there is no such resource
    SKU = "sku"  # its epoch is billed as another one
    NEGATIVE = "negative"
    FUTURE = "future"  # more than AHEAD after now
    EARLY = "early"  # more than AHEAD before its resource was made
    GONE = "gone"  # its resource had been deleted by then
    CONTRADICTED = "contradicted"  # another value is on record for this moment
    FALLS = "falls"  # less than before it in its epoch, or more than after it; of two for one moment, the smaller


class Refusal(NamedTuple):
    sample: Sample
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """How many samples of a batch are new, and which were refused; the others were on record already."""

    added: int
    refused: list[Refusal]


KNOWN = "known"
BATCH = sql.SQL("""
CREATE TEMP TABLE counter_batch (n integer, resource_id uuid, meter text, sku text, epoch bigint, at timestamptz, value bigint)
ON COMMIT DROP
""")
COPY = sql.SQL("COPY counter_batch FROM STDIN (FORMAT binary)")
TYPES = ("int4", "uuid", "text", "text", "int8", "timestamptz", "int8")
# A series is what the batch has of one counter.
SERIES = sql.SQL("""
CREATE TEMP TABLE counter_series ON COMMIT DROP AS
SELECT series.*, project_id, region_id, created_at, deleted_at
FROM (SELECT resource_id, meter, epoch, min(sku) AS sku, min(at) AS starts FROM counter_batch GROUP BY 1, 2, 3) AS series
LEFT JOIN kernel_resource AS resource ON resource.id = resource_id
""")
# Whoever compares with what is on record must know all of it.
IN_TURN = sql.SQL("""
SELECT pg_advisory_xact_lock(hashtextextended(region_id::text, %(key)s))
FROM (SELECT DISTINCT region_id FROM counter_series WHERE region_id IS NOT NULL ORDER BY region_id) AS regions
""")
OPEN = sql.SQL("""
INSERT INTO billing_counter (resource_id, project_id, region_id, meter, epoch, sku)
SELECT resource_id, project_id, region_id, meter, epoch, sku FROM counter_series WHERE project_id IS NOT NULL
ON CONFLICT DO NOTHING
""")
# A series is entered when some of it is not after all on record. What `compared` finds is looked up once a sample, for which
# its OFFSET is there; what is on record, for series that are entered alone.
INGEST = sql.SQL("""
WITH counters AS MATERIALIZED (
    SELECT series.resource_id, series.meter, series.epoch, created_at, deleted_at, counter.id AS counter_id, counter.sku,
           latest.value AS floor, COALESCE(latest.at >= starts, false) AS is_entered
    FROM counter_series AS series
    LEFT JOIN billing_counter AS counter USING (resource_id, meter, epoch)
    LEFT JOIN LATERAL (SELECT at, value FROM billing_countersample AS stored WHERE stored.counter_id = counter.id
                       ORDER BY at DESC LIMIT 1) AS latest ON true
), compared AS (
    SELECT n, counter_id, at, value, CASE
        WHEN counter_id IS NULL THEN {unknown}
        WHEN batch.sku <> counters.sku THEN {sku}
        WHEN value < 0 THEN {negative}
        WHEN at > %(now)s::timestamptz + %(ahead)s THEN {future}
        WHEN at < created_at - %(ahead)s THEN {early}
        WHEN at > deleted_at THEN {gone}
        WHEN NOT is_entered THEN CASE WHEN value < floor THEN {falls} END
        WHEN value = ({same}) THEN {known}
        WHEN value <> ({same}) THEN {contradicted}
        WHEN value < ({before}) OR value > ({after}) THEN {falls} END AS found
    FROM counter_batch AS batch JOIN counters USING (resource_id, meter, epoch)
    OFFSET 0
), judged AS MATERIALIZED (
    SELECT n, counter_id, at, value, CASE
        WHEN found IS NOT NULL THEN found
        WHEN value < max(value) OVER sorted THEN {falls}
        WHEN at = lag(at) OVER sorted THEN {known} END AS verdict
    FROM compared
    WINDOW sorted AS (PARTITION BY found IS NULL, counter_id ORDER BY at, value DESC ROWS UNBOUNDED PRECEDING)
), added AS (
    INSERT INTO billing_countersample (counter_id, at, value) SELECT counter_id, at, value FROM judged WHERE verdict IS NULL
)
SELECT count(*) FILTER (WHERE verdict IS NULL),
       json_agg(json_build_array(n, verdict) ORDER BY n) FILTER (WHERE verdict <> {known})
FROM judged
""")
ON_RECORD = sql.SQL("SELECT value FROM billing_countersample AS stored WHERE stored.counter_id = counters.counter_id ")
SAME = sql.SQL("AND stored.at = batch.at")
BEFORE = sql.SQL("AND stored.at < batch.at ORDER BY stored.at DESC LIMIT 1")
AFTER = sql.SQL("AND stored.at > batch.at ORDER BY stored.at LIMIT 1")
CLEAN = sql.SQL("DROP TABLE counter_batch, counter_series")
MEMORY = sql.SQL("SET LOCAL work_mem = '64MB'")  # a batch of 100,000 is sorted without files


@transaction.atomic
def ingest(samples: Sequence[Sample], *, now: datetime) -> Ingested:
    """Store what is new and true of a batch. Sending it again adds nothing. Project and region are the resource's."""
    refused: list[Refusal] = []
    counters = {name for name, meter in registry.meters.items() if meter.kind == COUNTER}
    with connection.cursor() as cursor:
        cursor.execute(MEMORY)
        cursor.execute(BATCH)
        with cursor.copy(COPY) as copy:
            copy.set_types(TYPES)
            for number, sample in enumerate(samples):
                if sample.meter not in counters:
                    refused.append(Refusal(sample, Reason.METER))
                elif not (-MOST <= sample.value <= MOST and -MOST <= sample.epoch <= MOST):
                    refused.append(Refusal(sample, Reason.TOO_BIG))
                else:
                    copy.write_row((number, *sample))
        cursor.execute(SERIES)
        cursor.execute(IN_TURN, {"key": INGESTING})
        cursor.execute(OPEN)
        cursor.execute(_ingest(), {"now": now, "ahead": AHEAD})
        added, judged = cursor.fetchone()
        cursor.execute(CLEAN)
    refused += [Refusal(samples[number], Reason(reason)) for number, reason in judged or ()]
    return Ingested(added=added, refused=refused)


def _ingest() -> sql.Composed:
    return INGEST.format(same=ON_RECORD + SAME, before=ON_RECORD + BEFORE, after=ON_RECORD + AFTER,
                         **{name: sql.Literal(name) for name in (KNOWN, *Reason)})


USAGE = sql.SQL("""
SELECT * FROM (
    SELECT resource_id, project_id, region_id, meter, sku, date_trunc('hour', at, 'UTC') AS hour,
           sum(GREATEST(value - COALESCE(before, 0), 0)) AS quantity
    FROM billing_counter AS counter
    JOIN billing_countersample AS sample ON sample.counter_id = counter.id
    LEFT JOIN LATERAL (
        SELECT value AS before FROM billing_countersample AS earlier
        WHERE earlier.counter_id = counter.id AND earlier.at < sample.at
        ORDER BY earlier.at DESC LIMIT 1) AS earlier ON true
    WHERE at >= %(start)s AND at < %(end)s
      AND (%(projects)s::uuid[] IS NULL OR project_id = ANY (%(projects)s::uuid[]))
      AND (%(resources)s::uuid[] IS NULL OR resource_id = ANY (%(resources)s::uuid[]))
    GROUP BY 1, 2, 3, 4, 5, 6
) AS hours WHERE quantity > 0
""")


def usage(*, start: datetime, end: datetime, projects: Collection[UUID] | None,
          resources: Collection[UUID] | None = None) -> tuple[sql.Composable, dict[str, object]]:
    """The SELECT (and its parameters) of what counters grew by in [start, end), an hour of UTC a row, in the meter's units:
    resource_id, project_id, region_id, meter, sku, hour, quantity. None means all; hours of no growth have no row.

    `projects` is what the asker may see, so it is never left out by accident. A month in a zone that is not whole hours
    from UTC cuts its first and last hour.
    """
    return USAGE, {"start": start, "end": end, "projects": None if projects is None else list(projects),
                   "resources": None if resources is None else list(resources)}


BY_DAY = sql.SQL("""
SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(quantity)::bigint FROM ({usage}) AS used
WHERE meter = %(meter)s GROUP BY day ORDER BY day
""").format(usage=USAGE)


def by_day(resource: UUID, meter: str, *, start: datetime, end: datetime) -> list[tuple[date, int]]:
    """What the resource's counters of a meter grew by in [start, end), a day of UTC a row; days of nothing have none. Whoever
    asks has seen the resource."""
    _query, values = usage(start=start, end=end, projects=None, resources=[resource])
    with connection.cursor() as cursor:
        cursor.execute(BY_DAY, values | {"meter": meter})
        return cursor.fetchall()


# -- what is forgotten --

WHOLE_DAYS = 93
"""So long every sample is kept: the open month and the two before it."""
COUNTERS_AT_ONCE = 500
# The last sample of an hour stands for all of it, so no hour's usage changes, nor any period that is cut by hours. Where the
# issuer's hours begin within ours, or prices and terms do, each part of an hour has its last: what it costs stays the same too.
SUPERFLUOUS = """
EXISTS (SELECT FROM billing_countersample AS later
        WHERE later.counter_id = billing_countersample.counter_id AND later.at > billing_countersample.at
          AND later.at < LEAST(date_trunc('hour', billing_countersample.at, 'UTC'),
                               date_trunc('hour', billing_countersample.at, %s)) + interval '1 hour'
          AND width_bucket(later.at, %s::timestamptz[]) = width_bucket(billing_countersample.at, %s::timestamptz[]))
"""


def superfluous(before: datetime) -> QuerySet[CounterSample]:
    """Samples from before that moment without which every hour is the same, and every part of one that has its own price."""
    zone = Issuer.objects.values_list("time_zone", flat=True).first() or "UTC"
    bounds = {moment for model in (Price, Terms) for pair in model.objects.values_list(
        "valid__startswith", "valid__endswith") for moment in pair if moment is not None and moment < before}
    cuts = sorted(moment for moment in bounds if moment.minute or moment.second or moment.microsecond)
    return CounterSample.objects.filter(RawSQL(SUPERFLUOUS, [zone, cuts, cuts], output_field=BooleanField()), at__lt=before)


def thin(before: datetime) -> int:
    """Forget what is superfluous, some counters at a time; how many samples. May be broken off and begun again."""
    gone, last, old = 0, 0, superfluous(before)
    while some := list(Counter.objects.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:COUNTERS_AT_ONCE]):
        with transaction.atomic():
            gone += old.filter(counter__in=some).delete()[0]
        last = some[-1]
    return gone
