"""Every line of a quarter with all that may happen in it is what a slow program says that was written apart.

Ninety days of 2028: a leap day, three ends of months, the change to summer time where the issuer is; three price changes in
mid-month, tiers, steps, minimums, discounts, a book of one's own, outages. A slice in `make test`; 10,000 instances in
`make soak`.
"""
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import models, rating
from billing.periods import Month
from portal.kernel.models import Resource
from tests.billing import oracle
from tests.billing.lamps import Shop
from tests.soak import SEED, SOAKING

ZONE = "Europe/Berlin"
BEGIN = datetime(2028, 1, 10, 7, 30, tzinfo=UTC)
DAYS = 90
NOW = BEGIN + timedelta(days=DAYS)
INSTANCES = 10_000 if SOAKING else 150
METERS, SKUS = ("lamp", "lamp.oil"), ("small", "big", "whale")
CHANGES = [datetime(2028, *day, tzinfo=UTC) for day in ((1, 17, 9, 13, 7, 123457), (2, 14, 22), (3, 26, 1))]


def moment(dice: random.Random, start: datetime = BEGIN, end: datetime = NOW) -> datetime:
    """Often on a border, where mistakes are."""
    if dice.random() < 0.15:
        midnights = [datetime(2028, month, 1, tzinfo=ZoneInfo(ZONE)).astimezone(UTC) for month in (2, 3, 4)]
        choices = [one for one in (*CHANGES, *midnights) if start <= one < end]
        if choices:
            return dice.choice(choices)
    length = (end - start) // timedelta(microseconds=1)
    exact = start + timedelta(microseconds=dice.randrange(length))
    return exact.replace(microsecond=0) if dice.random() < 0.7 else exact


@dataclass
class Trace:
    """The same world twice: as rows, and as the oracle's."""

    shop: Shop
    dice: random.Random

    def make(self) -> tuple[oracle.World, list[oracle.Used]]:
        cast = self.shop.cast
        models.Issuer.objects.create(id=1, name="Mains", time_zone=ZONE)
        models.Price.objects.all().delete()
        own = models.PriceBook.objects.create(name="Acme's own", currency="CNY")
        foreign = models.PriceBook.objects.create(name="Abroad", currency="EUR")
        self.books = {"list": self.shop.book, "own": own, "abroad": foreign}
        prices = [price for name in self.books for price in self.prices(name)]
        acme = self.terms(cast.organization, [(None, "12.50"), ("own", "0"), ("own", "33.33")])
        rival = self.terms(cast.rival_organization, [("abroad", "0"), (None, "7")])
        used, outages = self.usage()
        return oracle.World({name: book.currency for name, book in self.books.items()}, prices,
                            {cast.organization.pk: acme, cast.rival_organization.pk: rival}, outages), used

    def prices(self, book: str) -> list[oracle.Price]:
        """Three changes in mid-month; some kinds are not in every book, and one is in none at all."""
        made = []
        for meter in METERS:
            for sku in SKUS:
                if (meter, sku) == ("lamp.oil", "big") or (book != "list" and self.dice.random() < 0.4):
                    continue
                borders = [BEGIN - timedelta(days=30), *CHANGES, None]
                for start, end in pairwise(borders):
                    if book == "list" or self.dice.random() < 0.8:  # holes, which the list prices fill
                        made.append(self.price(book, meter, sku, oracle.Span(start, end)))
        return made

    def price(self, book: str, meter: str, sku: str, valid: oracle.Span) -> oracle.Price:
        dice = self.dice
        tiers = ()
        if meter == "lamp" and dice.random() < 0.6:
            borders = sorted(dice.sample(range(1, 400 * INSTANCES), dice.randint(1, 4)))
            tiers = tuple((Decimal(border) / 7).quantize(Decimal("0.000001")) for border in borders)
            tiers = tuple((border, self.number()) for border in tiers)
        one = oracle.Price(uuid4(), book, (self.shop.cast.region.pk, meter, sku), self.number(), valid, tiers,
                           dice.choice((1, 1, 60, 3600)), dice.choice((0, 0, 90, 7200)))
        row = models.Price.objects.create(
            id=one.id, book=self.books[book], region=self.shop.cast.region, meter=meter, sku=sku, price_per_hour=one.per_hour,
            granularity_s=one.step, minimum_s=one.minimum, valid=DateTimeTZRange(valid.start, valid.end))
        models.PriceTier.objects.bulk_create(models.PriceTier(price=row, from_quantity=border, price_per_hour=each)
                                             for border, each in tiers)
        return one

    def number(self) -> Decimal:
        return self.dice.choice((Decimal(0), Decimal("0.36"), Decimal(self.dice.randrange(10**11)).scaleb(-10)))

    def terms(self, organization, agreed: list[tuple[str | None, str]]) -> list[oracle.Terms]:
        borders = sorted(moment(self.dice) for _each in range(len(agreed) + 1))
        made = []
        for (book, percent), start, end in zip(agreed, borders, borders[1:], strict=False):
            if start < end:
                one = oracle.Terms(uuid4(), book, Decimal(percent), oracle.Span(start, end))
                models.Terms.objects.create(id=one.id, organization=organization, book=self.books[book] if book else None,
                                            discount_percent=one.percent, valid=DateTimeTZRange(start, end))
                made.append(one)
        return made

    def usage(self) -> tuple[list[oracle.Used], dict[UUID, list[oracle.Outage]]]:
        cast, dice = self.shop.cast, self.dice
        resources = Resource.objects.bulk_create(
            Resource(kind="lamp", project=dice.choice((cast.project, cast.project, cast.rival_project)), region=cast.region,
                     name=f"lamp {number}") for number in range(INSTANCES))
        used, outages, before = [], {}, []
        for resource in resources:
            if before and dice.random() < 0.4:  # made together with the one before, and as long in use
                before = [replace(one, id=uuid4(), resource=resource.pk, organization=resource.project.organization_id,
                                  project=resource.project_id) for one in before]
                used += before
                continue
            first = len(used)
            for meter in METERS:
                edges = [*sorted({moment(dice) for _edge in range(dice.randint(1, 6))}), None]
                for start, end in pairwise(edges):
                    if dice.random() < 0.8:
                        if end is not None and dice.random() < 0.2:
                            end = min(end, start + timedelta(seconds=dice.randint(1, 200)))
                        units = dice.choice((Decimal(1), Decimal(4), Decimal(dice.randint(1, 9**7)).scaleb(-6)))
                        used.append(oracle.Used(uuid4(), resource.pk, resource.project.organization_id, resource.project_id,
                                                (cast.region.pk, meter, dice.choice(SKUS)), units, oracle.Span(start, end)))
            before = used[first:]
            if dice.random() < 0.3:
                outages[resource.pk] = self.outages()
        project = {one.pk: one.project_id for one in resources}
        models.UsageInterval.objects.bulk_create((models.UsageInterval(
            id=one.id, resource_id=one.resource, project_id=project[one.resource], region_id=one.kind[0], meter=one.kind[1],
            sku=one.kind[2], quantity=one.units, period=DateTimeTZRange(one.time.start, one.time.end)) for one in used), 1000)
        models.Outage.objects.bulk_create((models.Outage(
            resource_id=pk, meters=list(one.meters), period=DateTimeTZRange(one.time.start, one.time.end), reason="Fire",
            created_at=NOW) for pk, several in outages.items() for one in several), 1000)
        return used, outages

    def outages(self) -> list[oracle.Outage]:
        edges = sorted({moment(self.dice) for _edge in range(2 * self.dice.randint(1, 3))})
        return [oracle.Outage(self.dice.choice(((), ("lamp",), ("lamp", "lamp.oil"))), oracle.Span(start, end))
                for start, end in zip(edges[::2], edges[1::2], strict=False)]


