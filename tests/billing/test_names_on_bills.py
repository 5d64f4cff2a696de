"""What is renamed after a bill was issued is not renamed on it: on its page, its PDF, its files, by REST and as FOCUS."""
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils.module_loading import import_string
from psycopg import sql

from billing import closing, focus, payments
from billing.documents import _context, invoice_pdf
from billing.models import Charge, Invoice, InvoiceLine
from portal.kernel.models import Region, Resource
from tenants.models import Project
from tests.billing.lamps import BIG, Shop
from tests.billing.months import NOVEMBER, OCTOBER, SECOND_OF_NOVEMBER, close, october

LATER = "renamed-since"


@pytest.fixture
def billed(shop: Shop) -> Invoice:
    """October: a lamp and an adjustment of a project, both invoiced."""
    shop.burnt(shop.lamp("hall", tags={"room": "hall"}), october(1), october(3), reading=BIG)
    closing.adjust(shop.cast.organization, Decimal(2), "Oil", None, project=shop.cast.project, now=october(20))
    [invoice] = close(shop)
    return invoice


def rename_everything() -> None:
    Project.objects.update(name=LATER)
    Region.objects.update(name=LATER)
    Resource.objects.update(name=LATER, tags={"room": LATER})


def shown(shop: Shop, invoice: Invoice) -> dict[str, Any]:
    """All that says what was billed."""
    browser, api = shop.cast.browser("alice"), shop.cast.api("alice")
    page, lines = f"/invoices/{invoice.pk}/", f"/api/v1/invoices/{invoice.pk}/"
    rest = {name: api.get(f"{lines}{name}/").json()["results"] for name in ("lines", "charges")}
    return {
        "page": [(one.row.project_name, one.row.region_name, one.item.money) for one in browser.get(page).context["lines"]],
        "has old names": {where: shop.cast.project.name in text and LATER not in text for where, text in {
            "page": browser.get(page).content.decode().partition("Location")[2].partition("</table>")[0],
            "csv": b"".join(browser.get(f"{page}?format=csv")).decode()}.items()},
        "charges": b"".join(browser.get(f"{page}charges/?format=csv")), "pdf": invoice_pdf(invoice), "rest": rest,
        "found": len(browser.get(f"{page}?what={shop.cast.project.name}").context["lines"]),
        "focus": list(focus.rows(invoice))}


def test_an_issued_invoice_keeps_its_names(shop: Shop, billed: Invoice) -> None:
    before = shown(shop, billed)
    rename_everything()
    after = shown(shop, billed)
    assert after == before and after["has old names"] == {"page": True, "csv": True} and after["found"] == 2
    line, oil = after["rest"]["lines"]
    assert (line["project_name"], line["region_name"], oil["project_name"]) == (
        shop.cast.project.name, shop.cast.region.name, shop.cast.project.name)
    assert {one["resource_name"] for one in after["rest"]["charges"]} == {"hall", ""}
    assert [row["Tags"] for row in after["focus"] if row["ResourceName"]] == ['{"room": "hall"}']
    assert LATER not in str(after)


def test_the_next_invoice_has_the_new_names_and_a_credit_note_those_of_its_invoice(shop: Shop, billed: Invoice) -> None:
    shop.burnt(shop.lamp("later"), october(31, 23), None)
    rename_everything()
    note = payments.credit_note(billed, reason="Dark", actor=None, lines=[billed.lines.get(position=1)])
    assert (note.lines.get().project_name, note.lines.get().region_name) == (shop.cast.project.name, shop.cast.region.name)
    [november] = closing.close(shop.cast.organization, NOVEMBER, now=SECOND_OF_NOVEMBER.replace(month=12))
    assert {line.project_name for line in november.lines.all()} == {LATER}
    assert set(Charge.objects.filter(line__invoice=november, kind="usage").values_list("resource_name", flat=True)) == {LATER}


def test_a_correction_has_the_name_of_the_day_it_was_found(shop: Shop, billed: Invoice) -> None:
    shop.burnt(shop.lamp("cellar"), october(5), october(6))
    closing.rerate(shop.cast.organization, OCTOBER, commit=True, now=SECOND_OF_NOVEMBER)
    waits = Charge.objects.get(line=None)
    assert (waits.kind, waits.resource_name, waits.resource_tags) == ("correction", "cellar", {})


def test_lines_beyond_the_printed_ones_are_summed_under_the_names_of_then(
        shop: Shop, billed: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.documents.MOST_LINES", 1)
    rename_everything()
    assert [one.name for one in _context(billed)["rest"]] == [shop.cast.project.name]


def test_what_was_issued_before_names_were_kept_gets_those_of_today_and_stays_final(shop: Shop, billed: Invoice) -> None:
    """The migration's own statement, over rows as they were before it."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table in ("billing_invoiceline", "billing_charge"):
            cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(sql.Identifier(table)))
        InvoiceLine.objects.update(project_name="", region_name="")
        Charge.objects.update(resource_name="", resource_tags=None)
        for table in ("billing_invoiceline", "billing_charge"):
            cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(sql.Identifier(table)))
        cursor.execute(import_string("billing.migrations.0017_names_given.NAME_THEM"))
    line = billed.lines.get(position=1)
    assert (line.project_name, line.region_name) == (shop.cast.project.name, shop.cast.region.name)
    assert set(Charge.objects.values_list("resource_name", "resource_tags__room")) == {("hall", "hall"), ("", None)}
    with pytest.raises(Exception, match="neither changed nor deleted"):
        InvoiceLine.objects.update(project_name="x")
