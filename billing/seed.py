"""Demo prices, so that a fresh installation shows sums. Rooms to the right say which meters and SKUs they have."""
from collections.abc import Iterable
from decimal import Decimal

from billing.models import Price, PriceBook
from billing.operations import set_price
from portal.kernel.models import Region

CURRENCY = "CNY"


def seed_prices(region: Region, prices: Iterable[tuple[str, str, Decimal]]) -> PriceBook:
    """(meter, SKU, price of one unit an hour), set where the default book has none yet; again changes nothing."""
    book, _made = PriceBook.objects.get_or_create(is_default=True, defaults={"name": "List prices",
                                                                             "currency": CURRENCY})
    known = set(Price.objects.filter(book=book, region=region).values_list("meter", "sku"))
    for meter, sku, price_per_hour in prices:
        if (meter, sku) not in known:
            set_price(book, region=region, meter=meter, sku=sku, price_per_hour=Decimal(price_per_hour), actor=None)
    return book
