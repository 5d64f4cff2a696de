"""The SQL of lines: usage intervals × terms × prices, cut to what is asked, and into tiers where there are any.

There are two kinds of lines, each in a statement of its own. *Plain* ones depend on their interval alone. *Pooled* ones are of
meters with tiers: where they stand in the month depends on everything that the organization used of the meter, so all that is
read, put into its order as far as that matters, and only then is taken what was asked for. Their place is that of the month as
it stands at `now`, so that parts of a month add up to it. Both hand on the same columns: `start_us` to `end_us` is what the line
bills, in unit-microseconds counted from `lo` on, and `alike` how many lines the row stands for.
"""
from dataclasses import replace

from psycopg import sql

from billing.rating.rates import CONTRACT, OUTAGE_ROW, RATE_ROW, STEP_ROW, microseconds
from billing.rating.records import Selection

CONDITIONS = {
    "projects": sql.SQL("project_id = ANY (%(projects)s::uuid[])"),
    "organization": sql.SQL("project_id = ANY (ARRAY(SELECT id FROM tenants_project WHERE organization_id = %(organization)s))"),
    "regions": sql.SQL("region_id = ANY (%(regions)s::uuid[])"),
    "resources": sql.SQL("resource_id = ANY (%(resources)s::uuid[])"),
    "meters": sql.SQL("meter = ANY (%(meters)s::text[])"),
    "skus": sql.SQL("sku = ANY (%(skus)s::text[])"),
    "intervals": sql.SQL("id = ANY (%(intervals)s::uuid[])"),
}
SAME_PAYERS = sql.SQL("""project_id = ANY (ARRAY(
    SELECT id FROM tenants_project WHERE organization_id IN (
        SELECT organization_id FROM tenants_project
        WHERE id IN (SELECT project_id FROM billing_usageinterval WHERE {chosen}))))""")


def chosen(selection: Selection) -> sql.Composable:
    """The condition on usage intervals."""
    found = [condition for name, condition in CONDITIONS.items() if getattr(selection, name) is not None]
    return sql.SQL(" AND ").join(found) if found else sql.SQL("true")


def pool(selection: Selection) -> sql.Composable:
    """The condition on all that counts for tiers together with the chosen: their organizations' usage of the same meters."""
    whose = replace(selection, regions=None, meters=None, skus=None)
    same = replace(selection, projects=None, organization=None, resources=None, skus=None, intervals=None)
    if whose.projects is None and whose.resources is None and whose.intervals is None:
        return chosen(replace(selection, skus=None))
    return sql.SQL("{} AND {}").format(SAME_PAYERS.format(chosen=chosen(whose)), chosen(same))


START, CUT, NOW = (sql.SQL(text) for text in ("COALESCE(%(start)s::timestamptz, '-infinity')", "%(cut)s::timestamptz",
                                              "%(now)s::timestamptz"))
MONTH_BEFORE = sql.SQL("COALESCE(%(before)s::timestamptz, '-infinity')")  # the planner knows it; the months' own cut the rest
FIRST_MONTH = sql.SQL("(SELECT min(since) FROM months)")  # all that ran then is alike
DOWN = sql.SQL("""CASE WHEN down_since IS NOT NULL THEN COALESCE(down_before[width_bucket({x}, down_since)]
    + {length}, 0) ELSE 0 END""")


def _down(x: str) -> sql.Composed:
    """Microseconds of outages before `x`."""
    length = microseconds(f"down_since[width_bucket({x}, down_since)]", f"LEAST({x}, down_until[width_bucket({x}, down_since)])")
    return DOWN.format(x=sql.SQL(x), length=length)


def _begun(x: str) -> sql.Composed:
    """What is billed of an interval until `x`: the time outside of outages, in whole steps, at least the minimum."""
    time = sql.SQL("({} - {} + {})").format(microseconds("begun", x), _down(x), _down("begun"))
    return sql.SQL("GREATEST(COALESCE(minimum, 0) * LEAST({time}, 1), ({time} + COALESCE(step, 1) - 1) / COALESCE(step, 1)"
                   " * COALESCE(step, 1))").format(time=time)


