"""The price calculator: list prices to the last digit for everybody, and a clear word about what it cannot tell."""
from datetime import timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.test import Client

from billing import operations
from billing.calculator import calculate
from billing.models import PriceBook, Terms
from billing.prices import NoPrice
from compute.instances.models import InstanceType
from compute.network.models import AddressPool
from portal.kernel.declarations import Reading
from portal.kernel.models import Region
from portal.kernel.rest import rate
from portal.kernel.states import database_now
from tests.billing.lamps import BIG, OIL, SMALL, Shop
from tests.cast import Cast

URL = "/calculator/"


def priced(cast: Cast, meter: str, sku: str, price: str, **more: object) -> None:
    book, _made = PriceBook.objects.get_or_create(is_default=True, defaults={"name": "List", "currency": "CNY"})
    now = database_now()
    operations.set_price(book, region=cast.region, meter=meter, sku=sku, price_per_hour=Decimal(price), actor=cast.root,
                         valid_from=now - timedelta(days=1), now=now - timedelta(days=1), **more)


@pytest.fixture
def catalogue(cast: Cast) -> Cast:
    InstanceType.objects.create(slug="small", name="Small", vcpus=1, memory_mib=512)
    InstanceType.objects.create(slug="old", name="Old", vcpus=1, memory_mib=256, is_offered=False)
    AddressPool.objects.create(region=cast.region, slug="public", name="Public", cidr="198.18.0.0/24", gateway="198.18.0.1",
                               first="198.18.0.10", last="198.18.0.20")
    priced(cast, "instance.running", "small", "0.10")
    priced(cast, "volume", "local", "0.001")
    priced(cast, "floating_ip.attached", "public", "0.02")
    return cast


def calculated(query: str, **headers: str) -> str:
    answer = Client().get(f"{URL}?{query}", **headers)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


# ---- sums ----

def test_an_hour_and_a_month_of_three(shop: Shop) -> None:
    now = database_now()
    one = calculate(shop.cast.region, [SMALL, OIL], hours=1, count=1, at=now)
    assert [line.amount.amount for line in one.lines] == [Decimal("0.36"), Decimal("0.00025")]
    assert calculate(shop.cast.region, [SMALL, OIL], hours=730, count=3, at=now).total.amount == 3 * 730 * one.total.amount


def test_tiers_count_anew_each_month(shop: Shop) -> None:
    """The first 100 hours of a month are free, the next 100 cost 0.20, the rest 0.10."""
    now = database_now()
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal(0),
                         tiers=[(Decimal(100), Decimal("0.2")), (Decimal(200), Decimal("0.1"))], actor=shop.cast.root,
                         valid_from=now, now=now)

    def cost(hours: int, count: int = 1) -> Decimal:
        return calculate(shop.cast.region, [SMALL], hours=hours, count=count, at=now).total.amount

    assert [cost(hours) for hours in (100, 101, 200, 201, 730)] == [0, Decimal("0.2"), 20, Decimal("20.1"), 73]
    assert cost(730 + 101) == 73 + Decimal("0.2")
    assert cost(50, count=3) == 10


def test_a_minimum_is_paid_for(shop: Shop) -> None:
    now = database_now()
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="big", price_per_hour=Decimal("3.6"),
                         minimum_s=7200, actor=shop.cast.root, valid_from=now, now=now)
    assert calculate(shop.cast.region, [BIG], hours=1, count=1, at=now).total.amount == Decimal("7.2")


def test_what_has_no_price_is_said(shop: Shop) -> None:
    with pytest.raises(NoPrice):
        calculate(shop.cast.region, [Reading(meter="lamp", sku="odd", quantity=Decimal(1))], hours=1, count=1, at=database_now())


# ---- the page ----

def test_nobody_needs_an_account(catalogue: Cast) -> None:
    """(0.10 + 40 × 0.001 + 2 × 0.02) × 10 hours × 3"""
    page = calculated("type=small&disk=40&addresses=2&count=3&duration=10&unit=hour")
    assert '<data value="5.4">¥5.40</data>' in page and 'href="/accounts/login/"' in page


def test_it_answers_before_anything_is_asked(catalogue: Cast) -> None:
    """A small instance with 20 GiB for a month: 0.12 × 730."""
    assert '<data value="87.6">¥87.60</data>' in calculated("")


def test_no_organizations_terms_are_in_it(catalogue: Cast) -> None:
    book = PriceBook.objects.create(name="Secret", currency="CNY")
    Terms.objects.create(organization=catalogue.organization, book=book, discount_percent=50,
                         valid=(database_now() - timedelta(days=1), None))
    answer = catalogue.browser("alice").get(URL)
    assert '<data value="87.6">' in answer.content.decode() and 'id="rail"' in answer.content.decode()


def test_htmx_gets_the_sums_alone(catalogue: Cast) -> None:
    part = calculated("type=&disk=10&addresses=0&count=1&duration=1&unit=hour", HTTP_HX_REQUEST="true")
    assert "<html" not in part and '<data value="0.01">' in part


@pytest.mark.parametrize(("query", "field"), [
    ("disk=-1", "Disk (GiB)"), ("disk=x", "Disk (GiB)"), ("disk=99999999999999999999", "Disk (GiB)"), ("count=0", "How many"),
    ("count=1e9", "How many"), ("duration=0", "For how long"), ("unit=year", "Hours or months"), ("region=nowhere", "Region"),
    ("type=old", "Instance type"), ("type=%00", "Instance type"), ("region=%00", "Region"), ("addresses=٣x", "Floating IPs")])
def test_what_makes_no_sense_is_said_of_its_field(catalogue: Cast, query: str, field: str) -> None:
    answer = Client().get(f"{URL}?{query}")
    assert answer.status_code == 400 and f"<b>{field}</b>" in answer.content.decode()
    assert "¥" not in answer.content.decode()


def test_a_region_without_prices_says_so(catalogue: Cast) -> None:
    Region.objects.create(slug="south", name="South")
    answer = Client().get(f"{URL}?region=south")
    assert answer.status_code == 400 and "has no price in South" in answer.content.decode()
    assert "no public network" in Client().get(f"{URL}?region=south&addresses=1").content.decode()


def test_without_any_catalogue_it_says_what_is_missing(db: None) -> None:
    answer = Client().get(URL)
    assert answer.status_code == 400 and "<b>Region</b>" in answer.content.decode()


def test_the_operator_switches_it_off(catalogue: Cast, settings) -> None:
    assert URL in Client().get("/accounts/login/").content.decode()
    assert URL in Client().get("/docs/").content.decode()
    settings.PRICE_CALCULATOR = False
    assert Client().get(URL).status_code == 404
    assert URL not in Client().get("/accounts/login/").content.decode()
    assert URL not in Client().get("/docs/").content.decode()


def test_strangers_are_counted_and_people_are_not(catalogue: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def take(callers):
        asked.extend(caller.name for caller in callers)
        return rate.Allowance(lines=(rate.Line(name="stranger", limit=1, remaining=-1),), window_s=60, resets_in_s=7)

    monkeypatch.setattr(rate, "take", take)
    answer = Client(REMOTE_ADDR="203.0.113.9").get(URL)
    assert answer.status_code == 429 and "7" in answer.content.decode()
    assert catalogue.browser("alice").get(URL).status_code == 200
    assert asked.count("stranger") == 1


def test_it_is_on_unless_said_otherwise() -> None:
    assert settings.PRICE_CALCULATOR is True
