"""Placement: which host is taken and why not, and that capacity is claimed to the last unit and never beyond."""
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction

from compute.hosts import placement
from compute.hosts.models import Claim, Endpoint, Host, Verdict
from compute.instances.models import Instance
from compute.instances.wording import REASONS
from portal.kernel.errors import NoCapacity
from portal.kernel.models import Zone
from tests.world import World

from .conftest import AddSimulated

WANTED = {"vcpu": 1, "memory_mib": 256}


def consumer(world: World, name: str = "web") -> Instance:
    return Instance.objects.create(project=world.project, region=world.region, name=name, type=world.type, vcpus=1,
                                   memory_mib=256, image=world.image)


def claim(world: World, instance: Instance, **more: object) -> Host:
    return placement.claim(instance, **({"region": world.region, "zone": None, "wanted": WANTED} | more))


def verdicts(instance: Instance) -> dict[str, str]:
    return {row.host.name: row.reason or ("chosen" if row.is_chosen else "") for row in
            Verdict.objects.filter(consumer=instance).select_related("host")}


REFUSALS: dict[str, Callable[[Host], object]] = {
    "not_ready": lambda host: Host.objects.filter(pk=host.pk).update(state="error"),
    "unreachable": lambda host: Host.objects.filter(pk=host.pk).update(health="unreachable"),
    "in_maintenance": lambda host: Host.objects.filter(pk=host.pk).update(is_in_maintenance=True),
    "only_observed": lambda host: Endpoint.objects.filter(host=host).update(mode="observed"),
    "no_network": lambda host: Host.objects.filter(pk=host.pk).update(chassis=""),
    "no_vcpu": lambda host: Host.objects.filter(pk=host.pk).update(vcpus=0),
    "no_memory_mib": lambda host: Host.objects.filter(pk=host.pk).update(reserved_memory_mib=10**7),
    "no_disk": lambda host: Host.objects.filter(pk=host.pk).update(disk_free_gib=1),
    "other_zone": lambda host: host,
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_each_filter_gives_its_reason_and_the_rest_is_taken(world: World, add: AddSimulated, reason: str) -> None:
    other, instance, more = add(), consumer(world), {"needs_network": True, "disk_gib": 10}
    REFUSALS[reason](world.host)
    if reason == "other_zone":
        more["zone"] = Zone.objects.create(region=world.region, slug="b", name="B")
        Host.objects.filter(pk=other.pk).update(zone=more["zone"])
    assert claim(world, instance, **more) == other
    assert verdicts(instance) == {"sim-1": reason, other.name: "chosen"}
    assert reason in REASONS
    REFUSALS[reason](other)
    if reason != "other_zone":
        with pytest.raises(NoCapacity):
            claim(world, consumer(world, "db"), **more)
        assert placement.forecast(world.region, None, WANTED, needs_network=True, disk_gib=10) == [reason]


def test_who_needs_no_network_is_not_kept_from_a_host_without_one(world: World) -> None:
    Host.objects.filter(pk=world.host.pk).update(chassis="")
    assert claim(world, consumer(world)) == world.host
    assert placement.forecast(world.region, None, WANTED) == []


def test_instances_are_spread_and_settings_can_turn_that_round(world: World, add: AddSimulated, settings) -> None:
    add("rack-2"), add("rack-3")
    taken = Counter(claim(world, consumer(world, f"i{number}")).name for number in range(9))
    assert taken == {"sim-1": 3, "rack-2": 3, "rack-3": 3}
    settings.PLACEMENT = {"weights": {"room": -1.0}, "disk_ratio": 4}
    assert len({claim(world, consumer(world, f"packed-{number}")).name for number in range(6)}) == 1


def test_of_equally_empty_hosts_the_one_with_fewer_consumers_is_taken(world: World, add: AddSimulated) -> None:
    other = add()
    for host, parts in ((world.host, 4), (other, 1)):
        for number in range(parts):
            Claim.objects.create(provider=host, consumer=consumer(world, f"{host.name}-{number}"), resource_class="memory_mib",
                                 amount=4096 // parts)
    assert claim(world, consumer(world, "next")) == other


def test_a_consumer_that_has_a_claim_keeps_its_host(world: World, add: AddSimulated) -> None:
    instance = consumer(world)
    host = claim(world, instance)
    Host.objects.filter(pk=host.pk).update(state="error")
    add()
    assert claim(world, instance) == host
    placement.release(instance)
    placement.release(instance)
    assert not Claim.objects.filter(consumer=instance).exists()


# -- many at once, over connections of their own --

WORKERS = 24


def at_once(attempts: list[Callable[[], object]]) -> Counter:
    """All attempts, by as many threads as there are connections to spare, each with one of its own."""
    outcomes, begin = Counter(), threading.Barrier(WORKERS)

    def work(mine: list[Callable[[], object]]) -> None:
        begin.wait()
        try:
            for attempt in mine:
                try:
                    attempt()
                    outcomes["placed"] += 1
                except NoCapacity:
                    outcomes["refused"] += 1
        finally:
            connections.close_all()

    with ThreadPoolExecutor(WORKERS) as pool:
        for future in [pool.submit(work, attempts[number::WORKERS]) for number in range(WORKERS)]:
            future.result()
    return outcomes


def room_for(*counts: int) -> Callable[[World, AddSimulated], list[Host]]:
    """Hosts with memory for exactly so many."""
    def made(world: World, add: AddSimulated) -> list[Host]:
        hosts = [world.host, *(add(f"rack-{number}") for number in range(2, len(counts) + 1))]
        for host, count in zip(hosts, counts, strict=True):
            Host.objects.filter(pk=host.pk).update(memory_mib=count * 256, reserved_memory_mib=0, vcpus=1000)
        return hosts

    return made


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_of_200_parallel_claims_exactly_100_find_room(transactional_db: None, world: World, add: AddSimulated) -> None:
    hosts = room_for(40, 30, 20, 7, 3)(world, add)
    instances = [consumer(world, f"i{number}") for number in range(200)]
    outcomes = at_once([lambda instance=instance: claim(world, instance, needs_network=True) for instance in instances])
    assert outcomes == {"placed": 100, "refused": 100}
    taken = Counter(Claim.objects.filter(resource_class="memory_mib").values_list("provider__name", flat=True))
    assert [taken[host.name] for host in hosts] == [40, 30, 20, 7, 3]
    assert Claim.objects.count() == 200 and not Claim.objects.exclude(amount__in=(1, 256)).exists()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_orders_of_several_and_of_one_never_wait_for_each_other_for_ever(transactional_db: None, world: World,
                                                                        add: AddSimulated) -> None:
    """All or none: an order of 4 that finds room for 3 gives them back; orders of one take what is left meanwhile."""
    hosts = room_for(20, 20, 20)(world, add)

    def several(instances: list[Instance]) -> None:
        with transaction.atomic():
            placement.lock(world.region.pk)
            for instance in instances:
                claim(world, instance)

    orders = [[consumer(world, f"o{order}-{number}") for number in range(4)] for order in range(12)]
    singles = [consumer(world, f"s{number}") for number in range(24)]
    attempts = [attempt for pair in zip(
        [lambda order=order: several(order) for order in orders] * 2,
        [lambda single=single: claim(world, single) for single in singles], strict=True) for attempt in pair]
    outcomes = at_once(attempts)
    assert outcomes["placed"] + outcomes["refused"] == 48
    claimed = Counter(Claim.objects.filter(resource_class="memory_mib").values_list("consumer__name", flat=True))
    assert 57 <= len(claimed) <= 60 == sum(20 for _host in hosts) and set(claimed.values()) == {1}
    whole = Counter(name.split("-")[0] for name in claimed if name.startswith("o"))
    assert set(whole.values()) <= {4}

