"""Money that comes in is paid in advance, settles the oldest invoice first, and goes back when nobody needs it."""
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import signing
from django.test import RequestFactory

from billing import closing, ledger, payments, providers
from billing.ledger import balance
from billing.models import Account, Entry, Invoice, Leg, Payment
from billing.periods import Month
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.models import AuditEvent
from tests.billing.conftest import make_shop
from tests.billing.lamps import Shop
from tests.billing.races import at_once

SEPTEMBER, OCTOBER = Month(2026, 9), Month(2026, 10)


def invoiced(shop: Shop, month: Month, hours: int) -> Invoice:
    """A lamp burnt for so many hours, 0.36 each."""
    lamp, at = shop.lamp(str(month)), datetime(2026, month.month, 3, tzinfo=UTC)
    shop.burnt(lamp, at, at.replace(hour=hours))
    (invoice,) = closing.close(shop.cast.organization, month, now=datetime(2026, month.month + 1, 2, tzinfo=UTC))
    return invoice


def pay(shop: Shop, amount: str, reference: str = "1", **options: object) -> Payment:
    return payments.record(shop.cast.organization, Decimal(amount), options.pop("currency", "CNY"), "manual", reference,
                           shop.cast.root, **options)


def open_of(*invoices: Invoice) -> list[Decimal]:
    found = payments.open_amount(invoices)
    return [found[invoice.pk] for invoice in invoices]


def prepaid(shop: Shop, currency: str = "CNY") -> Decimal:
    return ledger.prepaid(shop.cast.organization, currency)


def test_a_payment_settles_the_oldest_invoice_first_and_the_rest_stays_in_advance(shop: Shop) -> None:
    first, second = invoiced(shop, SEPTEMBER, 10), invoiced(shop, OCTOBER, 20)
    assert open_of(first, second) == [Decimal("3.60"), Decimal("7.20")]
    pay(shop, "5", "1")
    assert (open_of(first, second), prepaid(shop)) == ([0, Decimal("5.80")], 0)
    pay(shop, "10", "2")
    assert (open_of(first, second), prepaid(shop)) == ([0, 0], Decimal("4.20"))
    assert balance(shop.cast.organization, Account.CASH, "CNY") == 15
    assert balance(shop.cast.organization, Account.RECEIVABLE, "CNY") == 0


def test_what_was_paid_in_advance_settles_an_invoice_as_it_is_issued(shop: Shop) -> None:
    pay(shop, "3")
    invoice = invoiced(shop, OCTOBER, 10)
    assert (open_of(invoice), prepaid(shop)) == ([Decimal("0.60")], 0)
    assert [entry.kind for entry in invoice.entries.order_by("at")] == ["invoice", "settlement"]


def test_settling_again_settles_nothing(shop: Shop) -> None:
    invoice = invoiced(shop, OCTOBER, 10)
    pay(shop, "2")
    assert payments.settle(shop.cast.organization) == []
    assert open_of(invoice) == [Decimal("1.60")]


def test_money_in_another_currency_settles_nothing(shop: Shop) -> None:
    invoice = invoiced(shop, OCTOBER, 10)
    pay(shop, "100", currency="EUR")
    assert (open_of(invoice), prepaid(shop, "EUR"), prepaid(shop)) == ([Decimal("3.60")], 100, 0)


def test_the_same_reference_is_the_same_payment(shop: Shop) -> None:
    assert pay(shop, "5") == pay(shop, "5")
    assert (prepaid(shop), Payment.objects.count(), Entry.objects.count()) == (5, 1, 1)
    assert AuditEvent.objects.get(action="payment.record").after["amount"] == "5"


def test_a_reference_of_another_payment_is_refused(shop: Shop) -> None:
    pay(shop, "5")
    with pytest.raises(InvalidInput):
        pay(shop, "6")
    with pytest.raises(InvalidInput):
        payments.record(shop.cast.rival_organization, Decimal(5), "CNY", "manual", "1", shop.cast.root)
    assert (prepaid(shop), ledger.prepaid(shop.cast.rival_organization, "CNY")) == (5, 0)


@pytest.mark.parametrize(("field", "value"), [
    ("amount", "0"), ("amount", "-1"), ("amount", "0.001"), ("amount", "NaN"), ("amount", "1e29"), ("currency", "cny"),
    ("currency", "YUAN"), ("currency", "¥¥¥"), ("reference", ""), ("reference", "x" * 101), ("reference", "a\nb"),
    ("provider", " manual")])
def test_bad_payments_are_refused(shop: Shop, field: str, value: str) -> None:
    said = {"amount": "5", "currency": "CNY", "provider": "manual", "reference": "1"} | {field: value}
    said["amount"] = Decimal(said["amount"])
    for verb in (payments.record, payments.refund):
        with pytest.raises(InvalidInput) as error:
            verb(shop.cast.organization, actor=shop.cast.root, **said)
        assert list(error.value.errors) == [field]
    assert not Payment.objects.exists()


def test_a_refund_gives_back_what_is_in_advance_and_no_more(shop: Shop) -> None:
    invoiced(shop, OCTOBER, 10)
    pay(shop, "10")
    organization, root = shop.cast.organization, shop.cast.root
    with pytest.raises(InvalidInput):
        payments.refund(organization, Decimal("6.41"), "CNY", "manual", "back", root)
    back = payments.refund(organization, Decimal("6.40"), "CNY", "manual", "back", root)
    assert (back.amount, prepaid(shop), balance(organization, Account.CASH, "CNY")) == (Decimal("-6.40"), 0, Decimal("3.60"))
    assert payments.refund(organization, Decimal("6.40"), "CNY", "manual", "back", root) == back
    assert AuditEvent.objects.filter(action="payment.refund").count() == 1


