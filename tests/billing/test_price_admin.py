"""Prices in admin: rows are history, a change is a new version; usage is only read."""
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import Price, PriceBook, UsageInterval
from portal.kernel.declarations import Reading
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from tests.billing.lamps import Shop

ADD = "/admin/billing/price/add/"
TEN = datetime(2026, 2, 3, 10, tzinfo=UTC)


def form(shop: Shop, **changes: str) -> dict[str, str]:
    return {"book": str(shop.book.pk), "region": str(shop.cast.region.pk), "meter": "lamp", "sku": "small",
            "price_per_hour": "0.5", "granularity_s": "1", "minimum_s": "0", "tiers": "", "valid_from_0": "", "valid_from_1": "",
            **changes}


def versions() -> list[Decimal]:
    rows = Price.objects.filter(meter="lamp", sku="small").order_by("valid")
    return list(rows.values_list("price_per_hour", flat=True))


def test_an_operator_sets_a_new_version_from_now_on(shop: Shop) -> None:
    before = database_now()
    assert shop.cast.browser("root").get(f"{ADD}?meter=lamp&sku=small").status_code == 200
    assert shop.cast.browser("root").post(ADD, form(shop)).status_code == 302
    old, new = Price.objects.filter(meter="lamp", sku="small").order_by("valid")
    assert (old.price_per_hour, new.price_per_hour) == (Decimal("0.36"), Decimal("0.5"))
    assert before <= old.valid.upper == new.valid.lower <= database_now()
    assert AuditEvent.objects.filter(action="price.set", target_id=str(new.pk), actor=shop.cast.root).count() == 1


@pytest.mark.parametrize(("changes", "said"), [
    ({"valid_from_0": "2026-01-02", "valid_from_1": "00:00:00"}, "A price cannot change the past."),
    ({"price_per_hour": "-1"}, "From 0, with at most 10 digits"), ({"meter": "unheard.of"}, "Select a valid choice"),
    ({"price_per_hour": "1" * 30}, "no more than 20 digits"), ({"sku": ""}, "This field is required."),
])
def test_nonsense_is_shown_beside_its_field_and_changes_nothing(shop: Shop, changes: dict, said: str) -> None:
    response = shop.cast.browser("root").post(ADD, form(shop, **changes))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert versions() == [Decimal("0.36")]


def test_a_price_is_never_edited_or_deleted(shop: Shop) -> None:
    price, browser = Price.objects.get(meter="lamp", sku="small"), shop.cast.browser("root")
    page = browser.get(f"/admin/billing/price/{price.pk}/change/")
    assert page.status_code == 200 and b'name="price_per_hour"' not in page.content
    assert browser.post(f"/admin/billing/price/{price.pk}/change/", form(shop, price_per_hour="9")).status_code == 403
    assert browser.post(f"/admin/billing/price/{price.pk}/delete/", {"post": "yes"}).status_code == 403
    assert versions() == [Decimal("0.36")]


def test_the_row_action_opens_the_form_for_the_next_version(shop: Shop) -> None:
    price, browser = Price.objects.get(meter="lamp", sku="small"), shop.cast.browser("root")
    listing = browser.get("/admin/billing/price/").content.decode()
    assert "New version" in listing
    links = re.findall(r'href="([^"]*new-version[^"]*)"', listing)
    (link,) = (link for link in links if str(price.pk) in link)
    response = browser.get(link)
    assert response.status_code == 302 and response.headers["Location"].startswith(f"{ADD}?book={shop.book.pk}&")


def test_the_list_warns_of_what_runs_without_a_price(shop: Shop) -> None:
    browser = shop.cast.browser("root")
    assert "In use without a price" not in browser.get("/admin/billing/price/").content.decode()
    shop.burnt(shop.lamp(), database_now() - timedelta(hours=1), None,
               reading=Reading(meter="lamp", sku="odd-one", quantity=Decimal(1)))
    page = browser.get("/admin/billing/price/").content.decode()
    assert "In use without a price" in page and "odd-one" in page


def test_a_books_currency_cannot_change_under_its_prices(shop: Shop) -> None:
    browser, url = shop.cast.browser("root"), f"/admin/billing/pricebook/{shop.book.pk}/change/"
    assert b'name="currency"' not in browser.get(url).content
    assert browser.post(url, {"name": "New name", "currency": "EUR", "is_default": "on"}).status_code == 302
    shop.book.refresh_from_db()
    assert (shop.book.name, shop.book.currency) == ("New name", "CNY")
    assert AuditEvent.objects.filter(action="pricebook.update").count() == 1


def test_a_second_default_book_is_refused(shop: Shop) -> None:
    response = shop.cast.browser("root").post("/admin/billing/pricebook/add/",
                                              {"name": "Other", "currency": "EUR", "is_default": "on"})
    assert response.status_code == 200 and PriceBook.objects.count() == 1


