"""Many at once, over real connections: quotas and capacity are never exceeded, and nobody is refused without reason."""
import threading
from collections import Counter

import pytest
from django.db import connections

from compute.hosts import placement
from compute.hosts.models import Claim, Host
from compute.instances.models import Instance, InstanceType
from compute.instances.operations import create_instance
from portal.kernel.errors import InvalidInput, NoCapacity, PortalError, QuotaExceeded
from portal.kernel.models import Operation
from storage.models import GIB, Image
from tenants.models import Quota
from tests.world import World, drain


def at_once(count: int, attempt) -> Counter:
    """Run `attempt(number)` in as many threads; counts what each ended with."""
    outcomes, ready = Counter(), threading.Barrier(count)

    def one(number: int) -> None:
        ready.wait()
        try:
            attempt(number)
            outcomes["done"] += 1
        except PortalError as error:
            outcomes[error.code] += 1
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_a_quota_of_ten_admits_exactly_ten_of_forty(world: World) -> None:
    Quota.objects.create(organization=world.project.organization, region=world.region, dimension="instances", limit=10)
    outcomes = at_once(40, lambda number: create_instance(world.order(name=f"i{number}"), actor=world.people["alice"]))
    assert outcomes == {"done": 10, QuotaExceeded.code: 30}
    assert Instance.objects.count() == Operation.objects.filter(kind="instance.create").count() == 10


def test_capacity_is_claimed_to_the_last_unit_and_never_beyond(world: World) -> None:
    """200 MiB each on a host with room for 8: of 24 racing claims exactly 8 win."""
    Host.objects.filter(pk=world.host.pk).update(memory_mib=8 * 256, reserved_memory_mib=0)
    instances = [Instance.objects.create(project=world.project, region=world.region, name=f"i{number}", type=world.type,
                                         vcpus=1, memory_mib=256, image=world.image) for number in range(24)]
    outcomes = at_once(24, lambda number: placement.claim(instances[number], region=world.region, zone=None,
                                                          wanted=instances[number].wanted))
    assert outcomes == {"done": 8, NoCapacity.code: 16}
    assert Claim.objects.filter(resource_class="memory_mib").count() == 8


def test_a_type_larger_than_every_host_is_refused_by_name(world: World) -> None:
    huge = InstanceType.objects.create(slug="huge", name="Huge", vcpus=4096, memory_mib=1024, root_disk_gib=1)
    outcomes = at_once(1, lambda number: create_instance(world.order(type=huge), actor=world.people["alice"]))
    assert outcomes == {"invalid": 1} and not Instance.objects.exists()
    drain()


def test_an_image_larger_than_the_root_disk_is_refused_by_field(world: World) -> None:
    Image.objects.filter(pk=world.image.pk).update(virtual_size=5 * GIB)
    world.image.refresh_from_db()
    with pytest.raises(InvalidInput) as refused:
        create_instance(world.order(root_disk_gib=4), actor=world.people["alice"])
    assert list(refused.value.errors) == ["root_disk_gib"] and "5 GiB" in refused.value.errors["root_disk_gib"][0]
    assert not Instance.objects.exists()
