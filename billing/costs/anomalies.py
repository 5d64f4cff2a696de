"""What yesterday cost much more than usual, by project and service, and the resources that it came from.

Usual is the median of the fourteen days before; somebody known for less than seven of them has nothing usual yet. Days are
UTC's, as rating cuts them.
"""
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median

from billing import rating
from billing.costs.explorer import key_of, service_label, service_of
from billing.money import Money
from portal.kernel.remembered import remembered

ZERO, DAY = Decimal(0), timedelta(days=1)
DAYS, LEAST_KNOWN, TIMES, FLOOR = 14, 7, 3, Decimal(1)
"""FLOOR: what grew by less than that, in any currency, is nobody's trouble."""
MOST, MOST_READ, MOST_NAMED = 10, 100, 3

Key = tuple[rating.Named, str, str]
"""Project, service, currency."""


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A resource, and by how much more it cost than on the mean of the days before."""

    resource: rating.Named
    by: Money


@dataclass(frozen=True, kw_only=True)
class Anomaly:
    """A service in a project cost `amount` on the day, where `usual` is usual. `times` None: usually it costs nothing."""

    day: date
    project: rating.Named
    service: str
    amount: Money
    usual: Money
    grown: tuple[Grown, ...] = ()

    @property
    def times(self) -> Decimal | None:
        return (self.amount.amount / self.usual.amount).quantize(Decimal("0.1")) if self.usual.amount else None

    @property
    def label(self) -> str:
        return service_label(self.service)


def anomalies(selection: rating.Selection, now: datetime) -> tuple[Anomaly, ...]:
    """Of yesterday, what grew most before the rest. One statement, and two more when there are any."""
    return remembered(("anomalies", key_of(selection), now.date()), lambda: _anomalies(selection, now))


def _anomalies(selection: rating.Selection, now: datetime) -> tuple[Anomaly, ...]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = today - DAY
    rows = rating.totals(selection, ("day", "project", "meter"), start=yesterday - DAYS * DAY, end=today, now=now).totals
    found = [one for key, days in _by_key(rows).items() if (one := _unusual(key, days, yesterday.date()))]
    found = sorted(found, key=lambda one: (one.usual.amount - one.amount.amount, one.project.name, one.service))[:MOST]
    return _explained(selection, found, rows, yesterday, now) if found else ()


def _by_key(rows: Iterable[rating.Total]) -> dict[Key, dict[date, Decimal]]:
    found: dict[Key, dict[date, Decimal]] = {}
    for total in rows:
        days = found.setdefault((total.project, service_of(total.meter), total.currency), {})
        days[total.day] = days.get(total.day, ZERO) + total.amount
    return found


def _unusual(key: Key, days: dict[date, Decimal], yesterday: date) -> Anomaly | None:
    """None for what is usual, or known too little. A day without cost counts once there was one with."""
    project, service, currency = key
    since, amount = min(days), days.get(yesterday, ZERO)
    known = [days.get(since + n * DAY, ZERO) for n in range((yesterday - since).days)]
    if len(known) < LEAST_KNOWN:
        return None
    usual = median(known)
    if amount < TIMES * usual or amount - usual < FLOOR:
        return None
    return Anomaly(day=yesterday, project=project, service=service, amount=Money(amount, currency),
                   usual=Money(usual, currency))


def _explained(selection: rating.Selection, found: list[Anomaly], rows: Iterable[rating.Total], yesterday: datetime,
               now: datetime) -> tuple[Anomaly, ...]:
    """Each with the resources that grew most, among the dearest of the day."""
    wanted = {(one.project.id, one.service) for one in found}
    narrow = replace(selection, projects={pk for pk, _service in wanted}, organization=None, meters={
        total.meter for total in rows if (total.project.id, service_of(total.meter)) in wanted})
    groups = ("project", "meter", "resource")
    dear = rating.totals(narrow, groups, start=yesterday, end=yesterday + DAY, now=now, limit=MOST_READ,
                         dearest_first=True).totals
    before = rating.totals(replace(narrow, resources={total.resource.id for total in dear}), groups,
                           start=yesterday - DAYS * DAY, end=yesterday, now=now).totals
    return tuple(replace(one, grown=_grown(one, dear, before)) for one in found)


def _grown(anomaly: Anomaly, dear: Iterable[rating.Total], before: Iterable[rating.Total]) -> tuple[Grown, ...]:
    sums: dict[rating.Named, Decimal] = {}
    for totals, share in ((dear, Decimal(1)), (before, Decimal(-1) / DAYS)):
        for total in totals:
            if (total.project.id, service_of(total.meter), total.currency) == (
                    anomaly.project.id, anomaly.service, anomaly.amount.currency):
                sums[total.resource] = sums.get(total.resource, ZERO) + total.amount * share
    named = sorted(((amount, resource) for resource, amount in sums.items() if amount > 0),
                   key=lambda pair: (-pair[0], pair[1].name, pair[1].id))
    return tuple(Grown(resource=resource, by=Money(amount, anomaly.amount.currency)) for amount, resource in named[:MOST_NAMED])
