"""An accountant takes the books along: the same rows in three formats, whole to the last unit, whoever is killed while they are
written; and nobody else's."""
import hashlib
import re
import zipfile
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import signing
from django.db.models import F
from django.urls import reverse
from django.utils import translation

from billing import closing, payments
from billing.exports import expiry, files, links, steps, verbs, writers
from billing.exports.columns import COLUMNS
from billing.exports.described import TEXTS, described
from billing.exports.errors import TooManyExports, TooManyExportsToday
from billing.exports.verbs import request_export
from billing.models import Charge, Export, Invoice, Leg
from billing.models.exports import Format, What
from portal.kernel import crash, tasks
from portal.kernel.errors import InvalidInput, NotFound, StateConflict
from portal.kernel.models import AuditEvent, Operation
from portal.kernel.operations import engine, request_cancel
from tests.billing.exported import ask, content, export, fetched, left, rows, sheets, work
from tests.billing.lamps import Shop
from tests.billing.months import close, furnish, october, this_month
from tests.billing.races import at_once
from tests.billing.test_focus import broken

NOVEMBER = october(31) + timedelta(days=15)
FORMATS = ("csv", "xlsx", "json")


@pytest.fixture(autouse=True)
def directory(settings, tmp_path) -> None:
    settings.DOORBELLS = False
    settings.EXPORTS = settings.EXPORTS | {"directory": tmp_path, "folders": ""}


@pytest.fixture
def closed(shop: Shop) -> Invoice:
    """October with credit, tax, an adjustment and roundings, and a credit note."""
    furnish(shop)
    shop.lamp("=HYPERLINK(1)")
    [made] = close(shop)
    payments.credit_note(made, amount=Decimal("1.25"), reason="=1+1", actor=shop.cast.root)
    return made


@pytest.mark.parametrize("format", FORMATS)
def test_a_month_adds_up_to_its_invoices_to_the_last_unit(shop: Shop, closed: Invoice, format: str, monkeypatch) -> None:
    monkeypatch.setattr(steps, "PART_ROWS", 3)
    monkeypatch.setattr(steps, "READ_ROWS", 7)
    found = rows(export(shop, "focus", format))
    note = closed.credit_notes.get()
    used = [Decimal(str(row["BilledCost"])) for row in found if row["ChargeCategory"] in ("Usage", "Adjustment")]
    assert sum(used) == closed.subtotal
    assert sum(Decimal(str(row["BilledCost"])) for row in found) == closed.total - note.total
    assert len(found) == Charge.objects.filter(line__invoice=closed).count() + closed.credit_uses.count() + 1 + 2


@pytest.mark.parametrize("format", FORMATS)
def test_each_row_of_each_format_keeps_the_rules_of_focus(shop: Shop, closed: Invoice, format: str) -> None:
    found = rows(export(shop, "focus", format))
    numbers = writers.NUMBERS
    found = [{name: f"{Decimal(str(value)):f}" if name in numbers and value is not None else value for name, value in row.items()}
             for row in found]
    assert len(found) > 10
    assert [fault for row in found for fault in broken(row)] == []


def test_the_three_formats_say_the_same(shop: Shop, closed: Invoice) -> None:
    told = [[{name: None if value is None else Decimal(str(value)) if name in writers.NUMBERS else value
              for name, value in row.items()} for row in rows(export(shop, "focus", format))] for format in FORMATS]
    guarded = [row | {"ChargeDescription": f"'{row['ChargeDescription']}"} if row["ChargeDescription"].startswith("=") else row
               for row in told[2]]
    assert told[0] == told[1] == guarded


def test_nothing_in_a_file_calculates(shop: Shop, closed: Invoice) -> None:
    """A tenant who calls a thing =HYPERLINK(…) does nothing to whoever opens the file."""
    shop.burnt(shop.lamp("=cmd|' /C calc'!A0"), october(5), october(6))
    for format in ("csv", "xlsx"):
        values = [(name, value) for row in rows(export(shop, "usage", format)) for name, value in row.items()
                  if isinstance(value, str) and name not in writers.NUMBERS]
        assert ("resource_name", "'=cmd|' /C calc'!A0") in values
        assert not [one for one in values if one[1].startswith(("=", "+", "-", "@"))]
    with zipfile.ZipFile(files.file_of(Export.objects.get(format="xlsx").pk)) as book:
        assert book.testzip() is None
        assert b"<f" not in book.read(writers.SHEET.format(1)).replace(b"<freeze", b"")


