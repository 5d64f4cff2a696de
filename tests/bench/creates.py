"""Creates end to end, one after the other in this process: asked for, accepted, all steps, running, and metered; on libvirt's
test driver beside a loop that defines and creates the same domains there, and on the simulated driver."""
import time
from pathlib import Path
from uuid import uuid4

from tests.bench import databases
from tests.bench.figures import Figure, median, ratio, spread

CREATES, ROUNDS, GOAL = 10, 5, 1 / 15
TEST_HOST = Path(__file__).parents[1] / "compute" / "drivers" / "test-host.xml"


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        from django.conf import settings

        from tests.world import make_world

        world = make_world(settings.STATE_DIR / "creates")
        _create(world, 1)  # imports, caches
        simulated = [_create(world, CREATES) for _round in range(ROUNDS)]
        xml, connection = _move_to_test_driver(world, settings.STATE_DIR / "host.xml")
        _create(world, 1)
        rounds = [(_create(world, CREATES), _bare(connection, xml)) for _round in range(ROUNDS)]
    ours, bare = zip(*rounds, strict=True)
    share = ratio(ours, bare)
    return [
        Figure(name="creates: end to end, libvirt's test driver", value=f"1/{1 / share:.0f} ({median(ours):.1f}/s)",
               compared=f"define and create alone ({median(bare):.0f}/s)", goal=f"≥ 1/{1 / GOAL:.0f}", met=share >= GOAL),
        Figure(name="creates: end to end, simulated driver", value=f"{median(simulated):.1f}/s ({spread(simulated)})")]


def _create(world, number: int) -> float:
    """How many a second."""
    from compute.instances.models import Instance
    from compute.instances.operations import create_instance
    from tests.world import drain

    before, begun = Instance.objects.filter(state="running").count(), time.perf_counter()
    for _one in range(number):
        create_instance(world.order(name=f"i-{uuid4().hex[:8]}"), actor=world.people["alice"])
        drain()
    took = time.perf_counter() - begun
    assert Instance.objects.filter(state="running").count() == before + number
    return number / took


def _move_to_test_driver(world, file: Path):
    """The host is another one from now on; what its driver defines there, as text, and a connection to it."""
    from compute.hosts.connections import address_of
    from compute.hosts.drivers.libvirt.session import session_for
    from compute.hosts.drivers.registry import DRIVERS
    from compute.hosts.models import Endpoint
    from compute.instances.design import design_domain
    from compute.instances.models import Instance
    from storage.connections import volume_pool
    from storage.models import ImageCopy, Pool
    from storage.pools import registry

    DRIVERS["bench"] = "tests.bench.on_test_driver:OnTestDriver"
    registry.DRIVERS["bench"] = "tests.bench.on_test_driver:SimulatedBeside"
    file.write_text(TEST_HOST.read_text())
    Endpoint.objects.update(driver="bench", uri=f"test://{file}")
    ImageCopy.objects.update(is_complete=False, locators={}, offsets={})
    last = Instance.objects.select_related("host__endpoint", "image").filter(state="running").latest("created_at")
    ImageCopy.objects.update(locators={"disk": "/pool/image"}, is_complete=True)
    spec = design_domain(last, seed="/pool/seed", listen="127.0.0.1")
    ImageCopy.objects.update(is_complete=False, locators={}, offsets={})  # the next create brings it to the new host
    with volume_pool(Pool.objects.select_related("host__endpoint").get()) as pool:
        pool.ensure_pool()
    return spec, session_for(address_of(last.host.endpoint)).connection()


def _bare(connection, spec) -> float:
    from dataclasses import replace

    texts = []
    for _one in range(CREATES):
        uuid = uuid4()
        texts.append(replace(spec, type="test", uuid=uuid, name=f"bare-{uuid}").to_xml())
    begun = time.perf_counter()
    for text in texts:
        connection.defineXML(text).create()
    return CREATES / (time.perf_counter() - begun)
