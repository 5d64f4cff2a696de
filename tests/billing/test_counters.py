"""Counters: what goes in, what is refused and why, and the usage that follows, whatever the order in which samples come."""
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from billing import counters
from billing.counters import Ingested, Reason, Sample
from billing.models import Counter, CounterSample
from portal.kernel.declarations import COUNTER, Meter, registry
from portal.kernel.models import Resource
from tests.billing.lamps import Lamp, Shop
from tests.cast import make_cast
from tests.soak import SEED, SOAKING

TEN = datetime(2026, 11, 3, 10, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = TEN + DAY


@pytest.fixture(autouse=True)
def moths_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole cost of a new counter: one declaration."""
    monkeypatch.setattr(registry, "meters", dict(registry.meters))
    for name in ("moths", "flies"):
        registry.add(Meter(name=f"lamp.{name}", label=name, unit=name, price_unit=name, kind=COUNTER))


@pytest.fixture
def lamp(shop: Shop) -> Lamp:
    return old(shop.lamp())


def old(lamp: Lamp) -> Lamp:
    """A lamp made at ten o'clock."""
    Resource.objects.filter(pk=lamp.pk).update(created_at=TEN)
    return lamp


def seen(lamp: Lamp, minute: float, value: int, *, epoch: int = 1, meter: str = "lamp.moths", sku: str = "grey") -> Sample:
    return Sample(lamp.pk, meter, sku, epoch, TEN + minute * MINUTE, value)


def send(*samples: Sample, now: datetime = NOW) -> Ingested:
    return counters.ingest(samples, now=now)


def reasons(found: Ingested) -> list[str]:
    return [refusal.reason for refusal in found.refused]


def hours(lamp: Lamp, start: datetime = TEN - DAY, end: datetime = TEN + 30 * DAY, **chosen: object) -> dict[int, int]:
    """Hour after ten → what was counted in it."""
    query, values = counters.usage(start=start, end=end, **({"projects": None, "resources": [lamp.pk]} | chosen))
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return {(row[5] - TEN) // HOUR: int(row[6]) for row in sorted(cursor.fetchall(), key=lambda row: row[5])}


def test_usage_is_what_the_counter_grew_by_in_the_hour_of_the_later_sample(lamp: Lamp) -> None:
    assert send(seen(lamp, 5, 100), seen(lamp, 30, 130), seen(lamp, 65, 170)) == Ingested(added=3, refused=[])
    assert hours(lamp) == {0: 130, 1: 40}


def test_the_sums_say_whose_they_are(lamp: Lamp) -> None:
    send(seen(lamp, 5, 100))
    query, values = counters.usage(start=TEN, end=NOW, projects=[lamp.project_id])
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        assert cursor.fetchall() == [(lamp.pk, lamp.project_id, lamp.region_id, "lamp.moths", "grey", TEN, 100)]
    assert hours(lamp, projects=[uuid4()]) == {} == hours(lamp, projects=[])


def test_a_period_begins_where_the_one_before_ended(lamp: Lamp) -> None:
    send(seen(lamp, 5, 100), seen(lamp, 59, 130), seen(lamp, 60, 131), seen(lamp, 90, 170))
    assert hours(lamp, end=TEN + HOUR) == {0: 130}
    assert hours(lamp, start=TEN + HOUR) == {1: 40}


def test_an_epoch_begins_at_nothing(lamp: Lamp) -> None:
    """The host booted: what its counter shows then has been counted since."""
    send(seen(lamp, 5, 100), seen(lamp, 70, 30, epoch=2), seen(lamp, 130, 35, epoch=2))
    assert hours(lamp) == {0: 100, 1: 30, 2: 5}


def test_a_batch_that_comes_again_adds_no_row(lamp: Lamp) -> None:
    batch = [seen(lamp, 5, 100), seen(lamp, 30, 130), seen(lamp, 30, 130)]
    assert [send(*batch).added, send(*batch).added, send(*reversed(batch)).added] == [2, 0, 0]
    assert (CounterSample.objects.count(), Counter.objects.count()) == (2, 1)


def test_a_sample_that_comes_late_is_put_in_its_place(lamp: Lamp) -> None:
    send(seen(lamp, 125, 300))
    assert hours(lamp) == {2: 300}
    send(seen(lamp, 65, 200), seen(lamp, 5, 100))
    assert hours(lamp) == {0: 100, 1: 100, 2: 100}


def test_meters_and_resources_are_counted_apart(shop: Shop, lamp: Lamp) -> None:
    other = old(shop.lamp("other"))
    send(seen(lamp, 5, 100), seen(other, 6, 7), seen(lamp, 7, 3, meter="lamp.flies", sku="fat"))
    assert hours(other) == {0: 7}
    query, values = counters.usage(start=TEN, end=NOW, projects=None, resources=[lamp.pk])
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        assert sorted((row[3], row[4], row[6]) for row in cursor.fetchall()) == [
            ("lamp.flies", "fat", 3), ("lamp.moths", "grey", 100)]


def test_what_cannot_be_is_refused_with_its_reason_and_the_rest_goes_in(shop: Shop, lamp: Lamp) -> None:
    gone = old(shop.lamp("gone"))
    Resource.objects.filter(pk=gone.pk).update(deleted_at=TEN + HOUR)
    after = (NOW - TEN) / MINUTE
    batch = [seen(lamp, 1, 10), seen(lamp, 2, -1), seen(lamp, after + 5.1, 50), seen(lamp, after + 5, 40), seen(gone, 59, 5),
             seen(gone, 61, 6), seen(lamp, 3, 1, meter="lamp"), seen(lamp, 3, 1, meter="lamp.bats"), seen(lamp, 3, 2**63),
             seen(lamp, 3, 11, epoch=-2**64), Sample(uuid4(), "lamp.moths", "grey", 1, TEN, 5), seen(lamp, -5.1, 1),
             seen(lamp, 4, 12), seen(lamp, 5, 12, sku="white")]
    found = send(*batch)
    assert found.added == 4
    assert {batch.index(sample): reason for sample, reason in found.refused} == {
        1: Reason.NEGATIVE, 2: Reason.FUTURE, 5: Reason.GONE, 6: Reason.METER, 7: Reason.METER, 8: Reason.TOO_BIG,
        9: Reason.TOO_BIG, 10: Reason.UNKNOWN, 11: Reason.EARLY, 13: Reason.SKU}
    assert (hours(lamp), hours(gone)) == ({0: 12, 24: 28}, {0: 5})


def test_a_value_never_falls_within_its_epoch(lamp: Lamp) -> None:
    send(seen(lamp, 10, 100), seen(lamp, 20, 200))
    assert reasons(send(seen(lamp, 30, 199))) == ["falls"]  # after everything known
    assert reasons(send(seen(lamp, 15, 99), seen(lamp, 16, 201), seen(lamp, 17, 150))) == ["falls", "falls"]  # in between
    assert reasons(send(seen(lamp, 40, 300), seen(lamp, 41, 299), seen(lamp, 42, 301))) == ["falls"]  # in the batch itself
    assert hours(lamp) == {0: 301}


def test_of_two_values_for_one_moment_there_is_one(lamp: Lamp) -> None:
    assert reasons(send(seen(lamp, 10, 100), seen(lamp, 10, 101), seen(lamp, 11, 101))) == ["falls"]
    assert reasons(send(seen(lamp, 10, 100))) == ["contradicted"]
    assert hours(lamp) == {0: 101}


def test_nothing_is_no_batch(lamp: Lamp) -> None:
    assert send() == Ingested(added=0, refused=[])


# -- against a slow model --

@dataclass
class Ledger:
    """What is known of each epoch: minute → value, as one would keep it by hand."""

    epochs: dict[int, dict[int, int]] = field(default_factory=dict)

    def note(self, batch: list[tuple[int, int, int]]) -> tuple[int, list[str]]:
        """(how many are new, why others are refused). What is on record decides first, then the batch in its order."""
        refused, open_, added = {}, [], 0
        for number, (epoch, minute, value) in enumerate(batch):
            known = dict(self.epochs.get(epoch, {}))
            if minute in known:
                if known[minute] != value:
                    refused[number] = "contradicted"
            elif any(value < other if before < minute else value > other for before, other in known.items()):
                refused[number] = "falls"
            else:
                open_.append((minute, -value, number))
        for minute, value, number in sorted(open_):
            values = self.epochs.setdefault(batch[number][0], {})
            fresh = [taken for other, taken in values.items() if other <= minute]
            if any(-value < taken for taken in fresh):
                refused[number] = "falls"
            else:
                added += minute not in values
                values[minute] = -value
        return added, [refused[number] for number in sorted(refused)]

    @property
    def hours(self) -> dict[int, int]:
        sums: dict[int, int] = {}
        for values in self.epochs.values():
            for (_minute, before), (minute, value) in pairwise([(0, 0), *sorted(values.items())]):
                sums[minute // 60] = sums.get(minute // 60, 0) + value - before
        return {hour: total for hour, total in sorted(sums.items()) if total}


class Undo(Exception):
    """Takes back what one example wrote."""


SAMPLES = st.tuples(st.integers(1, 2), st.integers(0, 200), st.integers(0, 12))


@st.composite
def batches(draw: st.DrawFn) -> list[list[tuple[int, int, int]]]:
    """A true story of growing counters, cut into batches, sent out of order and some of it again; and some that is not true."""
    story, minute, values = [], 0, {1: 0, 2: 0}
    for epoch, step, growth in draw(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 50), st.integers(0, 9)), max_size=14)):
        minute += step
        values[epoch] += growth
        story.append((epoch, minute, values[epoch]))
    again = draw(st.lists(st.sampled_from(story), max_size=5)) if story else []
    order = draw(st.permutations([*story, *again, *draw(st.lists(SAMPLES, max_size=4))]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    return [order[start:end] for start, end in pairwise([0, *cuts, len(order)])]


@seed(SEED)
@settings(max_examples=5000 if SOAKING else 80, deadline=None, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
@given(sent=batches())
def test_whatever_comes_in_whatever_order_counts_as_by_hand(shop: Shop, sent: list[list[tuple[int, int, int]]]) -> None:
    with pytest.raises(Undo), transaction.atomic():
        lamp, ledger = old(shop.lamp()), Ledger()
        for batch in sent:
            found = send(*(seen(lamp, minute, value, epoch=epoch) for epoch, minute, value in batch))
            assert (found.added, reasons(found)) == ledger.note(batch)
        assert hours(lamp) == ledger.hours
        raise Undo


@pytest.mark.django_db(transaction=True)
def test_two_batches_at_once_know_of_each_other() -> None:
    """Both were true by themselves; the second to go in sees that one of its samples would make a value fall."""
    lamp = old(Shop(cast=make_cast(), book=None).lamp())
    send(seen(lamp, 1, 1))  # what is waited for later is not the counter's own row
    first_wrote, found = threading.Event(), []

    def second() -> None:
        try:
            first_wrote.wait(5)
            found.append(send(seen(lamp, 7, 3), seen(lamp, 9, 101)))  # waits for the first one's commit
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        send(seen(lamp, 5, 100))
        first_wrote.set()
        thread.join(0.5)
        assert thread.is_alive()  # it does wait
    thread.join(10)
    assert [(one.added, reasons(one)) for one in found] == [(1, ["falls"])]
    assert hours(lamp) == {0: 101}