def billed(since: str, until: str) -> sql.Composed:
    """Microseconds billed of an interval from one moment to another: of parts that touch, they add up."""
    return sql.SQL("(CASE WHEN step IS NULL AND down_since IS NULL THEN {plain} ELSE {until} - {since} END)").format(
        plain=microseconds(since, until), until=_begun(until), since=_begun(since))


# Usage as it is metered, an interval a row …
EACH = sql.SQL("""
    SELECT id, resource_id, project_id, region_id, meter, sku, quantity AS units, start AS begun, upper_inf(period) AS is_open,
           GREATEST(start, {first}) AS lo, LEAST(upper(period), {until}) AS hi, 1 AS alike, false AS counted
    FROM billing_usageinterval WHERE period && tstzrange({since}, {cut}) AND {which} AND {chosen} OFFSET 0
""")
# … or, for sums, what costs the same as one row: `alike` intervals that have all in common that matters. When they began matters
# for steps and minimums, and for outages; which resource it was for outages alone.
ALIKE = sql.SQL("""
    SELECT NULL::uuid AS id, CASE WHEN was_down THEN resource_id END AS resource_id, project_id, region_id, meter, sku,
           quantity AS units, CASE WHEN was_down OR (SELECT bool_or(starts IS NOT NULL) FROM rates) THEN start END AS begun,
           NULL::boolean AS is_open, GREATEST(start, {first}) AS lo, LEAST(upper(period), {until}) AS hi, count(*) AS alike,
           false AS counted
    FROM (SELECT *, {was_down} AS was_down FROM billing_usageinterval) AS used
    WHERE period && tstzrange({since}, {cut}) AND {which} AND {chosen}
    GROUP BY 2, 3, 4, 5, 6, 7, 8, 10, 11
""")
WAS_DOWN = sql.SQL("""(EXISTS (SELECT FROM billing_outage)
    AND COALESCE(resource_id IN (SELECT resource_id FROM billing_outage), false))""")
# What counters counted in a day, or between two moments at which prices may change, is used at the beginning of that time, within
# a microsecond, by so many units that it costs what it shall; so all that follows is as with other usage. What was counted before
# a moment is what the last sample before it said.
COUNTED = sql.SQL("""
    SELECT NULL::uuid AS id, resource_id, project_id, region_id, meter, sku,
           sum(latest.value - COALESCE(before.value, 0)) * factor AS units, since AS begun, false AS is_open, since AS lo,
           since + interval '1 microsecond' AS hi, 1 AS alike, true AS counted
    FROM billing_counter AS counter
    JOIN unnest(%(counters)s::text[], %(factors)s::numeric[]) AS declared (meter, factor) USING (meter),
         cells,
         LATERAL (SELECT value FROM billing_countersample AS sample WHERE counter_id = counter.id AND at >= since AND at < until
                  ORDER BY at DESC LIMIT 1) AS latest
         LEFT JOIN LATERAL (SELECT value FROM billing_countersample AS sample WHERE counter_id = counter.id AND at < since
                            ORDER BY at DESC LIMIT 1) AS before ON true
    WHERE since >= {since} AND since < {cut} AND {chosen} AND latest.value > COALESCE(before.value, 0)
    GROUP BY resource_id, project_id, region_id, meter, sku, factor, since
""")
# What the other half of the statement has: usage that is pooled for everybody, all the time that is asked; and the meters of
# which nothing is pooled. Where the other half has all that was ever used, nothing is read for this one.
COVERED = sql.SQL("""
    SELECT region_id, meter, sku FROM rates WHERE since < {cut} AND until > {since} GROUP BY region_id, meter, sku
    HAVING bool_and(tiered) AND count(DISTINCT context) = (SELECT count(DISTINCT context) FROM payers)
""").format(since=START, cut=CUT)
IS_PLAIN = sql.SQL("""(region_id, meter, sku) NOT IN (
    SELECT region_id, meter, sku FROM unnest((SELECT array_agg(covered) FROM ({covered}) AS covered))
    AS covered (region_id uuid, meter varchar, sku varchar))
    AND (SELECT count(*) > 0 FROM (TABLE kinds EXCEPT {covered}) AS plain)
""").format(covered=COVERED)
IS_POOLED = sql.SQL("meter = ANY (ARRAY(SELECT meter FROM rates WHERE tiered))")

