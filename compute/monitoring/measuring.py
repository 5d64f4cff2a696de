"""A pass over a host: one bulk question to its hypervisor, one statement that keeps the answer.

Hosts are asked side by side, every 15 s, and none twice at once; one that cannot be reached is asked again when the reconciler
has reached it. A sample is kept only where the host holds a claim for the domain: a host tells nothing about what others run.
"""
import time
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import orjson
import structlog
from django.db import connection
from django.db.models import QuerySet

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Measurement
from compute.hosts.models import Host
from portal.kernel.alone import alone
from portal.kernel.errors import HostFault

log = structlog.get_logger(__name__)
MEASURE_HOST = "monitoring.measure"
MOST = 2**63 - 1  # of what a column of 64 bits holds; hosts count in unsigned ones
COUNTERS = ("cpu_ns", "read_bytes", "write_bytes", "reads", "writes", "rx_bytes", "tx_bytes", "rx_packets", "tx_packets")
# One statement, so that there is all of a pass or nothing, without further ways to PostgreSQL. The minute's row is locked even
# when it is there: who sums it up waits for these samples, or is told of them anew.
PASS = """
WITH pass AS MATERIALIZED (SELECT %(host)s::uuid AS host, coalesce(%(at)s::timestamptz, clock_timestamp()) AS at),
kept AS (
    INSERT INTO monitoring_sample (domain, at, host, epoch, vcpus, cpu_ns, read_bytes, write_bytes, reads, writes,
                                   rx_bytes, tx_bytes, rx_packets, tx_packets, memory_bytes, used_bytes, rss_bytes)
    SELECT told.domain, pass.at, pass.host, told.epoch, claim.amount, cpu_ns, read_bytes, write_bytes, reads, writes,
           rx_bytes, tx_bytes, rx_packets, tx_packets, memory_bytes, used_bytes, rss_bytes
    FROM pass CROSS JOIN unnest(
        %(domain)s::uuid[], %(epoch)s::bigint[], %(cpu_ns)s::bigint[], %(read_bytes)s::bigint[], %(write_bytes)s::bigint[],
        %(reads)s::bigint[], %(writes)s::bigint[], %(rx_bytes)s::bigint[], %(tx_bytes)s::bigint[], %(rx_packets)s::bigint[],
        %(tx_packets)s::bigint[], %(memory_bytes)s::bigint[], %(used_bytes)s::bigint[], %(rss_bytes)s::bigint[])
        AS told (domain, epoch, cpu_ns, read_bytes, write_bytes, reads, writes, rx_bytes, tx_bytes, rx_packets, tx_packets,
                 memory_bytes, used_bytes, rss_bytes)
    JOIN hosts_claim AS claim ON claim.provider_id = pass.host AND claim.consumer_id = told.domain
        AND claim.resource_class = 'vcpu' AND claim.amount > 0
    ON CONFLICT (domain, at) DO NOTHING RETURNING 1),
due AS (
    INSERT INTO monitoring_due (host, at) SELECT host, date_trunc('minute', at, 'UTC') FROM pass WHERE EXISTS (SELECT FROM kept)
    ON CONFLICT (host, at) DO UPDATE SET host = EXCLUDED.host)
INSERT INTO monitoring_measuringpass AS old (host_id, at, duration_ms, domains, fault, passes, failures)
SELECT host, at, %(duration_ms)s::int, (SELECT count(*) FROM kept), %(fault)s::text, 1, (%(fault)s::text <> '')::int FROM pass
ON CONFLICT (host_id) DO UPDATE SET at = EXCLUDED.at, duration_ms = EXCLUDED.duration_ms, domains = EXCLUDED.domains,
    fault = EXCLUDED.fault, passes = old.passes + 1, failures = old.failures + EXCLUDED.failures
"""


def hosts() -> QuerySet[Host]:
    """Whom to ask: hosts that answer."""
    return Host.objects.followed().exclude(health=Host.Health.UNREACHABLE)


def measure_host(host_id: UUID) -> None:
    """One pass over one host, unless another worker is at it."""
    host = hosts().select_related("endpoint").filter(pk=host_id).first()
    if host is None:
        return
    with alone(_key(host.pk)) as is_ours:
        if is_ours:
            _measure(host)


def _key(pk: UUID) -> int:
    return int.from_bytes(pk.bytes[:8], signed=True) ^ 0x6D65_6173


def _measure(host: Host) -> None:
    begun, told, fault = time.monotonic(), [], ""
    try:
        with hypervisor(host) as driver:
            told = driver.measurements()
    except HostFault as error:
        log.warning("monitoring.not_measured", host=str(host.pk), error=str(error))
        fault = str(error.facts.get("reason", error.code))
    keep(host, told, duration_ms=round((time.monotonic() - begun) * 1000), fault=fault)


def keep(host: Host, told: Sequence[Measurement], *, at: datetime | None = None, duration_ms: int = 0, fault: str = "") -> None:
    """The samples of one moment (now, unless said), and that there was a pass, which took so long to be answered."""
    columns = dict(zip(Measurement._fields, zip(*told, strict=True) if told else [()] * len(Measurement._fields), strict=True))
    for name in COUNTERS:
        if columns[name] and max(columns[name]) > MOST:
            columns[name] = [min(value, MOST) for value in columns[name]]
    values = {name: _array(column) for name, column in columns.items()}
    with connection.cursor() as cursor:
        cursor.execute(PASS, values | {"host": host.pk, "at": at, "duration_ms": duration_ms, "fault": fault[:500]})


def _array(column: Sequence[object]) -> str:
    """PostgreSQL's text of an array, which differs from JSON's by its brackets: thousands of values without a look at each."""
    return "{" + orjson.dumps(column)[1:-1].decode() + "}"
