"""The one writer of usage intervals. `Stateful.move_to` calls `on_move` in the transaction of the change.

The clock of a resource's usage never goes back: a moment before anything already written for the resource is clamped
to it, so that intervals of one meter never overlap and consecutive ones touch; what would be empty is removed. Nothing
is metered of a resource that is gone, whoever still asks for it. No price and no amount is known here.
"""
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Max

from billing.models import UsageInterval
from portal.kernel.declarations import DURATION, Reading, registry
from portal.kernel.models import Resource

STEP = Decimal("0.000001")  # the scale of UsageInterval.quantity


def on_move(row: object, _old: str, new: str, at: datetime) -> None:
    """Meter what the new state meters; a state that says nothing keeps what was metered before."""
    if not isinstance(row, Resource):
        return
    metered = row.meters(new)
    if metered is not None:
        settle(row, row.readings(new) if metered else (), at=at)


@transaction.atomic
def settle(resource: Resource, readings: Iterable[Reading], *, at: datetime) -> None:
    """From `at` on the resource takes exactly `readings`; open intervals that say so already are left alone.

    Also the way to change quantity or SKU of something that keeps its state. Repeating it changes nothing.
    """
    wanted = _by_meter(readings)
    # Whoever comes by another way than `move_to` (which has the row) waits here.
    if Resource.objects.select_for_update(no_key=True).get(pk=resource.pk).deleted_at is not None:
        wanted = {}
    mine = UsageInterval.objects.filter(resource_id=resource.pk)
    kept, ended = set(), []
    for interval in mine.running():
        if interval.meter in wanted and _says(interval, resource, wanted[interval.meter]):
            kept.add(interval.meter)
        else:
            ended.append(interval)
    if not ended and len(kept) == len(wanted):
        return
    moment = _not_before(mine, at)
    for interval in ended:
        _close(interval, moment)
    UsageInterval.objects.bulk_create(
        UsageInterval(resource_id=resource.pk, project_id=resource.project_id, region_id=resource.region_id,
                      meter=one.meter, sku=one.sku, quantity=one.quantity, period=DateTimeTZRange(moment, None))
        for meter, one in wanted.items() if meter not in kept)


def _by_meter(readings: Iterable[Reading]) -> dict[str, Reading]:
    """meter → reading at the stored scale; nothing taken is nothing metered."""
    wanted: dict[str, Reading] = {}
    for one in readings:
        declared = registry.meters.get(one.meter)
        if declared is None or declared.kind != DURATION:
            raise ValueError(f"meter {one.meter} is not declared, or not one of durations")
        if one.meter in wanted:
            raise ValueError(f"two readings of {one.meter}")
        quantity = Decimal(one.quantity).quantize(STEP)
        if quantity:
            wanted[one.meter] = Reading(meter=one.meter, sku=one.sku, quantity=quantity)
    return wanted


def _not_before(intervals, at: datetime) -> datetime:
    """`at`, or the latest moment already written when the clock stepped back."""
    last = intervals.aggregate(start=Max("period__startswith"), end=Max("period__endswith"))
    return max(moment for moment in (at, last["start"], last["end"]) if moment is not None)


def _says(interval: UsageInterval, resource: Resource, reading: Reading) -> bool:
    return ((interval.sku, interval.quantity, interval.project_id, interval.region_id)
            == (reading.sku, reading.quantity, resource.project_id, resource.region_id))


def _close(interval: UsageInterval, moment: datetime) -> None:
    if moment <= interval.period.lower:
        interval.delete()
        return
    interval.period = DateTimeTZRange(interval.period.lower, moment)
    interval.save(update_fields=["period"])
