"""kill -9 of everything, in turn, while instances are made and changed: operations settle, nothing is left over."""
import os
import signal
import time

import pytest
import redis

from tests.stories.cloud import LabCloud
from tests.stories.portal import Portal

pytestmark = [pytest.mark.lab, pytest.mark.slow]
# The lease of the stories' workers (10 s), the sweeper, one step, and room for a busy machine.
SETTLE_S = 60


def leave_nothing(portal: Portal, cloud: LabCloud, before: dict[str, object]) -> None:
    """After deleting all that the story made, hosts, OVN and database are as before."""
    for row in portal.api("GET", "instances/")[1]["results"]:
        status, operation = portal.api("DELETE", f"instances/{row['id']}/?purge=true")
        assert status == 202, operation
        assert portal.finish(operation)["state"] == "succeeded"
    portal.await_networks()
    assert cloud.census() == before
    for table in ("kernel_hold", "hosts_claim", "storage_attachment"):
        assert portal.query(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert portal.query("SELECT count(*) FROM billing_usageinterval WHERE upper(period) IS NULL") == [(0,)]
    assert portal.query("SELECT count(*) FROM kernel_operation WHERE state IN ('queued', 'running')") == [(0,)]


def settled(portal: Portal, operation: dict) -> dict:
    begun = time.monotonic()
    operation = portal.finish(operation, limit_s=SETTLE_S)
    print(f" settled {operation['state']} after {time.monotonic() - begun:.1f} s", end="")
    return operation


def kill_pool_children(portal: Portal) -> None:
    """The worker's own processes, as an out-of-memory killer would."""
    parent = portal.processes["worker"].pid
    for task in os.listdir("/proc"):
        try:
            if task.isdigit() and int(task) != parent and os.getpgid(int(task)) == os.getpgid(parent):
                os.kill(int(task), signal.SIGKILL)
        except ProcessLookupError:
            continue


def kill_redis(portal: Portal) -> None:
    broker = redis.Redis.from_url(portal.environment["REDIS_URL"])
    portal.wait(lambda: _answers(broker), "redis is back", 20)
    os.kill(broker.info("server")["process_id"], signal.SIGKILL)


def _answers(broker: redis.Redis) -> bool:
    try:
        return bool(broker.ping())
    except redis.RedisError:
        return False


VICTIMS = {
    "web": lambda portal, cloud: portal.kill("web"),
    "worker": lambda portal, cloud: portal.kill("worker"),
    "the worker's children": lambda portal, cloud: kill_pool_children(portal),
    "beat": lambda portal, cloud: portal.kill("beat"),
    "watcher": lambda portal, cloud: portal.kill("watcher"),
    "libvirtd": lambda portal, cloud: cloud.run("pkill", "-9", "-x", "libvirtd"),
    "redis": lambda portal, cloud: kill_redis(portal),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_an_operation_settles_when_this_is_killed_in_its_midst(portal: Portal, cloud: LabCloud, victim: str) -> None:
    before = cloud.census()
    operation = portal.create("victim")
    time.sleep(0.35)
    VICTIMS[victim](portal, cloud)
    done = settled(portal, operation)
    assert done["state"] == "succeeded", done
    pk = done["target"]["id"]
    portal.wait(lambda: portal.api("GET", f"instances/{pk}/")[1]["state"] == "running", "running again")
    status, deleting = portal.api("DELETE", f"instances/{pk}/?purge=true")
    VICTIMS[victim](portal, cloud)
    assert status == 202 and settled(portal, deleting)["state"] == "succeeded"
    leave_nothing(portal, cloud, before)


def test_a_killed_qemu_is_shown_stopped_and_starts_again(portal: Portal, cloud: LabCloud) -> None:
    before = cloud.census()
    pk = portal.finish(portal.create("qemu-victim"))["target"]["id"]
    cloud.host_of(pk).run("pkill", "-9", "-f", f"guest=mains-{pk}")
    seconds = portal.wait(lambda: portal.api("GET", f"instances/{pk}/")[1]["state"] == "stopped", "shown stopped", 60)
    print(f"\nQEMU killed: shown stopped after {seconds:.1f} s")
    assert portal.finish(portal.api("POST", f"instances/{pk}/actions/start/", {})[1])["state"] == "succeeded"
    assert pk in cloud.running()
    leave_nothing(portal, cloud, before)


def test_a_domain_destroyed_and_undefined_by_hand_comes_back_on_start(portal: Portal, cloud: LabCloud) -> None:
    before = cloud.census()
    pk = portal.finish(portal.create("hand-victim"))["target"]["id"]
    host = cloud.host_of(pk)
    host.run("virsh", "destroy", pk)
    host.run("virsh", "undefine", pk)
    portal.wait(lambda: portal.api("GET", f"instances/{pk}/")[1]["state"] == "stopped", "shown stopped", 90)
    assert portal.finish(portal.api("POST", f"instances/{pk}/actions/start/", {})[1])["state"] == "succeeded"
    leave_nothing(portal, cloud, before)