def test_amounts_keep_their_digits_in_a_spreadsheet(shop: Shop) -> None:
    """A spreadsheet keeps fifteen digits: what has more is text."""
    cells = [writers._cell("BilledCost", text) for text in ("0.1234567890", "123456789012.12", "12345678901234.5678")]
    assert cells[0] == "<c><v>0.1234567890</v></c>" and cells[1] == "<c><v>123456789012.12</v></c>"
    assert "inlineStr" in cells[2] and "12345678901234.5678" in cells[2]


def test_what_is_not_invoiced_is_there_too_and_says_so(shop: Shop, closed: Invoice) -> None:
    """November so far: what runs is rated until now, what waits goes along, and neither has an invoice."""
    closing.adjust(shop.cast.organization, Decimal("-0.75"), "Late apology", None, now=NOVEMBER)
    found = rows(export(shop, "focus", "json", "2026-10", "2026-11", now=NOVEMBER))
    open_rows = [row for row in found if row["InvoiceId"] is None]
    waiting = [row for row in open_rows if row["ChargeCategory"] == "Adjustment"]
    assert [(row["BilledCost"], row["BillingPeriodStart"]) for row in waiting] == [("-0.75", "2026-11-01T00:00:00Z")]
    hours = Decimal(14 * 24) * 5 * Decimal("3.6")  # five big lamps burn since October
    assert sum(Decimal(row["BilledCost"]) for row in open_rows if row["ChargeCategory"] == "Usage") == hours
    assert [fault for row in open_rows for fault in broken(row)] == []
    assert {row["ChargePeriodEnd"] for row in open_rows if row["ChargeCategory"] == "Usage"} == {"2026-11-15T00:00:00Z"}


def test_usage_invoices_and_ledger(shop: Shop, closed: Invoice) -> None:
    used = rows(export(shop, "usage", "json"))
    assert len(used) == 10 and tuple(used[0]) == COLUMNS["usage"]
    assert sum(Decimal(row["seconds"]) for row in used if row["sku"] == "small") == sum(1000 + 7 * n for n in range(5))
    assert all(row["end"] == "2026-11-01T00:00:00Z" for row in used if row["sku"] == "big")  # they burn on, in November
    bills = rows(export(shop, "invoices", "json"))
    assert [(row["kind"], row["total"]) for row in bills] == [
        ("invoice", f"{closed.total.normalize():f}"), ("credit_note", f"{-closed.credit_notes.get().total.normalize():f}")]
    legs = rows(export(shop, "ledger", "json", "2026-01", this_month()))  # the credit note is of today
    assert sum(Decimal(row["amount"]) for row in legs) == 0
    assert len(legs) == Leg.objects.filter(organization=shop.cast.organization).count()


def test_only_the_columns_that_were_asked_for(shop: Shop, closed: Invoice) -> None:
    found = export(shop, "invoices", "csv", columns=["total", "number"])
    assert list(rows(found)[0]) == ["total", "number"]


def test_the_row_says_what_the_file_is(shop: Shop, closed: Invoice) -> None:
    found = export(shop)
    raw = content(found)
    assert (found.size, found.sha256, found.rows) == (len(raw), hashlib.sha256(raw).hexdigest(), len(rows(found)))
    assert left(found) == ["file"]
    operation = Operation.objects.get(pk=found.operation)
    assert (operation.state, operation.region, operation.project, operation.queue) == ("succeeded", None, None, "default")


def test_nothing_of_another_organization_is_in_it(shop: Shop, closed: Invoice) -> None:
    rival = shop.lamp("rival", project=shop.cast.rival_project)
    shop.burnt(rival, october(3), october(4))
    closing.close_all(closing.months.Month(2026, 10), now=NOVEMBER)
    for what in ("focus", "usage", "invoices", "ledger"):
        assert b"Rival" not in content(export(shop, what, "json")) and b"rival" not in content(Export.objects.first())