# A subquery that ends in OFFSET 0 is computed once a row; without, PostgreSQL copies its expressions to wherever they are used.
# Lines that would end before they begin are left out afterwards: of conditions on times here PostgreSQL would expect to find
# hardly any rows, and choose a plan for those. Every kind that has rates has one for each instant.
PRICED = sql.SQL("""
    SELECT id, alike, counted, used.resource_id, used.project_id, used.region_id, used.meter, used.sku, units, begun, is_open,
           GREATEST(used.lo, contract.since, rate.since) AS lo, LEAST(used.hi, contract.until, rate.until) AS hi,
           contract.month * 1000000::bigint + rate.pool AS pool, terms_id, discount_percent, currency,
           price_id, rate.price_per_hour AS unit_price, rate.rate,
           steps[width_bucket(begun, starts)] AS step, minimums[width_bucket(begun, starts)] AS minimum,
           down.since AS down_since, down.until AS down_until, down.before AS down_before
    FROM ({used}) AS used
    JOIN unnest((SELECT array_agg(payers) FROM {payers} AS payers WHERE since < {cut} AND until > {since})) AS {contract}
      ON contract.project_id = used.project_id
    LEFT JOIN unnest((SELECT array_agg(rates) FROM rates WHERE since < {cut} AND until > {since} AND {rates})) AS {rate}
      ON rate.sku = used.sku AND rate.meter = used.meter AND rate.region_id = used.region_id
         AND rate.context = contract.context
    LEFT JOIN unnest((SELECT array_agg(outages) FROM outages)) AS {outage}
      ON down.resource_id = used.resource_id AND down.meter = used.meter
    WHERE {which} OFFSET 0
""")
SHARED = sql.SQL("""price_id, id, counted, resource_id, project_id, region_id, meter, sku, units, begun, is_open, terms_id,
    discount_percent, currency, step, minimum, down_since, down_until, down_before""")

PLAIN = sql.SQL("""
SELECT {shared}, alike, lo, hi, unit_price, rate, 0::numeric AS tier, 0 AS start_us, end_us, end_us AS share_us, hashed
FROM (SELECT *, units * {billed} AS end_us, '0'::xid AS hashed FROM ({priced}) AS priced WHERE lo < hi OFFSET 0) AS plain
""")

# The order within a month: what begins first, of that what ends first, and so on, down to the interval's id; what is alike stands
# together. `place` is how much came before. It is added up by the day first: of a day within which no tier begins, no line needs
# to know more. What begins as a day does, as all that ran when the month or a price began, is told apart by the day of its end.
# Days are counted from the start of what is asked, which is a month's most of the time; of any length the lines are the same.
# A row of several lines is cut where tiers begin: into whole lines, and at most one part of a line at either side.
ORDER = sql.SQL("""lo, hi, sku COLLATE "C", units, project_id, {was_down}, begun, resource_id, id""").format(
    was_down=WAS_DOWN)
DAY_OF = "date_bin('1 day', {}, COALESCE(%(start)s::timestamptz, 'epoch'))"
OF_DAY = sql.SQL("""(within.pool, within.day, within.until, within.price) = (used.pool, used.day, used.ends, used.price_id)""")
DAY_ROW = sql.SQL("""within (pool bigint, day timestamptz, until timestamptz, price uuid, before numeric, unit_price numeric,
    rate numeric, tier numeric, is_split boolean)""")
