"""The SQL of who pays what, and when: `payers` and `rates`, some dozens of rows each, whatever the usage is.

They are handed on as arrays of rows: so each is computed once, PostgreSQL's planner expects few rows of them whatever it thinks
of the statements that made them, and workers that add up usage side by side may all read them.
"""
from psycopg import sql

# Those whose prices are the default book's all the time are one context, everybody with a book of their own is another.
EVERYBODY = sql.SQL("'00000000-0000-0000-0000-000000000000'::uuid")
ALWAYS = sql.SQL("tstzmultirange(tstzrange(NULL, NULL))")

# What a unit costs a microsecond, counted in the last decimal of amounts (1e-10): price ÷ 3600e6 × 1e10, rounded *up* at the
# 50th decimal. An amount is then one product, rounded half up, and exactly what the quotient would round to: a quotient is a
# multiple of 1 / 3.6e15, so one that is below a half is so by 1 / 7.2e15 or more, and below 1e34 unit-microseconds (fourteen
# digits of units for three centuries) the product is too great by less than that; one that is a half stays at least that.
RATE = sql.SQL("trim_scale(ceil(price_per_hour * 1e60 / 3600000000) * 1e-50)")

CONTRACTS = """
base AS (
    SELECT id, currency FROM billing_pricebook WHERE is_default
), house AS (
    SELECT id, currency FROM billing_pricebook WHERE id = COALESCE(%(under)s::uuid, (SELECT id FROM base))
), terms AS (
    SELECT id, organization_id, CASE WHEN %(under)s::uuid IS NULL THEN book_id END AS book_id, discount_percent, valid
    FROM billing_terms WHERE %(under)s::uuid IS NULL OR %(discounted)s
), agreed AS (
    SELECT organization_id, id AS terms_id, COALESCE(book_id, (SELECT id FROM house)) AS book_id, discount_percent, valid
    FROM terms
    UNION ALL
    SELECT organization_id, NULL, (SELECT id FROM house), 0, unnest({always} - range_agg(valid))
    FROM terms GROUP BY organization_id
), special AS (
    SELECT DISTINCT organization_id FROM terms WHERE book_id IS NOT NULL
), listed AS (
    SELECT book_id, region_id, meter, sku, id AS price_id, price_per_hour, granularity_s, minimum_s, valid FROM billing_price
    UNION ALL
    SELECT book.id, price.region_id, price.meter, price.sku, price.id, price.price_per_hour, price.granularity_s,
           price.minimum_s, unnest(tstzmultirange(price.valid) - COALESCE(own.times, tstzmultirange()))
    FROM base
    JOIN billing_pricebook AS book ON book.currency = base.currency AND book.id <> base.id AND NOT book.is_cost
    JOIN billing_price AS price ON price.book_id = base.id
    LEFT JOIN (SELECT book_id, region_id, meter, sku, range_agg(valid) AS times FROM billing_price
               GROUP BY book_id, region_id, meter, sku) AS own
           ON (own.book_id, own.region_id, own.meter, own.sku) = (book.id, price.region_id, price.meter, price.sku)
), offered AS (
    SELECT {everybody} AS context, region_id, meter, sku, price_id, price_per_hour, granularity_s, minimum_s, valid
    FROM listed JOIN house ON house.id = book_id
    UNION ALL
    SELECT organization_id, region_id, meter, sku, price_id, price_per_hour, granularity_s, minimum_s, listed.valid * agreed.valid
    FROM special JOIN agreed USING (organization_id) JOIN listed USING (book_id)
    WHERE listed.valid && agreed.valid
), every_instant AS (
    SELECT * FROM offered
    UNION ALL
    SELECT context, region_id, meter, sku, NULL, NULL, 1, 0, unnest({always} - range_agg(valid))
    FROM offered GROUP BY context, region_id, meter, sku
), rates AS (
    SELECT (dense_rank() OVER (ORDER BY region_id, meter))::integer AS pool, context, region_id, meter, sku, price_id, since,
           COALESCE(upper(valid), 'infinity') AS until,
           price_id IS NOT NULL AND bool_or(has_tiers) OVER (PARTITION BY context, region_id, meter) AS tiered,
           price_per_hour, {rate} AS rate,
           CASE WHEN bool_or(granularity_s > 1 OR minimum_s > 0) OVER kind THEN array_agg(since) OVER kind END AS starts,
           array_agg(CASE granularity_s WHEN 1 THEN 1 ELSE granularity_s * 1000000::bigint END) OVER kind AS steps,
           array_agg(minimum_s * 1000000::bigint) OVER kind AS minimums
    FROM (SELECT *, COALESCE(lower(valid), '-infinity') AS since,
                 price_id IN (SELECT price_id FROM billing_pricetier) AS has_tiers FROM every_instant) AS every_instant
    WINDOW kind AS (PARTITION BY context, region_id, meter, sku ORDER BY since
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
), tiers AS (
    SELECT id AS price_id, 0 AS tier, price_per_hour FROM billing_price
    UNION ALL
    SELECT price_id, from_quantity, price_per_hour FROM billing_pricetier
), steps AS (
    SELECT price_id, tier, price_per_hour, {rate} AS rate, tier * 3600000000 AS first,
           COALESCE(lead(tier) OVER (PARTITION BY price_id ORDER BY tier), 'infinity') * 3600000000 AS beyond
    FROM tiers
), payers AS (
    SELECT project.id AS project_id, project.organization_id, 0 AS month, agreed.terms_id,
           COALESCE(agreed.discount_percent, 0) AS discount_percent,
           COALESCE(book.currency, (SELECT currency FROM house)) AS currency,
           COALESCE(special.organization_id, {everybody}) AS context,
           COALESCE(lower(agreed.valid), '-infinity') AS since, COALESCE(upper(agreed.valid), 'infinity') AS until
    FROM tenants_project AS project
    LEFT JOIN agreed USING (organization_id)
    LEFT JOIN special USING (organization_id)
    LEFT JOIN billing_pricebook AS book ON book.id = agreed.book_id
), months AS (
    SELECT since, lead(since) OVER (ORDER BY since) AS until
    FROM (SELECT COALESCE((SELECT time_zone FROM billing_issuer), 'UTC') AS zone,
                 COALESCE(%(start)s::timestamptz,
                          (SELECT min(start) FROM billing_usageinterval WHERE {chosen})) AS first) AS asked,
         generate_series(date_trunc('month', first AT TIME ZONE zone),
                         date_trunc('month', %(cut)s::timestamptz AT TIME ZONE zone) + interval '1 month',
                         interval '1 month') AS day,
         -- The first instant at which the wall clock shows that midnight: some zones set it back then, and show it twice.
         LATERAL (SELECT min(instant) AS since FROM unnest(ARRAY['0', '30 minutes', '1 hour', '2 hours']::interval[]) AS earlier,
                         LATERAL (SELECT (day AT TIME ZONE zone) - earlier AS instant) AS instants
                  WHERE earlier = '0' OR instant AT TIME ZONE zone = day) AS midnight
), monthly AS (
    SELECT project_id, organization_id, (dense_rank() OVER (ORDER BY organization_id, months.since))::integer AS month, terms_id,
           discount_percent, currency, context, GREATEST(payers.since, months.since) AS since,
           LEAST(payers.until, months.until) AS until
    FROM payers JOIN months ON payers.since < months.until AND payers.until > months.since
)
"""