# ---- killed anywhere ----

class Killed(BaseException):
    """As a signal that nothing catches."""


def points(shop: Shop) -> list[str]:
    seen: list[str] = []
    crash.arm(seen.append)
    try:
        export(shop, "focus", "xlsx")
    finally:
        crash.arm(None)
    return seen


def test_killed_at_each_point_it_ends_with_the_same_file(shop: Shop, closed: Invoice, monkeypatch) -> None:
    monkeypatch.setattr(steps, "PART_ROWS", 4)
    monkeypatch.setattr(steps, "TURN_S", 0.0)
    monkeypatch.setattr(writers, "MOST_SHEET_ROWS", 10)
    seen = points(shop)
    wanted = Export.objects.get()
    assert {"collected an export", "before a part of an export", "after a part of an export", "joined an export"} <= set(seen)
    assert seen.count("after a part of an export") > 3
    for number in range(len(seen)):
        found, left_over = ask(shop, "focus", "xlsx"), [number]

        def die(_what: str, left_over: list[int] = left_over) -> None:
            left_over[0] -= 1
            if left_over[0] < 0:
                raise Killed

        crash.arm(die)
        try:
            with pytest.raises(Killed):
                work()
        finally:
            crash.arm(None)
        Operation.objects.filter(pk=found.operation).update(lease_until=None)
        work()
        found.refresh_from_db()
        assert (found.state, found.sha256, found.rows) == ("ready", wanted.sha256, wanted.rows), seen[number]
        assert left(found) == ["file"]


def test_a_worker_that_lost_its_lease_writes_no_part(shop: Shop, closed: Invoice, monkeypatch) -> None:
    """Somebody else took over while it was reading: what it has it throws away."""
    found = ask(shop, "focus", "csv")
    original = files.keep

    def stolen(folder, name, lines):
        original(folder, name, lines)
        if name.startswith("000001"):
            Operation.objects.filter(pk=found.operation).update(token=99, lease_until=None)

    monkeypatch.setattr(steps, "PART_ROWS", 4)
    with monkeypatch.context() as patched:
        patched.setattr(files, "keep", stolen)
        engine.advance()
    Operation.objects.filter(pk=found.operation).update(lease_until=None)
    work()
    found.refresh_from_db()
    assert found.state == "ready" and found.sha256 == export(shop).sha256


def test_cancelled_nothing_is_left(shop: Shop, closed: Invoice, monkeypatch) -> None:
    monkeypatch.setattr(steps, "TURN_S", 0.0)
    monkeypatch.setattr(steps, "PART_ROWS", 4)
    found = ask(shop)
    engine.advance()
    assert len(left(found)) > 1
    request_cancel(Operation.objects.get(pk=found.operation))
    work()
    found.refresh_from_db()
    assert (found.state, found.error["code"], left(found)) == ("failed", "cancelled", [])


@pytest.mark.parametrize("parts", [1, 4, 9, 1000])
def test_what_a_sheet_does_not_hold_goes_on_in_the_next(shop: Shop, closed: Invoice, monkeypatch, parts: int) -> None:
    """Each with the heading; full ones are full, whatever the parts are, and no sheet is empty."""
    wanted = rows(export(shop, "focus", "xlsx"))
    monkeypatch.setattr(steps, "PART_ROWS", parts)
    for most in (2, 8, len(wanted) + 1):
        monkeypatch.setattr(writers, "MOST_SHEET_ROWS", most)
        found = export(shop, "focus", "xlsx")
        with zipfile.ZipFile(files.file_of(found.pk)) as book:
            assert book.testzip() is None
        full, rest = divmod(len(wanted), most - 1)
        lengths = [most - 1] * full + ([rest] if rest else [])
        names = ["Mains", *(f"Mains {number}" for number in range(2, len(lengths) + 1))]
        found_sheets = sheets(files.file_of(found.pk))
        assert {name: len(lines) for name, lines in found_sheets.items()} == dict(zip(names, lengths, strict=True))
        assert rows(found) == wanted


