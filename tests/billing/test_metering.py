"""Usage follows states: what is opened, closed, kept and clamped."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import metering
from billing.models import UsageInterval
from portal.kernel.declarations import COUNTER, Meter, Reading, registry
from portal.kernel.models import Resource
from tests.billing.lamps import Shop

TEN = datetime(2026, 11, 3, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ONE = Decimal(1)


def test_a_lamp_is_metered_from_burning_to_out(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("small", TEN)
    assert lamp.spans == [("lamp", "small", ONE, TEN, None)]
    lamp.turn("out", TEN + MINUTE)
    assert lamp.spans == [("lamp", "small", ONE, TEN, TEN + MINUTE)]


def test_a_state_that_says_nothing_keeps_what_was_metered(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("lighting", TEN)
    assert lamp.spans == []
    lamp.turn("small", TEN)
    lamp.turn("lighting", TEN + MINUTE)
    assert lamp.spans == [("lamp", "small", ONE, TEN, None)]


def test_a_change_closes_and_opens_at_the_same_instant_and_leaves_other_meters_alone(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("oil", TEN)
    lamp.turn("more_oil", TEN + MINUTE)
    assert lamp.spans == [("lamp", "small", ONE, TEN, None), ("lamp.oil", "whale", Decimal("2.5"), TEN, TEN + MINUTE),
                          ("lamp.oil", "whale", Decimal(4), TEN + MINUTE, None)]


def test_saying_it_again_changes_nothing(shop: Shop) -> None:
    lamp = shop.lamp()
    for later in range(3):
        lamp.turn("oil", TEN + later * MINUTE)
    before = list(UsageInterval.objects.order_by("pk").values())
    lamp.turn("oil", TEN)
    assert list(UsageInterval.objects.order_by("pk").values()) == before
    assert len(before) == 2


def test_a_clock_that_steps_back_neither_overlaps_nor_leaves_a_gap(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("small", TEN)
    lamp.turn("big", TEN + 5 * MINUTE)
    lamp.turn("oil", TEN + 2 * MINUTE)
    assert lamp.spans == [("lamp", "small", ONE, TEN, TEN + 5 * MINUTE),
                          ("lamp", "small", ONE, TEN + 5 * MINUTE, None),
                          ("lamp.oil", "whale", Decimal("2.5"), TEN + 5 * MINUTE, None)]


def test_what_would_be_empty_is_removed(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("small", TEN)
    lamp.turn("out", TEN)
    assert lamp.spans == []


def test_a_resource_that_moved_to_another_project_is_billed_there_from_then_on(shop: Shop) -> None:
    lamp = shop.lamp()
    lamp.turn("small", TEN)
    lamp.project = shop.cast.rival_project
    lamp.turn("small", TEN + MINUTE)
    rows = UsageInterval.objects.order_by("start").values_list("project_id", "period")
    assert [project for project, _period in rows] == [shop.cast.project.pk, shop.cast.rival_project.pk]
    assert rows[0][1].upper == rows[1][1].lower


def test_nothing_taken_is_nothing_metered(shop: Shop) -> None:
    lamp = shop.lamp()
    metering.settle(lamp, [Reading(meter="lamp", sku="small", quantity=Decimal(0))], at=TEN)
    assert lamp.spans == []


@pytest.mark.parametrize("readings", [
    [Reading(meter="unheard.of", sku="x", quantity=ONE)],
    [Reading(meter="lamp", sku="small", quantity=ONE), Reading(meter="lamp", sku="big", quantity=ONE)],
])
def test_readings_that_make_no_sense_are_a_programmers_error(shop: Shop, readings: list[Reading]) -> None:
    lamp = shop.lamp()
    with pytest.raises(ValueError, match=r"meter|readings"):
        metering.settle(lamp, readings, at=TEN)
    assert lamp.spans == []


def test_rows_that_are_nobodys_resource_are_not_metered(shop: Shop) -> None:
    metering.on_move(shop.cast.project, "?", "small", TEN)
    assert not UsageInterval.objects.exists()


def test_billing_listens_to_every_move() -> None:
    assert registry.move_hooks.count(metering.on_move) == 1


def test_nothing_is_metered_of_what_is_gone(shop: Shop) -> None:
    """A message that comes late opens nothing, and whatever was left open ends."""
    lamp = shop.lamp()
    lamp.turn("small", TEN)
    Resource.objects.filter(pk=lamp.pk).update(deleted_at=TEN + MINUTE)
    lamp.turn("oil", TEN + MINUTE)
    assert lamp.spans == [("lamp", "small", ONE, TEN, TEN + MINUTE)]


def test_a_counter_has_no_duration(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.meters, "lamp.moths", Meter(
        name="lamp.moths", label="Moths", unit="moth", price_unit="moth", kind=COUNTER))
    with pytest.raises(ValueError, match="durations"):
        metering.settle(shop.lamp(), [Reading(meter="lamp.moths", sku="grey", quantity=ONE)], at=TEN)
