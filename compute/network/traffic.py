"""Public traffic: what leaves the cloud as a floating IP, counted where it leaves.

An address is translated on the host of its instance (see `fabric.design`), and its frames go out by the port with which
OVN joins that host's public bridge. There a flow of ours counts them: replies and new connections alike, and nothing that
stays inside. Every minute a host is asked; a flow that is not there is made, with a number (and so an epoch) of its own,
and one whose address went elsewhere is read once more and removed. Reading costs a tenant nothing twice: samples are kept
by number and moment, and with what was read last in one transaction. A host that is silent goes on counting; what it had
not told when its switch or itself went down is nobody's, as is what an address sends before its flow is made.
"""
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from billing import counters
from billing.counters import Sample
from billing.periods import Month
from compute.hosts.commands import HostCommands
from compute.hosts.commands.catalogue import CHASSIS, COUNT, COUNTED, SWITCH_PORTS, UNCOUNT, Counted, Counting, SwitchPort
from compute.hosts.connections import host_commands
from compute.hosts.models import Claim, Host
from compute.network.models import AddressPool, Allocation, FloatingIp, Port, TrafficCount
from portal.kernel.alone import alone
from portal.kernel.errors import HostFault
from portal.kernel.operations.doorbell import ring_task
from portal.kernel.states import database_now

