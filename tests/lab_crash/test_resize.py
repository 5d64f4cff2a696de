"""Real QEMU and a real Linux: it sees within seconds what it is given while it runs."""
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal

import pytest

from billing.seed import seed_prices
from compute.instances.models import Instance, InstanceType
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.network.models import FloatingIp
from compute.network.operations import release
from tests.lab_crash.test_step_boundaries import leave_nothing
from tests.world import World, drain

pytestmark = pytest.mark.lab
# The guest's own web server tells what its kernel has.
TELLS = """#!/bin/sh
while :; do
  echo "$(nproc) $(awk '/MemTotal/ { print $2 }' /proc/meminfo)" > /run/www/new && mv /run/www/new /run/www/size
  sleep 0.3
done
"""


def told(address: str) -> tuple[int, int]:
    """CPUs and memory (MiB) that the guest says it has; nothing until it answers."""
    curl = subprocess.run(["curl", "-sf", "-m", "3", f"http://{address}/size"], capture_output=True, text=True)
    cpus, memory_kib = curl.stdout.split() or ("0", "0")
    return int(cpus), int(memory_kib) // 1024


def within(seconds: float, address: str, is_there: Callable[[int, int], bool]) -> None:
    began = time.monotonic()
    while not is_there(*(has := told(address))):
        assert time.monotonic() - began < seconds, f"it has {has} after {seconds} s"
        time.sleep(0.1)


def test_a_guest_sees_within_ten_seconds_what_it_is_given(world: World) -> None:
    medium = InstanceType.objects.create(slug="medium", name="Medium", vcpus=2, memory_mib=512, root_disk_gib=1)
    seed_prices(world.region, [("instance.running", "medium", Decimal(1))])
    create_instance(world.order(user_data=TELLS, networks=Networks(has_floating_ip=True)), actor=world.people["alice"])
    drain()
    address, instance = FloatingIp.objects.live().get().address, Instance.objects.get()
    within(60, address, lambda cpus, _memory: cpus == 1)
    _cpus, before = told(address)
    act(instance, "resize", actor=world.people["alice"], type=medium)
    drain()
    # The kernel keeps a little for itself.
    within(10, address, lambda cpus, memory: cpus == 2 and memory >= before + 224)
    instance.refresh_from_db()
    assert (instance.state, instance.type, instance.fault) == ("running", medium, None)
    act(instance, "purge", actor=None)
    drain()
    release(FloatingIp.objects.live().get(), actor=None)
    leave_nothing(world)
