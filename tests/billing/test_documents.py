"""Invoices as PDF: what they say, in whose language, and that nothing in them reaches out."""
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pypdfium2
import pytest
import segno.helpers
from django.utils import translation

from billing import documents, payments
from billing.documents import invoice_pdf
from billing.models import Invoice
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import Shop
from tests.billing.months import NOVEMBER, close, october
from tests.cast import Cast

HOSTILE = '<img src="http://127.0.0.1:9/x.png"><b>& Sons</b>'


def pages_of(content: bytes) -> list[str]:
    pdf = pypdfium2.PdfDocument(content)
    return [page.get_textpage().get_text_range().replace("\r\n", "\n") for page in pdf]


def kept(name: str, content: bytes) -> None:
    """As pictures, for who wants to look: PICTURES=<folder>."""
    if folder := os.environ.get("PICTURES"):
        for number, page in enumerate(pypdfium2.PdfDocument(content), start=1):
            page.render(scale=1.6).to_pil().save(Path(folder) / f"{name}-{number}.png")


@pytest.fixture
def bill(cast: Cast) -> Invoice:
    return make_bill(cast)


def make_bill(cast: Cast, language: str = "en") -> Invoice:
    """A month of a small instance at 0.36 an hour, with a discount, and half an hour of a big one; 13 % tax."""
    here = {"project": cast.project, "region": cast.region}
    return bills.invoice(
        cast.organization, Used(**here, seconds=744 * 3600, discount=Decimal(10)),
        Used(**here, seconds=1800, sku="big", price_per_hour=Decimal("3.6125"), tier=Decimal(100)),
        number="INV-2026-000001", tax="13", address="Rue de l'Eau 7\n1000 Bruxelles", credit=Decimal("40.00"),
        language=language)


def test_it_says_who_owes_whom_what_and_why(bill: Invoice) -> None:
    assert (bill.subtotal, bill.tax, bill.total) == (Decimal("242.87"), Decimal("26.37"), Decimal("229.24"))
    [text] = pages_of(invoice_pdf(bill))
    for words in ("Invoice", "INV-2026-000001", "Waterworks Ltd", "Acme", "Rue de l'Eau 7\n1000 Bruxelles", "2026-10",
                  "744", "¥0.36", "10 % discount", "¥241.06", "0.5", "¥3.6125", "from 100 on", "¥1.81", "¥242.87", "-¥40.00",
                  "VAT 13 %", "¥26.37", "¥229.24", "IBAN CN00 1234 5678", "Payment reference"):
        assert words in text, words


def test_it_speaks_the_language_of_who_is_billed(cast: Cast) -> None:
    bill = make_bill(cast, "zh-hans")
    with translation.override("en"):
        content = invoice_pdf(bill)
        assert translation.get_language() == "en"
    [text] = pages_of(content)
    kept("zh", content)
    assert "¥229.24" in text and "金额" in text and "月份" in text


def test_the_same_invoice_gives_the_same_bytes(bill: Invoice) -> None:
    content = invoice_pdf(bill)
    kept("en", content)
    assert content == invoice_pdf(Invoice.objects.get(pk=bill.pk))


def test_what_a_tenant_calls_itself_is_text_and_fetches_nothing(cast: Cast, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *arguments, **_options: asked.append(str(arguments[1])))
    bill = bills.invoice(cast.organization, Used(project=cast.project, region=cast.region, sku=HOSTILE), name=HOSTILE,
                         address="@import url(file:///etc/passwd)\n{{ invoice.total }}")
    text = "".join(pages_of(invoice_pdf(bill))).replace("\n", "")
    assert text.count('<img src="http://127.0.0.1:9/x.png">') == 2 and "{{ invoice.total }}" in text
    assert asked == []


