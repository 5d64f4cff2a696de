"""Real QEMU and a real Linux: it gets a disk while it runs, sees it grow, and lets it go."""
import subprocess
import time

import pytest

from compute.instances.models import Instance
from compute.instances.networks import Networks
from compute.instances.operations import act, create_instance
from compute.instances.volumes import verbs
from compute.instances.volumes.verbs import NewVolume
from compute.network.models import FloatingIp
from compute.network.operations import release
from portal.kernel.models import Operation
from storage.models import GIB, Volume
from tests.lab_crash.test_step_boundaries import leave_nothing
from tests.world import World, drain

pytestmark = pytest.mark.lab
# The guest's own web server tells how large its disks are, in sectors of 512 bytes. Which letter one gets depends on what
# else is there (the set-up drive is a disk too), so none is named.
TELLS = """#!/bin/sh
while :; do
  cat /sys/block/vd?/size > /run/www/new && mv /run/www/new /run/www/size
  sleep 0.3
done
"""


def has_within(seconds: float, address: str, gib: int) -> None:
    """Of the sizes that are looked for, it has a disk of this one alone; of 0 none."""
    began, wanted = time.monotonic(), {gib} - {0}
    while (found := sizes(address)) is None or found & {2, 3} != wanted:
        assert time.monotonic() - began < seconds, f"it has {found} after {seconds} s"
        time.sleep(0.1)


def sizes(address: str) -> set[int] | None:
    """Of its disks, in GiB; None until it answers."""
    curl = subprocess.run(["curl", "-sf", "-m", "3", f"http://{address}/size"], capture_output=True, text=True)
    return {int(size) * 512 // GIB for size in curl.stdout.split()} or None


def done(operation: Operation) -> None:
    drain(limit=2000)
    operation.refresh_from_db()
    assert operation.state == "succeeded", operation.error


def test_a_guest_sees_its_disk_come_grow_and_go(world: World) -> None:
    alice = world.people["alice"]
    create_instance(world.order(user_data=TELLS, networks=Networks(has_floating_ip=True)), actor=alice)
    drain()
    address, instance = FloatingIp.objects.live().get().address, Instance.objects.get()
    has_within(90, address, 0)
    done(verbs.create_volume(NewVolume(project=world.project, region=world.region, name="data", size_gib=2, instance=instance),
                             actor=alice))
    volume = Volume.objects.get(name="data")
    has_within(20, address, 2)
    done(verbs.grow(volume, 3, actor=alice))
    has_within(20, address, 3)
    done(verbs.detach(volume, actor=alice))
    has_within(20, address, 0)
    done(verbs.attach(volume, instance, actor=alice))
    has_within(20, address, 3)
    act(instance, "purge", actor=None, volumes=True)
    drain()
    release(FloatingIp.objects.live().get(), actor=None)
    leave_nothing(world)
