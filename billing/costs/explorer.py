"""Where a month's money goes, by currency: its dearest parts, its days, and how it compares.

Each question is a statement of its own, remembered by itself: the sums by project and meter, of which most parts are made,
come quickly of any number of resources; days, and parts by resource or tag, take longer. Days are UTC's, as rating cuts them;
the month is the issuer's, so that its first and last day may be a part of one.
"""
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.utils.translation import gettext as _

from billing import rating
from billing.costs.forecasting import forecast
from billing.money import Money, together
from billing.periods import Month
from portal.kernel.declarations import registry
from portal.kernel.errors import InvalidInput
from portal.kernel.remembered import remembered

ZERO = Decimal(0)
TOP, MOST_SERIES, LONGEST_TAG = 10, 5, 60
BY = ("project", "service", "meter", "resource")  # and tag:<key>


@dataclass(frozen=True, kw_only=True)
class Question:
    """A month of some usage, seen at `now`."""

    selection: rating.Selection
    month: Month
    now: datetime

    def ask(self, *groups: str, month: Month | None = None) -> tuple[rating.Total, ...]:
        """What rating answers, or answered less than a minute ago."""
        return self.page(*groups, month=month).totals

    def page(self, *groups: str, month: Month | None = None, **options: Any) -> rating.Page:
        """The same of some of the totals."""
        return self.page_at(*groups, month=month, **options)[1]

    def page_at(self, *groups: str, month: Month | None = None, **options: Any) -> tuple[datetime, rating.Page]:
        """The same, and the moment until which it counts."""
        month = month or self.month
        key = ("costs", month, key_of(self.selection), groups, *options.items())
        return remembered(key, lambda: (self.now, rating.totals(
            self.selection, groups, start=month.start, end=month.end, now=self.now, **options)))


@dataclass(frozen=True, kw_only=True)
class Part:
    """What belongs together costs so much. `key` None: what has no such tag."""

    key: str | None
    label: str
    amount: Money
    resource: rating.Named | None = None


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A month in one currency, counted until `at`. `rest`: what all other parts come to; None when these are all."""

    at: datetime
    so_far: Money
    parts: tuple[Part, ...]
    rest: Money | None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A month in one currency, what it comes to, and the one before. `expected` None: it is over."""

    expected: Money | None
    before: Money


@dataclass(frozen=True, kw_only=True)
class Day:
    """`amounts` has one of each of the chart's series."""

    day: date
    total: Money
    amounts: tuple[Money, ...]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """The days of a month in one currency. `series`: what they are divided into; empty: they are not."""

    currency: str
    series: tuple[str, ...]
    days: tuple[Day, ...]


def checked(by: str) -> str:
    """How to divide the month. Raises InvalidInput."""
    tag = by.removeprefix(rating.TAG)
    if by not in BY and not (tag != by and 1 <= len(tag) <= LONGEST_TAG and "\0" not in tag):
        raise InvalidInput.field("by", _("One of {names}, or tag:<name>.").format(names=", ".join(BY)))
    return by


def service_of(meter: str) -> str:
    """What FOCUS calls the service; a meter without one, or one that is gone, is its own."""
    declared = registry.meters.get(meter)
    return declared.service or meter if declared else meter


def service_label(service: str) -> str:
    """Rooms translate the names of their services where they declare their kinds."""
    return meter_label(service) if service in registry.meters else _(service)


def meter_label(meter: str) -> str:
    declared = registry.meters.get(meter)
    return str(declared.label) if declared else meter


def key_of(selection: rating.Selection) -> Hashable:
    """The selection as a key of what is remembered."""
    chosen = (getattr(selection, field.name) for field in fields(rating.Selection))
    return tuple(frozenset(one) if isinstance(one, (set, frozenset, list, tuple)) else one for one in chosen)


def sheets(question: Question, by: str, *, top: int = TOP) -> list[Sheet]:
    """The month by currency, divided as `by` says into its dearest parts. One statement; two by resource or tag."""
    at, all_of_it = question.page_at("project", "meter")
    if by in KEYS:
        found, is_cut = _grouped(KEYS[by], all_of_it.totals), False
    else:
        page = question.page(by, limit=top, dearest_first=True)
        found, is_cut = [_asked_part(total) for total in page.totals], page.count > len(page.totals)
    return [_sheet(at, whole, [part for part in found if part.amount.currency == whole.currency], top, is_cut)
            for whole in together(total.money for total in all_of_it.totals)]


