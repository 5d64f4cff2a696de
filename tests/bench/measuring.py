"""A pass over a host of 1,000 running domains, kept in PostgreSQL, beside the bulk question alone.

libvirt's test driver knows domains and no figures, so that its answer costs less than QEMU's, which has forty facts of
each; here each is taken to have said what QEMU said of a guest with two disks and a card. First the processor time of this
process, which is what a worker has, then with the waiting for PostgreSQL.
"""
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from tests.bench import databases
from tests.bench.figures import Figure, beside

DOMAINS, ROUNDS = 1000, 30
TEST_HOST = Path(__file__).parents[1] / "compute" / "drivers" / "test-host.xml"
SAID = {
    "cpu.time": 41_288_100_000, "cpu.user": 31_070_000_000, "cpu.system": 10_210_000_000, "balloon.current": 262_144,
    "balloon.maximum": 262_144, "balloon.swap_in": 0, "balloon.swap_out": 0, "balloon.major_fault": 140,
    "balloon.minor_fault": 59_211, "balloon.unused": 181_000, "balloon.available": 230_144, "balloon.usable": 190_000,
    "balloon.last-update": 1_796_000_000, "balloon.disk_caches": 21_000, "balloon.rss": 240_112, "net.count": 1,
    "net.0.name": "vnet7", "net.0.rx.bytes": 91_288_771, "net.0.rx.pkts": 71_299, "net.0.rx.errs": 0, "net.0.rx.drop": 0,
    "net.0.tx.bytes": 8_771_211, "net.0.tx.pkts": 40_118, "net.0.tx.errs": 0, "net.0.tx.drop": 0, "block.count": 2,
    **{f"block.{disk}.{name}": value for disk in (0, 1) for name, value in {
        "name": "vda", "path": "/var/lib/mains/x", "rd.reqs": 8_812, "rd.bytes": 301_288_448, "rd.times": 9_000_000_000,
        "wr.reqs": 3_111, "wr.bytes": 41_288_192, "wr.times": 7_000_000_000, "fl.reqs": 410, "fl.times": 900_000_000,
        "allocation": 301_000_000, "capacity": 1_073_741_824, "physical": 302_000_000}.items()},
}


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0), tempfile.TemporaryDirectory() as folder:
        return _measured(Path(folder))


def _measured(folder: Path) -> list[Figure]:
    from compute.hosts.drivers.libvirt import hypervisor, measuring
    from compute.monitoring.measuring import measure_host
    from compute.monitoring.models import MeasuringPass, Sample

    host, connection = _fill(folder)
    flags = hypervisor.libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE
    told = hypervisor.measured
    hypervisor.measured = lambda said: measuring.measured([(domain, SAID) for domain, _facts in said])
    try:
        rounds = []
        for _round in range(ROUNDS + 3):
            begun, wall = time.process_time(), time.perf_counter()
            connection.getAllDomainStats(measuring.GROUPS, flags)
            middle, wall_middle = time.process_time(), time.perf_counter()
            measure_host(host.pk)
            rounds.append((middle - begun, time.process_time() - middle, wall_middle - wall, time.perf_counter() - wall_middle))
    finally:
        hypervisor.measured = told
    assert Sample.objects.count() == len(rounds) * DOMAINS and MeasuringPass.objects.get().failures == 0
    bulk, ours, bulk_wall, ours_wall = zip(*rounds[3:], strict=True)
    name = f"measuring: a pass over {DOMAINS:,} domains of the test driver, kept"
    return [beside(f"{name}: processor time", ours, bulk, "the bulk question alone"),
            beside(f"{name}: with all waiting", ours_wall, bulk_wall, "the bulk question alone")]


def _fill(folder: Path):
    """A host with its domains running, and their claims."""
    from compute.hosts.connections import address_of
    from compute.hosts.drivers.libvirt.session import session_for
    from compute.hosts.models import Claim, Endpoint, Host
    from portal.kernel.models import Resource, Zone
    from tests.cast import make_cast
    from tests.compute.drivers.guests import small_domain

    file = folder / "host.xml"
    file.write_text(TEST_HOST.read_text())
    cast = make_cast()
    endpoint = Endpoint.objects.create(name="bench", driver="libvirt", uri=f"test://{file}")
    zone = Zone.objects.create(region=cast.region, slug="bench", name="Bench")
    host = Host.objects.create(region=cast.region, zone=zone, name="bench", endpoint=endpoint, state=Host.State.READY,
                               health=Host.Health.UP)
    connection = session_for(address_of(endpoint)).connection()
    resources = Resource.objects.bulk_create([Resource(id=uuid4(), kind="instance", project=cast.project, region=cast.region,
                                                       name=f"i{number}") for number in range(DOMAINS)])
    Claim.objects.bulk_create([Claim(provider=host, consumer=one, resource_class=name, amount=1)
                               for one in resources for name in ("vcpu", "memory_mib")])
    for one in resources:
        connection.defineXML(small_domain("/none", uuid=one.pk, devices=(), type="test").to_xml()).create()
    databases.analyze()
    return host, connection
