"""The reports as pages and files of admin, and as answers of the API: operators see them, nobody else."""
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.test.utils import CaptureQueriesContext

from billing.models import PriceBook, Terms
from portal.kernel.states import database_now
from tests.billing import bills
from tests.billing.bills import Used
from tests.billing.lamps import Shop
from tests.billing.test_reports import book

ADMIN, API = "/admin/billing/invoice/", "/api/v1/revenue/"
PAGES = ("revenue", "receivables", "unbilled", "closing", "preview")


@pytest.fixture
def used(shop: Shop) -> Shop:
    """A lamp that burnt for 100 hours in the last month, and what lamps cost us."""
    start = database_now().replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)
    shop.burnt(shop.lamp(), start, start + timedelta(hours=100))
    book(shop, "Cost", is_cost=True, small="0.09")
    return shop


def read(response: Any) -> str:
    """A file that comes in parts, as the server awaits them."""
    async def parts() -> bytes:
        return b"".join([part async for part in response.streaming_content])

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    return async_to_sync(parts)().decode()


def test_revenue_with_its_margin_is_a_page_and_a_file(used: Shop) -> None:
    browser = used.cast.browser("root")
    page = browser.get(f"{ADMIN}revenue/").content.decode()
    assert "Acme" in page and "36.00" in page and "27.00" in page and "75.0 %" in page
    for by in ("region", "service", "meter"):
        assert browser.get(f"{ADMIN}revenue/", {"by": by}).status_code == 200
    file = read(browser.get(f"{ADMIN}revenue/", {"format": "csv"}))
    assert '"Acme","CNY","36.0000000000","36.0000000000"' in file


def test_a_name_in_a_file_is_no_formula(used: Shop) -> None:
    type(used.cast.organization).objects.filter(pk=used.cast.organization.pk).update(name="=cmd()")
    assert "\"'=cmd()\"" in read(used.cast.browser("root").get(f"{ADMIN}revenue/", {"format": "csv"}))


def test_what_is_unbilled_and_what_runs_without_a_price(used: Shop) -> None:
    page = used.cast.browser("root").get(f"{ADMIN}unbilled/").content.decode()
    assert "36.00 CNY" in page and "no issuer is entered" in page and "All that runs has a price" in page


def test_a_month_under_a_book_is_a_click_away_from_it(used: Shop) -> None:
    browser, dear = used.cast.browser("root"), book(used, "Dear", small="0.72")
    Terms.objects.create(organization=used.cast.organization, book=book(used, "Theirs", small="0.48"), discount_percent=25,
                         valid=DateTimeTZRange(database_now() - timedelta(days=100), None))
    led = browser.get(f"/admin/billing/pricebook/{dear.pk}/under-it/")
    assert led["Location"] == f"{ADMIN}preview/?book={dear.pk}"
    page = browser.get(led["Location"]).content.decode()
    for amount in ("36.00 CNY", "72.00 CNY", "54.00 CNY"):  # a quarter off
        assert f'<td class="number">{amount}</td>' in page
    assert page.count('<th scope="col" class="number">') >= 4 and f"organization={used.cast.organization.pk}" in page
    assert '"36.00 CNY","72.00 CNY","54.00 CNY","' in read(browser.get(led["Location"], {"format": "csv", "book": dear.pk}))
    cost = PriceBook.objects.get(is_cost=True)
    assert "Less its discounts" not in browser.get(f"{ADMIN}preview/", {"book": cost.pk}).content.decode()
    alone = browser.get(f"{ADMIN}preview/", {"book": dear.pk, "organization": used.cast.rival_organization.pk})
    assert "Nothing was used" in alone.content.decode()


@pytest.mark.parametrize("query", ["month=2026", "month=9999-01", "month=%00", "by=price", "book=x", "organization=x",
                                   "book=00000000-0000-0000-0000-000000000000"])
def test_nonsense_is_a_clear_answer(used: Shop, query: str) -> None:
    page = "preview" if query.startswith(("book", "organization")) else "revenue"
    assert used.cast.browser("root").get(f"{ADMIN}{page}/?{query}").status_code in (400, 404)


@pytest.mark.parametrize("page", PAGES)
def test_only_who_may_look_at_invoices_looks(used: Shop, page: str) -> None:
    assert used.cast.browser("alice").get(f"{ADMIN}{page}/").status_code in (302, 404)
    used.cast.vera.is_staff = True
    used.cast.vera.save()
    assert used.cast.browser("vera").get(f"{ADMIN}{page}/").status_code == 403
    used.cast.vera.user_permissions.add(Permission.objects.get(codename="view_invoice", content_type__app_label="billing"))
    assert used.cast.browser("vera").get(f"{ADMIN}{page}/").status_code == 200


def test_a_page_asks_the_same_however_many_organizations_there_are(used: Shop) -> None:
    browser = used.cast.browser("root")
    browser.get(f"{ADMIN}revenue/")
    with CaptureQueriesContext(connection) as few:
        browser.get(f"{ADMIN}revenue/")
    start = database_now().replace(day=1) - timedelta(days=5)
    used.burnt(used.lamp(project=used.cast.rival_project), start, start + timedelta(hours=1))
    with CaptureQueriesContext(connection) as many:
        browser.get(f"{ADMIN}revenue/")
    assert len(many) == len(few)


def test_an_empty_portal_has_empty_reports(cast: Any) -> None:
    PriceBook.objects.all().delete()
    for page in PAGES:
        assert cast.browser("root").get(f"{ADMIN}{page}/").status_code == 200


def got(used: Shop, path: str, **query: Any) -> Any:
    response = used.cast.api("root").get(f"{API}{path}/", query)
    assert response.status_code == 200, response.content
    return response.json()


def money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "CNY"}


def test_the_api_says_what_the_pages_say(used: Shop) -> None:
    acme = str(used.cast.organization.pk)
    [row] = got(used, "months")["results"]
    assert row == {"key": acme, "name": "Acme", "revenue": money("36.00"), "open": money("36.00"), "before": money("0.00"),
                   "cost": money("9.00"), "margin": money("27.00")}
    assert [one["name"] for one in got(used, "months", by="service")["results"]] == ["lamp"]
    [waiting] = got(used, "unbilled")["results"]
    assert (waiting["organization"], waiting["amounts"], waiting["reason"]) == (acme, [money("36.00")], "no_issuer")
    dear = book(used, "Dear", small="0.72")
    [changed] = got(used, "preview", book=str(dear.pk), organization=acme)["results"]
    assert (changed["before"], changed["under"], changed["difference"]) == ([money("36.00")], [money("72.00")], money("36.00"))
    assert changed["discounted"] == [money("72.00")], "nobody has a discount"
    here = {"project": used.cast.project, "region": used.cast.region, "price_per_hour": Decimal(10)}
    bills.invoice(used.cast.organization, Used(**here), month="2026-08")
    [owed] = got(used, "receivables")["results"]
    assert (owed["organization"], owed["total"]) == (acme, money("10.00"))


@pytest.mark.parametrize("query", ["months/?month=x", "months/?by=price", "preview/?month=", "preview/?book=x", "months/?other=1",
                                   "preview/?book=00000000-0000-0000-0000-000000000000"])
def test_nonsense_is_a_clear_400(used: Shop, query: str) -> None:
    assert used.cast.api("root").get(f"{API}{query}").status_code == 400


@pytest.mark.parametrize("path", ["months", "receivables", "unbilled", "preview"])
def test_members_have_no_reports(used: Shop, path: str) -> None:
    assert used.cast.api("alice").get(f"{API}{path}/").status_code == 404
