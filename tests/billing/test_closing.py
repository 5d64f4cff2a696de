"""Closing a month, told as accounting stories: what was used becomes an invoice, once, whoever closes how often."""
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing import closing, ledger, operations
from billing.closing import months
from billing.models import Account, BillingProfile, Charge, ClosingFailure, Entry, Invoice, Issuer, TaxRate
from billing.periods import Month
from billing.tasks import close as close_by_the_clock
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent
from tests.billing.lamps import BIG, Shop
from tests.billing.months import DAY, HOUR, NOVEMBER, OCTOBER, SECOND_OF_NOVEMBER, books_add_up, close, give, october


def test_what_was_used_in_october_is_octobers_invoice(shop: Shop) -> None:
    shop.burnt(shop.lamp("desk"), october(3), october(3, 10))
    shop.burnt(shop.lamp("hall"), october(31), None, reading=BIG)  # still burns: billed to the month's end
    (invoice,) = close(shop)
    assert (invoice.number, invoice.month, invoice.currency) == ("INV-2026-000001", "2026-10", "CNY")
    assert (invoice.period.lower, invoice.period.upper) == (october(1), datetime(2026, 11, 1, tzinfo=UTC))
    assert (invoice.subtotal, invoice.credit, invoice.tax, invoice.total) == (90, 0, 0, 90)
    assert [(line.position, line.sku, line.quantity, line.unit_price, line.amount) for line in invoice.lines.order_by("position")
            ] == [(1, "big", 86400, Decimal("3.6"), Decimal("86.40")), (2, "small", 36000, Decimal("0.36"), Decimal("3.60"))]
    assert invoice.due_at - invoice.issued_at == 14 * DAY
    assert ledger.balance(shop.cast.organization, Account.RECEIVABLE, "CNY") == 90
    assert ledger.balance(shop.cast.organization, Account.REVENUE, "CNY") == -90
    assert AuditEvent.objects.get(action="invoice.issue").organization_id == shop.cast.organization.pk
    books_add_up()


def test_the_next_month_takes_up_where_the_last_one_ended(shop: Shop) -> None:
    shop.burnt(shop.lamp(), october(31, 22), datetime(2026, 11, 1, 3, tzinfo=UTC))
    (first,), (second,) = close(shop), close(shop, NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    assert (first.subtotal, second.subtotal) == (Decimal("0.72"), Decimal("1.08"))
    assert second.number == "INV-2026-000002"


def test_a_line_is_rounded_half_up_and_its_rounding_is_a_charge(shop: Shop) -> None:
    for seconds in (50, 50, 50):  # 0.005 each
        shop.burnt(shop.lamp(), october(3), october(3) + timedelta(seconds=seconds))
    (invoice,) = close(shop)
    charges = Charge.objects.filter(line__invoice=invoice).order_by("pk")
    assert [(charge.kind, charge.amount) for charge in charges] == [("usage", Decimal("0.005"))] * 3 + [
        ("rounding", Decimal("0.005"))]
    assert invoice.subtotal == Decimal("0.02")
    books_add_up()


def test_nothing_used_is_no_invoice_and_no_number(shop: Shop) -> None:
    shop.burnt(shop.lamp(project=shop.cast.rival_project), october(3), october(4))
    assert close(shop) == []
    (other,) = closing.close(shop.cast.rival_organization, OCTOBER, now=SECOND_OF_NOVEMBER)
    assert (other.number, Charge.objects.filter(organization=shop.cast.organization).count()) == ("INV-2026-000001", 0)


def test_what_is_free_is_invoiced_over_nothing(shop: Shop) -> None:
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal(0),
                         actor=None, valid_from=october(2), now=october(2))
    shop.burnt(shop.lamp(), october(3), october(4))
    (invoice,) = close(shop)
    assert (invoice.total, Entry.objects.count(), invoice.lines.get().amount) == (0, 0, 0)