def microseconds(since: str, until: str) -> sql.Composed:
    """From one moment to another, exact for decades: what a double says of them, rounded to the nearest whole one. That is what
    PostgreSQL's indexes of ranges ask; an interval and its epoch say the same in thrice the time."""
    return sql.SQL("(tstzrange_subdiff({}, {}) * 1000000)::bigint").format(sql.SQL(until), sql.SQL(since))


# Times without billing, of each resource and meter: since[n] to until[n], and how many microseconds of them came before.
OUTAGES = """
outages AS (
    SELECT resource_id, meter, array_agg(since ORDER BY since) AS since, array_agg(until ORDER BY since) AS until,
           array_agg(before ORDER BY since) AS before
    FROM (
        SELECT resource_id, used.meter, lower(outage.period) AS since, upper(outage.period) AS until,
               COALESCE(sum({length}) OVER (PARTITION BY resource_id, used.meter ORDER BY lower(outage.period)
                                            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS before
        FROM billing_outage AS outage
        JOIN (SELECT DISTINCT resource_id, meter FROM billing_usageinterval
              WHERE resource_id IN (SELECT resource_id FROM billing_outage)) AS used USING (resource_id)
        WHERE outage.meters = '[]' OR outage.meters @> to_jsonb(used.meter)
    ) AS single GROUP BY resource_id, meter
)
"""


