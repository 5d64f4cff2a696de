"""Two writers at once, on two connections: one interval; and what PostgreSQL refuses whoever asks."""
import itertools
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Price, UsageInterval
from tests.billing.lamps import BIG, SMALL, Shop
from tests.cast import make_cast

TEN = datetime(2026, 11, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.django_db(transaction=True)
def test_two_transactions_that_open_the_same_interval_leave_one(lamps_are_metered: None) -> None:
    shop = Shop(cast=make_cast(), book=None)
    lamp = shop.lamp()
    first_wrote, errors = threading.Event(), []

    def second() -> None:
        try:
            first_wrote.wait(5)
            lamp.turn("small", TEN)  # waits for the first one's commit, then finds its work done
        except Exception as error:  # shown by the main thread
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    thread.start()
    with transaction.atomic():
        lamp.turn("small", TEN)
        first_wrote.set()
        thread.join(0.5)
        assert thread.is_alive()  # it does wait
    thread.join(10)
    assert not errors
    assert lamp.spans == [("lamp", "small", Decimal(1), TEN, None)]


@pytest.mark.django_db(transaction=True)
def test_two_transactions_that_disagree_leave_consecutive_intervals(lamps_are_metered: None) -> None:
    shop = Shop(cast=make_cast(), book=None)
    lamp = shop.lamp()
    errors = []
    barrier = threading.Barrier(4)

    def turn(number: int) -> None:
        try:
            barrier.wait(5)
            for step in range(10):
                lamp.turn(("small", "big", "oil", "out")[(number + step) % 4], TEN + timedelta(seconds=number * step))
        except Exception as error:  # shown by the main thread
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    spans = [(start, end) for meter, _sku, _units, start, end in lamp.spans if meter == "lamp"]
    assert all(end is not None and end <= following for (_start, end), (following, _end)
               in itertools.pairwise(spans))


def test_the_database_refuses_the_same_time_twice(shop: Shop) -> None:
    lamp = shop.lamp()
    shop.burnt(lamp, TEN, TEN + HOUR)
    shop.burnt(lamp, TEN + HOUR, None)  # touching is no overlap
    with pytest.raises(IntegrityError, match="usage_never_twice"), transaction.atomic():
        shop.burnt(lamp, TEN + HOUR / 2, TEN + HOUR, reading=BIG)
    shop.burnt(shop.lamp("other"), TEN, TEN + HOUR)


@pytest.mark.parametrize("period", [
    DateTimeTZRange(TEN, TEN), DateTimeTZRange(None, TEN), DateTimeTZRange(TEN, TEN + HOUR, "[]"),
    DateTimeTZRange(TEN, TEN + HOUR, "()"),
])
def test_the_database_refuses_periods_that_are_empty_or_not_half_open(shop: Shop, period: DateTimeTZRange) -> None:
    lamp = shop.lamp()
    with pytest.raises(IntegrityError, match=r"usage_not_empty|usage_half_open"), transaction.atomic():
        UsageInterval.objects.create(resource_id=lamp.pk, project=lamp.project, region=lamp.region, meter="lamp",
                                     sku="small", quantity=SMALL.quantity, period=period)


def test_the_database_refuses_usage_of_nothing(shop: Shop) -> None:
    lamp = shop.lamp()
    with pytest.raises(IntegrityError, match="usage_of_something"), transaction.atomic():
        UsageInterval.objects.create(resource_id=lamp.pk, project=lamp.project, region=lamp.region, meter="lamp",
                                     sku="small", quantity=0, period=DateTimeTZRange(TEN, None))


def test_the_database_refuses_two_prices_at_a_time(shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="one_price_at_a_time"), transaction.atomic():
        Price.objects.create(book=shop.book, region=shop.cast.region, meter="lamp", sku="small",
                             price_per_hour=Decimal(1), valid=DateTimeTZRange(TEN, TEN + HOUR))
