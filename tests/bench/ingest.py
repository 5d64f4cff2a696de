"""Batches of counter samples on their way in, beside binary COPY of the same rows into a like table without keys; and the
same batches once more, which add nothing."""
import time
from datetime import timedelta

from tests.bench import databases
from tests.bench.figures import Figure, duration, ratio

RESOURCES, SAMPLES_EACH, ROUNDS, GOAL = 1000, 100, 5, 0.25
STEP = timedelta(minutes=5)
LIKE = """CREATE TABLE bare (resource_id uuid, meter text, sku text, epoch bigint, at timestamptz, value bigint,
                              project_id uuid, region_id uuid)"""
COPY = "COPY bare FROM STDIN (FORMAT binary)"
TYPES = ("uuid", "text", "text", "int8", "timestamptz", "int8", "uuid", "uuid")


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        cast, resources = _fill()
        rounds = [_round(cast, resources, number) for number in range(ROUNDS + 1)][1:]  # the first one warms up
    bare, first, again, added = zip(*rounds, strict=True)
    rows = RESOURCES * SAMPLES_EACH
    speed, twice = ratio(bare, first), sum(pair[1] for pair in added)
    return [
        Figure(name=f"ingest: {rows:,} samples of counters", value=f"{speed:.2f} × as fast ({duration(first)})",
               compared=f"binary COPY without keys ({duration(bare)})", goal=f"≥ {GOAL} ×", met=speed >= GOAL),
        Figure(name="ingest: the same batch again", value=f"{twice} rows ({ratio(bare, again):.2f} ×, {duration(again)})",
               compared=f"{rows:,} rows the first time", goal="adds none",
               met=twice == 0 and all(pair[0] == rows for pair in added)),
    ]


def _fill():
    from portal.kernel.declarations import COUNTER, Meter, registry
    from portal.kernel.models import Resource
    from tests.cast import make_cast

    registry.add(Meter(name="traffic.bench", label="Traffic", unit="byte", price_unit="GiB", kind=COUNTER))
    cast = make_cast()
    made = Resource.objects.bulk_create([Resource(kind="port", project=cast.project, region=cast.region, name=f"r{number}")
                                         for number in range(RESOURCES)])
    databases.analyze()
    return cast, made


def _round(cast, resources, number: int):
    """Seconds of the bare copy, of our first and second time, and how many rows these two added."""
    from billing.counters import Sample, ingest

    begin = resources[0].created_at + number * SAMPLES_EACH * STEP
    now = begin + SAMPLES_EACH * STEP
    # As collectors send it: all counters of one moment, then those of the next.
    batch = [Sample(one.pk, "traffic.bench", "public", 1, begin + turn * STEP, 1500 * (number * SAMPLES_EACH + turn))
             for turn in range(SAMPLES_EACH) for one in resources]
    bare = _copied(batch, cast)
    results = []
    for _time in range(2):
        begun = time.perf_counter()
        found = ingest(batch, now=now)
        results.append((time.perf_counter() - begun, found.added))
        assert not found.refused, found.refused[:3]
    return bare, results[0][0], results[1][0], (results[0][1], results[1][1])


def _copied(batch, cast) -> float:
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bare")
        cursor.execute(LIKE)
    begun = time.perf_counter()
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
        copy.set_types(TYPES)
        for sample in batch:
            copy.write_row((*sample, cast.project.pk, cast.region.pk))
    return time.perf_counter() - begun
