"""Samples summed up: minutes from samples, hours from minutes, days from hours.

Passes say which minutes have got samples (`Due`), whenever these come. Such a minute is computed anew from all of its samples,
and its hour and day with it, in one transaction: so it does not matter how often, in which order, or after which accident.
Counters count where they grew: between two samples of one epoch of one host that are not too far apart. What began anew or
went back tells nothing until the next sample; an interval belongs to the step in which it ends.
"""
from datetime import datetime, timedelta

from django.db import connection, transaction
from psycopg import sql

from compute.monitoring.series import DAYS, GAP_S, HOURS, MINUTES, SAMPLES
from portal.kernel.states import database_now

MOST_A_RUN = 120
"""Minutes; after a long standstill the next run goes on."""
INTERVALS = sql.SQL("""
SELECT told.*, ms BETWEEN 1 AND {gap_ms}
    AND least(d_cpu_ns, d_read_bytes, d_write_bytes, d_reads, d_writes, d_rx_bytes, d_tx_bytes, d_rx_packets, d_tx_packets) >= 0
    AS is_whole
FROM (SELECT domain, at, vcpus, memory_bytes, used_bytes, rss_bytes,
             (extract(epoch FROM at - lag(at) OVER before) * 1000)::bigint AS ms,
             cpu_ns - lag(cpu_ns) OVER before AS d_cpu_ns,
             read_bytes - lag(read_bytes) OVER before AS d_read_bytes,
             write_bytes - lag(write_bytes) OVER before AS d_write_bytes,
             reads - lag(reads) OVER before AS d_reads,
             writes - lag(writes) OVER before AS d_writes,
             rx_bytes - lag(rx_bytes) OVER before AS d_rx_bytes,
             tx_bytes - lag(tx_bytes) OVER before AS d_tx_bytes,
             rx_packets - lag(rx_packets) OVER before AS d_rx_packets,
             tx_packets - lag(tx_packets) OVER before AS d_tx_packets
      FROM monitoring_sample
      WHERE at >= %(start)s::timestamptz - {gap} AND at < %(end)s {which}
      WINDOW before AS (PARTITION BY domain, host, epoch ORDER BY at)) AS told
WHERE at >= %(start)s
""")
MINUTE = sql.SQL("""
INSERT INTO monitoring_minute AS old (domain, at, measured_ms, vcpu_ms, cpu_ns, read_bytes, write_bytes, reads, writes,
                                      rx_bytes, tx_bytes, rx_packets, tx_packets, memory_bytes, used_bytes, rss_bytes)
SELECT domain, %(start)s, coalesce(sum(ms) FILTER (WHERE is_whole), 0), coalesce(sum(ms * vcpus) FILTER (WHERE is_whole), 0),
       coalesce(sum(d_cpu_ns) FILTER (WHERE is_whole), 0),
       coalesce(sum(d_read_bytes) FILTER (WHERE is_whole), 0), coalesce(sum(d_write_bytes) FILTER (WHERE is_whole), 0),
       coalesce(sum(d_reads) FILTER (WHERE is_whole), 0), coalesce(sum(d_writes) FILTER (WHERE is_whole), 0),
       coalesce(sum(d_rx_bytes) FILTER (WHERE is_whole), 0), coalesce(sum(d_tx_bytes) FILTER (WHERE is_whole), 0),
       coalesce(sum(d_rx_packets) FILTER (WHERE is_whole), 0), coalesce(sum(d_tx_packets) FILTER (WHERE is_whole), 0),
       max(memory_bytes), max(used_bytes), max(rss_bytes)
FROM ({intervals}) AS spans GROUP BY domain
{instead}
""")
LONGER = sql.SQL("""
INSERT INTO {table} AS old (domain, at, measured_ms, vcpu_ms, cpu_ns, read_bytes, write_bytes, reads, writes,
                            rx_bytes, tx_bytes, rx_packets, tx_packets, memory_bytes, used_bytes, rss_bytes)
SELECT domain, %(start)s, sum(measured_ms), sum(vcpu_ms), sum(cpu_ns), sum(read_bytes), sum(write_bytes), sum(reads), sum(writes),
       sum(rx_bytes), sum(tx_bytes), sum(rx_packets), sum(tx_packets), max(memory_bytes), max(used_bytes), max(rss_bytes)
FROM {shorter} WHERE at >= %(start)s AND at < %(end)s GROUP BY domain
{instead}
""")
INSTEAD = sql.SQL("""
ON CONFLICT (domain, at) DO UPDATE SET
    measured_ms = EXCLUDED.measured_ms, vcpu_ms = EXCLUDED.vcpu_ms, cpu_ns = EXCLUDED.cpu_ns,
    read_bytes = EXCLUDED.read_bytes, write_bytes = EXCLUDED.write_bytes, reads = EXCLUDED.reads, writes = EXCLUDED.writes,
    rx_bytes = EXCLUDED.rx_bytes, tx_bytes = EXCLUDED.tx_bytes, rx_packets = EXCLUDED.rx_packets,
    tx_packets = EXCLUDED.tx_packets, memory_bytes = EXCLUDED.memory_bytes, used_bytes = EXCLUDED.used_bytes,
    rss_bytes = EXCLUDED.rss_bytes
WHERE old.* IS DISTINCT FROM EXCLUDED.*
""")
ALL = sql.SQL("")
WAITING = "SELECT DISTINCT at FROM monitoring_due WHERE at <= %s ORDER BY at LIMIT %s"


def intervals(which: sql.Composable = ALL) -> sql.Composed:
    """What was used between samples, as a query of `start` and `end`; `which` narrows the domains down."""
    return INTERVALS.format(gap_ms=sql.Literal(GAP_S * 1000), gap=sql.SQL("interval {}").format(sql.Literal(f"{GAP_S} s")),
                            which=which)


def roll_up(now: datetime | None = None) -> int:
    """Sum up all minutes that are over and have got samples; says how many were."""
    now = now or database_now()
    with connection.cursor() as cursor:
        # What is as old as samples are kept would be computed from a part of them.
        cursor.execute("DELETE FROM monitoring_due WHERE at < %s", [now - SAMPLES.keep() + timedelta(seconds=GAP_S)])
        cursor.execute(WAITING, [now - timedelta(minutes=1), MOST_A_RUN])
        minutes = [at for (at,) in cursor.fetchall()]
    for at in minutes:
        sum_up(at)
    return len(minutes)


@transaction.atomic
def sum_up(minute: datetime) -> None:
    """The minute that begins then, its hour and its day, of all domains."""
    with connection.cursor() as cursor:
        # First, since this waits for the passes that mark this minute just now: the next statement sees their samples.
        cursor.execute("DELETE FROM monitoring_due WHERE at = %s", [minute])
        cursor.execute(MINUTE.format(intervals=intervals(), instead=INSTEAD),
                       {"start": minute, "end": minute + timedelta(minutes=1)})
        hour, day = minute.replace(minute=0), minute.replace(hour=0, minute=0)
        for series, shorter, start in ((HOURS, MINUTES, hour), (DAYS, HOURS, day)):
            query = LONGER.format(table=sql.Identifier(series.table), shorter=sql.Identifier(shorter.table), instead=INSTEAD)
            cursor.execute(query, {"start": start, "end": start + timedelta(seconds=series.step_s)})
