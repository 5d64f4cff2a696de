"""Whole creates over several hosts, many at once: as many run as there is room for, spread, and the rest leave nothing."""
import threading
from collections import Counter
from pathlib import Path

from django.db import connections

from compute.hosts.models import Claim, Endpoint, Host
from compute.hosts.operations import prepare_host
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from portal.kernel.models import Hold, Operation
from portal.kernel.operations import engine
from storage.models import Attachment, Pool, Volume
from tests.instances.test_quota_and_capacity_races import at_once
from tests.soak import SOAKING
from tests.world import World, drain

HOSTS, THREADS = 5, 10
ORDERS = 200 if SOAKING else 40
ROOM = ORDERS // 2


def test_of_many_creates_at_once_exactly_as_many_run_as_have_room(world: World, tmp_path: Path) -> None:
    for number in range(2, HOSTS + 1):
        endpoint = Endpoint.objects.create(name=f"sim-{number}", driver="simulated", uri=f"simulated://{tmp_path}/sim-{number}")
        host = Host.objects.create(region=world.region, zone=world.zone, name=f"sim-{number}", endpoint=endpoint)
        Pool.objects.create(region=world.region, host=host, name="mains", path="/pool")
        prepare_host(host, actor=world.people["root"])
    drain()
    Host.objects.update(memory_mib=ROOM // HOSTS * world.type.memory_mib, reserved_memory_mib=0)

    def order(thread: int) -> None:
        for number in range(ORDERS // THREADS):
            create_instance(world.order(name=f"i{thread}-{number}"), actor=world.people["alice"])

    assert at_once(THREADS, order) == {"done": THREADS}
    work_off()
    states = Counter(Instance.objects.values_list("state", flat=True))
    assert states == {"running": ROOM, "error": ORDERS - ROOM}
    assert Counter(Instance.objects.filter(state="running").values_list("host__name", flat=True)) == {
        f"sim-{number}": ROOM // HOSTS for number in range(1, HOSTS + 1)}
    codes = {row["code"] for row in Operation.objects.filter(state="failed").values_list("error", flat=True)}
    assert codes == {"no_capacity"}
    assert Claim.objects.filter(resource_class="memory_mib").count() == Attachment.objects.count() == ROOM
    assert Volume.objects.live().count() == ROOM and not Hold.objects.exists()


def work_off() -> None:
    """So many workers as the engine has in a portal, until nothing is due."""
    def work() -> None:
        while engine.advance() or Operation.objects.unfinished().exists():
            continue
        connections.close_all()

    threads = [threading.Thread(target=work) for _worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
