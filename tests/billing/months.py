"""Months to close, and what closing them wrote."""
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Sum

from billing import closing, issuing, ledger
from billing.models import Account, Charge, Credit, CreditUse, Invoice, InvoiceLine, Leg, TaxRate
from billing.periods import Month
from portal.kernel.states import database_now
from tests.billing.lamps import BIG, Shop

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SECOND_OF_NOVEMBER = datetime(2026, 11, 2, 3, tzinfo=UTC)


def october(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, tzinfo=UTC)


def this_month() -> str:
    """Of the issuer's time zone."""
    return str(Month.of(database_now(), issuing.issuer().time_zone))


def close(shop: Shop, month: Month = OCTOBER, now: datetime = SECOND_OF_NOVEMBER) -> list[Invoice]:
    return closing.close(shop.cast.organization, month, now=now, actor=shop.cast.root)


def books_add_up() -> None:
    """Of every invoice the charges, the lines and the subtotal are one sum; the legs of every currency are none."""
    for invoice in Invoice.objects.all():
        lines = invoice.lines.aggregate(sum=Sum("amount"))["sum"] or 0
        charges = Charge.objects.filter(line__invoice=invoice).aggregate(sum=Sum("amount"))["sum"] or 0
        assert lines == charges == invoice.subtotal
    assert not [row for row in Leg.objects.values("entry", "currency").annotate(sum=Sum("amount")) if row["sum"]]


def written() -> dict[str, Any]:
    """All that closing wrote, without the ids that differ each time."""
    return {
        "invoices": list(Invoice.objects.order_by("number").values_list(
            "number", "organization", "month", "currency", "subtotal", "credit", "tax", "total")),
        "lines": list(InvoiceLine.objects.order_by("invoice__number", "position").values_list(
            "invoice__number", "position", "kind", "project", "meter", "sku", "unit_price", "quantity", "amount")),
        "charges": list(Charge.objects.order_by("line__invoice__number", "line__position", "kind", "interval", "span")
                        .values_list("line__invoice__number", "line__position", "kind", "interval", "span", "amount")),
        "legs": list(Leg.objects.order_by("entry__invoice__number", "entry__kind", "account").values_list(
            "entry__invoice__number", "entry__kind", "account", "amount")),
        "uses": list(CreditUse.objects.order_by("invoice__number", "amount").values_list("invoice__number", "credit", "amount"))}


def give(shop: Shop, amount: str, *, since: datetime, until: datetime | None = None, currency: str = "CNY") -> Credit:
    return Credit.objects.create(organization=shop.cast.organization, amount=Decimal(amount), currency=currency, reason="gift",
                                 created_at=since, expires_at=until)


def furnish(shop: Shop) -> None:
    """A month with all that an invoice has: two projects, rounding, a correction, credit, tax, and money paid in advance."""
    TaxRate.objects.create(country="CN", name="VAT", percent=6, since=date(2020, 1, 1))
    for number in range(5):
        shop.burnt(shop.lamp(f"lamp-{number}"), october(3), october(3) + timedelta(seconds=1000 + 7 * number))
        shop.burnt(shop.lamp(f"hall-{number}"), october(4), None, reading=BIG)
    give(shop, "3", since=october(1))
    give(shop, "2", since=october(1), until=october(20))
    closing.adjust(shop.cast.organization, Decimal("-0.50"), "Sorry", None, now=october(20))
    ledger.book(shop.cast.organization, "payment:1", "payment", {Account.CASH: Decimal(100), Account.PREPAID: Decimal(-100)},
                "CNY")