# The times within which all that a counter counts has the same price. They are those of the clock, whatever is asked, so that
# parts of a period add up to it.
CELLS = """
cells AS MATERIALIZED (
    SELECT since, until FROM (
        SELECT since, LEAST(lead(since) OVER (ORDER BY since), %(now)s::timestamptz) AS until FROM (
            SELECT generate_series(date_trunc('day', first, 'UTC'), %(now)s::timestamptz, interval '24 hours') AS since
            FROM (SELECT COALESCE((SELECT min(since) FROM months), %(start)s::timestamptz, (
                      SELECT min(created_at) FROM kernel_resource
                      WHERE id IN (SELECT resource_id FROM billing_counter WHERE {chosen}))) AS first) AS asked
            UNION SELECT since FROM rates UNION SELECT since FROM payers UNION SELECT since FROM months
        ) AS moments
    ) AS cells WHERE since > '-infinity' AND since < until
)
"""


# Each kind of usage that there is, whoever's: one step in an index for each, however many intervals there are.
KINDS = """
kinds AS (
    WITH RECURSIVE kind AS (
        (SELECT region_id, meter, sku FROM billing_usageinterval ORDER BY region_id, meter, sku LIMIT 1)
        UNION ALL
        SELECT following.* FROM kind, LATERAL (
            SELECT region_id, meter, sku FROM billing_usageinterval AS used
            WHERE (used.region_id, used.meter, used.sku) > (kind.region_id, kind.meter, kind.sku)
            ORDER BY region_id, meter, sku LIMIT 1) AS following
    ) TABLE kind
)
"""


def tables(chosen: sql.Composable, *, counts: bool) -> sql.Composed:
    """The WITH that all of it stands on; `chosen` says what usage is asked for."""
    return sql.SQL("WITH " + ", ".join((CONTRACTS, OUTAGES, KINDS)) + (", " + CELLS if counts else "")).format(
        always=ALWAYS, everybody=EVERYBODY, rate=RATE, chosen=chosen,
        length=microseconds("lower(outage.period)", "upper(outage.period)"))


# The same tables as rows of arrays.
CONTRACT = sql.SQL("""contract (project_id uuid, organization_id uuid, month integer, terms_id uuid, discount_percent numeric,
    currency varchar, context uuid, since timestamptz, until timestamptz)""")
RATE_ROW = sql.SQL("""rate (pool integer, context uuid, region_id uuid, meter varchar, sku varchar, price_id uuid,
    since timestamptz, until timestamptz, tiered boolean, price_per_hour numeric, rate numeric, starts timestamptz[],
    steps bigint[], minimums bigint[])""")
STEP_ROW = sql.SQL("step (of_price uuid, tier numeric, price_per_hour numeric, rate numeric, first numeric, beyond numeric)")
OUTAGE_ROW = sql.SQL("down (resource_id uuid, meter varchar, since timestamptz[], until timestamptz[], before bigint[])")
