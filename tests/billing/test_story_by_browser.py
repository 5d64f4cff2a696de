"""Billing in a real Chromium, from the first payment to the credit note: a tenant in Chinese and then in English, an operator
in admin.

Time passes by moving into the past what was made: the database's clock is the truth. Screenshots of each station, the PDFs and
pictures of their pages go to var/test/screenshots.
"""
import csv
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F, Func, Value
from django.db.models.functions import Lower, Upper
from playwright.sync_api import expect

from billing import budgets, mailing
from billing.models import Credit, Invoice, Price, UsageInterval
from billing.periods import Month
from billing.seed import seed_prices
from compute.instances.models import InstanceType
from portal.kernel.models import Resource
from portal.kernel.operations import engine
from portal.kernel.states import database_now
from portal.notices import dispatch
from tests.billing import drawn
from tests.billing.months import books_add_up
from tests.billing.persons import Person
from tests.network.networked import add_network
from tests.portal_server import serving
from tests.walk.walker import chromium
from tests.world import World, drain, make_world

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
CENT, HOUR, LONG = Decimal("0.01"), timedelta(hours=1), timedelta(days=1000)
BANK = "Bank of Pipes\nIBAN CN00 1234 5678"
ISSUER = {"name": "Waterworks Ltd", "address": "1 Mains Street\nShanghai", "tax_id": "91310000MA1", "bank": BANK,
          "email": "bills@waterworks.example"}
BILLS_TO, BUDGET, FIRST_HOURS = "bills@acme.example", "每月云费用", 100
PAID, GIFT, TAX, TAKEN = Decimal(1000), Decimal(200), Decimal(6), Decimal(100)
PRICES = {"instance": Decimal(36), "address": Decimal("0.01"), "volume": Decimal("0.001")}
"""An hour of the large type, of its public address, and of its disk."""


