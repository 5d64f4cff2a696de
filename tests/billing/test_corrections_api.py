"""Corrections by the API as by admin's acts: operators alone, once however often a program asks."""
from decimal import Decimal
from typing import Any

import pytest

from billing import ledger, mailing, profiles
from billing.models import Charge, Entry, Invoice, InvoiceMail, Payment
from billing.operations import record_outage
from billing.payments import open_amount
from portal.kernel.models import AuditEvent
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import Shop
from tests.billing.months import close, october
from tests.billing.test_invoice_api import INVOICES, PAYMENTS, money
from tests.cast import Cast


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    """10.00 and 3.60, and 10 % of tax."""
    here = {"project": cast.project, "region": cast.region}
    return bills.invoice(cast.organization, Used(**here, price_per_hour=Decimal(10)),
                         Used(**here, sku="big", price_per_hour=Decimal("3.6")), number="INV-7", tax="10")


def post(cast: Cast, url: str, body: dict[str, Any], *, who: str = "root", status: int = 201, **headers: str) -> Any:
    response = cast.api(who).post(url, body, format="json", **headers)
    assert response.status_code == status, response.content
    return response.json()


def transfer(cast: Cast, **changes: Any) -> dict[str, Any]:
    return {"organization": str(cast.organization.pk), "amount": "4.00", "currency": "CNY", "reference": "transfer 1"} | changes


def open_of(bill: Invoice) -> Decimal:
    return open_amount([bill])[bill.pk]


def test_part_of_an_invoice_is_taken_back_by_an_amount_or_by_lines(cast: Cast, bill: Invoice) -> None:
    url = f"{INVOICES}{bill.pk}/actions/credit-note/"
    note = post(cast, url, {"amount": "2.50", "reason": "Half a day down"})
    assert (note["kind"], note["corrects"], note["total"], note["reason"]) == (
        "credit_note", str(bill.pk), money("2.75"), "Half a day down")
    of_line = post(cast, url, {"lines": [2], "reason": "Never ordered"})
    assert of_line["subtotal"] == money("3.60") and open_of(bill) == Decimal("8.25")
    assert AuditEvent.objects.filter(action="invoice.credit_note", actor=cast.root).count() == 2
    post(cast, url, {"lines": [2], "reason": "again"}, status=400)
    post(cast, f"{INVOICES}{note['id']}/actions/credit-note/", {"amount": "1.00", "reason": "a note of a note"}, status=400)


@pytest.mark.parametrize("body", [
    {}, {"reason": "x"}, {"amount": "1.00"}, {"amount": "1.00", "lines": [1], "reason": "x"}, {"amount": 1.1, "reason": "x"},
    {"amount": "-1", "reason": "x"}, {"amount": "0", "reason": "x"}, {"amount": "NaN", "reason": "x"},
    {"amount": "1.001", "reason": "x"}, {"amount": "99.00", "reason": "x"}, {"amount": "9" * 30, "reason": "x"},
    {"lines": [], "reason": "x"}, {"lines": [1, 1], "reason": "x"}, {"lines": [3], "reason": "x"},
    {"lines": [2**40], "reason": "x"}, {"amount": "1.00", "reason": "a\nb"}, {"amount": "1", "reason": " "},
    {"amount": "1.00", "reason": "x", "tax": "0"}])
def test_nonsense_takes_nothing_back(cast: Cast, bill: Invoice, body: dict[str, Any]) -> None:
    answer = post(cast, f"{INVOICES}{bill.pk}/actions/credit-note/", body, status=400)
    assert answer["errors"] and Invoice.objects.count() == 1


def test_a_program_that_asks_again_takes_back_once(cast: Cast, bill: Invoice) -> None:
    url, body = f"{INVOICES}{bill.pk}/actions/credit-note/", {"amount": "2.50", "reason": "Half a day down"}
    first, again = (post(cast, url, body, HTTP_IDEMPOTENCY_KEY="note-1") for _time in range(2))
    assert first == again and Invoice.objects.count() == 2
    post(cast, url, body | {"amount": "3.00"}, status=422, HTTP_IDEMPOTENCY_KEY="note-1")


def test_what_nobody_will_pay_is_written_off(cast: Cast, bill: Invoice) -> None:
    url = f"{INVOICES}{bill.pk}/actions/write-off/"
    assert post(cast, url, {"reason": "Insolvent"}, status=200)["open"] == money("0.00")
    assert Entry.objects.get(kind="write_off").text == "Insolvent"
    assert set(post(cast, url, {"reason": "again"}, status=400)["errors"]) == {"invoice"}