def as_oracle(line: rating.Line, now: datetime) -> oracle.Line:
    return oracle.Line(line.start, line.interval, line.tier, line.end or now, line.quantity, line.price, line.price_per_hour,
                       line.terms, line.discount_percent, line.list_amount, line.amount, line.currency)


def test_every_line_of_a_quarter_is_the_oracles(shop: Shop) -> None:
    world, used = Trace(shop, random.Random(SEED)).make()
    everything = rating.Selection(projects=None)
    count = tiers = 0
    for month in (Month(2028, number, ZONE) for number in (1, 2, 3, 4)):
        period = {"start": month.start, "end": month.end, "now": NOW}
        then = [one for one in used if one.time.start < month.end and (one.time.end or NOW) > month.start]
        wanted = world.lines(then, **period)
        lines = rating.lines(everything, **period)
        found = sorted(as_oracle(line, NOW) for line in lines)
        assert [pair for pair in zip(found, wanted, strict=False) if pair[0] != pair[1]][:3] == []
        assert len(found) == len(wanted)
        count, tiers = count + len(found), tiers + sum(line.tier > 0 for line in found)
        dice = random.Random(str(month))
        part = {"start": moment(dice, month.start, month.end), "end": month.end - timedelta(days=dice.random()), "now": NOW}
        for asked, rows in ((period, lines), (part, rating.lines(everything, **part))):
            for groups in (("day",), ("meter", "price"), ("project", "resource")):
                assert _by_currency(rating.totals(everything, groups, **asked).totals) == _by_currency(rows)
    assert count > 10 * INSTANCES and tiers > INSTANCES


def _by_currency(rows) -> dict[str, tuple[Decimal, Decimal]]:
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for row in rows:
        amount, quantity = sums.get(row.currency, (Decimal(0), Decimal(0)))
        sums[row.currency] = amount + row.amount, quantity + row.quantity
    return sums