@pytest.fixture
def world(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[World]:
    """A simulated host, and a type that is dear enough to be noticed soon."""
    settings.DOORBELLS, settings.STATE_DIR, settings.PAYMENT_PROVIDER = False, tmp_path, "billing.providers.Simulated"
    cache.clear()
    made = make_world(tmp_path)
    add_network(made)
    InstanceType.objects.create(slug="large", name="Large", vcpus=1, memory_mib=512, root_disk_gib=1)
    seed_prices(made.region, [("instance.running", "large", PRICES["instance"]), ("instance.stopped", "large", Decimal(1))])
    alice = made.people["alice"]
    EmailAddress.objects.create(user=alice, email=alice.email, verified=True, primary=True)
    yield made
    cache.clear()


def behind(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What happens behind the pages: in a thread of its own, since the browser's loop has this one."""
    def run() -> Any:
        try:
            return work(*arguments, **options)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


# -- time --

def zone_now() -> str:
    """The issuer's time zone: one in which this month began an hour ago at least."""
    now = database_now()
    return next(zone for zone in ("Asia/Shanghai", "UTC") if Month.of(now, zone).start < now - HOUR)


def began(at: datetime) -> None:
    """The instance has been running since then, and all that was made for it, and given, is as much older."""
    running = UsageInterval.objects.get(meter="instance.running")
    back = Value(running.start - at)
    moved = Func(Lower("period") - back, Upper("period") - back, function="tstzrange", output_field=UsageInterval.period.field)
    UsageInterval.objects.update(period=moved)
    Resource.objects.update(created_at=F("created_at") - back)
    Price.objects.update(valid=DateTimeTZRange(at - LONG, None))
    with connection.cursor() as cursor:  # what was given is never changed, but by who owns the tables
        cursor.execute("ALTER TABLE billing_credit DISABLE TRIGGER USER")
        Credit.objects.update(created_at=F("created_at") - back)
        cursor.execute("ALTER TABLE billing_credit ENABLE TRIGGER USER")


def watch() -> list[str]:
    """As the clock does: count the budgets, and write to who wants to know; the mails of them."""
    budgets.watch()
    dispatch.run()
    return [message.subject for message in mail.outbox if BUDGET in message.subject]


def finish() -> None:
    while engine.advance():
        pass


# -- the story --

@dataclass
class Story:
    """Who takes part, and what they know of each other."""

    tenant: Person
    operator: Person
    folder: Path
    first: Month
    second: Month


def money(amount: Decimal) -> str:
    return f"¥{amount:,.2f}"


def cent(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def test_from_the_first_payment_to_the_credit_note(world: World) -> None:
    this = Month.of(database_now(), zone_now())
    folder = Path(os.environ["MAINS_STATE_DIR"]) / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    connection.close()
    with serving() as address, chromium() as browser:
        story = Story(tenant=Person(browser, address), operator=Person(browser, address), folder=folder,
                      first=this.previous.previous, second=this.previous)
        code = _the_operator_says_who_bills(story.operator, this.zone)
        _the_tenant_pays_and_redeems(story.tenant, code)
        _the_tenant_runs_something_within_a_budget(story.tenant)
        _the_budget_tells(story)
        first = _a_month_is_closed_in_chinese(story)
        second = _and_one_in_english(story)
        _the_operator_takes_something_back(story, second)
        sums = _the_tenant_sees_it_and_has_the_books(story, second)
        assert story.tenant.faults + story.operator.faults == []
    books_add_up()
    assert sums == sum((-one.total if one.kind == "credit_note" else one.total for one in Invoice.objects.all()), Decimal(0))
    assert sums == first.total + second.total - TAKEN * (100 + TAX) / 100


def _the_operator_says_who_bills(operator: Person, zone: str) -> str:
    """And from when on which tax is added; a voucher's code, which is shown once."""
    operator.sign_in("root", "/admin/")
    operator.open("/admin/billing/issuer/add/")
    operator.fill(**ISSUER, country="CN", time_zone=zone, prefix="W-")
    operator.shoot("01-admin-issuer")
    operator.press("[name=_save]")
    operator.open("/admin/billing/taxrate/add/")
    operator.fill(country="CN", name="VAT", percent=str(TAX), since="2020-01-01")
    operator.press("[name=_save]")
    operator.open("/admin/billing/voucher/add/")
    operator.fill(amount=str(GIFT), reason="Welcome")
    operator.shoot("02-admin-voucher")
    operator.press("[name=_save]")
    operator.shoot("03-admin-voucher-made")
    return operator.page.locator("#voucher-code, code").first.inner_text().strip()


def _the_tenant_pays_and_redeems(tenant: Person, code: str) -> None:
    tenant.sign_in("alice", "/billing/")
    tenant.speak("zh-hans")
    tenant.shoot("04-balance-empty")
    tenant.press("main a[href$='/top-up/']")
    tenant.fill(amount=str(PAID))
    tenant.shoot("05-top-up")
    tenant.press("form:has([name=amount]) .btn-primary")
    tenant.sees(money(PAID), where="#amount")
    tenant.shoot("06-provider")
    tenant.press("form:has([name=order]) .btn-primary")
    tenant.sees(money(PAID), where="#prepaid")
    tenant.press("main a[href$='/voucher/']")
    tenant.fill(code=code)
    tenant.shoot("07-voucher")
    tenant.press("form:has([name=code]) .btn-primary")
    tenant.sees(money(GIFT), where="#credit")
    tenant.press("main a[href$='/profile/']")
    tenant.fill(name="水滴有限公司", address="淮海路 7 号\n上海", tax_id="91310101MA1F", email=BILLS_TO, language="zh-hans")
    tenant.page.check("[name=sends_mail]")
    tenant.shoot("08-profile")
    tenant.press("form:has([name=tax_id]) .btn-primary")
    tenant.shoot("09-balance-paid", is_on_phone=True)


def _the_tenant_runs_something_within_a_budget(tenant: Person) -> None:
    tenant.open("/instances/create/")
    tenant.page.locator(".choice:has-text('Large') [name=type]").press("Space")
    tenant.fill(name="web")
    tenant.sees(money(PRICES["instance"]), where="#create")
    tenant.shoot("10-create")
    tenant.press("#create button[type=submit]")
    behind(drain)
    tenant.page.reload()
    tenant.shoot("11-instance")
    tenant.open("/budgets/")
    tenant.shoot("12-budgets-empty")
    tenant.open("/budgets/create/")
    tenant.fill(name=BUDGET, amount="5", percent_0="50", percent_1="100", percent_2="", basis_0="actual", basis_1="actual")
    tenant.page.check("[name=notify_0]")
    tenant.page.check("[name=notify_1]")
    tenant.shoot("13-budget-create", is_on_phone=True)
    tenant.press("form:has([name=percent_0]) .btn-primary")


def _the_budget_tells(story: Story) -> None:
    """Half of it is spent after five minutes; two months later all of it."""
    tenant = story.tenant
    behind(lambda: began(database_now() - timedelta(minutes=5)))
    [half] = behind(watch)
    assert "¥5.00" in half and "已达到 50 % 的阈值" in half and "已花费" in half
    behind(lambda: began(story.first.end - FIRST_HOURS * HOUR))
    _half, whole = behind(watch)
    assert "¥5.00" in whole and "已达到 100 % 的阈值" in whole
    tenant.open("/budgets/")
    tenant.shoot("14-budgets")
    tenant.press("main table a.name")
    expect(tenant.page.locator(".thresholds .state-bad")).to_have_count(2)
    tenant.shoot("15-budget", is_on_phone=True)
    tenant.page.goto(f"{tenant.walker.address}/costs/?month={story.second}&by=resource", wait_until="networkidle")
    tenant.page.wait_for_selector("[data-chart] canvas")
    tenant.sees("web", where="#parts-CNY")
    tenant.shoot("16-costs", is_on_phone=True)
    tenant.open(f"/usage/?month={story.second}")
    tenant.sees("web", where="#usage")
    tenant.shoot("17-usage")


def _close(story: Story, month: Month, name: str) -> Invoice:
    """The operator sees what waits, and closes it without waiting for the clock: by the command; in admin they find it."""
    operator = story.operator
    operator.open("/admin/billing/invoice/unbilled/")
    operator.sees(str(month), "Acme", where="#content-main")
    operator.shoot(f"{name}-admin-unbilled")
    behind(call_command, "billing", "close", month=str(month), stdout=io.StringIO())
    behind(mailing.run)
    [made] = behind(lambda: list(Invoice.objects.filter(month=str(month), kind="invoice").select_related("organization")))
    operator.open("/admin/billing/invoice/")
    operator.sees(made.number, where="#result_list")
    operator.shoot(f"{name}-admin-invoices")
    return made


def _lines_of(hours: int) -> Decimal:
    """What the lines of so many hours add up to, each rounded to a cent."""
    return sum((cent(price * hours) for price in PRICES.values()), Decimal(0))


def _a_month_is_closed_in_chinese(story: Story) -> Invoice:
    made, tenant = _close(story, story.first, "18"), story.tenant
    subtotal = _lines_of(FIRST_HOURS)
    tax = cent((subtotal - GIFT) * TAX / 100)
    assert (made.subtotal, made.credit, made.tax, made.total) == (subtotal, GIFT, tax, subtotal - GIFT + tax)
    tenant.open("/invoices/")
    tenant.shoot("19-invoices")
    tenant.press(f"main a:has-text('{made.number}')")
    tenant.sees(money(made.total), where="#sums")
    tenant.sees(money(made.total - PAID), where="#open")
    tenant.shoot("20-invoice", is_on_phone=True)
    _looks_right(story, made, PAID, "zh", ["账单", "水滴有限公司", "淮海路 7 号", f"预付余额 -{money(PAID)}", "请付款至"])
    tenant.press("a[href*='/charges/?line=']:has-text('实例')")
    tenant.sees("web", money(PRICES["instance"]), money(PRICES["instance"] * FIRST_HOURS))
    tenant.shoot("21-line-explained", is_on_phone=True)
    return made


def _looks_right(story: Story, made: Invoice, paid: Decimal, language: str, words: list[str]) -> None:
    """The file is what was mailed; it says what is owed and to whom it is paid, its page is no blank, and its code is of what is
    still to be paid."""
    name, content = story.tenant.download("a[href$='/pdf/']")
    message = next(one for one in mail.outbox if made.number in one.subject)
    assert message.to == [BILLS_TO] and message.attachments == [(name, content, "application/pdf")]
    assert name == f"{made.number}.pdf"
    [page] = drawn.keep(content, story.folder, f"billing-invoice-{language}")
    text = drawn.text_of(content)
    for word in (made.number, money(made.subtotal), f"VAT {TAX} %", money(made.tax), money(made.total), made.month, BANK,
                 ISSUER["name"], ISSUER["tax_id"], *words):
        assert word in text, (word, text)
    assert 1 < drawn.ink(page) < 30
    assert money(made.total - paid) in text and drawn.says(page, f"{made.number}\n{made.total - paid} CNY")
    assert not drawn.says(page, f"{made.number}\n{made.total - paid + CENT} CNY")


def _and_one_in_english(story: Story) -> Invoice:
    tenant, hours = story.tenant, int((story.second.end - story.second.start) / HOUR)
    tenant.speak("en")
    tenant.open("/billing/")
    tenant.press("main a[href$='/profile/']")
    tenant.fill(name="Drop Ltd", address="7 Huaihai Road\nShanghai", language="en")
    tenant.press("form:has([name=tax_id]) .btn-primary")
    made = _close(story, story.second, "22")
    assert made.subtotal == _lines_of(hours) and made.credit == 0
    tenant.open("/billing/")
    tenant.shoot("23-balance-owed")
    tenant.press(f"main a:has-text('{made.number}')")
    tenant.shoot("24-invoice")
    _looks_right(story, made, Decimal(0), "en", ["Invoice", "Drop Ltd", "7 Huaihai Road", "Please pay to"])
    return made


def _the_operator_takes_something_back(story: Story, made: Invoice) -> None:
    operator = story.operator
    operator.open(f"/admin/billing/invoice/{made.pk}/credit-note/")
    operator.sees(made.number, where="body")
    operator.fill(subtotal=str(TAKEN), reason="Half a day down")
    operator.shoot("25-admin-credit-note")
    operator.press("[name=_save]")
    operator.open(f"/admin/billing/invoice/{made.pk}/change/")
    operator.sees("To pay", where="body")
    operator.shoot("26-admin-invoice")


def _the_tenant_sees_it_and_has_the_books(story: Story, made: Invoice) -> Decimal:
    """The sum of all that FOCUS says was billed."""
    tenant, taken = story.tenant, TAKEN * (100 + TAX) / 100
    note = behind(lambda: Invoice.objects.get(kind="credit_note"))
    assert note.total == taken
    tenant.open(f"/invoices/{made.pk}/")
    tenant.sees(note.number, "Half a day down", f"-{money(taken)}")
    tenant.shoot("27-invoice-with-note")
    tenant.press(f"main a:has-text('{note.number}')")
    tenant.sees(f"-{money(taken)}", where="#sums")
    tenant.shoot("28-credit-note", is_on_phone=True)
    name, content = tenant.download("a[href$='/pdf/']")
    drawn.keep(content, story.folder, "billing-note-en")
    text = drawn.text_of(content)
    for word in (note.number, "Credit note", made.number, "Half a day down", f"-{money(taken)}"):
        assert word in text, (word, text)
    assert name == f"{note.number}.pdf" and "Please pay to" not in text
    totals = behind(lambda: list(Invoice.objects.filter(kind="invoice").values_list("total", flat=True)))
    tenant.open("/billing/")
    tenant.sees(money(sum(totals, Decimal(0)) - PAID - taken), where="#owed")
    tenant.shoot("29-balance-noted", is_on_phone=True)
    return _billed_by_focus(story)


def _billed_by_focus(story: Story) -> Decimal:
    tenant = story.tenant
    tenant.open("/exports/create/")
    tenant.fill(what="focus", format="csv", first_month=str(story.first), last_month=str(story.second))
    tenant.shoot("30-export-create")
    tenant.press("form:has([name=first_month]) .btn-primary")
    behind(finish)
    tenant.page.reload()
    tenant.shoot("31-exports")
    tenant.press("main table a.name")
    tenant.shoot("32-export")
    _name, content = tenant.download("form[action$='/link/'] button")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


