"""Rates and sums: nothing negative, no giant peak, and what is summed up quickly is what slow arithmetic finds."""
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections, transaction

from compute.monitoring import partitions
from compute.monitoring.measuring import COUNTERS
from compute.monitoring.models import Day, Due, Hour, Minute, Sample
from compute.monitoring.reading import Question, read
from compute.monitoring.rollup import roll_up, sum_up
from compute.monitoring.series import DAYS, GAP_S, HOURS, MINUTES, SAMPLES, SERIES
from portal.kernel.states import database_now
from tests.monitoring.conftest import Watched, make_instance

STORY = (  # seconds, epoch, cpu_ns: what follows from it, in percent of its one vCPU
    (0, 1, 5 * 10**9, None), (15, 1, 12_500_000_000, 50.0), (30, 1, 12_500_000_000, 0.0),
    (45, 2, 90 * 10**9, None),  # it was started anew, and has used more since than before
    (60, 2, 93 * 10**9, 20.0), (75, 2, 10**9, None),  # the counter went back
    (90, 2, 4 * 10**9, 20.0), (90 + GAP_S + 1, 2, 400 * 10**9, None),  # nobody knows what was between
    (240, 2, 500 * 10**9, 100.0))  # a hypervisor's own work comes on top of the guest's


def test_restarts_resets_and_silence_make_no_peaks(watched: Watched) -> None:
    for seconds, epoch, cpu_ns, _percent in STORY:
        watched.tell(seconds, epoch=epoch, cpu_ns=cpu_ns)
    points = read(watched.instance.pk, Question(start=watched.now, end=watched.now + timedelta(minutes=10), step_s=15))
    assert [point.cpu_percent for point in points] == [percent for *_facts, percent in STORY]
    roll_up()
    by_minute = read(watched.instance.pk, Question(start=watched.now, end=watched.now + timedelta(minutes=10), step_s=60))
    # (50 + 0) / 2; (20 + 20) / 2; nothing that is whole; 100.
    assert [point.cpu_percent for point in by_minute] == [25.0, 20.0, None, 100.0]
    assert all(point.disk_reads in (None, 0) for point in by_minute)


def test_what_moves_to_another_host_begins_anew(watched: Watched) -> None:
    watched.tell(0, cpu_ns=10**9)
    watched.tell(15, cpu_ns=2 * 10**9)
    Sample.objects.filter(at=watched.now).update(host=UUID(int=1))
    points = read(watched.instance.pk, Question(start=watched.now, end=watched.now + timedelta(minutes=1), step_s=15))
    assert [point.cpu_percent for point in points] == [None, None]


# -- the same by slow arithmetic --

Sums = dict[tuple[UUID, datetime], dict[str, int | None]]