POOLED = sql.SQL("""
WITH used AS MATERIALIZED (
    SELECT pool, day, CASE WHEN lo = day THEN {last_day} ELSE 'infinity' END AS ends, alike, line_us, lo, hi, {shared}
    FROM (SELECT *, units * {billed} AS line_us, {day} AS day
          FROM ({priced}) AS priced WHERE lo < hi OFFSET 0) AS used
), days AS (
    SELECT pool, day, ends, price_id, place, step.price_per_hour AS unit_price, step.rate, step.tier,
           bool_or(beyond_us >= step.beyond) OVER (PARTITION BY pool, day, ends) AS is_split
    FROM (SELECT *, beyond_us - sum(us) OVER (PARTITION BY pool, day, ends) AS place
          FROM (SELECT pool, day, ends, price_id, us, sum(us) OVER (PARTITION BY pool ORDER BY day, ends) AS beyond_us
                FROM (SELECT pool, day, ends, price_id, sum(CASE alike WHEN 1 THEN line_us ELSE line_us * alike END) AS us
                      FROM used GROUP BY pool, day, ends, price_id) AS days) AS days) AS days
    JOIN unnest((SELECT array_agg(steps) FROM steps)) AS {step}
      ON step.of_price = price_id AND place >= step.first AND place < step.beyond
), known AS (
    SELECT array_agg(days) AS days FROM days
)
SELECT {shared}, alike, GREATEST(lo, {start}) AS lo, LEAST(hi, {cut}) AS hi, unit_price, rate, tier, 0 AS start_us, end_us,
       end_us AS share_us, hashed
FROM (
    SELECT {shared}, '0'::xid AS hashed, alike, lo, hi, within.unit_price, within.rate, within.tier, is_split,
           CASE WHEN lo < {start} OR hi > {cut} THEN units * {part} ELSE line_us END AS end_us
    FROM used JOIN unnest((SELECT days FROM known)) AS {within} ON {of_day} OFFSET 0
) AS line WHERE NOT is_split AND lo < {cut} AND hi > {start} AND {chosen}
UNION ALL
SELECT {shared}, alike, lo, hi, unit_price, rate, tier, start_us, end_us, end_us - start_us AS share_us, hashed
FROM (
    SELECT {shared}, '0'::xid AS hashed, lo, hi, unit_price, rate, tier,
           CASE piece WHEN 0 THEN alike WHEN 2 THEN last_line - first_line - 1 ELSE 1 END AS alike,
           CASE WHEN piece = 1 THEN begins - first_line * line_us ELSE 0 END AS start_us,
           CASE WHEN piece = 1 THEN LEAST(ends - first_line * line_us, line_us) WHEN piece = 3 THEN ends - last_line * line_us
                ELSE line_us END AS end_us
    FROM (
        SELECT *, generate_series(CASE WHEN is_whole THEN 0 ELSE 1 END,
                                  CASE WHEN is_whole THEN 0 WHEN last_line > first_line THEN 3 ELSE 1 END) AS piece
        FROM (
            SELECT *, begins = 0 AND ends = line_us * alike AS is_whole,
                   CASE WHEN begins > 0 THEN div(begins, line_us) ELSE 0 END AS first_line,
                   CASE WHEN begins = 0 AND ends = line_us * alike THEN 0 ELSE div(ends, line_us) END AS last_line
            FROM (
                SELECT {shared}, lo, hi, place, alike, line_us, step.price_per_hour AS unit_price, step.rate, step.tier,
                       GREATEST(step.first - place, 0) AS begins, LEAST(step.beyond - place, line_us * alike) AS ends
                FROM (
                    SELECT {shared}, GREATEST(lo, {start}) AS lo, LEAST(hi, {cut}) AS hi,
                           place + line * line_us + CASE WHEN lo < {start} THEN units * {skipped} ELSE 0 END AS place,
                           CASE WHEN is_cut THEN units * {part} ELSE line_us END AS line_us,
                           CASE WHEN is_cut THEN 1 ELSE alike END AS alike
                    FROM (
                        SELECT *, generate_series(0, CASE WHEN is_cut THEN alike - 1 ELSE 0 END) AS line
                        FROM (
                            SELECT used.*, lo < {start} OR hi > {cut} AS is_cut, before - line_us * alike + sum(line_us * alike)
                                   OVER (PARTITION BY used.pool, used.day, ends ORDER BY {order} ROWS UNBOUNDED PRECEDING)
                                   AS place
                            FROM used JOIN unnest((SELECT days FROM known)) AS {within} ON {of_day}
                            WHERE is_split AND used.day = ANY (ARRAY(SELECT day FROM days WHERE is_split))
                        ) AS placed
                    ) AS placed
                    WHERE lo < {cut} AND hi > {start} AND {chosen} OFFSET 0
                ) AS line
                JOIN unnest((SELECT array_agg(steps) FROM steps)) AS {step}
                  ON step.of_price = line.price_id AND place < step.beyond
                     AND (place >= step.first OR place + line_us * alike > step.first)
                OFFSET 0
            ) AS line OFFSET 0
        ) AS line
    ) AS pieces
    WHERE piece < 2 OR (piece = 2 AND last_line - first_line > 1) OR (piece = 3 AND ends > last_line * line_us) OFFSET 0
) AS pieces
""")


