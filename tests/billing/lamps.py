"""A made-up resource kind: a lamp burns small or big, with or without oil, and says so as every billed kind does."""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import metering
from billing.models import PriceBook, UsageInterval
from portal.kernel.declarations import Reading, ResourceKind
from portal.kernel.models import Resource
from portal.kernel.states import Stateful
from tenants.models import Project
from tests.cast import Cast

KIND = ResourceKind(name="lamp", label="Lamp", label_plural="Lamps", permission="usage.view")
SMALL = Reading(meter="lamp", sku="small", quantity=Decimal(1))
BIG = Reading(meter="lamp", sku="big", quantity=Decimal(1))
OIL = Reading(meter="lamp.oil", sku="whale", quantity=Decimal("2.5"))
READINGS = {"small": (SMALL,), "big": (BIG,), "oil": (SMALL, OIL), "more_oil": (
    SMALL, Reading(meter="lamp.oil", sku="whale", quantity=Decimal(4)))}


class Lamp(Resource):
    """No table of its own: what it meters follows from the state's name alone."""

    KIND = "lamp"
    METERED = {**dict.fromkeys(READINGS, True), "out": False}  # and "lighting" keeps what was

    class Meta:
        proxy = True
        app_label = "kernel"

    meters = Stateful.meters

    def readings(self, state: str) -> Iterable[Reading]:
        return READINGS[state]

    def turn(self, state: str, at: datetime) -> None:
        """What `move_to` does after its compare-and-swap."""
        metering.on_move(self, "?", state, at)

    @property
    def spans(self) -> list[tuple[str, str, Decimal, datetime, datetime | None]]:
        rows = UsageInterval.objects.filter(resource_id=self.pk).order_by("start", "meter")
        return [(row.meter, row.sku, row.quantity, row.period.lower, row.period.upper) for row in rows]


@dataclass
class Shop:
    """Where lamps are made."""

    cast: Cast
    book: PriceBook

    def lamp(self, name: str = "lamp", *, project: Project | None = None, **fields: object) -> Lamp:
        return Lamp.objects.create(project=project or self.cast.project, region=self.cast.region, name=name, **fields)

    def burnt(self, lamp: Lamp, start: datetime, end: datetime | None, *, reading: Reading = SMALL) -> UsageInterval:
        """Usage as metering would have left it."""
        return UsageInterval.objects.create(
            resource_id=lamp.pk, project_id=lamp.project_id, region_id=lamp.region_id, meter=reading.meter,
            sku=reading.sku, quantity=reading.quantity, period=DateTimeTZRange(start, end))