def slowly(step_s: int) -> Sums:
    """Sample by sample, from those in the table."""
    found: Sums = {}
    latest: dict[tuple, Sample] = {}
    for sample in Sample.objects.order_by("at"):
        begin = datetime.fromtimestamp(sample.at.timestamp() // step_s * step_s, UTC)
        sums = found.setdefault((sample.domain, begin), dict.fromkeys(("measured_ms", "vcpu_ms", *COUNTERS), 0))
        for name in ("memory_bytes", "used_bytes", "rss_bytes"):
            told = [value for value in (sums.get(name), getattr(sample, name)) if value is not None]
            sums[name] = max(told) if told else None
        before = latest.get(key := (sample.domain, sample.host, sample.epoch))
        latest[key] = sample
        if before is None:
            continue
        ms = round((sample.at - before.at).total_seconds() * 1000)
        grown = {name: getattr(sample, name) - getattr(before, name) for name in COUNTERS}
        if ms <= GAP_S * 1000 and min(grown.values()) >= 0:
            for name, more in {"measured_ms": ms, "vcpu_ms": ms * sample.vcpus, **grown}.items():
                sums[name] += more
    return found


def kept(model: type) -> Sums:
    names = ("measured_ms", "vcpu_ms", *COUNTERS, "memory_bytes", "used_bytes", "rss_bytes")
    return {(row.domain, row.at): {name: getattr(row, name) for name in names} for row in model.objects.all()}


def tell_at_random(watched: Watched, chance: random.Random, moments: Iterable[float]) -> None:
    """Counters that grow, but for a start here and an accident there."""
    other = make_instance(watched.world, "other")
    for instance in (watched.instance, other):
        epoch, counters = 1, dict.fromkeys(COUNTERS, 0)
        for moment in moments:
            if chance.random() < .05:
                epoch, counters = epoch + 1, dict.fromkeys(COUNTERS, 0)
            counters = {name: max(0, value + chance.randrange(-10, 10**6)) for name, value in counters.items()}
            watched.tell(moment + chance.random(), instance=instance, epoch=epoch, **counters,
                         rss_bytes=chance.randrange(10**9), used_bytes=chance.choice([None, chance.randrange(10**9)]))


def test_sums_are_those_of_slow_arithmetic_in_whatever_order_samples_come(watched: Watched) -> None:
    chance = random.Random(7)
    moments = [15 * number for number in range(160) if chance.random() > .1]
    tell_at_random(watched, chance, moments)
    late = list(Sample.objects.order_by("at")[20:60:3])  # a hole of one minute and another, as samples that come later leave it
    rows = [{field.attname: getattr(one, field.attname) for field in Sample._meta.concrete_fields} for one in late]
    for one in late:
        Sample.objects.filter(pk=one.pk).delete()
    roll_up()
    assert kept(Minute) == slowly(60) and not Due.objects.exists()
    for row in rows:
        Sample.objects.create(**row)
        Due.objects.get_or_create(host=row["host"], at=row["at"].replace(second=0, microsecond=0))
        # What was counted between two samples may end in the next minute.
        Due.objects.get_or_create(host=row["host"], at=row["at"].replace(second=0, microsecond=0) + timedelta(minutes=1))
    for _again in range(2):
        roll_up()
        for model, step_s in ((Minute, 60), (Hour, 3600), (Day, 86400)):
            assert kept(model) == slowly(step_s)
        for minute in {at for _domain, at in kept(Minute)}:
            Due.objects.create(host=watched.world.host.pk, at=minute)


def at_noon(watched: Watched) -> Watched:
    """So that what is told is of one hour and one day, whenever this runs."""
    return replace(watched, now=watched.now.astimezone(UTC).replace(hour=12, minute=0))


def test_longer_steps_are_read_from_the_sums(watched: Watched) -> None:
    watched = at_noon(watched)
    for number in range(9):
        watched.tell(15 * number, cpu_ns=number * 3 * 10**9, write_bytes=number * 15_000, memory_bytes=2**28)
    roll_up(watched.now + timedelta(minutes=5))
    for step_s, series in ((60, MINUTES), (300, MINUTES), (3600, HOURS), (86400, DAYS)):
        assert series.step_s <= step_s
        points = read(watched.instance.pk, Question(start=watched.now - timedelta(days=1), end=watched.now + timedelta(hours=1),
                                                    step_s=step_s))
        assert {(point.cpu_percent, point.disk_write_bytes, point.memory_bytes) for point in points} == {(20.0, 1000.0, 2**28)}
    assert read(UUID(int=0), Question(start=watched.now, end=watched.now + timedelta(hours=1), step_s=60)) == []


def test_a_minute_that_breaks_off_is_summed_up_later(watched: Watched) -> None:
    watched = at_noon(watched)
    after = watched.now + timedelta(minutes=5)
    for number in range(5):
        watched.tell(15 * number, cpu_ns=number)
    with pytest.raises(RuntimeError), connection.execute_wrapper(_fail_at_days):
        roll_up(after)
    assert not Minute.objects.exists() and not Hour.objects.exists() and Due.objects.count() == 2
    assert roll_up(after) == 2 and Day.objects.get().cpu_ns == 4


def _fail_at_days(execute, statement, values, many, context):
    if "monitoring_day" in str(statement):
        raise RuntimeError("the power is gone")
    return execute(statement, values, many, context)


def test_a_minute_that_is_not_over_or_older_than_samples_is_left_alone(watched: Watched, settings) -> None:
    now = watched.now + timedelta(seconds=59)
    watched.tell(0)
    assert roll_up(now) == 0 and Due.objects.count() == 1
    old = watched.now - timedelta(hours=settings.METRICS_RAW_HOURS + 1)
    Due.objects.create(host=watched.world.host.pk, at=old)
    assert roll_up(now + timedelta(minutes=1)) == 1 and not Due.objects.exists()
    assert set(Minute.objects.values_list("at", flat=True)) == {watched.now}


# -- partitions --

FAR = timedelta(days=400)


@pytest.fixture
def noon(watched: Watched) -> Iterator[datetime]:
    """Of today, for which there are all partitions, and none too old, however old the database is; as it is left, too."""
    noon = at_noon(watched).now
    before = {name for series in SERIES for name in partitions.found(series)}
    partitions.make_ahead(noon)
    partitions.drop_old(noon)
    yield noon
    for series in SERIES:
        for name in set(partitions.found(series)) - before:
            _asked("DROP TABLE " + name)
    partitions.make_ahead(database_now())


def test_partitions_are_made_ahead_and_what_waited_for_one_is_taken_along(watched: Watched, noon: datetime) -> None:
    assert partitions.make_ahead(noon) == []
    far = noon + FAR
    watched.tell((far - watched.now).total_seconds(), cpu_ns=7)
    assert _count(partitions.default(SAMPLES)) == 1
    made = partitions.make_ahead(far)
    new = f"monitoring_sample_{far:%Y%m%d}"
    assert new in made and partitions.make_ahead(far) == []
    assert _count(partitions.default(SAMPLES)) == 0 and Sample.objects.get().cpu_ns == 7
    for series in SERIES:
        assert len(partitions.found(series)) > partitions.AHEAD
    # Roll-ups look for a time, of all domains.
    assert _asked("SELECT count(*) FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%USING brin (at)%%'", new) == 1


def test_partitions_go_when_all_that_is_in_them_is_too_old(watched: Watched, noon: datetime) -> None:
    replace(watched, now=noon).tell(0)
    assert partitions.drop_old(noon + timedelta(minutes=10)) == []
    begin = SAMPLES.begin(noon)
    still = SAMPLES.after(begin) + SAMPLES.keep() - timedelta(seconds=1)
    assert f"monitoring_sample_{begin:%Y%m%d}" not in partitions.drop_old(still) and Sample.objects.count() == 1
    gone = partitions.drop_old(still + timedelta(seconds=1))
    assert f"monitoring_sample_{begin:%Y%m%d}" in gone and not any("hour" in name for name in gone)
    assert not Sample.objects.exists()


def test_what_is_too_old_goes_from_the_default_partition_too(watched: Watched, noon: datetime) -> None:
    for age in (FAR, SAMPLES.keep() + FAR):
        replace(watched, now=noon - age).tell(0)
    rest = partitions.default(SAMPLES)
    assert _count(rest) == 2
    partitions.drop_old(noon - FAR + SAMPLES.keep())
    assert _count(rest) == 1
    partitions.drop_old(noon - FAR + SAMPLES.keep() + timedelta(seconds=1))
    assert _count(rest) == 0


@contextmanager
def elsewhere(act: Callable[[], object], until: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Another connection is in the transaction of this act, and ends it when this is so, or with the block."""
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        try:
            with transaction.atomic():
                act()
                begun.set()
                latest = time.monotonic() + 10
                while not over.wait(0.01) and not until() and time.monotonic() < latest:
                    pass
        finally:
            begun.set()
            connections.close_all()

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def _somebody_waits() -> bool:
    return _asked("SELECT count(*) FROM pg_locks JOIN pg_database AS base ON base.oid = pg_locks.database "
                  "WHERE NOT granted AND datname = current_database()") > 0


def test_what_is_just_being_written_to_the_default_partition_is_taken_along(watched: Watched, noon: datetime) -> None:
    far = replace(watched, now=noon + FAR)
    with elsewhere(lambda: far.tell(0, cpu_ns=7), until=_somebody_waits):
        made = partitions.make_ahead(far.now)
    assert f"monitoring_sample_{far.now:%Y%m%d}" in made
    assert _count(partitions.default(SAMPLES)) == 0 and Sample.objects.get().cpu_ns == 7


def test_who_is_in_the_way_of_a_partition_is_not_waited_for(watched: Watched, noon: datetime, monkeypatch) -> None:
    monkeypatch.setattr(partitions, "PATIENCE", "50ms")
    far, name = noon + FAR, f"monitoring_sample_{SAMPLES.begin(noon):%Y%m%d}"
    late = SAMPLES.after(SAMPLES.begin(noon)) + SAMPLES.keep()
    with elsewhere(lambda: _count("monitoring_sample_default")):
        assert not [one for one in partitions.make_ahead(far) if "sample" in one]
    with elsewhere(lambda: _count("monitoring_sample")):
        assert name not in partitions.drop_old(late) and name in partitions.found(SAMPLES)
    with transaction.atomic():  # as in a migration, which goes on as patiently as before
        assert f"monitoring_sample_{far:%Y%m%d}" in partitions.make_ahead(far) and name in partitions.drop_old(late)
        assert _asked("SHOW lock_timeout") == "10s"


def _asked(query: str, *values: object) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query, values or None)
        return cursor.fetchone()[0] if cursor.description else None


def _count(table: str) -> int:
    return _asked("SELECT count(*) FROM " + table)


def test_a_sum_of_a_minute_without_samples_is_none(watched: Watched) -> None:
    sum_up(watched.now)
    assert not Minute.objects.exists() and not Day.objects.exists()