def usage(*, is_each: bool, counts: bool, **values: sql.Composable) -> sql.Composed:
    """The rows of usage: each interval, or what is alike together, and where it `counts` what counters counted."""
    metered = (EACH if is_each else ALIKE).format(was_down=WAS_DOWN, **values)
    return sql.SQL("({}) UNION ALL ({})").format(metered, COUNTED.format(**values)) if counts else metered


def plain(chosen: sql.Composable, **how: bool) -> sql.Composed:
    """Of meters without tiers, and what nothing prices; `how` as for `usage`."""
    used = usage(**how, since=START, first=START, until=CUT, cut=CUT, which=IS_PLAIN, chosen=chosen)
    priced = PRICED.format(used=used, since=START, cut=CUT, payers=sql.SQL("payers"), contract=CONTRACT, rate=RATE_ROW,
                           rates=sql.SQL("true"), outage=OUTAGE_ROW, which=sql.SQL("rate.tiered IS NOT TRUE"))
    return PLAIN.format(shared=SHARED, billed=billed("lo", "hi"), priced=priced)


def pooled(chosen: sql.Composable, pool: sql.Composable, **how: bool) -> sql.Composed:
    """Of meters with tiers; `pool` selects all usage that counts for where the chosen stands."""
    # The subquery is asked once, before anything is read.
    which = sql.SQL("COALESCE(rate.tiered, false) AND (SELECT bool_or(tiered) FROM rates)")
    used = usage(**how, since=MONTH_BEFORE, first=FIRST_MONTH, until=NOW, cut=CUT, which=IS_POOLED, chosen=pool)
    priced = PRICED.format(used=used, since=MONTH_BEFORE, cut=CUT, which=which, payers=sql.SQL("monthly"), contract=CONTRACT,
                           rate=RATE_ROW, rates=sql.SQL("tiered"), outage=OUTAGE_ROW)
    return POOLED.format(shared=SHARED, order=ORDER, start=START, cut=CUT,
                         skipped=billed("lo", f"GREATEST(lo, {START.as_string()})"),
                         part=billed(f"GREATEST(lo, {START.as_string()})", f"LEAST(hi, {CUT.as_string()})"),
                         billed=billed("lo", "hi"), priced=priced, chosen=chosen, step=STEP_ROW, within=DAY_ROW, of_day=OF_DAY,
                         day=sql.SQL(DAY_OF.format("lo")), last_day=sql.SQL(DAY_OF.format("hi")))