def test_what_nobody_will_pay_is_written_off(shop: Shop) -> None:
    invoice = invoiced(shop, OCTOBER, 10)
    pay(shop, "1")
    payments.write_off(invoice, reason="Bankrupt", actor=shop.cast.root)
    assert (open_of(invoice), balance(shop.cast.organization, Account.WRITE_OFF, "CNY")) == ([0], Decimal("2.60"))
    with pytest.raises(InvalidInput):
        payments.write_off(invoice, reason="Again", actor=shop.cast.root)
    assert AuditEvent.objects.get(action="invoice.write_off").after == {
        "amount": "2.60", "currency": "CNY", "reason": "Bankrupt"}


def test_open_amounts_of_many_invoices_are_one_statement(shop: Shop, django_assert_num_queries: Callable) -> None:
    found = [invoiced(shop, SEPTEMBER, 10), invoiced(shop, OCTOBER, 20)]
    with django_assert_num_queries(1):
        assert payments.open_amount(iter(found)) == {found[0].pk: Decimal("3.60"), found[1].pk: Decimal("7.20")}


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_says_it_four_times_at_once_paid_once(lamps_are_metered: None) -> None:
    shop = make_shop()
    assert at_once(lambda _which: pay(shop, "5"), 4) == []
    assert (prepaid(shop), Payment.objects.count()) == (5, 1)


@pytest.mark.django_db(transaction=True)
def test_two_refunds_at_once_do_not_give_back_the_same_money(lamps_are_metered: None) -> None:
    shop = make_shop()
    pay(shop, "10")
    errors = at_once(lambda which: payments.refund(shop.cast.organization, Decimal(6), "CNY", "manual", f"back {which}", None), 2)
    assert [type(error) for error in errors] == [InvalidInput]
    assert prepaid(shop) == 4


@pytest.mark.django_db(transaction=True)
def test_payments_and_a_closing_at_once_settle_exactly(lamps_are_metered: None) -> None:
    shop = make_shop()
    lamp, at = shop.lamp(), datetime(2026, 10, 3, tzinfo=UTC)
    shop.burnt(lamp, at, at.replace(hour=10))

    def work(which: int) -> None:
        if which == 0:
            closing.close(shop.cast.organization, OCTOBER, now=datetime(2026, 11, 2, tzinfo=UTC))
        else:
            pay(shop, "1.50", str(which))

    assert at_once(work, 4) == []
    assert (open_of(Invoice.objects.get()), prepaid(shop)) == ([0], Decimal("0.90"))
    assert sum(Leg.objects.values_list("amount", flat=True)) == 0


# -- a provider --

def paid(url: str) -> str:
    """Where the simulated provider's page leads back to once somebody paid there."""
    return providers.Simulated().paid(parse_qs(urlsplit(url).query)["order"][0])


def token_of(url: str) -> str:
    return parse_qs(urlsplit(paid(url)).query)["token"][0]


def confirm(shop: Shop, token: str) -> Payment:
    request = RequestFactory().get("/", {"token": token})
    request.user = shop.cast.alice
    return providers.provider().confirm(request)


@pytest.fixture
def simulated(settings: Any) -> None:
    settings.PAYMENT_PROVIDER = "billing.providers.Simulated"


def test_without_a_provider_nobody_pays_by_themselves(settings: Any) -> None:
    settings.PAYMENT_PROVIDER = ""
    with pytest.raises(NotFound):
        providers.provider()


def test_a_top_up_is_booked_once_however_often_the_browser_comes_back(shop: Shop, simulated: None) -> None:
    url = providers.provider().start(shop.cast.organization, Decimal("20"), "CNY", "https://mains.example/billing/paid/?a=b")
    assert paid(url).startswith("https://mains.example/billing/paid/?a=b&token=")
    payment = confirm(shop, token_of(url))
    assert (payment.amount, payment.provider, payment.recorded_by) == (20, "simulated", shop.cast.alice)
    assert confirm(shop, token_of(url)) == payment
    assert prepaid(shop) == 20


def test_two_top_ups_of_the_same_amount_are_two(shop: Shop, simulated: None) -> None:
    for _number in range(2):
        confirm(shop, token_of(providers.provider().start(shop.cast.organization, Decimal("20"), "CNY", "/")))
    assert prepaid(shop) == 40


@pytest.mark.parametrize("forge", [lambda _token: "", lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
                                   lambda _token: signing.dumps(["x", "1", "CNY", "r"], salt="other")])
def test_a_forged_token_books_nothing(shop: Shop, simulated: None, forge: Callable[[str], str]) -> None:
    token = token_of(providers.provider().start(shop.cast.organization, Decimal("20"), "CNY", "/"))
    with pytest.raises(InvalidInput):
        confirm(shop, forge(token))
    assert not Payment.objects.exists()


def test_an_old_token_books_nothing(shop: Shop, simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    token = token_of(providers.provider().start(shop.cast.organization, Decimal("20"), "CNY", "/"))
    monkeypatch.setattr(providers.Simulated, "VALID_S", -1)
    with pytest.raises(InvalidInput):
        confirm(shop, token)


def test_a_provider_may_call_without_anybody_signed_in(shop: Shop, simulated: None) -> None:
    token = token_of(providers.provider().start(shop.cast.organization, Decimal("20"), "CNY", "/"))
    request = RequestFactory().post("/", {"token": token})
    request.user = AnonymousUser()
    assert providers.provider().confirm(request).recorded_by is None


@pytest.mark.parametrize("amount", ["0", "-5", "0.001"])
def test_a_top_up_of_no_amount_is_refused(shop: Shop, simulated: None, amount: str) -> None:
    with pytest.raises(InvalidInput):
        providers.provider().start(shop.cast.organization, Decimal(amount), "CNY", "/")
