"""Bills in admin: operators record payments and write credit notes; what was booked is only read."""
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing import ledger, payments
from billing.models import BillingProfile, Charge, Entry, Invoice, Issuer, Payment, PriceBook, TaxRate
from billing.operations import record_outage
from billing.payments import open_amount
from portal.kernel.models import AuditEvent
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import Shop
from tests.billing.months import close, october
from tests.cast import Cast

PAYMENT, INVOICE, ISSUER, CHARGE = (f"/admin/billing/{name}/" for name in ("payment", "invoice", "issuer", "charge"))


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    """10.00."""
    return bills.invoice(cast.organization, Used(project=cast.project, region=cast.region, price_per_hour=Decimal(10)),
                         number="INV-7")


def payment_of(cast: Cast, **changes: str) -> dict[str, str]:
    return {"organization": str(cast.organization.pk), "amount": "4.00", "currency": "CNY", "reference": "transfer 1",
            "received_at_0": "2026-11-02", "received_at_1": "10:00:00"} | changes


def open_of(bill: Invoice) -> Decimal:
    return open_amount([bill])[bill.pk]


def test_a_payment_that_was_seen_in_the_bank_settles_what_is_open(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("root")
    assert browser.get(f"{PAYMENT}add/").status_code == 200
    assert browser.post(f"{PAYMENT}add/", payment_of(cast)).status_code == 302
    payment = Payment.objects.get()
    assert (payment.provider, payment.recorded_by, payment.received_at) == (
        "manual", cast.root, datetime(2026, 11, 2, 10, tzinfo=UTC))
    assert open_of(bill) == Decimal("6.00")
    assert AuditEvent.objects.filter(action="payment.record", organization=cast.organization, actor=cast.root).count() == 1


@pytest.mark.parametrize("changes", [{"amount": "0"}, {"amount": "-1"}, {"amount": "1.001"}, {"amount": "9" * 30},
                                     {"currency": "yen"}, {"reference": ""}, {"received_at_0": "x"}])
def test_nonsense_is_said_and_records_nothing(cast: Cast, changes: dict[str, str]) -> None:
    response = cast.browser("root").post(f"{PAYMENT}add/", payment_of(cast, **changes))
    assert response.status_code == 200 and response.context["adminform"].form.errors
    assert not Payment.objects.exists()


def test_a_credit_note_is_written_from_its_invoice(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("root")
    led = browser.get(f"{INVOICE}{bill.pk}/credit-note/")
    assert led.status_code == 302 and led["Location"] == f"{INVOICE}add/?corrects={bill.pk}"
    assert bill.number in browser.get(led["Location"]).content.decode()
    sent = {"corrects": str(bill.pk), "subtotal": "2.50", "reason": "Half a day down"}
    assert browser.post(f"{INVOICE}add/", sent).status_code == 302
    note = Invoice.objects.get(kind="credit_note")
    assert (note.corrects, note.total, note.reason) == (bill, Decimal("2.50"), "Half a day down")
    assert open_of(bill) == Decimal("7.50")
    too_much = browser.post(f"{INVOICE}add/", sent | {"subtotal": "8.00"})
    assert too_much.status_code == 200 and "7.50 is left of this invoice" in too_much.content.decode()
    assert Invoice.objects.filter(kind="credit_note").count() == 1


def test_the_invoice_of_a_credit_note_is_looked_for_and_not_chosen_from_all(cast: Cast, bill: Invoice) -> None:
    """Of any number the form holds the one that it was opened for, and the search some that fit, with no credit notes."""
    note = payments.credit_note(bill, amount=Decimal("1.00"), reason="We were down", actor=cast.root)
    others = Invoice.objects.filter(pk=bill.pk).values()[0]
    Invoice.objects.bulk_create(Invoice(**others | {"id": uuid4(), "number": f"OLD-{number}", "currency": "EUR",
                                                    "month": f"{2000 + number // 12}-{number % 12 + 1:02}"})
                                for number in range(900))
    browser = cast.browser("root")
    page = browser.get(f"{INVOICE}add/?corrects={bill.pk}").content.decode()
    assert bill.number in page and "OLD-" not in page and 'data-ajax--url="/admin/autocomplete/"' in page
    asked = {"app_label": "billing", "model_name": "invoice", "field_name": "corrects"}
    found = browser.get("/admin/autocomplete/", asked | {"term": "OLD-77"}).json()["results"]
    assert {one["text"] for one in found} == {"OLD-77", *(f"OLD-77{digit}" for digit in range(10))}
    assert len(browser.get("/admin/autocomplete/", asked).json()["results"]) < 100
    assert browser.get("/admin/autocomplete/", asked | {"term": note.number}).json()["results"] == []
    refused = browser.post(f"{INVOICE}add/", {"corrects": str(note.pk), "subtotal": "1.00", "reason": "Twice"})
    assert refused.status_code == 200 and "corrects" in refused.context["adminform"].form.errors


def act(cast: Cast, bill: Invoice, **sent: str) -> Any:
    return cast.browser("root").post(INVOICE, {"action": "write_off", "_selected_action": [str(bill.pk)]} | sent, follow=True)


def test_what_nobody_will_pay_is_written_off_once_it_is_confirmed(cast: Cast, bill: Invoice) -> None:
    assert "cannot be undone" in act(cast, bill).content.decode()
    assert open_of(bill) == Decimal("10.00")
    act(cast, bill, confirmed="1")
    assert open_of(bill) == 0
    assert "Nothing of it is open." in act(cast, bill, confirmed="1").content.decode()


def test_what_is_paid_in_advance_is_paid_back(cast: Cast) -> None:
    browser = cast.browser("root")
    assert browser.post(f"{PAYMENT}add/", payment_of(cast)).status_code == 302
    back = payment_of(cast, amount="3.00", reference="back 1", is_refund="on")
    assert browser.post(f"{PAYMENT}add/", back).status_code == 302
    assert ledger.prepaid(cast.organization, "CNY") == Decimal("1.00")
    too_much = browser.post(f"{PAYMENT}add/", back | {"reference": "back 2"})
    assert too_much.status_code == 200 and "Less than this is paid in advance" in too_much.content.decode()
    assert AuditEvent.objects.filter(action="payment.refund", actor=cast.root).count() == 1


def test_an_adjustment_waits_for_the_next_invoice(cast: Cast) -> None:
    PriceBook.objects.create(name="List", is_default=True)
    browser = cast.browser("root")
    sent = {"organization": str(cast.organization.pk), "amount": "-2.50", "text": "Half a day down",
            "project": str(cast.project.pk)}
    assert browser.get(f"{CHARGE}add/").status_code == 200
    assert browser.post(f"{CHARGE}add/", sent).status_code == 302
    charge = Charge.objects.get()
    assert (charge.kind, charge.amount, charge.project, charge.line) == ("adjustment", Decimal("-2.50"), cast.project, None)
    for changes in ({"amount": "0"}, {"text": " "}, {"project": str(cast.rival_project.pk)}):
        assert browser.post(f"{CHARGE}add/", sent | changes).status_code == 200
    assert Charge.objects.count() == 1


def test_a_month_is_rated_anew_once_it_is_confirmed(shop: Shop) -> None:
    cast, lamp = shop.cast, shop.lamp()
    shop.burnt(lamp, october(3), october(3, 10))
    (bill,) = close(shop)
    record_outage(lamp, start=october(3), end=october(3, 1), reason="Power", actor=cast.root)
    assert "1 differences: -0.36 CNY" in act(cast, bill, action="preview").content.decode()
    assert not Charge.objects.filter(line=None).exists()
    assert "goes on the next" in act(cast, bill, action="rate_anew").content.decode()
    assert "1 differences: -0.36 CNY" in act(cast, bill, action="rate_anew", confirmed="1").content.decode()
    assert Charge.objects.get(line=None).amount == Decimal("-0.36")
    assert "Nothing differs." in act(cast, bill, action="rate_anew", confirmed="1").content.decode()
    assert AuditEvent.objects.filter(action="invoice.rerate", actor=cast.root).count() == 1


def test_the_page_of_an_invoice_says_what_is_open_and_leads_to_its_lines(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("root")
    page = browser.get(f"{INVOICE}{bill.pk}/change/").content.decode()
    assert "10.00 CNY" in page and "Overdue" in page and f"/admin/billing/invoiceline/?q={bill.pk}" in page
    assert "small" in browser.get(f"/admin/billing/invoiceline/?q={bill.pk}").content.decode()


def test_amounts_and_parties_are_read_without_a_calculator(cast: Cast) -> None:
    used = Used(project=cast.project, region=cast.region, price_per_hour=Decimal(1234567))
    big = bills.invoice(cast.organization, used, number="INV-BIG", name="Acme <Ltd>", address="1 Road\nTown")
    payments.record(cast.organization, Decimal("1000000.5"), "CNY", "manual", "transfer 9", cast.root)
    browser = cast.browser("root")
    page = browser.get(f"{INVOICE}{big.pk}/change/").content.decode()
    assert "1,234,567.00 CNY" in page and "234,566.50 CNY" in page
    assert "Acme &lt;Ltd&gt;<br>1 Road<br>Town<br>Country: CN" in page and "&#x27;address&#x27;" not in page
    assert "Waterworks Ltd<br>1 Mains Street<br>Shanghai<br>Country: CN<br>Tax id: 91310000MA1" in page
    entry = Entry.objects.get(kind="payment")
    for url in (PAYMENT, "/admin/billing/entry/", f"/admin/billing/entry/{entry.pk}/change/"):
        assert "1,000,000.50 CNY" in browser.get(url).content.decode(), url
    assert "-1,000,000.50 CNY" in browser.get(f"/admin/billing/entry/{entry.pk}/change/").content.decode()
    assert "1,234,567.00 CNY" in browser.get(f"/admin/billing/invoiceline/?q={big.pk}").content.decode()
    assert "1,234,567.00 CNY" in browser.get(CHARGE).content.decode()


def test_there_is_one_issuer_whose_time_zone_stays_once_something_was_invoiced(cast: Cast) -> None:
    browser = cast.browser("root")
    sent = {"name": "Waterworks", "country": "CN", "time_zone": "Asia/Shanghai", "prefix": "W-", "due_days": "30",
            "reminder_days": "3", "block_days": "10", "stop_days": "20", "recycle_days": "40"}
    assert browser.post(f"{ISSUER}add/", sent).status_code == 302
    assert browser.get(f"{ISSUER}add/").status_code == 403
    assert browser.post(f"{ISSUER}1/change/", sent | {"time_zone": "Europe/Brussels"}).status_code == 302
    bills.invoice(cast.organization, Used(project=cast.project, region=cast.region))
    assert browser.post(f"{ISSUER}1/change/", sent | {"time_zone": "UTC", "name": "Pipes"}).status_code == 302
    issuer = Issuer.objects.get()
    assert (issuer.name, issuer.time_zone) == ("Pipes", "Europe/Brussels")
    assert browser.post(f"{ISSUER}1/delete/", {"post": "yes"}).status_code == 403
    assert list(AuditEvent.objects.filter(target_type="issuer").order_by("at").values_list("action", flat=True)) == [
        "issuer.create", "issuer.update", "issuer.update"]


def test_a_time_zone_that_is_none_is_refused(cast: Cast) -> None:
    response = cast.browser("root").post(f"{ISSUER}add/", {"name": "W", "country": "CN", "time_zone": "Mars/Olympus",
                                                           "prefix": "W-", "due_days": "30"})
    assert response.status_code == 200 and not Issuer.objects.exists()


def test_operators_say_who_pays_no_tax(cast: Cast) -> None:
    sent = {"organization": str(cast.organization.pk), "language": "en", "is_tax_exempt": "on"}
    assert cast.browser("root").post("/admin/billing/billingprofile/add/", sent).status_code == 302
    assert BillingProfile.objects.get().is_tax_exempt
    assert AuditEvent.objects.filter(action="billing_profile.change", organization=cast.organization).count() == 1


def test_operators_change_only_what_they_changed_and_by_the_verb(cast: Cast) -> None:
    profile = BillingProfile.objects.create(organization=cast.organization, is_prepaid=True, address="Old street")
    page = f"/admin/billing/billingprofile/{profile.pk}/change/"
    browser = cast.browser("root")
    assert browser.get(page).status_code == 200
    sent = {"language": "en", "address": "Old street", "sends_mail": "on"}
    assert browser.post(page, sent | {"name": "a\x07b"}).status_code == 200
    assert browser.post(page, sent).status_code == 302
    profile.refresh_from_db()
    assert (profile.is_prepaid, profile.address, profile.name) == (False, "Old street", "")
    [event] = AuditEvent.objects.filter(action__startswith="billing")
    assert (event.action, event.actor, event.after) == ("billing_profile.change", cast.root, {"is_prepaid": False})


def test_a_tax_rate_is_set_from_a_day_on(cast: Cast) -> None:
    sent = {"country": "CN", "name": "VAT", "percent": "13", "since": "2026-01-01"}
    browser = cast.browser("root")
    assert browser.post("/admin/billing/taxrate/add/", sent).status_code == 302
    assert browser.post("/admin/billing/taxrate/add/", sent | {"percent": "101", "since": "2027-01-01"}).status_code == 200
    assert TaxRate.objects.get().percent == Decimal(13)