# ---- what cannot be ----

@pytest.mark.parametrize(("asked", "field"), [
    ({"first_month": "2026-13"}, "first_month"), ({"first_month": "2999-01"}, "first_month"),
    ({"first_month": "2016-10", "last_month": "2026-10"}, "last_month"), ({"first_month": "2026-10", "last_month": "2026-09"},
                                                                           "last_month"),
    ({"first_month": "2024-11", "last_month": "2026-11"}, "last_month"), ({"columns": ["Costs", "BilledCost"]}, "columns"),
    ({"columns": ["BilledCost", "BilledCost"]}, "columns"), ({"what": "everything"}, "what"), ({"format": "pdf"}, "format")])
def test_what_cannot_be_is_said_by_field(shop: Shop, asked: dict, field: str) -> None:
    values = {"what": "focus", "format": "csv", "first_month": "2026-10", **asked}
    with pytest.raises(InvalidInput) as refused:
        request_export(shop.cast.organization, actor=shop.cast.alice, now=NOVEMBER, **values)
    assert list(refused.value.errors) == [field] and not Export.objects.exists()


def test_two_years_are_not_too_much(shop: Shop, closed: Invoice) -> None:
    assert export(shop, "focus", "csv", "2024-12", "2026-11", now=NOVEMBER).rows > 10


def test_no_more_than_three_at_once(shop: Shop, closed: Invoice) -> None:
    for _each in range(3):
        ask(shop)
    with pytest.raises(TooManyExports) as refused:
        ask(shop)
    assert refused.value.facts["most"] == 3 and Export.objects.count() == 3
    work()
    ask(shop)


def test_work_of_the_hub_is_for_workers_of_the_hub(shop: Shop, closed: Invoice, monkeypatch) -> None:
    found, rung = ask(shop), []
    monkeypatch.setattr(tasks, "ring", lambda queue: rung.append(queue))
    assert tasks.sweep() == 1 and rung == ["default"]
    assert engine.claim(queue=shop.cast.region.queue) is None
    claimed = engine.claim(queue="default")
    assert claimed is not None and claimed.pk == found.operation


# ---- who may have it ----

def test_a_link_is_good_for_whoever_has_it_and_not_for_long(shop: Shop, closed: Invoice, monkeypatch) -> None:
    found = export(shop)
    made = shop.cast.browser("alice").post(reverse("exports:link", args=[found.pk]))
    address = made["Location"]
    assert made.status_code == 302
    answer = shop.cast.browser(None).get(address)
    assert answer.status_code == 200 and fetched(answer) == content(found)
    assert answer["Content-Disposition"] == f'attachment; filename="{found.file_name}"'
    assert (answer["X-Content-Type-Options"], answer["Content-Length"]) == ("nosniff", str(found.size))
    assert set(AuditEvent.objects.filter(action__startswith="export.").values_list("action", flat=True)) == {
        "export.create", "export.link", "export.download"}
    monkeypatch.setattr(links, "GOOD_FOR_S", -1)
    assert shop.cast.browser(None).get(address).status_code == 403


def test_nobody_makes_or_bends_a_link_to_what_is_not_theirs(shop: Shop, closed: Invoice) -> None:
    found, another = export(shop), export(shop, "ledger")
    for name, status in (("mallory", 404), ("vera", 404), ("adam", 404)):
        assert shop.cast.browser(name).post(reverse("exports:link", args=[found.pk])).status_code == status
        assert shop.cast.browser(name).get(reverse("exports:detail", args=[found.pk])).status_code == status
        assert shop.cast.api(name).get(f"/api/v1/exports/{found.pk}/").status_code == status
    good = links.make_link(found, actor=shop.cast.alice)
    signature = good.partition("signature=")[2]
    forged = signing.dumps([str(found.pk), str(shop.cast.mallory.pk)], salt=links.SALT)
    download = reverse("exports:download", args=[found.pk])
    for address in (download, f"{download}?signature=", f"{download}?signature={signature[:-1]}x",
                    f"{download}?signature={forged}", f"{reverse('exports:download', args=[another.pk])}?signature={signature}",
                    f"{download}?signature={'x' * 5000}"):
        assert shop.cast.browser(None).get(address).status_code == 404, address


