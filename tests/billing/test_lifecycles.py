"""Any life of a lamp, under any clock, against a small slow program that keeps a tape with one cell a minute.

Messages of its changes come late, twice, or after it is gone; clocks step back; writers are killed at any statement and the
message is sent again. Some thousand changes here, the same every time; `make soak` takes 1,000,000 in ten parts.
What fails is told at once, not made smaller first.
"""
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from portal.kernel.models import Resource
from tests.billing.lamps import READINGS, Lamp, Shop
from tests.soak import SEED, SOAKING

START = datetime(2028, 2, 28, 21, tzinfo=UTC)  # a leap day and the end of a month are near
PARTS, WANTED = (10, 100_000) if SOAKING else (1, 1_200)
SHORTEST, LONGEST = 15, 65
LIVES = WANTED // 30  # somewhat more than the middle of both would need
METERS = ("lamp", "lamp.oil")
delivered: Counter[str] = Counter()


@dataclass(frozen=True, kw_only=True)
class Change:
    """A lamp changes (`state`; "gone": it is removed) `step` minutes after the one before. The message of it is overtaken
    by the next `late` ones, comes `again`, and its writer dies before statement number `killed_at` (0: it does not)."""

    state: str
    step: int
    late: int
    again: bool
    killed_at: int


CHANGES = st.builds(
    Change, state=st.sampled_from([*READINGS, *READINGS, "out", "lighting", "lighting", "gone"]), step=st.integers(-4, 9),
    late=st.sampled_from([0, 0, 0, 1, 3]), again=st.sampled_from([False, False, False, True]),
    killed_at=st.integers(0, 11))


@dataclass
class Tape:
    """What is taken in each minute: (SKU, units, number of its opening). The number tells two openings apart."""

    minutes: int
    is_gone: bool = False
    openings: int = 0
    cells: dict[str, list[tuple | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cells = {meter: [None] * self.minutes for meter in METERS}

    def note(self, state: str, minute: int) -> None:
        if state == "lighting" or self.is_gone:
            return
        self.is_gone = state == "gone"
        minute = max(minute, *(self._last_written(cells) for cells in self.cells.values()))
        wanted = {one.meter: (one.sku, one.quantity) for one in READINGS.get(state, ())}
        for meter, cells in self.cells.items():
            taken = cells[minute]
            if (taken and taken[:2]) != wanted.get(meter):
                self.openings += 1
                new = (*wanted[meter], self.openings) if meter in wanted else None
                cells[minute:] = [new] * (self.minutes - minute)

    @staticmethod
    def _last_written(cells: list[tuple | None]) -> int:
        """The latest minute at which something began or ended."""
        return max((minute for minute in range(1, len(cells)) if cells[minute] != cells[minute - 1]), default=0)

    def as_spans(self) -> list[tuple]:
        """(meter, SKU, units, from, to) as intervals would say it; to None: it goes on."""
        spans = []
        for meter, cells in self.cells.items():
            for number in {cell[2] for cell in cells if cell}:
                where = [minute for minute, cell in enumerate(cells) if cell and cell[2] == number]
                end = where[-1] + 1
                spans.append((meter, *cells[where[0]][:2], where[0], end if end < self.minutes else None))
        return sorted(spans, key=str)


class Undo(Exception):
    """Takes back what one example wrote."""


class Killed(OperationalError):
    """As the client of a server sees that its connection is gone."""


@dataclass
class Killer:
    """Ends the transaction before one of its statements."""

    at: int

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        self.at -= 1
        if self.at == 0:
            raise Killed
        return execute(sql, params, many, context)


def _live(shop: Shop, changes: list[Change]) -> None:
    messages = _as_delivered(changes)
    with pytest.raises(Undo), transaction.atomic():
        lamp, tape = shop.lamp(), Tape(minutes=max(minute for _change, minute, _at in messages) + 2)
        for change, minute, killed_at in messages:
            _deliver(lamp, change.state, START + timedelta(minutes=minute), killed_at)
            tape.note(change.state, minute)
            delivered["changes"] += 1
        found = sorted(((meter, sku, quantity, _minutes(start), _minutes(end))
                        for meter, sku, quantity, start, end in lamp.spans), key=str)
        assert found == tape.as_spans()
        assert not (tape.is_gone and [span for span in found if span[4] is None])
        raise Undo


@pytest.mark.parametrize("part", range(PARTS))
def test_every_life_is_recorded_as_it_was(shop: Shop, part: int) -> None:
    @seed(SEED * PARTS + part)
    @settings(max_examples=LIVES, deadline=None, database=None, phases=[Phase.generate], report_multiple_bugs=False,
              suppress_health_check=list(HealthCheck))
    @given(changes=st.lists(CHANGES, min_size=SHORTEST, max_size=LONGEST))
    def lives(changes: list[Change]) -> None:
        _live(shop, changes)

    delivered.clear()
    begun = time.monotonic()
    lives()
    print(f"\n{delivered['changes']:,} changes of {LIVES:,} lamps, {delivered['killed']:,} writers killed: "
          f"{time.monotonic() - begun:.0f} s")
    assert delivered["changes"] >= WANTED
    assert delivered["killed"] >= WANTED / 4


def _as_delivered(changes: list[Change]) -> list[tuple[Change, int, int]]:
    """(change, its minute, killed at) in the order in which the messages come."""
    minute, sent = 0, []
    for number, change in enumerate(changes):
        minute = max(0, minute + change.step)
        sent.append((number + change.late + 0.5 * (change.late > 0), (change, minute, change.killed_at)))
        if change.again:
            sent.append((number + change.late + 2.6, (change, minute, 0)))
    return [message for _turn, message in sorted(sent, key=lambda one: one[0])]


def _deliver(lamp: Lamp, state: str, at: datetime, killed_at: int) -> None:
    if killed_at:
        try:
            with connection.execute_wrapper(Killer(killed_at)), transaction.atomic():
                _change(lamp, state, at)
            return
        except Killed:
            delivered["killed"] += 1
    _change(lamp, state, at)


def _change(lamp: Lamp, state: str, at: datetime) -> None:
    if state != "gone":
        lamp.turn(state, at)
        return
    Resource.objects.filter(pk=lamp.pk).update(deleted_at=at)
    lamp.turn("out", at)


def _minutes(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - START) // timedelta(minutes=1)
