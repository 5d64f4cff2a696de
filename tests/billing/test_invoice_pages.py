"""Pages on bills: who sees them, that every cent is explained, and that what is to be paid adds up."""
import csv
import io
import re
import warnings
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import BillingProfile, Charge, Invoice
from portal.kernel.models import AuditEvent
from tenants.roles import bind
from tests.billing import bills
from tests.billing.bills import Used
from tests.cast import Cast

LIST, BALANCE, PAYMENTS = "/invoices/", "/billing/", "/payments/"


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", response.content.decode())).split())


def page_of(invoice: Invoice, *path: str) -> str:
    return "/".join(["/invoices", str(invoice.pk), *path, ""])


def rows_of(response: Any) -> list[dict[str, str]]:
    with warnings.catch_warnings():  # the test's client is not asynchronous, the portal is
        warnings.simplefilter("ignore", Warning)
        text = b"".join(response).decode()
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    """100.01 and a cent's third of it that was rounded; 13 % tax."""
    here = {"project": cast.project, "region": cast.region}
    return bills.invoice(cast.organization, Used(**here, seconds=1000, price_per_hour=Decimal("360.036")),
                         Used(**here, seconds=1, sku="big", price_per_hour=Decimal(12), discount=Decimal("5")), number="INV-7",
                         tax="13")


def test_the_list_says_what_is_to_be_paid(cast: Cast, bill: Invoice) -> None:
    assert bill.total == Decimal("113.01")
    assert "INV-7 Overdue 2026-10 Acme ¥113.01 ¥113.01 2026-11-15" in text_of(cast.browser("alice").get(LIST)).replace(
        "Copy id ", "")


@pytest.mark.parametrize(("who", "code"), [("alice", 200), ("root", 200), ("mallory", 404), ("adam", 404), ("vera", 404)])
def test_bills_are_seen_by_who_sees_the_whole_organization(cast: Cast, bill: Invoice, who: str, code: int) -> None:
    browser = cast.browser(who)
    for path in ((), ("charges",), ("pdf",)):
        assert browser.get(page_of(bill, *path)).status_code == code
    assert (bill.number in text_of(browser.get(LIST))) == (code == 200)


def test_the_accountant_sees_bills_and_says_how_to_be_billed(cast: Cast, bill: Invoice) -> None:
    bind(cast.vera, "billing", cast.organization)
    browser = cast.browser("vera")
    assert bill.number in text_of(browser.get(LIST))
    assert browser.get(f"/billing/{cast.organization.pk}/profile/").status_code == 200


