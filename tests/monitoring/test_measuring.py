"""A pass over a host: what is kept of its answer, of whom, and what is left of one that did not come to its end."""
import os
import threading
from datetime import timedelta

from django.db import connection, connections, transaction

from compute.hosts.drivers.contract import Measurement
from compute.hosts.drivers.libvirt.measuring import measured
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Endpoint, Host
from compute.monitoring import measuring, tasks
from compute.monitoring.measuring import measure_host
from compute.monitoring.models import Due, MeasuringPass, Minute, Sample
from compute.monitoring.reading import Question, read
from compute.monitoring.rollup import roll_up
from portal.kernel import crash, maintenance
from portal.kernel.states import database_now
from tests.compute.drivers.test_measuring_contract import SomeDomain, said
from tests.monitoring.conftest import Watched, make_instance


def hand(watched: Watched) -> SimulatedHost:
    return SimulatedHost(watched.world.host.endpoint.uri)


def test_a_pass_keeps_what_runs_and_is_ours(watched: Watched) -> None:
    hand(watched).add_foreign("not ours")
    hand(watched).work(watched.instance.pk, cpu_ns=7 * 10**9, rx_bytes=1500, rx_packets=1)
    measure_host(watched.world.host.pk)
    sample = Sample.objects.get()
    assert (sample.domain, sample.cpu_ns, sample.rx_bytes, sample.vcpus) == (watched.instance.pk, 7 * 10**9, 1500, 1)
    assert sample.memory_bytes == 256 * 2**20 and sample.used_bytes < sample.memory_bytes
    row = MeasuringPass.objects.get()
    assert (row.host, row.domains, row.fault, row.passes, row.failures) == (watched.world.host, 1, "", 1, 0)
    assert Due.objects.get().at == sample.at.replace(second=0, microsecond=0)
    hand(watched).power_off_from_inside(watched.instance.pk)
    measure_host(watched.world.host.pk)
    assert Sample.objects.count() == 1 and MeasuringPass.objects.get().domains == 0


def test_a_host_tells_nothing_of_what_others_run(watched: Watched) -> None:
    endpoint = Endpoint.objects.create(name="other", driver="simulated", uri="simulated:memory/other")
    other = Host.objects.create(region=watched.world.region, zone=watched.world.zone, name="other", endpoint=endpoint)
    measuring.keep(other, [Measurement(str(watched.instance.pk), 1, *[0] * 9, None, None, None)])
    assert not Sample.objects.exists() and not Due.objects.exists()
    assert MeasuringPass.objects.get(host=other).domains == 0


def test_numbers_beyond_what_a_column_holds_do_not_lose_the_others(watched: Watched) -> None:
    watched.tell(0, rx_bytes=2**64 - 1, cpu_ns=5)
    assert Sample.objects.values_list("rx_bytes", "cpu_ns").get() == (measuring.MOST, 5)


def test_a_guest_that_was_busy_makes_no_peak(watched: Watched) -> None:
    """libvirt then says of its disks only how many there are; they have read 10 GB, and go on at 1,000 bytes a second."""
    domain = SomeDomain()
    domain.uuid = watched.instance.pk
    for number, is_busy in enumerate((False, False, True, False)):
        facts = said(2, 1) | {"block.1.rd.bytes": 10**10 + 15_000 * number}
        if is_busy:
            facts = {name: value for name, value in facts.items() if name == "block.count" or not name.startswith("block.")}
        measuring.keep(watched.world.host, measured([(domain, facts)]), at=watched.now + timedelta(seconds=15 * number))
    points = read(watched.instance.pk, Question(start=watched.now, end=watched.now + timedelta(minutes=1), step_s=15))
    assert [point.disk_read_bytes for point in points] == [None, 1000.0, 1000.0]
    roll_up()
    assert Minute.objects.get().read_bytes == 45_000


def test_a_host_that_fails_is_noted_and_one_that_is_away_is_not_asked(watched: Watched) -> None:
    host = watched.world.host
    hand(watched).fail("measurements", kind="hang", times=1)
    measure_host(host.pk)
    row = MeasuringPass.objects.get()
    assert (row.failures, row.fault, row.fault_text) == (1, "no answer in time", "no answer in time")
    measure_host(host.pk)
    row.refresh_from_db()
    assert (row.passes, row.failures, row.fault, row.domains) == (2, 1, "", 1)
    Host.objects.filter(pk=host.pk).update(health=Host.Health.UNREACHABLE)
    measure_host(host.pk)
    assert MeasuringPass.objects.get().passes == 2


def test_every_host_that_answers_is_rung_for_in_its_region(watched: Watched, monkeypatch) -> None:
    rung = []
    monkeypatch.setattr(tasks.measure, "apply_async", lambda **options: rung.append((options["args"], options["queue"])))
    tasks.measure_all()
    assert rung == [([str(watched.world.host.pk)], watched.world.region.queue)]
    maintenance.begin()
    tasks.measure_all()
    Host.objects.update(health=Host.Health.UNREACHABLE)
    maintenance.end()
    tasks.measure_all()
    assert len(rung) == 1


def test_two_passes_over_one_host_do_not_overlap(watched: Watched) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [measuring._key(watched.world.host.pk)])
        other = threading.Thread(target=_measure_elsewhere, args=(watched.world.host.pk,))
        other.start()
        other.join(10)
        cursor.execute("SELECT pg_advisory_unlock(%s)", [measuring._key(watched.world.host.pk)])
    assert not MeasuringPass.objects.exists()


def _measure_elsewhere(pk) -> None:
    try:
        measure_host(pk)
    finally:
        connections.close_all()


def test_a_pass_that_is_killed_anywhere_leaves_all_of_its_samples_or_none(watched: Watched) -> None:
    make_instance(watched.world, "second")
    seen = set()
    for point in range(1, 40):
        Sample.objects.all().delete()
        Due.objects.all().delete()
        MeasuringPass.objects.all().delete()
        survived = _killed_at(point, watched.world.host.pk)
        left = (Sample.objects.count(), Due.objects.count(), MeasuringPass.objects.count())
        seen.add(left)
        assert left in ((0, 0, 0), (2, 1, 1)), f"at point {point}"
        if survived:
            break
    assert survived and seen == {(0, 0, 0), (2, 1, 1)} and point > 8
    measure_host(watched.world.host.pk)
    assert Sample.objects.count() == 4  # nothing that was killed is in the way


def _killed_at(number: int, host) -> bool:
    connections.close_all()
    child = os.fork()
    if child == 0:
        passed = 0

        def count(_what: str) -> None:
            nonlocal passed
            passed += 1
            if passed >= number:
                os._exit(137)

        code = 1
        try:
            crash.arm(count)
            with connection.execute_wrapper(crash.statement_wrapper):
                measure_host(host)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_who_sums_up_waits_for_a_pass_that_is_being_written(watched: Watched) -> None:
    """Else its samples would be in no minute."""
    watched.tell(5)
    watched.tell(20, cpu_ns=10**9)
    summing = threading.Thread(target=_sum_up_elsewhere)
    with transaction.atomic():
        watched.tell(35, cpu_ns=3 * 10**9)
        summing.start()
        summing.join(0.3)
        assert summing.is_alive()
    summing.join(10)
    assert Minute.objects.get().cpu_ns == 3 * 10**9 and not Due.objects.exists()


def _sum_up_elsewhere() -> None:
    try:
        roll_up(database_now() + timedelta(minutes=1))
    finally:
        connections.close_all()
