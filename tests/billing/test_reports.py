"""Operators' reports as a story of one shop: what October brought, what it cost, who owes, and what nobody billed."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test.utils import CaptureQueriesContext

from billing import closing, operations, payments, prices, reports
from billing.models import Charge, ClosingFailure, Counter, CounterSample, Invoice, Issuer, Price, PriceBook, TaxRate, Terms
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region, Resource
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import BIG, OIL, SMALL, Shop
from tests.billing.months import DAY, HOUR, NOVEMBER, OCTOBER, SECOND_OF_NOVEMBER, close, give, october

HALF_OF_NOVEMBER = datetime(2026, 11, 15, tzinfo=UTC)
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def book(shop: Shop, name: str, *, currency: str = "CNY", is_cost: bool = False, **lamp_prices: str) -> PriceBook:
    """Prices of lamps by SKU since the new year."""
    made = PriceBook.objects.create(name=name, currency=currency, is_cost=is_cost)
    for sku, price in lamp_prices.items():
        operations.set_price(made, region=shop.cast.region, meter="lamp", sku=sku, price_per_hour=Decimal(price),
                             actor=shop.cast.root, valid_from=NEW_YEAR, now=NEW_YEAR)
    return made


def burn(shop: Shop, hours: int = 100, *, day: int = 3, **options: Any) -> Resource:
    lamp = shop.lamp(**{name: options.pop(name) for name in ("project",) if name in options})
    shop.burnt(lamp, october(day), october(day) + hours * HOUR, **options)
    return lamp


def only(groups: Any, **wanted: Any) -> Any:
    [found] = [one for one in groups if all(getattr(one, name) == value for name, value in wanted.items())]
    return found


# -- revenue and margin --

def test_what_is_not_invoiced_is_revenue_by_rating_and_then_by_the_invoice_to_the_same_cent(shop: Shop) -> None:
    burn(shop)
    before = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert before.is_open and [(one.name, one.revenue, one.open) for one in before.groups] == [("Acme", 36, 36)]
    close(shop)
    after = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert not after.is_open and [(one.name, one.revenue, one.open) for one in after.groups] == [("Acme", 36, 0)]


def test_one_who_is_not_closed_yet_stands_beside_one_who_is(shop: Shop) -> None:
    burn(shop)
    close(shop)
    burn(shop, hours=10, project=shop.cast.rival_project)
    found = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert [(one.name, one.revenue, one.open) for one in found.groups] == [
        ("Acme", 36, 0), ("Rival", Decimal("3.6"), Decimal("3.6"))]


def test_credit_notes_take_revenue_back_and_adjustments_add_to_it(shop: Shop) -> None:
    burn(shop)
    closing.adjust(shop.cast.organization, Decimal("4.00"), "A visit", None, now=october(20))
    [invoice] = close(shop)
    payments.credit_note(invoice, amount=Decimal("6.00"), reason="We were down", actor=shop.cast.root)
    found = reports.revenue(OCTOBER, "service", now=SECOND_OF_NOVEMBER)
    assert {one.name: one.revenue for one in found.groups} == {"lamp": 36, "Adjustments": -2}
    assert [one.revenue for one in found.totals] == [34]
    assert only(found.sums, currency="CNY").money("revenue").amount == 34


def test_the_months_sums_say_discounts_credit_tax_and_what_was_given_up(shop: Shop) -> None:
    TaxRate.objects.create(country="CN", name="VAT", percent=10, since=october(1).date())
    Terms.objects.create(organization=shop.cast.organization, discount_percent=50, valid=DateTimeTZRange(NEW_YEAR, None))
    give(shop, "8.00", since=october(1))
    burn(shop)
    [invoice] = close(shop)
    payments.write_off(invoice, reason="Gone", actor=shop.cast.root)
    found = only(reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER).sums, currency="CNY")
    assert {what: found.money(what).amount for what in ("revenue", "discount", "credit", "tax", "written_off")} == {
        "revenue": 18, "discount": 18, "credit": 8, "tax": 1, "written_off": 11}


def test_the_margin_is_revenue_less_what_the_same_usage_costs_us(shop: Shop) -> None:
    burn(shop)
    burn(shop, hours=10, reading=BIG, project=shop.cast.rival_project)
    book(shop, "Cost", is_cost=True, small="0.09", big="4")
    close(shop)
    found = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert sorted((one.name, one.revenue, one.cost, one.margin, one.margin_percent) for one in found.groups) == [
        ("Acme", 36, 9, 27, 75), ("Rival", 36, 40, -4, Decimal(-400) / 36)]
    assert not found.gaps
    by_region = reports.revenue(OCTOBER, "region", now=SECOND_OF_NOVEMBER)
    assert [(one.name, one.revenue, one.cost) for one in by_region.groups] == [("Lab", 72, 49)]


def test_what_the_cost_book_does_not_price_is_said_and_never_taken_from_the_list(shop: Shop) -> None:
    burn(shop)
    burn(shop, hours=10, reading=BIG)
    book(shop, "Cost", is_cost=True, small="0.09")
    found = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert [(one.revenue, one.cost) for one in found.groups] == [(72, 9)], "not 9 + 36 of the list"
    assert [(gap.region, gap.meter, gap.sku, gap.unit_hours) for gap in found.gaps] == [("Lab", "lamp", "big", 10)]


def test_a_price_of_part_of_the_time_is_a_gap_too(shop: Shop) -> None:
    burn(shop)
    made = book(shop, "Cost", is_cost=True)
    Price.objects.create(book=made, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=1,
                         valid=DateTimeTZRange(october(4), None))
    assert [gap.sku for gap in reports.revenue(OCTOBER, "meter", now=SECOND_OF_NOVEMBER).gaps] == ["small"]


def test_other_currencies_have_no_margin_and_are_added_to_none(shop: Shop) -> None:
    burn(shop)
    bills.invoice(shop.cast.rival_organization, Used(project=shop.cast.rival_project, region=shop.cast.region,
                                                     price_per_hour=Decimal(10)), currency="EUR")
    book(shop, "Cost", is_cost=True, small="0.09")
    found = reports.revenue(OCTOBER, "organization", now=SECOND_OF_NOVEMBER)
    assert [(one.currency, one.revenue, one.margin) for one in found.totals] == [("CNY", 36, 27), ("EUR", 10, None)]


def test_one_book_says_what_units_cost_us_in_each_currency(shop: Shop) -> None:
    book(shop, "Cost", is_cost=True, small="0.09")
    book(shop, "Cost in euros", is_cost=True, currency="EUR")
    other = PriceBook.objects.create(name="Another")
    page = f"/admin/billing/pricebook/{other.pk}/change/"
    answer = shop.cast.browser("root").post(page, {"name": "Another", "currency": "CNY", "is_cost": "on"})
    assert "Another price book says already what units cost us in this currency" in answer.content.decode()
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceBook.objects.filter(pk=other.pk).update(is_cost=True)
    assert set(PriceBook.objects.filter(is_cost=True).values_list("name", flat=True)) == {"Cost", "Cost in euros"}


def test_of_several_cost_books_the_one_that_counted_stays(shop: Shop) -> None:
    """What the migration does of a database that has them; the margin was reckoned by the first of a currency by name."""
    migration = import_module("billing.migrations.0015_finance")
    [constraint] = [one for one in PriceBook._meta.constraints if one.name == "one_cost_book_a_currency"]
    with connection.schema_editor() as editor:
        editor.remove_constraint(PriceBook, constraint)
    for name, currency in (("B", "CNY"), ("A", "CNY"), ("C", "EUR"), ("D", "CNY")):
        book(shop, name, is_cost=True, currency=currency)
    migration.keep_the_first(apps, None)
    assert set(PriceBook.objects.filter(is_cost=True).values_list("name", flat=True)) == {"A", "C"}
    with connection.schema_editor() as editor:
        editor.add_constraint(PriceBook, constraint)


def test_a_cost_book_is_nobodys_price_list(shop: Shop) -> None:
    made = book(shop, "Cost", is_cost=True, small="0.09")
    with pytest.raises(InvalidInput) as refused:
        operations.set_terms(shop.cast.organization, book=made, actor=shop.cast.root)
    assert set(refused.value.errors) == {"book"}
    assert not Price.objects.visible_to(shop.cast.alice).filter(book=made).exists()
    page, sent = f"/admin/billing/pricebook/{shop.book.pk}/change/", {"name": "List", "is_default": "on", "is_cost": "on"}
    assert "what customers pay" in shop.cast.browser("root").post(page, sent).content.decode()
    theirs = book(shop, "Theirs", small="1")
    operations.set_terms(shop.cast.organization, book=theirs, actor=shop.cast.root)
    answer = shop.cast.browser("root").post(f"/admin/billing/pricebook/{theirs.pk}/change/", {"name": "Theirs", "is_cost": "on"})
    assert "Somebody pays by this book" in answer.content.decode() and not PriceBook.objects.get(pk=theirs.pk).is_cost


def test_top_accounts_say_how_they_changed(shop: Shop) -> None:
    burn(shop)
    close(shop)
    lamp = shop.lamp()
    shop.burnt(lamp, datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC) + 150 * HOUR)
    [found] = reports.revenue(NOVEMBER, "organization", now=HALF_OF_NOVEMBER).groups
    assert (found.revenue, found.before, found.change_percent) == (54, 36, 50)


def test_what_is_only_counted_is_not_forgotten(shop: Shop) -> None:
    lamp, made = shop.lamp(), book(shop, "Cost", is_cost=True, small="0.09")
    counter = Counter.objects.create(resource_id=lamp.pk, project=shop.cast.project, region=shop.cast.region, epoch=1,
                                     meter="lamp.flashes", sku="any")
    CounterSample.objects.create(counter=counter, at=october(4), value=7)
    assert unbilled() == [("2026-10", "Acme", [], "no_issuer")]
    assert [(gap.sku, gap.unit_hours) for gap in reports.preview(made, OCTOBER, now=SECOND_OF_NOVEMBER).gaps] == [("any", None)]


# -- receivables --

def test_receivables_by_age_less_what_was_paid(shop: Shop) -> None:
    here = {"project": shop.cast.project, "region": shop.cast.region, "price_per_hour": Decimal(10)}
    first = bills.invoice(shop.cast.organization, Used(**here), month="2026-07")
    bills.paid(first, Decimal("4.00"), reference="1")
    for month in ("2026-08", "2026-09", "2026-10"):
        bills.invoice(shop.cast.organization, Used(**here), month=month)
    [row] = reports.receivables(datetime(2026, 11, 20, tzinfo=UTC)).rows
    assert row.ages == {"current": 0, "days_30": 10, "days_60": 10, "days_90": 10, "older": 6}  # due on the 15th
    assert row.total == 36
    payments.record(shop.cast.organization, Decimal("36.00"), "CNY", "manual", "2", shop.cast.root)
    assert reports.receivables(datetime(2026, 11, 20, tzinfo=UTC)).rows == ()


@pytest.mark.parametrize(("days", "age"), [(-1, "current"), (0, "days_30"), (29, "days_30"), (30, "days_60"), (59, "days_60"),
                                           (60, "days_90"), (89, "days_90"), (90, "older")])
def test_ages_begin_when_it_was_due(shop: Shop, days: int, age: str) -> None:
    made = bills.invoice(shop.cast.organization, Used(project=shop.cast.project, region=shop.cast.region,
                                                      price_per_hour=Decimal(10)))
    [total] = reports.receivables(made.due_at + days * DAY).totals
    assert {name for name, amount in total.ages.items() if amount} == {age}


# -- unbilled --

def unbilled(now: datetime = SECOND_OF_NOVEMBER) -> list[tuple[str, str, list[str], str]]:
    return [(row.month, row.name, [str(one) for one in row.money], row.reason) for row in reports.unbilled(now).rows]


def test_every_month_without_an_invoice_says_why(shop: Shop) -> None:
    burn(shop)
    assert unbilled() == [("2026-10", "Acme", ["36.00 CNY"], "no_issuer")]
    Issuer.objects.create(pk=1, name="Waterworks Ltd")
    assert unbilled(datetime(2026, 11, 1, 12, tzinfo=UTC)) == [("2026-10", "Acme", ["36.00 CNY"], "waits")]
    assert unbilled() == [("2026-10", "Acme", ["36.00 CNY"], "not_yet")]
    close(shop)
    assert unbilled() == []


def test_what_has_no_price_is_not_forgotten(shop: Shop) -> None:
    Issuer.objects.create(pk=1, name="Waterworks Ltd")
    burn(shop)
    Price.objects.all().delete()
    assert close(shop) == [] and unbilled() == [("2026-10", "Acme", [], "nothing_priced")]


def test_a_month_that_cannot_be_closed_is_seen_until_it_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    Issuer.objects.create(pk=1, name="Waterworks Ltd")
    burn(shop)

    def fail(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("the printer is out of paper")

    with monkeypatch.context() as patched:
        patched.setattr(closing.months.statements, "write_lines", fail)
        for _time in range(2):
            assert closing.close_all(OCTOBER, now=SECOND_OF_NOVEMBER)[1] == [shop.cast.organization]
    failure = ClosingFailure.objects.get()
    assert (failure.month, failure.tries, failure.error) == ("2026-10", 2, "RuntimeError: the printer is out of paper")
    [row] = reports.unbilled(SECOND_OF_NOVEMBER).rows
    assert (row.reason, row.error) == ("failed", failure.error)
    assert "could not be closed" in shop.cast.browser("root").get("/admin/").content.decode()
    admin = "/admin/billing/closingfailure/"
    shop.cast.browser("root").post(admin, {"action": "close_now", "_selected_action": [failure.pk]})
    assert Invoice.objects.count() == 1 and not ClosingFailure.objects.exists() and unbilled() == []


def test_usage_is_priced_by_the_book_of_whoever_uses_it(shop: Shop) -> None:
    shop.burnt(shop.lamp(), october(1), None, reading=OIL)
    Price.objects.filter(sku="whale").delete()
    assert prices.unpriced(october(5)) == [("Lab", "lamp.oil", "whale")]
    theirs = book(shop, "Theirs")
    operations.set_price(theirs, region=shop.cast.region, meter="lamp.oil", sku="whale", price_per_hour=Decimal(1),
                         actor=shop.cast.root, valid_from=NEW_YEAR, now=NEW_YEAR)
    terms = Terms.objects.create(organization=shop.cast.organization, book=theirs, valid=DateTimeTZRange(october(3), None))
    assert prices.unpriced(october(5)) == [] and prices.unpriced(october(2)) == [("Lab", "lamp.oil", "whale")]
    Terms.objects.filter(pk=terms.pk).delete()
    foreign = book(shop, "Foreign", currency="EUR")
    Terms.objects.create(organization=shop.cast.organization, book=foreign, valid=DateTimeTZRange(october(3), None))
    shop.burnt(shop.lamp(), october(1), None, reading=SMALL)
    assert prices.unpriced(october(5)) == [("Lab", "lamp", "small"), ("Lab", "lamp.oil", "whale")], "the list is in yuan"


def test_counters_without_a_price_are_seen_while_they_count(shop: Shop) -> None:
    lamp = shop.lamp()
    counter = Counter.objects.create(resource_id=lamp.pk, project=shop.cast.project, region=shop.cast.region, epoch=1,
                                     meter="lamp.flashes", sku="any")
    assert prices.unpriced(october(5)) == []
    CounterSample.objects.create(counter=counter, at=october(4, 12), value=7)
    assert prices.unpriced(october(5)) == [("Lab", "lamp.flashes", "any")]
    assert prices.unpriced(october(7)) == []


# -- a month under another book --

def test_last_month_under_another_book(shop: Shop) -> None:
    burn(shop)
    burn(shop, hours=10, project=shop.cast.rival_project)
    Terms.objects.create(organization=shop.cast.organization, discount_percent=50, valid=DateTimeTZRange(NEW_YEAR, None))
    dear = book(shop, "Dear", small="0.72")
    found = reports.preview(dear, OCTOBER, now=SECOND_OF_NOVEMBER)
    assert [(row.name, row.before, row.under, row.discounted, row.difference) for row in found.rows] == [
        ("Acme", {"CNY": 18}, {"CNY": 72}, {"CNY": 36}, 18),
        ("Rival", {"CNY": Decimal("3.6")}, {"CNY": Decimal("7.2")}, {"CNY": Decimal("7.2")}, Decimal("3.6"))]
    assert found.total.difference == Decimal("21.6")
    alone = reports.preview(dear, OCTOBER, now=SECOND_OF_NOVEMBER, organization=shop.cast.rival_organization)
    assert [row.name for row in alone.rows] == ["Rival"]
    assert not Charge.objects.exists(), "nothing is written"


def test_a_discount_counts_while_it_holds_and_whichever_book_is_theirs(shop: Shop) -> None:
    """Half of the hundred hours of the third and later are at half the price; their own book is what the other one replaces."""
    burn(shop)
    theirs, dear = book(shop, "Theirs", small="0.10"), book(shop, "Dear", small="0.72")
    Terms.objects.create(organization=shop.cast.organization, book=theirs, discount_percent=50,
                         valid=DateTimeTZRange(october(3) + timedelta(hours=50), None))
    [row] = reports.preview(dear, OCTOBER, now=SECOND_OF_NOVEMBER).rows
    assert (row.before, row.under, row.discounted) == ({"CNY": Decimal("20.5")}, {"CNY": 72}, {"CNY": 54})
    cost = book(shop, "Cost", is_cost=True, small="0.09")
    [row] = reports.preview(cost, OCTOBER, now=SECOND_OF_NOVEMBER).rows
    assert row.under == row.discounted == {"CNY": 9}, "nobody has a discount on what units cost us"


def test_what_units_cost_differs_between_regions(shop: Shop) -> None:
    there = Region.objects.create(slug="there", name="There")
    burn(shop)
    lamp = shop.lamp()
    lamp.region = there
    shop.burnt(lamp, october(3), october(3) + 100 * HOUR)
    cost = book(shop, "Cost", is_cost=True, small="0.09")
    for of, price in ((PriceBook.objects.get(is_default=True), "0.36"), (cost, "0.30")):
        operations.set_price(of, region=there, meter="lamp", sku="small", price_per_hour=Decimal(price), actor=shop.cast.root,
                             valid_from=NEW_YEAR, now=NEW_YEAR)
    with CaptureQueriesContext(connection) as asked:
        found = reports.revenue(OCTOBER, "region", now=SECOND_OF_NOVEMBER)
    assert {one.name: (one.revenue, one.cost) for one in found.groups} == {"Lab": (36, 9), "There": (36, 30)}
    assert sum("tenants_project" in one["sql"] and "WITH" in one["sql"] for one in asked.captured_queries) <= 3, (
        "the month, the month before and what it costs: of all regions together")
    assert found.totals[0].margin == 33


def test_another_currency_is_shown_and_not_subtracted(shop: Shop) -> None:
    burn(shop)
    euros = book(shop, "Euros", currency="EUR", small="0.05")
    [row] = reports.preview(euros, OCTOBER, now=SECOND_OF_NOVEMBER).rows
    assert (row.before, row.under, row.difference) == ({"CNY": 36}, {"EUR": 5}, None)


def test_months_are_the_issuers(shop: Shop) -> None:
    Issuer.objects.create(pk=1, name="Waterworks Ltd", time_zone="Asia/Shanghai")
    shop.burnt(shop.lamp(), datetime(2026, 10, 31, 15, tzinfo=UTC), datetime(2026, 10, 31, 17, tzinfo=UTC))
    shanghai = Month(2026, 10, "Asia/Shanghai")
    [found] = reports.revenue(shanghai, "organization", now=SECOND_OF_NOVEMBER).groups
    assert found.revenue == Decimal("0.36")