def test_a_link_ends_with_the_right_of_who_made_it(shop: Shop, closed: Invoice) -> None:
    found = export(shop)
    address = links.make_link(found, actor=shop.cast.alice)
    shop.cast.alice.is_active = False
    shop.cast.alice.save()
    assert shop.cast.browser(None).get(address).status_code == 404


def test_there_is_no_link_to_what_is_not_written(shop: Shop, closed: Invoice) -> None:
    with pytest.raises(StateConflict):
        links.make_link(ask(shop), actor=shop.cast.alice)


def test_files_go_after_two_weeks_and_their_rows_stay(shop: Shop, closed: Invoice) -> None:
    found, young = export(shop), export(shop)
    address = links.make_link(found, actor=shop.cast.alice)
    Export.objects.filter(pk=found.pk).update(finished_at=found.finished_at - timedelta(days=15))
    assert expiry.remove(found.finished_at - timedelta(days=14)) == 1
    found.refresh_from_db()
    assert (found.state, left(found), left(young)) == ("removed", [], ["file"])
    assert shop.cast.browser(None).get(address).status_code == 404
    with pytest.raises(NotFound):
        links.follow(found.pk, address.partition("=")[2])


def test_so_many_may_be_asked_for_within_a_day_and_schedules_are_not_counted(shop: Shop, closed: Invoice, settings) -> None:
    settings.EXPORTS = settings.EXPORTS | {"a_day": 2}
    export(shop)
    Export.objects.update(created_at=F("created_at") - timedelta(hours=20))
    export(shop)
    with pytest.raises(TooManyExportsToday) as refused:
        ask(shop)
    facts = refused.value.facts
    assert (facts["made"], facts["most"]) == (2, 2) and 3.9 * 3600 < facts["retry_after"] <= 4 * 3600
    body = {"organization": str(shop.cast.organization.pk), "what": "focus", "format": "csv", "first_month": "2026-10"}
    answer = shop.cast.api("alice").post("/api/v1/exports/", body, format="json")
    assert (answer.status_code, answer.json()["code"], answer.json()["most"]) == (429, "too_many_exports_today", 2)
    assert int(answer["Retry-After"]) > 3.9 * 3600
    page = shop.cast.browser("alice").post(reverse("exports:create"), body)
    assert page.status_code == 400 and "2 exports of Acme were asked for" in page.content.decode()
    Export.objects.filter(pk=Export.objects.first().pk).update(delivery="delivered")
    ask(shop)
    Export.objects.update(created_at=F("created_at") - timedelta(days=2))
    ask(shop)
    settings.EXPORTS = settings.EXPORTS | {"a_day": 0}
    ask(shop)


@pytest.mark.django_db(transaction=True)
def test_asked_for_by_many_at_once_no_more_are_made_than_may_be(shop: Shop, settings, monkeypatch) -> None:
    settings.EXPORTS = settings.EXPORTS | {"a_day": 2}
    monkeypatch.setattr(verbs, "MOST_AT_ONCE", 100)
    errors = at_once(lambda _which: ask(shop), 6)
    assert [type(error) for error in errors] == [TooManyExportsToday] * 4 and Export.objects.count() == 2


# ---- by page and by REST ----

def test_asked_for_on_a_page(shop: Shop, closed: Invoice) -> None:
    browser = shop.cast.browser("alice")
    sent = {"organization": str(shop.cast.organization.pk), "what": "focus", "format": "xlsx", "first_month": "2026-10"}
    form = browser.get(reverse("exports:create")).content.decode()
    [guide] = re.findall(r'href="(/docs/[^"]*)#export-columns"', form)
    assert 'id="export-columns"' in browser.get(guide).content.decode()
    answer = browser.post(reverse("exports:create"), sent | {"first_month": "2016-01", "last_month": "2026-10"})
    assert answer.status_code == 400 and "130 months" in answer.content.decode()
    assert browser.post(reverse("exports:create"), sent).status_code == 302
    work()
    page = browser.get(reverse("exports:list")).content.decode()
    assert "Ready" in page and "Download" in page and shop.cast.organization.name in page
    detail = browser.get(reverse("exports:detail", args=[Export.objects.get().pk])).content.decode()
    assert Export.objects.get().sha256 in detail