def test_payments_and_credit_notes_take_off_what_is_to_be_paid(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("alice")
    bills.paid(bill, Decimal("100.00"), reference="transfer 1")
    note = bills.credit_note(bill, Decimal("10.01"), number="INV-8", reason="<b>half a day down</b>")
    page = text_of(browser.get(page_of(bill)))
    assert "Total ¥113.01" in page and "Payment" in page and "-¥100.00" in page and "-¥10.01" in page and "To pay ¥3.00" in page
    assert "INV-8 <b>half a day down</b> -¥10.01" in page
    assert "Takes back part of INV-7" in text_of(browser.get(page_of(note)))
    bills.paid(bill, Decimal("3.00"), reference="transfer 2")
    assert "To pay ¥0.00" in text_of(browser.get(page_of(bill)))


@pytest.mark.parametrize(("state", "seen"), [("open", {"INV-7"}), ("paid", {"INV-9"}), ("nonsense", {"INV-7", "INV-8", "INV-9"})])
def test_the_list_is_narrowed_by_what_is_paid(cast: Cast, bill: Invoice, state: str, seen: set[str]) -> None:
    bills.credit_note(bill, Decimal(1), number="INV-8")
    other = bills.invoice(cast.organization, Used(project=cast.project, region=cast.region), number="INV-9", month="2026-09")
    bills.paid(other, other.total, reference="transfer 1")
    page = text_of(cast.browser("alice").get(f"{LIST}?state={state}"))
    assert {number for number in ("INV-7", "INV-8", "INV-9") if number in page} == seen


def test_a_line_is_explained_to_the_last_digit(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("alice")
    lines = text_of(browser.get(page_of(bill)))
    assert "1 Instance, running small web Lab 0.277778 ¥360.036 per hour ¥100.01" in lines
    page = text_of(browser.get(page_of(bill, "charges") + "?line=1"))
    assert "Line 1 explained" in page and "1,000 unit-seconds, or 0.277778 unit-hours" in page
    assert "2026-10-01 00:00:00 2026-10-01 00:16:40 1,000 ¥360.036 ¥100.01" in page
    other = text_of(browser.get(page_of(bill, "charges") + "?line=2"))
    assert "1 ¥12.00 ¥0.0031666666 ¥0.0033333333 less 5 %" in other
    assert "2026-11-01 00:00:00 – ¥12.00 -¥0.0031666666" in other


def test_charges_as_a_file_add_up_to_the_invoice(cast: Cast, bill: Invoice) -> None:
    rows = rows_of(cast.browser("alice").get(page_of(bill, "charges") + "?format=csv"))
    assert len(rows) == Charge.objects.filter(line__invoice=bill).count() == 3
    assert sum(Decimal(row["Amount"]) for row in rows) == bill.subtotal
    lines = rows_of(cast.browser("alice").get(page_of(bill) + "?format=csv"))
    assert [(row["Line"], row["Amount"]) for row in lines] == [("1", "100.01"), ("2", "0.00")]


@pytest.mark.parametrize("nonsense", ["line=0", "line=-1", "line=x", "line=99999999999999", "line=%00", "kind=x", "line=7"])
def test_nonsense_is_no_fault_of_the_server(cast: Cast, bill: Invoice, nonsense: str) -> None:
    assert cast.browser("alice").get(f"{page_of(bill, 'charges')}?{nonsense}").status_code == 200


def test_the_balance_is_what_the_ledger_says(cast: Cast, bill: Invoice) -> None:
    bills.paid(bill, Decimal("13.01"), reference="transfer 1")
    bills.book(bill, "payment", {"cash": Decimal(50), "prepaid": Decimal(-50)}, key="in advance", invoice=None)
    page = text_of(cast.browser("alice").get(BALANCE))
    assert "To pay ¥100.00 " in page and "Paid in advance ¥50.00 " in page
    assert "INV-7 due 2026-11-15 Overdue ¥100.00" in page and "transfer 1 ¥13.01" in page


def test_another_organizations_balance_is_absent(cast: Cast, bill: Invoice) -> None:
    browser = cast.browser("mallory")
    assert "INV-7" not in text_of(browser.get(BALANCE))
    for nonsense in (cast.organization.pk, "x", "00000000-0000-0000-0000-000000000000"):
        assert browser.get(f"{BALANCE}?organization={nonsense}").status_code == 404
    assert "No balance to show" in text_of(cast.browser("vera").get(BALANCE))


def test_payments_are_listed(cast: Cast, bill: Invoice) -> None:
    bills.paid(bill, Decimal("13.01"), reference="transfer 1")
    assert "Bank transfer transfer 1 Acme ¥13.01" in text_of(cast.browser("alice").get(PAYMENTS))
    assert "transfer 1" not in text_of(cast.browser("mallory").get(PAYMENTS))


def test_how_to_be_billed_is_said_once_and_audited(cast: Cast) -> None:
    url, browser = f"/billing/{cast.organization.pk}/profile/", cast.browser("alice")
    sent = {"name": "Acme Ltd", "address": "7 Rue\r\n1000 Bruxelles", "country": "BE", "tax_id": "BE1",
            "email": "bills@acme.example", "language": "zh-hans"}
    assert browser.post(url, sent).status_code == 302
    profile = BillingProfile.objects.get()
    assert (profile.name, profile.country, profile.language, profile.is_tax_exempt) == ("Acme Ltd", "BE", "zh-hans", False)
    event = AuditEvent.objects.get(action="billing_profile.change")
    assert (event.organization_id, event.after["country"], event.actor) == (cast.organization.pk, "BE", cast.alice)
    assert browser.post(url, sent).status_code == 302
    assert AuditEvent.objects.filter(action="billing_profile.change").count() == 1  # nothing new


@pytest.mark.parametrize(("changes", "said"), [
    ({"country": "be"}, "Two capital letters"), ({"email": "nobody"}, "Enter a valid email address"),
    ({"language": "fr"}, "Select a valid choice"), ({"name": "a\x07b"}, "printable"), ({"name": "x" * 201}, "at most 200")])
def test_nonsense_is_said_beside_its_field(cast: Cast, changes: dict[str, str], said: str) -> None:
    response = cast.browser("alice").post(f"/billing/{cast.organization.pk}/profile/", {"language": "en"} | changes)
    assert response.status_code == 400 and said in response.content.decode()
    assert not BillingProfile.objects.exclude(country="", email="", name="").exists()


@pytest.mark.parametrize(("who", "code"), [("mallory", 404), ("adam", 403), ("vera", 403)])
def test_who_may_not_say_how_to_be_billed(cast: Cast, who: str, code: int) -> None:
    browser = cast.browser(who)
    for response in (browser.get(f"/billing/{cast.organization.pk}/profile/"),
                     browser.post(f"/billing/{cast.organization.pk}/profile/", {"language": "en", "name": "x"})):
        assert response.status_code == code
    assert not BillingProfile.objects.exists()


def test_many_lines_and_charges_take_as_many_statements_as_few(cast: Cast) -> None:
    here, browser = {"project": cast.project, "region": cast.region}, cast.browser("alice")
    few = bills.invoice(cast.organization, Used(**here), month="2026-09")
    many = bills.invoice(cast.organization, *(Used(**here, sku=f"s{number}") for number in range(60)), month="2026-10")

    def statements(url: str) -> int:
        browser.get(url)
        with CaptureQueriesContext(connection) as seen:
            assert browser.get(url).status_code == 200
        return len(seen)

    for path in ((), ("charges",)):
        assert statements(page_of(many, *path)) == statements(page_of(few, *path))


def test_the_pdf_is_a_file_of_its_number(cast: Cast, bill: Invoice) -> None:
    response = cast.browser("alice").get(page_of(bill, "pdf"))
    assert response["Content-Type"] == "application/pdf" and response.content.startswith(b"%PDF")
    assert response["Content-Disposition"] == 'attachment; filename="INV-7.pdf"'


def test_it_is_not_overdue_before_it_is_due(cast: Cast) -> None:
    bill = bills.invoice(cast.organization, Used(project=cast.project, region=cast.region), month="2999-01")
    assert bill.due_at - bill.issued_at == timedelta(days=14)
    assert "Overdue" not in text_of(cast.browser("alice").get(page_of(bill)))