def test_not_even_our_own_style_may_reach_out(bill: Invoice, monkeypatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.OpenerDirector.open", lambda *arguments, **_options: asked.append(str(arguments[1])))
    for address in ("file:///etc/hostname", "http://127.0.0.1:9/x.png", "data:image/png;base64,AAAA"):
        monkeypatch.setattr(documents, "_style", lambda address=address: f"body {{ background: url({address}) }}")
        assert invoice_pdf(bill).startswith(b"%PDF")
    assert asked == []


def test_a_long_invoice_ends_with_sums_by_project_that_add_up(cast: Cast, monkeypatch) -> None:
    monkeypatch.setattr(documents, "MOST_LINES", 3)
    monkeypatch.setattr(documents, "MOST_SUMS", 1)
    used = [Used(project=one, region=cast.region, seconds=3600 * 100, sku=f"size-{number}")
            for number, one in enumerate([cast.project] * 6 + [cast.rival_project] * 2)]
    bill = bills.invoice(cast.organization, *used)
    content = invoice_pdf(bill)
    kept("long", content)
    text = "".join(pages_of(content))
    assert "size-2" in text and "size-3" not in text and "CSV" in text
    assert "web\n3 lines" in text and "¥108.00" in text  # three of six are printed
    assert "further projects\n2 lines" in text and "¥72.00" in text and "¥288.00" in text


def test_a_credit_note_says_what_it_takes_back_and_asks_for_nothing(bill: Invoice) -> None:
    note = bills.credit_note(bill, Decimal("1.81"), number="INV-2026-000002", reason="The big one was down")
    content = invoice_pdf(note)
    kept("note", content)
    [text] = pages_of(content)
    for words in ("Credit note", "INV-2026-000002", "INV-2026-000001", "The big one was down", "-¥1.81"):
        assert words in text, words
    assert "Payment reference" not in text and "Due" not in text


@pytest.mark.parametrize(("bank", "currency", "is_filled_in"), [
    ("Bank of Pipes\nIBAN DE89 3704 0044 0532 0130 00\nBIC COBADEFFXXX", "EUR", True), ("DE89370400440532013000", "EUR", True),
    ("IBAN DE89 3704 0044 0532 0130 01", "EUR", False), ("IBAN DE89 3704 0044 0532 0130 00", "CNY", False), ("", "EUR", False)])
def test_the_code_fills_in_a_transfer_in_euros(cast: Cast, bank: str, currency: str, is_filled_in: bool) -> None:
    made = bills.invoice(cast.organization, Used(project=cast.project, region=cast.region, price_per_hour=Decimal(10)),
                         number="INV-7", currency=currency)
    made.seller = made.seller | {"bank": bank}
    transfer = segno.helpers.make_epc_qr(name="Waterworks Ltd", iban="DE89370400440532013000", amount=Decimal("10.00"),
                                         text="INV-7")
    plain = segno.make(f"INV-7\n10.00 {currency}", error="m", micro=False)
    assert documents._code(made, made.total) == (transfer if is_filled_in else plain)
    assert invoice_pdf(made)[:4] == b"%PDF"


@pytest.mark.django_db(transaction=True)
def test_what_was_paid_in_advance_is_on_it_and_what_is_paid_later_is_not(shop: Shop) -> None:
    organization = shop.cast.organization
    shop.burnt(shop.lamp(), october(3), october(4))  # 8.64
    payments.record(organization, Decimal("3.00"), "CNY", "manual", "early", None)
    [bill] = close(shop)
    content = invoice_pdf(bill)
    [text] = pages_of(content)
    for words in ("Total ¥8.64", "Paid in advance -¥3.00", "To pay ¥5.64", "Payment reference"):
        assert words in text, words
    payments.record(organization, Decimal("100.00"), "CNY", "manual", "late", None)
    assert invoice_pdf(bill) == content
    shop.burnt(shop.lamp("next"), datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 4, tzinfo=UTC))
    [paid] = close(shop, NOVEMBER, datetime(2026, 12, 2, tzinfo=UTC))
    [text] = pages_of(invoice_pdf(paid))
    assert "To pay ¥0.00" in text and "Payment reference" not in text
