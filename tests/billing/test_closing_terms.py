"""Invoices of organizations with terms of their own: discounts, tiers, a book in another currency, outages."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Sum

from billing import closing, ledger, payments
from billing.models import Account, Charge, Credit, Invoice, Outage, Price, PriceBook, PriceTier, Terms
from billing.periods import Month
from tests.billing.lamps import Shop

OCTOBER = Month(2026, 10)
FIRST, SECOND_OF_NOVEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def close(shop: Shop) -> list[Invoice]:
    return closing.close(shop.cast.organization, OCTOBER, now=SECOND_OF_NOVEMBER)


def lines(invoice: Invoice) -> list[tuple[Decimal, ...]]:
    """(hours, price, from which tier, discount, amount)."""
    return [(line.quantity / 3600, line.unit_price, line.tier, line.discount_percent, line.amount)
            for line in invoice.lines.order_by("position")]


def adds_up(invoice: Invoice) -> bool:
    charges = Charge.objects.filter(line__invoice=invoice).aggregate(sum=Sum("amount"))["sum"]
    return charges == invoice.lines.aggregate(sum=Sum("amount"))["sum"] == invoice.subtotal


def test_a_discount_from_the_middle_of_the_month_is_a_line_of_its_own(shop: Shop) -> None:
    Terms.objects.create(organization=shop.cast.organization, discount_percent=Decimal("12.5"),
                         valid=DateTimeTZRange(FIRST + 10 * HOUR, None))
    shop.burnt(shop.lamp(), FIRST, FIRST + 20 * HOUR)
    (invoice,) = close(shop)
    assert lines(invoice) == [(10, Decimal("0.36"), 0, 0, Decimal("3.60")),
                              (10, Decimal("0.36"), 0, Decimal("12.5"), Decimal("3.15"))]
    discounted = Charge.objects.get(line__invoice=invoice, discount_percent=Decimal("12.5"))
    assert (discounted.list_amount, discounted.amount) == (Decimal("3.6"), Decimal("3.15"))
    assert adds_up(invoice)


def test_each_tier_is_a_line_of_its_own(shop: Shop) -> None:
    price = Price.objects.get(meter="lamp", sku="small")
    PriceTier.objects.create(price=price, from_quantity=100, price_per_hour=Decimal("0.18"))
    for number in range(3):
        shop.burnt(shop.lamp(f"lamp {number}"), FIRST, FIRST + 50 * HOUR + timedelta(seconds=number))
    (invoice,) = close(shop)
    first, second = lines(invoice)
    assert first == (100, Decimal("0.36"), 0, 0, Decimal("36.00"))
    assert second[1:] == (Decimal("0.18"), 100, 0, Decimal("9.00"))
    assert first[0] + second[0] == 150 + Decimal(3) / 3600
    assert adds_up(invoice)


@pytest.fixture
def euros(shop: Shop) -> PriceBook:
    """From the 16th on the organization pays in euros."""
    book = PriceBook.objects.create(name="Euros", currency="EUR")
    Price.objects.create(book=book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.05"),
                         valid=DateTimeTZRange(FIRST, None))
    Terms.objects.create(organization=shop.cast.organization, book=book, valid=DateTimeTZRange(FIRST + 15 * DAY, None))
    return book


def test_a_month_in_two_currencies_is_two_invoices(shop: Shop, euros: PriceBook) -> None:
    Credit.objects.create(organization=shop.cast.organization, amount=1000, currency="CNY", reason="gift", created_at=FIRST)
    shop.burnt(shop.lamp(), FIRST + 14 * DAY, FIRST + 17 * DAY)
    yuan, euro = close(shop)
    assert [(one.number, one.currency, one.subtotal, one.credit) for one in (yuan, euro)] == [
        ("INV-2026-000001", "CNY", Decimal("8.64"), Decimal("8.64")), ("INV-2026-000002", "EUR", Decimal("2.40"), 0)]
    assert [line[0] for one in (yuan, euro) for line in lines(one)] == [24, 48]
    assert ledger.balance(shop.cast.organization, Account.RECEIVABLE, "EUR") == Decimal("2.40")
    payments.record(shop.cast.organization, Decimal(5), "EUR", "manual", "1", None)
    assert payments.open_amount([yuan, euro]) == {yuan.pk: 0, euro.pk: 0}
    assert ledger.prepaid(shop.cast.organization, "EUR") == Decimal("2.60")
    assert close(shop) == [yuan, euro]
    assert adds_up(yuan) and adds_up(euro)


def test_another_book_than_was_thought_corrects_both_currencies(shop: Shop, euros: PriceBook) -> None:
    shop.burnt(shop.lamp(), FIRST + 14 * DAY, FIRST + 17 * DAY)
    close(shop)
    Terms.objects.update(valid=DateTimeTZRange(FIRST + 16 * DAY, None))
    found = closing.rerate(shop.cast.organization, OCTOBER, commit=True, now=SECOND_OF_NOVEMBER + 9 * DAY)
    assert [str(one) for one in found.sums] == ["8.64 CNY", "-1.20 EUR"]
    assert closing.rerate(shop.cast.organization, OCTOBER, commit=False).count == 0


def test_an_outage_that_is_told_after_the_invoice_is_taken_back_on_the_next(shop: Shop) -> None:
    lamp = shop.lamp()
    shop.burnt(lamp, FIRST, FIRST + 10 * HOUR)
    (invoice,) = close(shop)
    Outage.objects.create(resource=lamp, period=DateTimeTZRange(FIRST + 2 * HOUR, FIRST + 5 * HOUR), reason="Fire",
                          created_at=SECOND_OF_NOVEMBER)
    closing.rerate(shop.cast.organization, OCTOBER, commit=True, now=SECOND_OF_NOVEMBER + 9 * DAY)
    charge = Charge.objects.get(kind="correction")
    assert (charge.amount, charge.quantity, charge.interval.resource_id) == (Decimal("-1.08"), -3 * 3600, lamp.pk)
    assert invoice.subtotal == Decimal("3.60")