def test_usage_is_only_read(shop: Shop) -> None:
    interval, browser = shop.burnt(shop.lamp("hall"), TEN, None), shop.cast.browser("root")
    assert "hall" in browser.get("/admin/billing/usageinterval/").content.decode()
    url = f"/admin/billing/usageinterval/{interval.pk}"
    assert browser.get(f"{url}/change/").status_code == 200
    assert browser.post(f"{url}/change/", {"quantity": "0.1"}).status_code == 403
    assert browser.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    assert browser.get("/admin/billing/usageinterval/add/").status_code == 403
    assert UsageInterval.objects.get().quantity == 1


@pytest.mark.parametrize("name", ["alice", "mallory", None])
def test_tenants_do_not_get_into_admin(shop: Shop, name: str | None) -> None:
    assert shop.cast.browser(name).get("/admin/billing/price/").status_code in (302, 403, 404)
    assert shop.cast.browser(name).post(ADD, form(shop)).status_code in (302, 403, 404)
    assert versions() == [Decimal("0.36")]


def test_an_operator_sets_tiers_steps_and_a_minimum(shop: Shop) -> None:
    browser = shop.cast.browser("root")
    assert browser.post(ADD, form(shop, granularity_s="60", minimum_s="600", tiers="100 0.4\n\n 1000.5  0.3 ")).status_code == 302
    new = Price.objects.filter(meter="lamp", sku="small").latest("valid")
    assert (new.granularity_s, new.minimum_s) == (60, 600)
    assert list(new.tiers.values_list("from_quantity", "price_per_hour")) == [
        (Decimal(100), Decimal("0.4")), (Decimal("1000.5"), Decimal("0.3"))]
    page = browser.get(f"/admin/billing/price/{new.pk}/change/").content.decode()
    assert "1000.5" in page and 'name="tiers-0-from_quantity"' not in page
    begun = browser.get(f"/admin/billing/price/{new.pk}/new-version/", follow=True).content.decode()
    assert "100 0.4\n1000.5 0.3" in begun and 'value="600"' in begun and '<option value="60" selected>' in begun


@pytest.mark.parametrize(("changes", "said"), [
    ({"tiers": "100"}, "Two numbers a line."), ({"tiers": "100 -1"}, "From 0, with at most 10 digits"),
    ({"tiers": "0 1"}, "A tier begins above 0"), ({"tiers": "a lot"}, "This is not a number."),
    ({"tiers": "1 1\n1.0 2"}, "Two tiers begin at the same quantity."), ({"tiers": "1" * 30 + " 1"}, "A tier begins above 0"),
    ({"tiers": "\n".join(f"{n} 1" for n in range(1, 22))}, "At most 20 tiers."),
    ({"granularity_s": "7"}, "Select a valid choice"), ({"minimum_s": "-1"}, "greater than or equal to 0"),
    ({"minimum_s": "2678401"}, "From 0 to 31 days."),
])
def test_nonsense_about_tiers_and_steps_is_shown_too(shop: Shop, changes: dict, said: str) -> None:
    response = shop.cast.browser("root").post(ADD, form(shop, **changes))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert versions() == [Decimal("0.36")]


def test_an_operator_agrees_on_terms(shop: Shop) -> None:
    browser, url = shop.cast.browser("root"), "/admin/billing/terms/add/"
    assert browser.get(url).status_code == 200
    sent = {"organization": str(shop.cast.organization.pk), "book": "", "discount_percent": "12.5", "valid_from_0": "",
            "valid_from_1": ""}
    wrong = browser.post(url, sent | {"discount_percent": "101"})
    assert wrong.status_code == 200 and "From 0 to 100" in wrong.content.decode()
    assert browser.post(url, sent).status_code == 302
    terms = shop.cast.organization.terms.get()
    assert (terms.book, terms.discount_percent, terms.valid.upper) == (None, Decimal("12.5"), None)
    assert "12.50" in browser.get("/admin/billing/terms/").content.decode()
    assert browser.post(f"/admin/billing/terms/{terms.pk}/change/", sent).status_code == 403


def test_an_operator_records_an_outage(shop: Shop) -> None:
    browser, url, lamp = shop.cast.browser("root"), "/admin/billing/outage/add/", shop.lamp("hall")
    assert browser.get(url).status_code == 200
    sent = {"resource": str(lamp.pk), "start_0": "2026-02-03", "start_1": "10:00:00", "end_0": "2026-02-03", "end_1": "11:00:00",
            "meters": ["lamp"], "reason": "Power cut"}
    wrong = browser.post(url, sent | {"end_0": "2026-02-02"})
    assert wrong.status_code == 200 and "It ends after it begins." in wrong.content.decode()
    assert browser.post(url, sent).status_code == 302
    outage = lamp.outages.get()
    assert (outage.period.lower, outage.meters, outage.recorded_by) == (TEN, ["lamp"], shop.cast.root)
    again = browser.post(url, sent)
    assert again.status_code == 200 and "recorded for part of this time already" in again.content.decode()
