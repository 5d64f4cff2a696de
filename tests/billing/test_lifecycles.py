"""Any life of a lamp, under any clock, against a small slow program that keeps lists of minutes."""
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.billing.lamps import READINGS, Shop

START = datetime(2026, 11, 3, tzinfo=UTC)
EVENTS = st.lists(st.tuples(st.sampled_from([*READINGS, "out", "lighting"]), st.integers(-4, 9)), max_size=25)


@dataclass
class Diary:
    """What should be on record: closed spans, and what burns since when."""

    closed: list[tuple] = field(default_factory=list)
    burning: dict[str, tuple] = field(default_factory=dict)

    def note(self, state: str, minute: int) -> None:
        if state == "lighting":
            return
        known = [span[3] for span in self.closed] + [span[4] for span in self.closed]
        minute = max([minute, *known, *(span[3] for span in self.burning.values())])
        wanted = {one.meter: (one.meter, one.sku, one.quantity) for one in READINGS.get(state, ())}
        for meter, span in list(self.burning.items()):
            if wanted.get(meter) != span[:3]:
                del self.burning[meter]
                if span[3] < minute:
                    self.closed.append((*span, minute))
        for meter, said in wanted.items():
            self.burning.setdefault(meter, (*said, minute))

    @property
    def spans(self) -> set[tuple]:
        return {*self.closed, *((*span, None) for span in self.burning.values())}


class Undo(Exception):
    """Takes back what one example wrote."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS)
def test_every_life_is_recorded_as_it_was(shop: Shop, events: list[tuple[str, int]]) -> None:
    with pytest.raises(Undo), transaction.atomic():
        lamp, diary, minute = shop.lamp(), Diary(), 0
        for state, step in events:
            minute += step
            lamp.turn(state, START + timedelta(minutes=minute))
            diary.note(state, minute)
        found = {(meter, sku, quantity, _minutes(start), _minutes(end))
                 for meter, sku, quantity, start, end in lamp.spans}
        assert found == diary.spans
        assert len(found) == len(lamp.spans)
        raise Undo


def _minutes(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - START) // timedelta(minutes=1)