@pytest.mark.parametrize(("text", "status"), [("2026-11", 302), (" 2026-10 ", 302), ("2026", 400), ("11/2026", 400),
                                              ("November 2026", 400), ("2026-13", 400), ("二〇二六-11", 400)])
def test_a_month_is_chosen_or_written(shop: Shop, closed: Invoice, text: str, status: int) -> None:
    """Browsers show a field for months; where one does not, what is no month is said with an example."""
    browser = shop.cast.browser("alice")
    assert browser.get(reverse("exports:create")).content.decode().count('type="month"') == 2
    sent = {"organization": str(shop.cast.organization.pk), "what": "focus", "format": "csv", "first_month": text}
    answer = browser.post(reverse("exports:create"), sent)
    assert answer.status_code == status
    if status == 400:
        assert answer.context["form"].errors == {"first_month": ["A month like 2026-11."]}
        assert not Export.objects.exists()


def test_asked_for_by_rest(shop: Shop, closed: Invoice) -> None:
    api, body = shop.cast.api("alice"), {"organization": str(shop.cast.organization.pk), "what": "ledger", "format": "json",
                                         "first_month": "2026-10", "last_month": this_month()}
    wrong = api.post("/api/v1/exports/", body | {"columns": ["nope"]}, format="json")
    assert (wrong.status_code, list(wrong.json().get("errors", wrong.json()))) == (400, ["columns"])
    made = api.post("/api/v1/exports/", body, format="json")
    assert (made.status_code, made.json()["state"]) == (201, "writing")
    address = f"/api/v1/exports/{made.json()['id']}/"
    assert api.post(f"{address}actions/link/").status_code == 409
    work()
    found = api.get(address).json()
    assert (found["state"], found["error"], found["rows"] > 0) == ("ready", None, True)
    link = api.post(f"{address}actions/link/").json()
    assert link["seconds"] <= 3600
    answer = shop.cast.browser(None).get("/" + link["url"].split("/", 3)[3])
    assert fetched(answer).count(b"\n") == found["rows"]
    others = {"organization": str(shop.cast.rival_organization.pk)}
    assert api.post("/api/v1/exports/", body | others, format="json").status_code == 404
    assert shop.cast.api("adam").post("/api/v1/exports/", body, format="json").status_code == 403


def test_what_and_formats_are_all_written() -> None:
    assert set(writers.WRITERS) == set(Format.values) and set(COLUMNS) == set(What.values)


def test_the_books_are_read_in_slices_that_add_up(shop: Shop, closed: Invoice, monkeypatch) -> None:
    """However small the slices, no row is missing and none is twice."""
    whole = {what: export(shop, what, "json").sha256 for what in What.values}
    for part, read in ((1, 1), (2, 3), (5, 5), (1000, 4)):
        monkeypatch.setattr(steps, "PART_ROWS", part)
        monkeypatch.setattr(steps, "READ_ROWS", read)
        assert {what: export(shop, what, "json").sha256 for what in What.values} == whole


def test_the_guide_lists_the_columns_that_are_written(shop: Shop) -> None:
    for language in ("en", "zh-hans"):
        with translation.override(language):
            page = described()
            assert [[name for name, _text in columns] for _title, columns in page] == [list(COLUMNS[what]) for what in What]
    assert all(set(TEXTS[what]) <= set(COLUMNS[what]) for what in What)
    assert all(text for what in (What.USAGE, What.INVOICES, What.LEDGER) for text in map(TEXTS[what].get, COLUMNS[what]))
    shown = shop.cast.browser(None).get("/docs/tenant/billing/").content.decode()
    assert [name for names in COLUMNS.values() for name in names if f"<code>{name}</code>" not in shown] == []
