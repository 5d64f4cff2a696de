"""Taking back part of an invoice: the invoice stays, a credit note says what is taken back, and money paid is there again."""
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db.models import Sum

from billing import closing, ledger, payments
from billing.ledger import balance
from billing.models import Account, Charge, Credit, Invoice, TaxRate
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent
from tests.billing.lamps import BIG, Shop

OCTOBER = Month(2026, 10)
SECOND_OF_NOVEMBER = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def invoice(shop: Shop) -> Invoice:
    """10 hours of a small lamp and one of a big one: 3.60 and 3.60, 19 % tax on the 7.20."""
    TaxRate.objects.create(country="CN", name="VAT", percent=19, since=date(2020, 1, 1))
    third = datetime(2026, 10, 3, tzinfo=UTC)
    shop.burnt(shop.lamp(), third, third.replace(hour=10))
    shop.burnt(shop.lamp("hall"), third, third.replace(hour=1), reading=BIG)
    (found,) = closing.close(shop.cast.organization, OCTOBER, now=SECOND_OF_NOVEMBER)
    return found


def take_back(shop: Shop, invoice: Invoice, amount: str | None = None, **options: object) -> Invoice:
    part = amount and Decimal(amount)
    return payments.credit_note(invoice, amount=part, reason="We were down", actor=shop.cast.root, **options)


def test_a_credit_note_takes_back_its_part_of_revenue_and_tax(shop: Shop, invoice: Invoice) -> None:
    assert (invoice.tax, invoice.total) == (Decimal("1.37"), Decimal("8.57"))
    note = take_back(shop, invoice, "2")
    assert (note.kind, note.number, note.corrects, note.month) == ("credit_note", "INV-2026-000002", invoice, "2026-10")
    assert (note.subtotal, note.tax, note.total) == (2, Decimal("0.38"), Decimal("2.38"))
    organization = shop.cast.organization
    assert balance(organization, Account.REVENUE, "CNY") == Decimal("-5.20")
    assert balance(organization, Account.TAX, "CNY") == Decimal("-0.99")
    assert payments.open_amount([invoice]) == {invoice.pk: Decimal("6.19")}
    event = AuditEvent.objects.get(action="invoice.credit_note")
    assert (event.actor, event.after["invoice"], event.after["total"]) == (shop.cast.root, invoice.number, "2.38")


def test_notes_over_all_of_an_invoice_take_back_its_tax_to_the_cent(shop: Shop, invoice: Invoice) -> None:
    notes = [take_back(shop, invoice, "0.90") for _number in range(8)]
    assert sum(note.tax for note in notes) == invoice.tax
    assert payments.open_amount([invoice]) == {invoice.pk: 0}
    for account in Account:
        assert balance(shop.cast.organization, account, "CNY") == 0
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, "0.01")


def test_what_was_paid_already_is_in_advance_again_and_pays_what_comes(shop: Shop, invoice: Invoice) -> None:
    payments.record(shop.cast.organization, invoice.total, "CNY", "manual", "1", shop.cast.root)
    take_back(shop, invoice, "2")
    assert ledger.prepaid(shop.cast.organization, "CNY") == Decimal("2.38")
    assert payments.open_amount([invoice]) == {invoice.pk: 0}
    payments.refund(shop.cast.organization, Decimal("2.38"), "CNY", "manual", "2", shop.cast.root)
    assert balance(shop.cast.organization, Account.CASH, "CNY") == Decimal("6.19")


def test_of_what_is_paid_in_part_only_too_much_is_in_advance_again(shop: Shop, invoice: Invoice) -> None:
    payments.record(shop.cast.organization, Decimal(7), "CNY", "manual", "1", shop.cast.root)
    take_back(shop, invoice, "2")  # 2.38, of which 1.57 was not paid yet
    assert ledger.prepaid(shop.cast.organization, "CNY") == Decimal("0.81")


def test_lines_are_taken_back_as_they_stand_each_once(shop: Shop, invoice: Invoice) -> None:
    big, small = invoice.lines.order_by("position")
    note = take_back(shop, invoice, lines=[big])
    (line,) = note.lines.all()
    assert (line.sku, line.quantity, line.unit_price, line.amount) == ("big", 3600, Decimal("3.6"), Decimal("3.60"))
    for lines in ([big], [small, big], [small, small]):
        with pytest.raises(InvalidInput):
            take_back(shop, invoice, lines=lines)
    second = take_back(shop, invoice, lines=[small])
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, lines=list(second.lines.all()))  # of the note, not of the invoice
    assert note.tax + second.tax == invoice.tax


def test_the_lines_and_charges_of_a_note_are_its_subtotal(shop: Shop, invoice: Invoice) -> None:
    for note in (take_back(shop, invoice, "2"), take_back(shop, invoice, lines=[invoice.lines.first()])):
        assert note.lines.aggregate(sum=Sum("amount"))["sum"] == note.subtotal
        assert Charge.objects.filter(line__invoice=note).aggregate(sum=Sum("amount"))["sum"] == note.subtotal


def test_credit_that_paid_is_no_money_to_take_back(shop: Shop) -> None:
    Credit.objects.create(organization=shop.cast.organization, amount=3, currency="CNY", reason="gift",
                          created_at=datetime(2026, 10, 1, tzinfo=UTC))
    third = datetime(2026, 10, 3, tzinfo=UTC)
    shop.burnt(shop.lamp(), third, third.replace(hour=10))
    (invoice,) = closing.close(shop.cast.organization, OCTOBER, now=SECOND_OF_NOVEMBER)
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, "0.61")
    take_back(shop, invoice, "0.60")
    assert payments.open_amount([invoice]) == {invoice.pk: 0}


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "7.21", "NaN", None])
def test_a_note_over_nothing_or_too_much_is_refused(shop: Shop, invoice: Invoice, amount: str | None) -> None:
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, amount)
    assert Invoice.objects.count() == 1


def test_a_note_says_why_and_takes_back_an_invoice(shop: Shop, invoice: Invoice) -> None:
    with pytest.raises(InvalidInput):
        payments.credit_note(invoice, amount=Decimal(1), reason=" ", actor=shop.cast.root)
    with pytest.raises(InvalidInput):
        take_back(shop, take_back(shop, invoice, "2"), "1")


def test_what_was_written_off_is_not_given_back(shop: Shop, invoice: Invoice) -> None:
    payments.write_off(invoice, reason="Bankrupt", actor=shop.cast.root)
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, "1")
    assert ledger.prepaid(shop.cast.organization, "CNY") == 0


def test_numbers_stay_without_a_gap_when_a_note_is_refused(shop: Shop, invoice: Invoice) -> None:
    with pytest.raises(InvalidInput):
        take_back(shop, invoice, "100")
    assert take_back(shop, invoice, "1").number == "INV-2026-000002"