def test_a_month_that_is_not_over_is_not_closed(shop: Shop) -> None:
    shop.burnt(shop.lamp(), october(3), october(4))
    with pytest.raises(InvalidInput):
        close(shop, now=datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
    with pytest.raises(InvalidInput):
        closing.close_all(OCTOBER, now=october(31))
    assert not Charge.objects.exists()


def test_months_are_those_of_the_issuers_time_zone(shop: Shop) -> None:
    Issuer.objects.create(id=1, name="Waterworks", time_zone="Asia/Shanghai", country="CN", prefix="WW", due_days=30)
    shop.burnt(shop.lamp(), datetime(2026, 9, 30, 15, tzinfo=UTC), datetime(2026, 9, 30, 18, tzinfo=UTC))
    (invoice,) = close(shop, now=datetime(2026, 10, 31, 16, tzinfo=UTC))  # midnight in Shanghai
    assert (invoice.subtotal, invoice.number) == (Decimal("0.72"), "WW2026-000001")  # two of the three hours
    assert invoice.seller["name"] == "Waterworks"
    assert invoice.due_at - invoice.issued_at == 30 * DAY


@pytest.mark.parametrize(("zone", "first", "hours"), [("Europe/Berlin", datetime(2026, 9, 30, 22, tzinfo=UTC), 745),
                                                      ("UTC", october(1), 744)])
def test_a_month_in_which_clocks_go_back_has_an_hour_more(shop: Shop, zone: str, first: datetime, hours: int) -> None:
    Issuer.objects.create(id=1, name="Waterworks", time_zone=zone)
    shop.burnt(shop.lamp(), datetime(2026, 9, 1, tzinfo=UTC), None)
    (invoice,) = close(shop)
    assert invoice.period.lower == first
    assert invoice.lines.get().quantity == hours * 3600


def test_tax_is_that_of_the_customers_country_on_the_months_last_day(shop: Shop) -> None:
    Issuer.objects.create(id=1, name="Waterworks", country="CN")
    for country, since, percent in (("CN", date(2020, 1, 1), 6), ("DE", date(2020, 1, 1), 19), ("DE", date(2026, 10, 31), 20),
                                    ("DE", date(2026, 11, 1), 25)):
        TaxRate.objects.create(country=country, name="VAT", percent=percent, since=since)
    BillingProfile.objects.create(organization=shop.cast.organization, country="DE", name="Acme GmbH", tax_id="DE1")
    shop.burnt(shop.lamp(), october(3), october(3) + 10 * HOUR)
    shop.burnt(shop.lamp(project=shop.cast.rival_project), october(3), october(3) + 10 * HOUR)
    (german,) = close(shop)
    assert (german.tax_name, german.tax_percent, german.tax, german.total) == ("VAT", 20, Decimal("0.72"), Decimal("4.32"))
    assert (german.buyer["name"], german.buyer["country"], german.buyer["tax_id"]) == ("Acme GmbH", "DE", "DE1")
    assert ledger.balance(shop.cast.organization, Account.TAX, "CNY") == Decimal("-0.72")
    BillingProfile.objects.create(organization=shop.cast.rival_organization, is_tax_exempt=True)
    (exempt,) = closing.close(shop.cast.rival_organization, OCTOBER, now=SECOND_OF_NOVEMBER)
    assert (exempt.tax_name, exempt.tax, exempt.total) == ("", 0, Decimal("3.60"))


def test_credit_pays_first_what_expires_soonest_before_the_rest(shop: Shop) -> None:
    TaxRate.objects.create(country="CN", name="VAT", percent=10, since=date(2020, 1, 1))
    never, soon, later = give(shop, "5", since=october(1)), give(shop, "1", since=october(2), until=october(9)), give(
        shop, "1.5", since=october(3), until=datetime(2027, 1, 1, tzinfo=UTC))
    give(shop, "9", since=datetime(2026, 9, 1, tzinfo=UTC), until=october(1))  # expired before the month began
    give(shop, "9", since=datetime(2026, 11, 1, tzinfo=UTC))  # given after it was over
    give(shop, "9", since=october(1), currency="EUR")
    shop.burnt(shop.lamp(), october(3), october(3, 10))
    (invoice,) = close(shop)
    assert dict(invoice.credit_uses.values_list("credit", "amount")) == {
        soon.pk: Decimal(1), later.pk: Decimal("1.5"), never.pk: Decimal("1.1")}
    assert (invoice.subtotal, invoice.credit, invoice.total) == (Decimal("3.60"), Decimal("3.60"), 0)
    shop.burnt(shop.lamp(), datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC))
    (second,) = close(shop, NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    # 17.28, of which 3.90 is left of the first and 9 came in November; the tax is on what remains.
    assert (second.subtotal, second.credit, second.tax) == (Decimal("17.28"), Decimal("12.90"), Decimal("0.44"))
    books_add_up()


def test_what_waits_goes_along_when_it_was_there_a_day_after_the_month(shop: Shop) -> None:
    shop.burnt(shop.lamp(), october(3), october(3, 10))
    organization, root = shop.cast.organization, shop.cast.root
    closing.adjust(organization, Decimal("-1.25"), "We were slow", root, project=shop.cast.project, now=october(20))
    closing.adjust(organization, Decimal(7), "Set-up", root, now=datetime(2026, 11, 2, tzinfo=UTC))
    (first,) = close(shop, now=datetime(2026, 11, 20, tzinfo=UTC))
    assert first.subtotal == Decimal("2.35")
    (second,) = close(shop, NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    assert [(line.kind, line.text, line.amount) for line in second.lines.all()] == [("adjustment", "Set-up", 7)]
    books_add_up()


def test_more_taken_back_than_used_is_there_for_what_comes(shop: Shop) -> None:
    closing.adjust(shop.cast.organization, Decimal(-20), "Sorry", shop.cast.root, now=october(20))
    shop.burnt(shop.lamp(), october(3), datetime(2026, 11, 1, 10, tzinfo=UTC))
    (invoice,) = close(shop, now=datetime(2026, 11, 2, 2, tzinfo=UTC))
    assert invoice.total == Decimal("230.56")
    closing.adjust(shop.cast.organization, Decimal(-20), "Very sorry", shop.cast.root, now=datetime(2026, 11, 20, tzinfo=UTC))
    (second,) = close(shop, NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    assert second.total == Decimal("-16.40")
    # The first invoice takes the 16.40, so that nothing is left in advance.
    assert ledger.prepaid(shop.cast.organization, "CNY") == 0
    assert ledger.balance(shop.cast.organization, Account.RECEIVABLE, "CNY") == Decimal("214.16")


@pytest.mark.parametrize("amount", ["0", "0.001", "NaN", "Infinity", "1e30"])
def test_an_adjustment_of_no_amount_is_refused(shop: Shop, amount: str) -> None:
    with pytest.raises(InvalidInput):
        closing.adjust(shop.cast.organization, Decimal(amount), "text", shop.cast.root)


def test_an_adjustment_says_why_and_stays_in_its_organization(shop: Shop) -> None:
    with pytest.raises(InvalidInput):
        closing.adjust(shop.cast.organization, Decimal(1), " ", shop.cast.root)
    with pytest.raises(InvalidInput):
        closing.adjust(shop.cast.organization, Decimal(1), "text", shop.cast.root, project=shop.cast.rival_project)
    assert not Charge.objects.exists()


def test_one_organization_that_fails_keeps_no_other_back(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for project in (shop.cast.project, shop.cast.rival_project):
        shop.burnt(shop.lamp(project=project), october(3), october(3, 10))
    works = months.close

    def breaks(organization: Any, month: Month, **options: Any) -> list[Invoice]:
        if organization == shop.cast.organization:
            raise RuntimeError("no tax office")
        return works(organization, month, **options)

    monkeypatch.setattr(months, "close", breaks)
    issued, failed = closing.close_all(OCTOBER, now=SECOND_OF_NOVEMBER)
    assert [invoice.organization for invoice in issued] == [shop.cast.rival_organization]
    assert failed == [shop.cast.organization]
    monkeypatch.undo()
    issued, failed = closing.close_all(OCTOBER, now=SECOND_OF_NOVEMBER)
    assert ([invoice.number for invoice in issued], failed) == (["INV-2026-000002"], [])


# -- the clock and the command --

@pytest.mark.parametrize(("now", "month"), [
    ("2026-11-01T15:59:59+00:00", "2026-09"), ("2026-11-01T16:00:00+00:00", "2026-10"), ("2027-01-20T00:00:00+00:00", "2026-12")])
def test_the_clock_closes_a_day_after_the_months_end(db: None, now: str, month: str) -> None:
    Issuer.objects.create(id=1, name="Waterworks", time_zone="Asia/Shanghai")
    assert str(closing.months.last_to_close(datetime.fromisoformat(now))) == month


def test_nobody_bills_until_there_is_an_issuer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.tasks.database_now", lambda: SECOND_OF_NOVEMBER)
    shop.burnt(shop.lamp(), october(3), october(3, 10))
    close_by_the_clock()
    with pytest.raises(CommandError, match="issuer"):
        call_command("billing", "close", "--month", "2026-10")
    assert not Invoice.objects.exists()
    Issuer.objects.create(id=1, name="Waterworks")
    close_by_the_clock()
    assert Invoice.objects.get().month == "2026-10"


def test_what_failed_is_tried_again_when_its_month_is_not_the_last_one_any_more(shop: Shop, monkeypatch) -> None:
    Issuer.objects.create(id=1, name="Waterworks")
    shop.burnt(shop.lamp(), october(3), october(3, 10))

    def fails(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("no paper")

    with monkeypatch.context() as patched:
        patched.setattr(closing.months.statements, "write_lines", fails)
        closing.close_due(SECOND_OF_NOVEMBER)
    closing.close_due(SECOND_OF_NOVEMBER + 60 * DAY)
    assert Invoice.objects.get().month == "2026-10" and not ClosingFailure.objects.exists()


def test_the_clock_does_not_close_early_what_somebody_tried_by_hand(shop: Shop) -> None:
    Issuer.objects.create(id=1, name="Waterworks")
    shop.burnt(shop.lamp(), october(3), october(3, 10))
    early = SECOND_OF_NOVEMBER - DAY
    ClosingFailure.objects.create(organization=shop.cast.organization, month="2026-10", error="no paper", first_at=early,
                                  last_at=early)
    closing.close_due(early)
    assert not Invoice.objects.exists()
    closing.close_due(SECOND_OF_NOVEMBER)
    assert Invoice.objects.get().month == "2026-10" and not ClosingFailure.objects.exists()


def test_the_command_closes_a_month(shop: Shop, capsys: pytest.CaptureFixture) -> None:
    Issuer.objects.create(id=1, name="Waterworks")
    shop.burnt(shop.lamp(), datetime(2026, 9, 3, tzinfo=UTC), datetime(2026, 9, 3, 10, tzinfo=UTC))
    call_command("billing", "close", "--month", "2026-09")
    call_command("billing", "close", "--month", "2026-09")
    invoice = Invoice.objects.get()
    assert capsys.readouterr().out.splitlines() == [
        f"{invoice.number} 3.60 CNY {shop.cast.organization.name}", "1 invoices issued", "0 invoices issued"]
    for wrong in ("2026-13", "2999-01"):
        with pytest.raises(CommandError):
            call_command("billing", "close", "--month", wrong)