log = structlog.get_logger(__name__)
METER, COUNT_HOST = "network.public_traffic", "network.count_traffic"
CHANGES_A_PASS = 50
"""So many flows are made, and so many removed, before the host is left alone for a minute."""
BEAT = timedelta(minutes=1)
"""How often a host is asked."""
SPREAD = timedelta(minutes=1)
"""A flow is as old as its row, give or take what making it took; one that is not was put there by somebody else, or put
back by a switch that restarted, and has not counted what its row believes."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """By which port of which bridge an address goes out."""

    bridge: str
    port: int


Found = Mapping[int, tuple[str, Counted]]
"""number → bridge and flow."""


# -- whom to ask --

def hosts() -> QuerySet[Host]:
    """Those that have instances behind floating IPs, or flows that count."""
    behind = Port.objects.live().filter(floating_ip__isnull=False, domain__isnull=False).values("domain")
    used = Claim.objects.filter(provider=OuterRef("pk"), consumer__in=behind)
    counting = TrafficCount.objects.filter(host=OuterRef("pk"), ended_at=None)
    return Host.objects.followed().exclude(chassis="").filter(Exists(used) | Exists(counting))


def ring_for(port: Port) -> None:
    """The port has got an address: counting begins now, not at the next beat."""
    if port.domain is None:
        return
    for host in Host.objects.filter(claims__consumer=port.domain).select_related("region").distinct():
        ring_task(COUNT_HOST, host.region.queue, str(host.pk))


# -- what was counted --

def by_day(floating: FloatingIp, month: Month) -> list[tuple[date, int]]:
    """Bytes that it sent out, by day of UTC; days of nothing are left out."""
    return counters.by_day(floating.pk, METER, start=month.start, end=month.end)


# -- one host --

def count_host(host_id: UUID) -> None:
    """One pass over one host, unless another worker is at it. What goes wrong is tried again a minute later."""
    host = Host.objects.followed().exclude(chassis="").select_related("endpoint").filter(pk=host_id).first()
    if host is None or not host.endpoint.takes_commands:
        return
    with alone(_key(host.pk)) as is_ours:
        if not is_ours:
            return
        try:
            with host_commands(host) as commands:
                _pass(host, commands)
        except HostFault as error:
            log.warning("traffic.not_counted", host=str(host.pk), error=str(error))


def _key(pk: UUID) -> int:
    return int.from_bytes(pk.bytes[:8], signed=True) ^ 0x7472_6166


def _pass(host: Host, commands: HostCommands) -> None:
    bridges, ports = commands.run(CHASSIS).mappings, commands.run(SWITCH_PORTS)
    ways = dict(_ways(host, bridges, ports))
    wanted = {floating.pk: (floating, ways[floating.pool_id]) for floating in _plugged(host, ports) if floating.pool_id in ways}
    now = database_now()
    found = {flow.number: (bridge, flow) for bridge in sorted({way.bridge for way in ways.values()})
             for flow in commands.run(COUNTED, bridge=bridge)}
    open_rows = TrafficCount.objects.filter(host=host, ended_at=None).select_related("floating_ip")
    held = Allocation.objects.filter(pool__region=host.region_id, address__in=[row.address for row in open_rows])
    holders = dict(held.values_list("address", "resource"))
    counting = {row.pk: row for row in open_rows if _is_its_own(row, found, now) and not _is_others(row, holders, now)}
    _note([(row, found[pk][1].bytes) for pk, row in counting.items()], now)
    kept = {row.floating_ip_id: pk for pk, row in counting.items() if _goes_on(row, found[pk], wanted)}
    _end(host, commands, {number: bridge for number, (bridge, _flow) in found.items() if number not in kept.values()},
         [row.pk for row in open_rows if row.pk not in kept.values()])
    _begin(host, commands, [(floating, way) for pk, (floating, way) in wanted.items() if pk not in kept][:CHANGES_A_PASS])


def _ways(host: Host, bridges: Mapping[str, str], ports: Iterable[SwitchPort]) -> Iterator[tuple[UUID, Way]]:
    """Of the public networks to which OVN has joined this host, which it does when something here goes out by them."""
    numbers = {port.name: port.number for port in ports}
    for pool in AddressPool.objects.filter(region=host.region_id):
        bridge, number = bridges.get(pool.physical_network), numbers.get(way_out(pool.pk))
        if bridge and number:
            yield pool.pk, Way(bridge=bridge, port=number)


def way_out(pool: UUID) -> str:
    """What OVN calls the public bridge's port to its own: by the name of the public switch's hole (see `fabric.design`)."""
    return f"patch-localnet-{pool}-to-br-int"


def _plugged(host: Host, ports: Iterable[SwitchPort]) -> QuerySet[FloatingIp]:
    """The addresses whose instances are plugged in here."""
    return FloatingIp.objects.live().filter(
        region=host.region_id, allocation__isnull=False,
        port__in=[pk for port in ports if (pk := _uuid(port.port))]).select_related("allocation", "pool")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _is_its_own(row: TrafficCount, found: Found, now: datetime) -> bool:
    """Whether the flow of this number is the one that was made for this row, and counts since."""
    if row.pk not in found:
        return False
    flow = found[row.pk][1]
    age = now - row.began_at - timedelta(seconds=flow.age_s)
    return flow.address == row.address and abs(age) < SPREAD and flow.bytes >= row.bytes_out


def _is_others(row: TrafficCount, holders: Mapping[str, UUID], now: datetime) -> bool:
    """Whether somebody else holds the address, and the host was silent when it changed hands: who sent what nobody can tell, so
    it is nobody's. What was sent since the last beats is still its former holder's."""
    return holders.get(row.address, row.floating_ip_id) != row.floating_ip_id and (row.seen_at or row.began_at) < now - 2 * BEAT


def _goes_on(row: TrafficCount, found: tuple[str, Counted], wanted: Mapping[UUID, tuple[FloatingIp, Way]]) -> bool:
    bridge, flow = found
    here = wanted.get(row.floating_ip_id)
    return here is not None and here[1] == Way(bridge=bridge, port=flow.port) and here[0].address == row.address


@transaction.atomic
def _note(seen: list[tuple[TrafficCount, int]], now: datetime) -> None:
    """Samples of what has grown; an address that is gone had sent it by its end."""
    grown = [(row, value) for row, value in seen if value > row.bytes_out]
    samples = [Sample(row.floating_ip_id, METER, row.sku, row.pk, min(now, row.floating_ip.deleted_at or now), value)
               for row, value in grown]
    if samples:
        for refusal in counters.ingest(samples, now=database_now()).refused:
            log.warning("traffic.refused", floating_ip=str(refusal.sample.resource), reason=refusal.reason)
    for row, value in seen:
        row.bytes_out, row.seen_at = value, now
    TrafficCount.objects.bulk_update([row for row, _value in seen], ["bytes_out", "seen_at"], batch_size=500)


def _end(host: Host, commands: HostCommands, flows: Mapping[int, str], rows: list[int]) -> None:
    """Flows go before their rows, so that none is left of which nobody knows."""
    for number, bridge in list(flows.items())[:CHANGES_A_PASS]:
        commands.run(UNCOUNT, bridge=bridge, number=number)
    left = set(list(flows)[CHANGES_A_PASS:])
    TrafficCount.objects.filter(host=host, pk__in=set(rows) - left).update(ended_at=database_now())


def _begin(host: Host, commands: HostCommands, wanted: list[tuple[FloatingIp, Way]]) -> None:
    """Rows are there before their flows. A row of an address that waits for its end still stands for it."""
    ending = set(TrafficCount.objects.filter(host=host, ended_at=None).values_list("floating_ip", flat=True))
    for floating, way in wanted:
        if floating.pk in ending:
            continue
        row = TrafficCount.objects.create(host=host, floating_ip=floating, address=floating.address, sku=floating.pool.slug,
                                          began_at=database_now())
        commands.run(COUNT, bridge=way.bridge, flow=Counting(number=row.pk, port=way.port, address=row.address))