def test_a_month_is_rated_anew_first_to_look_and_then_for_good(shop: Shop) -> None:
    lamp = shop.lamp()
    shop.burnt(lamp, october(3), october(4))
    [invoice] = close(shop)
    record_outage(lamp, start=october(3), end=october(3, 12), reason="Fire", actor=shop.cast.root)
    url = f"{INVOICES}{invoice.pk}/actions/rerate/"
    for body in ({}, {"commit": False}, {"commit": True}):
        found = post(shop.cast, url, body, status=200)
        assert (found["count"], found["sums"], found["differences"][0]["resource"]) == (1, [money("-4.32")], str(lamp.pk))
        assert Charge.objects.filter(line=None).count() == (body == {"commit": True})
    assert post(shop.cast, url, {"commit": True}, status=200)["count"] == 0


def test_an_adjustment_waits_for_the_next_invoice(cast: Cast) -> None:
    body = {"organization": str(cast.organization.pk), "amount": "-2.50", "text": "Sorry for Monday"}
    made = post(cast, f"{INVOICES}adjust/", body)
    assert (made["amount"], made["text"], made["project"]) == (money("-2.50"), "Sorry for Monday", None)
    assert Charge.objects.get(line=None).amount == Decimal("-2.50")
    post(cast, f"{INVOICES}adjust/", body | {"project": str(cast.rival_project.pk)}, status=400)
    post(cast, f"{INVOICES}adjust/", body | {"amount": "0.00"}, status=400)


def test_payments_and_refunds_are_recorded_once(cast: Cast, bill: Invoice) -> None:
    made = post(cast, PAYMENTS, transfer(cast, amount="20.00"))
    assert (made["amount"], made["provider"]) == (money("20.00"), "manual") and open_of(bill) == 0
    assert post(cast, PAYMENTS, transfer(cast, amount="20.00"))["id"] == made["id"], "a reference is recorded once"
    post(cast, PAYMENTS, transfer(cast, amount="21.00"), status=400)
    assert ledger.prepaid(cast.organization, "CNY") == Decimal("5.04")
    too_much = post(cast, f"{PAYMENTS}refund/", transfer(cast, amount="5.05", reference="back 1"), status=400)
    assert set(too_much["errors"]) == {"amount"}
    back = post(cast, f"{PAYMENTS}refund/", transfer(cast, amount="5.04", reference="back 1", received_at="2026-11-02T10:00:00Z"))
    assert back["amount"] == money("-5.04") and back["received_at"] == "2026-11-02T10:00:00Z"
    assert ledger.prepaid(cast.organization, "CNY") == 0 and Payment.objects.count() == 2


@pytest.mark.parametrize("changes", [{"amount": "-1.00"}, {"amount": 4}, {"currency": "yuan"}, {"currency": "cny"},
                                     {"reference": ""}, {"provider": "a\nb"}, {"received_at": "soon"}, {"organization": "x"}])
@pytest.mark.parametrize("path", ["", "refund/"])
def test_nonsense_records_nothing(cast: Cast, path: str, changes: dict[str, Any]) -> None:
    post(cast, PAYMENTS + path, transfer(cast, **changes), status=400)
    assert not Payment.objects.exists()


@pytest.mark.parametrize("who", ["alice", "vera", "mallory"])
def test_for_everybody_else_there_is_nothing_here(cast: Cast, bill: Invoice, who: str) -> None:
    for url, body in ((f"{INVOICES}{bill.pk}/actions/credit-note/", {"amount": "1.00", "reason": "x"}),
                      (f"{INVOICES}{bill.pk}/actions/write-off/", {"reason": "x"}), (f"{INVOICES}{bill.pk}/actions/rerate/", {}),
                      (f"{INVOICES}adjust/", {"organization": str(cast.organization.pk), "amount": "1.00", "text": "x"}),
                      (PAYMENTS, transfer(cast)), (f"{PAYMENTS}refund/", transfer(cast))):
        post(cast, url, body, who=who, status=404)
    assert Invoice.objects.count() == 1 and not Payment.objects.exists() and open_of(bill) == bill.total


def test_an_invoice_is_mailed_again_by_who_manages_bills(cast: Cast, bill: Invoice) -> None:
    url = f"{INVOICES}{bill.pk}/"
    assert post(cast, f"{url}actions/send/", {}, who="alice", status=409)["code"] == "not_mailed"
    profiles.set_profile(cast.organization, email="bills@acme.example", actor=cast.alice)
    made = post(cast, f"{url}actions/send/", {}, who="alice")
    assert (made["address"], made["state"], made["asked"]) == ("bills@acme.example", "pending", True)
    post(cast, f"{url}actions/send/", {}, who="mallory", status=404)
    mailing.run()
    [mail] = cast.api("alice").get(f"{url}mails/").json()["results"]
    assert mail["state"] == InvoiceMail.State.SENT and mail["finished_at"]
