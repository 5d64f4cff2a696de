"""A month of 100,000 usage intervals with a price change in its middle, beside a bare sum over the same rows."""
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.bench import databases
from tests.bench.figures import Figure, beside

RESOURCES, INTERVALS_EACH, ROUNDS = 1000, 100, 5
START, CHANGE, END = (datetime(2026, 10, day, tzinfo=UTC) for day in (1, 16, 31))
STEP = (END - START) / INTERVALS_EACH
OLD, NEW = Decimal("0.36"), Decimal("0.72")
BARE = """SELECT sum(quantity * EXTRACT(EPOCH FROM upper(period * span) - lower(period * span)))
            FROM billing_usageinterval, tstzrange(%s, %s) AS span WHERE period && span"""


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(0):
        project = _fill()
        _check(project)
        rounds = [{"bare": _timed(_scan), "month": _timed(lambda: _total(project, ("meter", "price"))),
                   "days": _timed(lambda: _total(project, ("day",)))} for _round in range(ROUNDS)]
    bare, month, days = ([found[name] for found in rounds] for name in ("bare", "month", "days"))
    count = f"{RESOURCES * INTERVALS_EACH:,} intervals"
    return [beside(f"rating: month of {count}", month, bare, "bare sum of the same rows"),
            beside("rating: the same by day", days, bare, "the same bare sum")]


def _timed(work) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _fill():
    from django.db import connection

    from billing.models import PriceBook
    from billing.operations import set_price
    from portal.kernel.models import Resource
    from tests.cast import make_cast

    cast = make_cast()
    book = PriceBook.objects.create(name="List", currency="CNY", is_default=True)
    for price, since in ((OLD, START), (NEW, CHANGE)):
        set_price(book, region=cast.region, meter="instance.running", sku="small", price_per_hour=price,
                  actor=cast.root, valid_from=since, now=since)
    Resource.objects.bulk_create([Resource(kind="instance", project=cast.project, region=cast.region, name=f"r{number}")
                                  for number in range(RESOURCES)])
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO billing_usageinterval (id, resource_id, project_id, region_id, meter, sku, quantity, period)
               SELECT gen_random_uuid(), id, project_id, region_id, 'instance.running', 'small', 1,
                      tstzrange(%s + n * %s, %s + (n + 1) * %s)
                 FROM kernel_resource, generate_series(0, %s) AS n""",
            [START, STEP, START, STEP, INTERVALS_EACH - 1])
    databases.analyze()
    return cast.project


def _total(project, groups: tuple[str, ...]):
    from billing import rating

    later = END + timedelta(days=1)
    return rating.totals(rating.Selection(projects=[project.pk]), groups, start=START, end=END, now=later)


def _scan() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(BARE, [START, END])
        cursor.fetchall()


def _check(project) -> None:
    """What is measured is also right: seconds × price on both sides of the change."""
    hour = timedelta(hours=1)
    expected = RESOURCES * (OLD * ((CHANGE - START) // hour) + NEW * ((END - CHANGE) // hour))
    found = sum(total.amount for total in _total(project, ("day",)).totals)
    assert found == expected, (found, expected)
