"""What a thing costs: this month so far and an hour from now on, by meter. Read only."""
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from billing import rating
from billing.costs import this_month
from billing.money import Money, together
from billing.prices import HOURS_A_MONTH
from portal.kernel.models import Resource
from portal.kernel.states import database_now

SHOWN_LINES = 100


@dataclass(frozen=True, kw_only=True)
class Meter:
    """One thing on one meter: what it has come to, and what an hour costs now (None: it does not run on this meter now)."""

    resource: rating.Named
    meter: str
    sku: str
    amount: Money
    hourly: Money | None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """A month of some resources; sums by currency, since the organization may have paid in another one until a day of it."""

    month: datetime
    now: datetime
    sum: list[Money]
    hourly: list[Money]
    meters: tuple[Meter, ...]
    lines: tuple[rating.Line, ...]
    count: int

    @property
    def monthly(self) -> list[Money]:
        """What a month of the present hour comes to."""
        return [Money(one.amount * HOURS_A_MONTH, one.currency) for one in self.hourly]


def costs(user: Any, resource: Resource, others: Collection[UUID] = ()) -> Costs | None:
    """Of the resource and others that are a part of it; None for those who may not see usage."""
    if not user.grants.may("usage.view", resource.project_id):
        return None
    now = database_now()
    month = this_month(now)
    lines = rating.lines(rating.Selection(projects=[resource.project_id], resources=[resource.pk, *others]),
                         start=month.start, end=month.end, now=now)
    meters = _meters(lines)
    return Costs(month=month.start, now=now, meters=meters, lines=tuple(lines[:SHOWN_LINES]), count=len(lines),
                 sum=together(line.money for line in lines), hourly=together(one.hourly for one in meters if one.hourly))


def _meters(lines: list[rating.Line]) -> tuple[Meter, ...]:
    """What runs now before what has ended, dearest first."""
    grouped: dict[tuple[UUID, str, str, str], list[rating.Line]] = {}
    for line in lines:
        grouped.setdefault((line.resource.id, line.meter, line.sku, line.currency), []).append(line)
    found = [Meter(resource=group[0].resource, meter=group[0].meter, sku=group[0].sku, hourly=_hourly(group),
                   amount=together(line.money for line in group)[0]) for group in grouped.values()]
    return tuple(sorted(found, key=lambda one: (one.hourly is None, -one.amount.amount, one.meter)))


def _hourly(lines: list[rating.Line]) -> Money | None:
    """Of one currency."""
    runs = [line for line in lines if line.end is None and line.price_per_hour is not None]
    return next(iter(together(Money(line.units * line.price_per_hour, line.currency) for line in runs)), None)
