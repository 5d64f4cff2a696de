"""A second, slow opinion on every line: interval by interval and second by second of what may change, in fractions.

It is written from the rules of billing alone and imports nothing from it. Times are UTC; amounts have ten decimals.
"""
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Span:
    """Half-open; `end` None is until further notice."""

    start: datetime
    end: datetime | None

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment and (self.end is None or moment < self.end)


@dataclass(frozen=True)
class Price:
    id: UUID
    book: str
    kind: tuple[UUID, str, str]  # region, meter, SKU
    per_hour: Decimal
    valid: Span
    tiers: tuple[tuple[Decimal, Decimal], ...] = ()
    step: int = 1
    minimum: int = 0


@dataclass(frozen=True)
class Terms:
    id: UUID
    book: str | None
    percent: Decimal
    valid: Span


@dataclass(frozen=True)
class Used:
    id: UUID
    resource: UUID
    organization: UUID
    project: UUID
    kind: tuple[UUID, str, str]
    units: Decimal
    time: Span


@dataclass(frozen=True)
class Outage:
    meters: tuple[str, ...]
    time: Span


@dataclass(frozen=True, order=True)
class Line:
    start: datetime
    interval: UUID
    tier: Decimal
    end: datetime
    quantity: Decimal
    price: UUID | None
    per_hour: Decimal | None
    terms: UUID | None
    percent: Decimal
    list_amount: Decimal
    amount: Decimal
    currency: str


@dataclass
class World:
    """Books: name → currency; the first is the default one."""

    books: dict[str, str]
    prices: list[Price]
    terms: dict[UUID, list[Terms]] = field(default_factory=dict)
    outages: dict[UUID, list[Outage]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.house = next(iter(self.books))
        self.of_kind: dict[object, list[Price]] = defaultdict(list)
        for price in self.prices:
            self.of_kind[price.book, price.kind].append(price)

    def agreed(self, organization: UUID, moment: datetime) -> Terms | None:
        return next((one for one in self.terms.get(organization, ()) if moment in one.valid), None)

    def book(self, terms: Terms | None) -> str:
        return terms.book if terms and terms.book else self.house

    def price(self, organization: UUID, kind: tuple, moment: datetime) -> Price | None:
        """The own book's, else the default's, if that is in the same currency."""
        own = self.book(self.agreed(organization, moment))
        for book in (own, self.house):
            if self.books[book] == self.books[own]:
                for price in self.of_kind[book, kind]:
                    if moment in price.valid:
                        return price
        return None

    def lines(self, used: Iterable[Used], start: datetime, end: datetime, now: datetime) -> list[Line]:
        """Of one month of the issuer, or of a part of it that begins with it."""
        found, counted = [], defaultdict(Fraction)
        parts = sorted((part for one in used for part in self.parts(one, start, min(end, now))), key=self.place)
        for since, until, one, price, terms in parts:
            quantity = self.billed(one, since, until)
            if price is None:
                found.append(self.line(one, since, until, quantity, None, None, Decimal(0), terms))
                continue
            pool = one.organization, one.kind[0], one.kind[1]
            before, counted[pool] = counted[pool], counted[pool] + quantity
            found += [self.line(one, since, until, share, price, per_hour, tier, terms)
                      for tier, per_hour, share in in_tiers(price, before, quantity)]
        return sorted(found)

    def place(self, part: tuple) -> tuple:
        """Where it stands in the month: what begins first, ends first, and so on; what was never down before the rest."""
        since, until, one, *_holds = part
        was_down = bool(self.outages.get(one.resource))
        return since, until, one.kind[2], one.units, one.project, was_down, one.time.start, one.resource, one.id

    def parts(self, one: Used, start: datetime, end: datetime) -> Iterator[tuple]:
        """The interval between the moments at which its price or terms change."""
        since = max(start, one.time.start)
        until = min(end, one.time.end or end)
        moments = {since, until}
        spans = [price.valid for book in self.books for price in self.of_kind[book, one.kind]]
        for span in (*spans, *(terms.valid for terms in self.terms.get(one.organization, ()))):
            moments |= {moment for moment in (span.start, span.end) if moment is not None and since < moment < until}
        merged: list[list] = []
        ordered = sorted(moments)
        for left, right in pairwise(ordered):
            holds = self.price(one.organization, one.kind, left), self.agreed(one.organization, left)
            if merged and merged[-1][2:] == list(holds):
                merged[-1][1] = right
            else:
                merged.append([left, right, *holds])
        for left, right, price, terms in merged:
            yield left, right, one, price, terms

    def billed(self, one: Used, since: datetime, until: datetime) -> Fraction:
        """Unit-seconds of the part."""
        first = self.price(one.organization, one.kind, one.time.start)
        return Fraction(one.units) * (self.up_to(one, until, first) - self.up_to(one, since, first))

    def up_to(self, one: Used, moment: datetime, first: Price | None) -> Fraction:
        """Seconds billed of the interval until the moment."""
        up = (moment - one.time.start) // MICROSECOND
        for outage in self.outages.get(one.resource, ()):
            if not outage.meters or one.kind[1] in outage.meters:
                down = min(moment, outage.time.end) - max(one.time.start, outage.time.start)
                up -= max(0, down // MICROSECOND)
        seconds = Fraction(up, 10**6)
        if first is None or seconds == 0:
            return seconds
        if first.step > 1:
            seconds = Fraction(-(-seconds // first.step) * first.step)
        return max(Fraction(first.minimum), seconds)

    def line(self, one: Used, since: datetime, until: datetime, quantity: Fraction, price: Price | None,
             per_hour: Decimal | None, tier: Decimal, terms: Terms | None) -> Line:
        percent = terms.percent if terms else Decimal(0)
        listed = half_up(quantity * Fraction(per_hour or 0) / 3600)
        return Line(since, one.id, tier, until, exactly(quantity), price and price.id, per_hour, terms and terms.id, percent,
                    listed, half_up(Fraction(listed) * (100 - Fraction(percent)) / 100), self.books[self.book(terms)])


def in_tiers(price: Price, before: Fraction, quantity: Fraction) -> Iterator[tuple[Decimal, Decimal, Fraction]]:
    """(where the tier begins, its price, unit-seconds in it) of what comes after so many unit-seconds."""
    tiers = [(Decimal(0), price.per_hour), *price.tiers]
    for number, (begins, per_hour) in enumerate(tiers):
        left = max(before, Fraction(begins) * 3600)
        right = before + quantity
        if number + 1 < len(tiers):
            right = min(right, Fraction(tiers[number + 1][0]) * 3600)
        stands_here = quantity == 0 and left == before and (number + 1 == len(tiers) or before < tiers[number + 1][0] * 3600)
        if right > left or stands_here:
            yield begins, per_hour, right - left


def half_up(amount: Fraction) -> Decimal:
    return Decimal((amount * 10**10 * 2 + 1) // 2).scaleb(-10)


def exactly(number: Fraction) -> Decimal:
    """Unit-seconds have twelve decimals at most."""
    with localcontext() as context:
        context.prec = 60
        scaled = number * 10**12
        assert scaled.denominator == 1
        return Decimal(scaled.numerator).scaleb(-12)
