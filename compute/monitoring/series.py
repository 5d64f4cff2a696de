"""The four tables of measurements, finest first: how long their steps are, how they are divided, for how long they are kept."""
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

SAMPLE_S = 15
GAP_S = 120
"""Samples further apart than this tell nothing of what was between them: the host or the guest was away."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """`step_s` is the length of a row in seconds; `unit` (day, month, year) that of a partition."""

    table: str
    step_s: int
    unit: str
    keep: Callable[[], timedelta]

    def begin(self, at: datetime) -> datetime:
        """Where the partition that holds this moment begins."""
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return {"day": midnight, "month": midnight.replace(day=1), "year": midnight.replace(month=1, day=1)}[self.unit]

    def after(self, begin: datetime) -> datetime:
        """Where the partition after the one that begins there begins."""
        return self.begin(begin + {"day": timedelta(days=1), "month": timedelta(days=31), "year": timedelta(days=366)}[self.unit])


SAMPLES = Series(table="monitoring_sample", step_s=SAMPLE_S, unit="day",
                 keep=lambda: timedelta(hours=settings.METRICS_RAW_HOURS))
MINUTES = Series(table="monitoring_minute", step_s=60, unit="day", keep=lambda: timedelta(days=7))
HOURS = Series(table="monitoring_hour", step_s=3600, unit="month", keep=lambda: timedelta(days=90))
DAYS = Series(table="monitoring_day", step_s=86400, unit="year", keep=lambda: timedelta(days=731))  # two years at most
SERIES = (SAMPLES, MINUTES, HOURS, DAYS)


def series_of(step_s: int) -> Series:
    """The coarsest one that steps of this length can be made of."""
    return [one for one in SERIES if one.step_s <= step_s][-1]
