"""What one domain used, as points of a line: rates from counters, and memory. Read only; whoever asks has been let in before."""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import connection
from django.utils.translation import gettext as _
from psycopg import sql

from compute.monitoring.rollup import intervals
from compute.monitoring.series import DAYS, SAMPLE_S, series_of
from portal.kernel.errors import InvalidInput

STEPS_S = (SAMPLE_S, 60, 300, 600, 1800, 3600, 10800, 21600, 86400)
MOST_POINTS, USUAL_POINTS = 1500, 500
USUAL_RANGE = timedelta(hours=1)
GRACE = timedelta(hours=1)
"""Who asks for the last seven days has another clock, and is some seconds on the way. Partitions hold more than they must."""
# What a `Point` is made of, of samples and of roll-ups.
SAMPLED = sql.SQL("""
SELECT at, CASE WHEN is_whole THEN ms ELSE 0 END, CASE WHEN is_whole THEN ms * vcpus ELSE 0 END, d_cpu_ns,
       d_read_bytes, d_write_bytes, d_reads, d_writes, d_rx_bytes, d_tx_bytes, d_rx_packets, d_tx_packets,
       memory_bytes, used_bytes, rss_bytes
FROM ({intervals}) AS spans ORDER BY at
""")
SUMMED = sql.SQL("""
SELECT date_bin(make_interval(secs => %(step_s)s), at, '1970-01-01Z'), sum(measured_ms), sum(vcpu_ms), sum(cpu_ns),
       sum(read_bytes), sum(write_bytes), sum(reads), sum(writes), sum(rx_bytes), sum(tx_bytes), sum(rx_packets), sum(tx_packets),
       max(memory_bytes), max(used_bytes), max(rss_bytes)
FROM {table} WHERE domain = %(domain)s AND at >= %(start)s AND at < %(end)s GROUP BY 1 ORDER BY 1
""")


class Point(NamedTuple):
    """One step, by its begin (a sample by its moment). Rates are means over what was measured of the step, None where nothing
    was; `cpu_percent` is of all its vCPUs. Bytes and operations a second; memory in bytes, the most in the step."""

    at: datetime
    cpu_percent: float | None
    memory_bytes: int | None
    memory_used_bytes: int | None
    memory_host_bytes: int | None
    disk_read_bytes: float | None
    disk_write_bytes: float | None
    disk_reads: float | None
    disk_writes: float | None
    network_received_bytes: float | None
    network_sent_bytes: float | None
    network_received_packets: float | None
    network_sent_packets: float | None


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which time, in steps of how many seconds."""

    start: datetime
    end: datetime
    step_s: int

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None, step_s: int | None, *, now: datetime) -> "Question":
        """The last hour unless said, in steps that make a good line unless said. Raises InvalidInput, by the API's names."""
        end = end or now
        for name, at in (("to", end), ("from", start or end)):
            if at > now + timedelta(days=1):
                raise InvalidInput.field(name, _("Nothing has been measured of the future."))
            if at < now - DAYS.keep() - GRACE:
                raise InvalidInput.field(name, _("Measurements are kept for two years."))
        start = start or end - USUAL_RANGE
        if start >= end:
            raise InvalidInput.field("from", _("It begins after its end."))
        question = cls(start=start, end=end, step_s=_usual_step(start, end, now) if step_s is None else step_s)
        question.check(now)
        return question

    def check(self, now: datetime) -> None:
        """Raise InvalidInput unless there are such steps, kept for so long, and not too many of them."""
        if self.step_s not in STEPS_S:
            raise InvalidInput.field("step", _("One of these, in seconds: %(steps)s.") % {"steps": ", ".join(map(str, STEPS_S))})
        if (self.end - self.start).total_seconds() / self.step_s > MOST_POINTS:
            raise InvalidInput.field("step", _("More than %(most)d points: take longer steps or a shorter time.") % {
                "most": MOST_POINTS})
        if not _is_kept(self.step_s, self.start, now):
            raise InvalidInput.field("step", _("Steps so short are not kept for so long: take longer ones."))


def read(domain: UUID, question: Question) -> list[Point]:
    """The points that there are, oldest first."""
    values = {"domain": domain, "start": _floor(question.start, question.step_s), "end": question.end, "step_s": question.step_s}
    if question.step_s == SAMPLE_S:
        query = SAMPLED.format(intervals=intervals(sql.SQL("AND domain = %(domain)s")))
        values |= {"start": question.start}
        del values["step_s"]
    else:
        query = SUMMED.format(table=sql.Identifier(series_of(question.step_s).table))
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(_points(cursor.fetchall()))


def _points(rows: Sequence[tuple]) -> Iterator[Point]:
    for at, ms, vcpu_ms, cpu_ns, reads_b, writes_b, reads, writes, rx_b, tx_b, rx, tx, memory, used, held in rows:
        seconds = float(ms) / 1000
        if seconds:
            cpu = round(min(100, float(cpu_ns) / float(vcpu_ms) / 10_000), 2)
            rates = [round(float(grown) / seconds, 1) for grown in (reads_b, writes_b, reads, writes, rx_b, tx_b, rx, tx)]
        else:
            cpu, rates = None, [None] * 8
        yield Point(at, cpu, memory, used, held, *rates)


def _usual_step(start: datetime, end: datetime, now: datetime) -> int:
    for step_s in STEPS_S:
        if (end - start).total_seconds() / step_s <= USUAL_POINTS and _is_kept(step_s, start, now):
            return step_s
    return STEPS_S[-1]


def _is_kept(step_s: int, start: datetime, now: datetime) -> bool:
    series = series_of(step_s)
    return series is DAYS or start >= now - series.keep() - GRACE


def _floor(at: datetime, step_s: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // step_s * step_s, UTC)
