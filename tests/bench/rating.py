"""A month of 100,000 instances with a price change in its middle, with and without tiers, beside a bare sum of the same rows."""
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.bench import databases
from tests.bench.figures import Figure, at_most, beside, duration, ratio

INSTANCES, ROUNDS, GOAL = 100_000, 5, 3.5
START, CHANGE, END = (datetime(2026, *day, tzinfo=UTC) for day in ((10, 1), (10, 16), (11, 1)))
LATER = END + timedelta(days=1)
PRICES = {"small": ("0.36", "0.41"), "medium": ("0.72", "0.83"), "large": ("1.44", "1.67")}
TIERS = [(Decimal(10_000_000), Decimal("0.3")), (Decimal(50_000_000), Decimal("0.2"))]
BARE = """SELECT meter, sum(quantity * EXTRACT(EPOCH FROM upper(period * span) - lower(period * span)))
            FROM billing_usageinterval, tstzrange(%s, %s) AS span WHERE period && span GROUP BY meter"""


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        project, book, region = _fill()
        plain = _rounds({"month": lambda: _total(project, "meter", "price"), "days": lambda: _total(project, "day")})
        assert _cost(project) == _expected()
        for sku, (_old, new) in PRICES.items():
            _price(book, region, sku, new, CHANGE, tiers=TIERS)
        tiered = _rounds({"month": lambda: _total(project, "meter", "price")})
    name, bare = f"rating: month of {INSTANCES:,} instances", "bare sum of the same rows"
    return [
        *(at_most(f"{name}{what}", ratio(times["month"], times["bare"]), GOAL, compared=f"{bare} ({duration(times['bare'])})",
                  note=f" ({duration(times['month'])})") for what, times in (("", plain), (", with tiers", tiered))),
        beside("rating: the same by day", plain["days"], plain["bare"], bare),
    ]


def _rounds(works: dict) -> dict[str, list[float]]:
    works = {"bare": _scan} | works
    rounds = [{name: _timed(work) for name, work in works.items()} for _round in range(ROUNDS)]
    return {name: [found[name] for found in rounds] for name in works}


def _timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _fill():
    """Each ran the whole month; every fifth was made larger some time after the change, which makes it two intervals."""
    from django.db import connection

    from billing.models import PriceBook
    from portal.kernel.models import Resource
    from tests.cast import make_cast

    cast = make_cast()
    book = PriceBook.objects.create(name="List", currency="CNY", is_default=True)
    for sku, prices in PRICES.items():
        for price, since in zip(prices, (START, CHANGE), strict=True):
            _price(book, cast.region, sku, price, since)
    Resource.objects.bulk_create((Resource(kind="instance", project=cast.project, region=cast.region, name=f"r{number}")
                                  for number in range(INSTANCES)), 10_000)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO billing_usageinterval (id, resource_id, project_id, region_id, meter, sku, quantity, period)
               SELECT gen_random_uuid(), id, project_id, region_id, 'instance.running',
                      CASE WHEN n %% 5 = 0 THEN 'small' WHEN n %% 5 < 4 THEN 'medium' ELSE 'large' END, 1,
                      tstzrange(%s, CASE WHEN n %% 5 = 0 THEN %s + n * interval '10 seconds' END)
                 FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM kernel_resource) AS numbered""", [START, CHANGE])
        cursor.execute(
            """INSERT INTO billing_usageinterval (id, resource_id, project_id, region_id, meter, sku, quantity, period)
               SELECT gen_random_uuid(), resource_id, project_id, region_id, meter, 'large', quantity,
                      tstzrange(upper(period), NULL)
                 FROM billing_usageinterval WHERE sku = 'small'""")
    databases.analyze()
    return cast.project, book, cast.region


def _price(book, region, sku: str, price: str, since: datetime, **more: object) -> None:
    from billing.models import Price
    from billing.operations import set_price

    Price.objects.filter(sku=sku, valid__startswith=since).delete()
    set_price(book, region=region, meter="instance.running", sku=sku, price_per_hour=Decimal(price), actor=None,
              valid_from=since, now=since, **more)


def _total(project, *groups: str):
    from billing import rating

    return rating.totals(rating.Selection(projects=[project.pk]), groups, start=START, end=END, now=LATER)


def _scan() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(BARE, [START, END])
        cursor.fetchall()


def _cost(project) -> Decimal:
    return sum(total.amount for total in _total(project, "meter").totals)


def _expected() -> Decimal:
    """What is measured is also right: seconds × price on both sides of the change, for each instance."""
    before, month = (int((moment - START).total_seconds()) for moment in (CHANGE, END))
    cost = Decimal(0)
    for number in range(1, INSTANCES + 1):
        grown = min(before + 10 * number, month) if number % 5 == 0 else month
        kind = "small" if number % 5 == 0 else "medium" if number % 5 < 4 else "large"
        for sku, seconds, which in ((kind, before, 0), (kind, grown - before, 1), ("large", month - grown, 1)):
            exact = Decimal(PRICES[sku][which]) * seconds / 3600
            cost += exact.quantize(Decimal("1e-10"), "ROUND_HALF_UP")
    return cost