def _sheet(at: datetime, whole: Money, found: list[Part], top: int, is_cut: bool) -> Sheet:
    """`is_cut`: there are more parts than were found, of this or another currency. Both sums may be some seconds old, and not
    the same ones, so that a rest alone says nothing."""
    shown = tuple(found[:top])
    rest = whole.amount - sum((part.amount.amount for part in shown), ZERO)
    has_more = len(found) > top or (is_cut and rest > 0)
    return Sheet(at=at, so_far=whole, parts=shown, rest=Money(rest, whole.currency) if has_more else None)


def _asked_part(total: rating.Total) -> Part:
    if total.resource is not None:
        return Part(key=str(total.resource.id), label=total.resource.name, amount=total.money, resource=total.resource)
    [(_key, value)] = total.tags
    return Part(key=value, label=_("Without this tag") if value is None else value, amount=total.money)


NameOf = Callable[[rating.Total], tuple[str, str]]
KEYS: dict[str, NameOf] = {
    "project": lambda total: (str(total.project.id), total.project.name),
    "service": lambda total: (service_of(total.meter), service_label(service_of(total.meter))),
    "meter": lambda total: (total.meter, meter_label(total.meter)),
}
"""How a part's key and name follow from a project and a meter."""


def _grouped(name_of: NameOf, totals: Iterable[rating.Total]) -> list[Part]:
    found = [Part(key=key, label=label, amount=Money(amount, currency))
             for (currency, key, label), amount in _sums(name_of, totals).items()]
    return sorted(found, key=lambda part: (-part.amount.amount, part.label, part.key))


def _sums(name_of: NameOf, totals: Iterable[rating.Total]) -> dict[tuple[str, str, str], Decimal]:
    sums: dict[tuple[str, str, str], Decimal] = {}
    for total in totals:
        key = (total.currency, *name_of(total))
        sums[key] = sums.get(key, ZERO) + total.amount
    return sums


def outlooks(question: Question) -> list[Outlook]:
    """What the month comes to and what the one before was, by currency. Two statements."""
    month, now = question.month, question.now
    before = _by_currency(total.money for total in question.ask("project", "meter", month=month.previous))
    expected = _by_currency(remembered(("forecast", month, key_of(question.selection)), lambda: forecast(
        question.selection, month, now))) if now < month.end else {}
    return [Outlook(before=before.get(name, Money(ZERO, name)),
                    expected=expected.get(name, Money(ZERO, name)) if now < month.end else None)
            for name in sorted({*before, *expected})]


def _by_currency(amounts: Iterable[Money]) -> dict[str, Money]:
    return {one.currency: one for one in together(amounts)}


def charts(question: Question, by: str) -> list[Chart]:
    """The days of the month by currency, divided into the dearest parts where these follow from projects and meters."""
    totals, found = question.ask("day", "project", "meter"), []
    for currency in sorted({total.currency for total in totals}):
        rows = [total for total in totals if total.currency == currency]
        all_parts = _grouped(KEYS[by], rows) if by in KEYS else []
        series = all_parts[:MOST_SERIES]
        has_others = len(all_parts) > len(series)
        found.append(Chart(currency=currency, series=(*(part.label for part in series), *([_("Others")] if has_others else [])),
                           days=_days(rows, currency, series, KEYS.get(by), has_others)))
    return found


def _days(rows: list[rating.Total], currency: str, series: list[Part], name_of: NameOf | None,
          has_others: bool) -> tuple[Day, ...]:
    """Each day that cost something, divided into the series and what is left."""
    by_day: dict[date, list[rating.Total]] = {}
    for row in rows:
        by_day.setdefault(row.day, []).append(row)
    days = []
    for day, totals in sorted(by_day.items()):
        [whole], amounts = together(total.money for total in totals), []
        if name_of is not None:
            sums = _sums(name_of, totals)
            amounts = [Money(sums.get((currency, part.key, part.label), ZERO), currency) for part in series]
        if has_others:
            amounts.append(Money(whole.amount - sum((one.amount for one in amounts), ZERO), currency))
        days.append(Day(day=day, total=whole, amounts=tuple(amounts)))
    return tuple(days)
