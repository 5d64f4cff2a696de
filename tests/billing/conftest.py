"""Fixtures of the billing tests: the cast, a price book, and a lamp: a thing whose meters exist only here."""
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing import operations
from billing.models import PriceBook
from portal.kernel.declarations import Meter, registry
from tests.billing.lamps import KIND, Shop
from tests.cast import Cast, make_cast


@pytest.fixture
def lamps_are_metered() -> Iterator[None]:
    """The whole cost of a new meter: one declaration."""
    declared = {"lamp": Meter(name="lamp", label="Lamp", unit="second", price_unit="hour"),
                "lamp.oil": Meter(name="lamp.oil", label="Oil", unit="litre-second", price_unit="litre and hour")}
    registry.add(*declared.values(), KIND)
    yield
    for name in declared:
        del registry.meters[name]
    del registry.kinds[KIND.name]


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def shop(cast: Cast, lamps_are_metered: None) -> Shop:
    return make_shop(cast)


def make_shop(cast: Cast | None = None) -> Shop:
    """A place to make lamps, and a default book in which a lamp costs 0.36 an hour since 2026."""
    cast = cast or make_cast()
    book = PriceBook.objects.create(name="List", currency="CNY", is_default=True)
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    for meter, sku, price in (("lamp", "small", "0.36"), ("lamp", "big", "3.6"), ("lamp.oil", "whale", "0.0001")):
        operations.set_price(book, region=cast.region, meter=meter, sku=sku, price_per_hour=Decimal(price),
                             actor=cast.root, valid_from=new_year, now=new_year)
    return Shop(cast=cast, book=book)
