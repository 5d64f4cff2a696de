"""REST of bills: all that the pages show, page by page, and to nobody else."""
from decimal import Decimal
from typing import Any

import pytest

from billing.models import BillingProfile, Invoice
from tests.billing import bills
from tests.billing.bills import Used
from tests.cast import Cast

INVOICES, PAYMENTS, LEDGER, PROFILES = (f"/api/v1/{name}/" for name in ("invoices", "payments", "ledger", "billing-profiles"))


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    """Three lines; the last one's half a cent is rounded up."""
    here = {"project": cast.project, "region": cast.region}
    return bills.invoice(cast.organization, Used(**here), Used(**here, sku="big", price_per_hour=Decimal("3.6")),
                         Used(**here, sku="tiny", price_per_hour=Decimal("0.0075"), discount=Decimal(10), tier=Decimal(50)),
                         number="INV-7", tax="13")


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


def got(cast: Cast, url: str, who: str = "alice", **query: Any) -> Any:
    response = cast.api(who).get(url, query)
    assert response.status_code == 200, response.content
    return response.json()


def test_an_invoice_says_what_is_owed_and_what_is_open(cast: Cast, bill: Invoice) -> None:
    bills.paid(bill, Decimal("4.00"), reference="transfer 1")
    [row] = got(cast, INVOICES)["results"]
    assert row == got(cast, f"{INVOICES}{bill.pk}/")
    assert (row["number"], row["kind"], row["month"], row["start"], row["end"]) == (
        "INV-7", "invoice", "2026-10", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z")
    assert [row[name] for name in ("subtotal", "credit", "tax", "total", "open")] == list(map(money, (
        "3.97", "0.00", "0.52", "4.49", "0.49")))
    assert (row["tax_name"], row["tax_percent"], row["seller"]["name"], row["buyer"]["name"]) == (
        "VAT", "13.00", "Waterworks Ltd", "Acme")


def test_a_credit_note_names_its_invoice(cast: Cast, bill: Invoice) -> None:
    note = bills.credit_note(bill, Decimal("1.00"), number="INV-8")
    [row] = got(cast, INVOICES, corrects=str(bill.pk))["results"]
    assert (row["id"], row["kind"], row["corrects"], row["total"]) == (str(note.pk), "credit_note", str(bill.pk), money("1.00"))
    assert got(cast, f"{INVOICES}{bill.pk}/")["open"] == money("3.49")


def test_lines_and_charges_come_page_by_page_and_add_up(cast: Cast, bill: Invoice) -> None:
    first = got(cast, f"{INVOICES}{bill.pk}/lines/", limit=2)
    second = got(cast, first["next"])
    lines = [*first["results"], *second["results"]]
    assert [line["position"] for line in lines] == [1, 2, 3] and second["next"] is None
    assert lines[2] == {
        "position": 3, "kind": "usage", "project": str(cast.project.pk), "region": str(cast.region.pk),
        "project_name": "web", "region_name": "Lab",
        "meter": "instance.running", "sku": "tiny", "text": "", "quantity": "3600", "price_per_hour": money("0.0075"),
        "tier": "50", "discount_percent": "10", "amount": money("0.01")}
    charges = got(cast, f"{INVOICES}{bill.pk}/charges/")["results"]
    assert sum(Decimal(one["amount"]["amount"]) for one in charges) == bill.subtotal
    of_third = got(cast, f"{INVOICES}{bill.pk}/charges/", line=3)["results"]
    assert [(one["kind"], one["list_amount"]["amount"], one["amount"]["amount"]) for one in of_third] == [
        ("usage", "0.0075", "0.00675"), ("rounding", "0.00", "0.00325")]


@pytest.mark.parametrize("query", ["line=0", "line=x", "line=-1", "line=99999999999999999999", "limit=0", "cursor=x", "other=1"])
def test_nonsense_is_a_clear_400(cast: Cast, bill: Invoice, query: str) -> None:
    assert cast.api("alice").get(f"{INVOICES}{bill.pk}/charges/?{query}").status_code == 400


def test_the_pdf_is_there_for_programs_too(cast: Cast, bill: Invoice) -> None:
    response = cast.key("alice", scopes=["invoice.view"]).get(f"{INVOICES}{bill.pk}/pdf/")
    assert response.status_code == 200 and response["Content-Type"] == "application/pdf" and response.content[:4] == b"%PDF"


def test_the_ledger_is_shown_entry_by_entry_with_legs_that_sum_to_zero(cast: Cast, bill: Invoice) -> None:
    payment = bills.paid(bill, Decimal("4.00"), reference="transfer 1")
    entries = got(cast, LEDGER)["results"]
    assert len(entries) == 3
    for entry in entries:
        assert sum(Decimal(leg["amount"]["amount"]) for leg in entry["legs"]) == 0
    [issued] = got(cast, LEDGER, kind="invoice", invoice=str(bill.pk))["results"]
    assert {leg["account"]: leg["amount"]["amount"] for leg in issued["legs"]} == {
        "receivable": "4.49", "revenue": "-3.97", "tax": "-0.52"}
    [row] = got(cast, PAYMENTS)["results"]
    assert row == got(cast, f"{PAYMENTS}{payment.pk}/") and row["amount"] == money("4.00")


def test_a_rival_and_who_sees_only_a_project_see_nothing(cast: Cast, bill: Invoice) -> None:
    bills.paid(bill, Decimal("4.00"), reference="transfer 1")
    for who in ("mallory", "adam", "vera"):
        assert [got(cast, url, who)["results"] for url in (INVOICES, PAYMENTS, LEDGER)] == [[], [], []]
        for path in ("", "lines/", "charges/", "pdf/"):
            assert cast.api(who).get(f"{INVOICES}{bill.pk}/{path}").status_code == 404


def test_nothing_of_it_is_written_by_rest(cast: Cast, bill: Invoice) -> None:
    """But by its verbs, and operators record payments."""
    for url in (INVOICES, f"{INVOICES}{bill.pk}/", PAYMENTS, LEDGER):
        for method in ("put", "patch", "delete", *(() if url == PAYMENTS else ("post",))):
            assert getattr(cast.api("root"), method)(url, {}, format="json").status_code in (404, 405)


def test_the_profile_is_read_and_changed_in_parts(cast: Cast) -> None:
    url, client = f"{PROFILES}{cast.organization.pk}/", cast.api("alice")
    before = client.get(url)
    assert before.json() == {"organization": str(cast.organization.pk), "name": "", "address": "", "country": "", "tax_id": "",
                             "email": "", "sends_mail": True, "language": "en", "is_tax_exempt": False, "is_prepaid": False}
    changed = client.patch(url, {"country": "BE"}, format="json", headers={"If-Match": before["ETag"]})
    assert (changed.status_code, changed.json()["country"]) == (200, "BE")
    stale = client.patch(url, {"country": "FR"}, format="json", headers={"If-Match": before["ETag"]})
    assert stale.status_code == 412 and BillingProfile.objects.get().country == "BE"
    assert client.patch(url, {"name": "Acme Ltd"}, format="json", headers={"If-Match": changed["ETag"]}).json()["country"] == "BE"


@pytest.mark.parametrize("body", [{"country": "Belgium"}, {"country": "b1"}, {"language": "fr"}, {"email": "x"}, {"name": []},
                                  {"is_tax_exempt": True}, {"is_prepaid": True}, {"name": "a\x07"}])
def test_a_profile_of_nonsense_is_refused(cast: Cast, body: dict[str, Any]) -> None:
    response = cast.api("alice").patch(f"{PROFILES}{cast.organization.pk}/", body, format="json")
    assert response.status_code == 400
    profile = BillingProfile.objects.first()
    assert profile is None or (profile.country, profile.email, profile.is_tax_exempt) == ("", "", False)


@pytest.mark.parametrize(("who", "code"), [("mallory", 404), ("adam", 403), ("vera", 403), ("root", 200)])
def test_who_may_change_it(cast: Cast, who: str, code: int) -> None:
    assert cast.api(who).patch(f"{PROFILES}{cast.organization.pk}/", {"name": "x"}, format="json").status_code == code
