"""Placement: which host takes a consumer, and the only writer of capacity claims.

Filters and weights are small functions in tables; they read, and every host's verdict is stored. The claim itself is
exact: the host's row is locked, then one conditional insert sums the live claims and refuses what does not fit.
"""
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Sum

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
Amounts = Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a host must have for a consumer. `wanted` is claimed, the rest only looked at."""

    wanted: Amounts
    zone: Zone | None = None
    needs_network: bool = False
    disk_gib: int = 0
    traits: frozenset[str] = frozenset()
    """What the host must be able to give it beside the usual (`Host.traits`)."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A host with what is still free on it, and for how many it works already."""

    host: Host
    free: Amounts
    consumers: int

    def left(self, wish: Wish) -> float:
        """The scarcest class's free share after the wish."""
        return min((self.free[name] - amount) / self.host.capacity[name] for name, amount in wish.wanted.items())


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What was thought of a host: a reason against it, or a weight (more is better)."""

    host: Host
    reason: str = ""
    weight: float | None = None
    facts: dict[str, object] = field(default_factory=dict)


# -- filters: a reason against the host with its facts, or none; the first one is told --

Objection = tuple[str, dict[str, object]] | None


def _in_zone(candidate: Candidate, wish: Wish) -> Objection:
    return ("other_zone", {}) if wish.zone is not None and candidate.host.zone_id != wish.zone.pk else None


def _is_ready(candidate: Candidate, wish: Wish) -> Objection:
    return ("not_ready", {}) if candidate.host.state != Host.State.READY else None


def _answers(candidate: Candidate, wish: Wish) -> Objection:
    return ("unreachable", {}) if candidate.host.health != Host.Health.UP else None


def _takes_new_ones(candidate: Candidate, wish: Wish) -> Objection:
    return ("in_maintenance", {}) if candidate.host.is_in_maintenance else None


def _is_managed(candidate: Candidate, wish: Wish) -> Objection:
    return ("only_observed", {}) if candidate.host.endpoint.mode != "managed" else None


def _has_network(candidate: Candidate, wish: Wish) -> Objection:
    return ("no_network", {}) if wish.needs_network and not candidate.host.chassis else None


def _gives_class(candidate: Candidate, wish: Wish) -> Objection:
    lacking = sorted(wish.traits - set(candidate.host.traits))
    return ("no_class", {"lacking": lacking}) if lacking else None


def _has_room(candidate: Candidate, wish: Wish) -> Objection:
    for name, amount in wish.wanted.items():
        if amount > candidate.free[name]:
            return f"no_{name}", {"wanted": amount, "free": candidate.free[name]}
    return None


def _has_disk(candidate: Candidate, wish: Wish) -> Objection:
    """Volumes grow as they are written, so more is promised than is free; None is a host whose pools were never seen."""
    if has_disk(candidate.host, wish.disk_gib):
        return None
    return "no_disk", {"wanted": wish.disk_gib, "free": candidate.host.disk_free_gib}


def has_disk(host: Host, gib: int) -> bool:
    """Whether its pools have room for one more disk of that size."""
    return host.disk_free_gib is None or gib <= host.disk_free_gib * settings.PLACEMENT["disk_ratio"]


FILTERS: tuple[Callable[[Candidate, Wish], Objection], ...] = (
    _in_zone, _is_ready, _answers, _takes_new_ones, _is_managed, _has_network, _gives_class, _has_room,
    _has_disk)


# -- weights: from 0 to 1, more is better; times what the settings say, negative turns one round --

def _room(candidate: Candidate, wish: Wish) -> float:
    """Spread: the emptiest host weighs most."""
    return candidate.left(wish)


def _quiet(candidate: Candidate, wish: Wish) -> float:
    """Among equally empty ones, the host that works for the fewest."""
    return 1 / (1 + candidate.consumers)


WEIGHERS: dict[str, Callable[[Candidate, Wish], float]] = {"room": _room, "quiet": _quiet}


def _weigh(candidate: Candidate, wish: Wish) -> float:
    factors = settings.PLACEMENT["weights"]
    return round(sum(factors.get(name, 0) * weigh(candidate, wish) for name, weigh in WEIGHERS.items()), 6)


# -- what is thought of all hosts --

def opinions(region: Region, zone: Zone | None, wanted: Amounts, *, needs_network: bool = False,
             disk_gib: int = 0, traits: frozenset[str] = frozenset()) -> list[Opinion]:
    """Filter and weigh all hosts of the region; best first."""
    wish = Wish(wanted=wanted, zone=zone, needs_network=needs_network, disk_gib=disk_gib, traits=traits)
    found = [_opinion(candidate, wish) for candidate in _candidates(region, wish)]
    return sorted(found, key=lambda opinion: (opinion.weight is None, -(opinion.weight or 0), str(opinion.host.pk)))


def _candidates(region: Region, wish: Wish) -> list[Candidate]:
    hosts = list(Host.objects.filter(region=region).select_related("zone", "endpoint"))
    rows = (Claim.objects.filter(provider__in=[host.pk for host in hosts])
            .values("provider", "resource_class").annotate(total=Sum("amount"), consumers=Count("consumer")))
    used = {(row["provider"], row["resource_class"]): (row["total"], row["consumers"]) for row in rows}

    def candidate(host: Host) -> Candidate:
        taken = {name: used.get((host.pk, name), (0, 0)) for name in wish.wanted}
        return Candidate(host=host, free={name: host.capacity[name] - total for name, (total, _n) in taken.items()},
                         consumers=max((consumers for _total, consumers in taken.values()), default=0))

    return [candidate(host) for host in hosts]


def _opinion(candidate: Candidate, wish: Wish) -> Opinion:
    for objects in FILTERS:
        objection = objects(candidate, wish)
        if objection is not None:
            reason, facts = objection
            return Opinion(host=candidate.host, reason=reason, facts=facts)
    return Opinion(host=candidate.host, weight=_weigh(candidate, wish), facts={"free": dict(candidate.free)})


# -- claims --

def lock(region_id: UUID) -> None:
    """Let nobody else place several consumers as one in the region until the transaction ends: two that each hold hosts
    the other wants would wait for each other for ever."""
    Region.objects.select_for_update(no_key=True).get(pk=region_id)


def claim(consumer: Resource, *, region: Region, zone: Zone | None, wanted: Amounts, needs_network: bool = False,
          disk_gib: int = 0, traits: frozenset[str] = frozenset()) -> Host:
    """Take capacity on the best host that still has it when locked; a consumer that has a claim keeps its host.

    Stores the verdict on every host. Raises NoCapacity (the verdicts survive only if the caller commits them).
    """
    held = Claim.objects.filter(consumer=consumer).first()
    if held is not None:
        return Host.objects.get(pk=held.provider_id)
    thought = opinions(region, zone, wanted, needs_network=needs_network, disk_gib=disk_gib, traits=traits)
    for opinion in thought:
        if opinion.weight is not None and _take(opinion.host, consumer, wanted):
            _store(consumer, thought, opinion.host)
            return opinion.host
    _store(consumer, thought, None)
    raise NoCapacity(reasons=",".join(sorted({opinion.reason or "taken_meanwhile" for opinion in thought})) or "no_host")


class _Full(Exception):
    """Rolls the savepoint back, and with it the lock on a host that is not taken: nobody waits for us meanwhile."""


def _take(host: Host, consumer: Resource, wanted: Amounts) -> bool:
    try:
        with transaction.atomic():
            # The lock first, in a statement of its own: the sum below then sees every claim committed before it.
            locked = Host.objects.select_for_update(of=("self",), no_key=True).get(pk=host.pk)
            # Thought of before the lock: meanwhile it may have been kept away from new instances.
            is_open = locked.state == Host.State.READY and not locked.is_in_maintenance
            if not (is_open and _insert(host, consumer, wanted, locked.capacity)):
                raise _Full
    except _Full:
        return False
    return True


def _insert(host: Host, consumer: Resource, wanted: Amounts, capacity: Amounts) -> bool:
    names = list(wanted)
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"host": host.pk, "consumer": consumer.pk, "classes": names,
                               "amounts": [wanted[name] for name in names],
                               "capacities": [capacity[name] for name in names]})
        return cursor.rowcount == len(names)


def _store(consumer: Resource, thought: list[Opinion], chosen: Host | None) -> None:
    Verdict.objects.filter(consumer=consumer).delete()
    Verdict.objects.bulk_create(
        (Verdict(consumer=consumer, host=opinion.host, is_chosen=chosen is not None and opinion.host.pk == chosen.pk,
                weight=opinion.weight, reason=opinion.reason, facts=opinion.facts) for opinion in thought), batch_size=5000)


def change(consumer: Resource, host_id: UUID, wanted: Amounts) -> None:
    """What a consumer claims of its host becomes this: all of it, or NoCapacity and nothing. Less is always possible."""
    with transaction.atomic():
        # The lock first, as in `_take`.
        host = Host.objects.select_for_update(of=("self",), no_key=True).get(pk=host_id)
        mine = Claim.objects.filter(consumer=consumer, provider=host)
        held = dict(mine.values_list("resource_class", "amount"))
        if scarce := _scarce(host, {name: amount - held.get(name, 0) for name, amount in wanted.items()}):
            raise NoCapacity(reasons=",".join(scarce))
        for name, amount in wanted.items():
            Claim.objects.update_or_create(provider=host, consumer=consumer, resource_class=name, defaults={"amount": amount})


def left(host: Host) -> Amounts:
    """What may still be claimed of the host; below zero where its ratios were lowered."""
    used = dict(Claim.objects.filter(provider=host.pk).order_by().values_list("resource_class").annotate(Sum("amount")))
    return {name: amount - used.get(name, 0) for name, amount in host.capacity.items()}


def _scarce(host: Host, more: Amounts) -> list[str]:
    """Codes of what the host has too little of for so much more."""
    free = left(host)
    return sorted(f"no_{name}" for name, amount in more.items() if amount > 0 and amount > free[name])


def release(consumer: Resource) -> None:
    """Give back all that the consumer claimed; again is success."""
    Claim.objects.filter(consumer=consumer).delete()


# -- before anything is made --

def forecast(region: Region, zone: Zone | None, wanted: Amounts, *, needs_network: bool = False, disk_gib: int = 0,
             traits: frozenset[str] = frozenset(), count: int = 1) -> list[str]:
    """Why not all of `count` would fit now, for a dry run; empty when they would. Host names are not told."""
    thought = opinions(region, zone, wanted, needs_network=needs_network, disk_gib=disk_gib, traits=traits)
    rooms = [_rooms(opinion, wanted) for opinion in thought if opinion.weight is not None]
    if sum(min(room.values()) for room in rooms) >= count:
        return []
    # Of hosts that would take some: what there is too little of for one more.
    scarce = {f"no_{name}" for room in rooms for name, times in room.items() if times == min(room.values())}
    return sorted({opinion.reason for opinion in thought if opinion.reason} | scarce) or ["no_host"]


def _rooms(opinion: Opinion, wanted: Amounts) -> dict[str, int]:
    """By class, how many of these the host has room for."""
    return {name: opinion.facts["free"][name] // amount for name, amount in wanted.items()}


def abilities(region: Region) -> list[tuple[Amounts, frozenset[str]]]:
    """What each host of the region has in all, and what it can give beside the usual."""
    return [(host.capacity, frozenset(host.traits)) for host in Host.objects.filter(region=region)]


def is_within(wanted: Amounts, capacity: Amounts) -> bool:
    return all(amount <= capacity[name] for name, amount in wanted.items())


def could_ever_fit(region: Region, wanted: Amounts) -> bool:
    """Whether some host of the region is large enough when empty; True while the region has no host yet."""
    found = abilities(region)
    return not found or any(is_within(wanted, capacity) for capacity, _traits in found)


def could_ever_give(region: Region, traits: frozenset[str]) -> bool:
    """Whether some host of the region can give all of this; True while the region has no host yet."""
    found = abilities(region)
    return not traits or not found or any(traits <= given for _capacity, given in found)
