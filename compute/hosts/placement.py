"""Placement: which host takes a consumer, and the only writer of capacity claims.

Filters and weights read; the claim itself is exact: the host's row is locked, then one conditional insert sums the
live claims and refuses what does not fit. Every host's verdict is stored.
"""
from collections.abc import Mapping
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import Sum

from compute.hosts.models import Claim, Host, Verdict
from portal.kernel.errors import NoCapacity
from portal.kernel.models import Region, Resource, Zone

CLAIM = """
INSERT INTO hosts_claim (provider_id, consumer_id, resource_class, amount)
SELECT %(host)s, %(consumer)s, wanted.class, wanted.amount
  FROM unnest(%(classes)s::text[], %(amounts)s::bigint[], %(capacities)s::bigint[]) AS wanted(class, amount, capacity)
 WHERE NOT EXISTS (
       SELECT 1 FROM unnest(%(classes)s::text[], %(amounts)s::bigint[], %(capacities)s::bigint[]) AS w(class, amount, capacity)
        WHERE w.amount + (SELECT coalesce(sum(c.amount), 0) FROM hosts_claim c
                           WHERE c.provider_id = %(host)s AND c.resource_class = w.class) > w.capacity)
"""


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What was thought of a host: a reason against it, or a weight (more is better)."""

    host: Host
    reason: str = ""
    weight: float | None = None
    facts: dict[str, object] = field(default_factory=dict)


def opinions(region: Region, zone: Zone | None, wanted: Mapping[str, int]) -> list[Opinion]:
    """Filter and weigh all hosts of the region; best first. Spread: the emptiest host weighs most."""
    hosts = list(Host.objects.filter(region=region).select_related("zone", "endpoint"))
    used = {(row["provider"], row["resource_class"]): row["total"] for row in
            Claim.objects.filter(provider__in=[host.pk for host in hosts])
            .values("provider", "resource_class").annotate(total=Sum("amount"))}
    found = [_opinion(host, zone, wanted, {name: used.get((host.pk, name), 0) for name in wanted}) for host in hosts]
    return sorted(found, key=lambda opinion: (opinion.weight is None, -(opinion.weight or 0), str(opinion.host.pk)))


def _opinion(host: Host, zone: Zone | None, wanted: Mapping[str, int], used: Mapping[str, int]) -> Opinion:
    capacity = host.capacity
    free = {name: capacity[name] - used[name] for name in wanted}
    if zone is not None and host.zone_id != zone.pk:
        return Opinion(host=host, reason="other_zone")
    if host.state != Host.State.READY:
        return Opinion(host=host, reason="not_ready")
    if host.health != Host.Health.UP:
        return Opinion(host=host, reason="unreachable")
    if host.is_in_maintenance:
        return Opinion(host=host, reason="in_maintenance")
    if host.endpoint.mode != "managed":
        return Opinion(host=host, reason="only_observed")
    for name, amount in wanted.items():
        if amount > free[name]:
            return Opinion(host=host, reason=f"no_{name}", facts={"wanted": amount, "free": free[name]})
    weight = min((free[name] - amount) / capacity[name] for name, amount in wanted.items())
    return Opinion(host=host, weight=round(weight, 6), facts={"free": free})


def claim(consumer: Resource, *, region: Region, zone: Zone | None, wanted: Mapping[str, int]) -> Host:
    """Take capacity on the best host that still has it when locked; a consumer that has a claim keeps its host.

    Stores the verdict on every host. Raises NoCapacity (the verdicts survive only if the caller commits them).
    """
    held = Claim.objects.filter(consumer=consumer).first()
    if held is not None:
        return Host.objects.get(pk=held.provider_id)
    thought = opinions(region, zone, wanted)
    for opinion in thought:
        if opinion.weight is not None and _take(opinion.host, consumer, wanted):
            _store(consumer, thought, opinion.host)
            return opinion.host
    _store(consumer, thought, None)
    raise NoCapacity(reasons=",".join(sorted({opinion.reason or "taken_meanwhile" for opinion in thought})) or "no_host")


@transaction.atomic
def _take(host: Host, consumer: Resource, wanted: Mapping[str, int]) -> bool:
    # The lock first, in a statement of its own: the sum below then sees every claim committed before it.
    locked = Host.objects.select_for_update(of=("self",), no_key=True).get(pk=host.pk)
    capacity = locked.capacity
    names = list(wanted)
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"host": host.pk, "consumer": consumer.pk, "classes": names,
                               "amounts": [wanted[name] for name in names],
                               "capacities": [capacity[name] for name in names]})
        return cursor.rowcount == len(names)


def _store(consumer: Resource, thought: list[Opinion], chosen: Host | None) -> None:
    Verdict.objects.filter(consumer=consumer).delete()
    Verdict.objects.bulk_create(
        Verdict(consumer=consumer, host=opinion.host, is_chosen=chosen is not None and opinion.host.pk == chosen.pk,
                weight=opinion.weight, reason=opinion.reason, facts=opinion.facts) for opinion in thought)


def release(consumer: Resource) -> None:
    """Give back all that the consumer claimed; again is success."""
    Claim.objects.filter(consumer=consumer).delete()


def forecast(region: Region, zone: Zone | None, wanted: Mapping[str, int]) -> list[str]:
    """Why nothing would fit now, for a dry run; empty when something would. Host names are not told."""
    thought = opinions(region, zone, wanted)
    if any(opinion.weight is not None for opinion in thought):
        return []
    return sorted({opinion.reason for opinion in thought}) or ["no_host"]


def could_ever_fit(region: Region, wanted: Mapping[str, int]) -> bool:
    """Whether some host of the region is large enough when empty; True while the region has no host yet."""
    hosts = list(Host.objects.filter(region=region))
    return not hosts or any(all(amount <= host.capacity[name] for name, amount in wanted.items()) for host in hosts)
