"""Paying in advance on pages and by REST: to the provider, back, and booked once; or, without one, by bank."""
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.core import signing
from django.test import Client

from billing import credit, ledger, operations, payments, profiles
from billing.models import Dunning, Issuer, Payment
from billing.providers import Simulated
from portal.kernel import remembered
from portal.kernel.states import database_now
from tenants.models import Organization
from tenants.roles import bind
from tests.billing.lamps import Shop
from tests.billing.test_invoice_pages import text_of
from tests.cast import Cast


@pytest.fixture(autouse=True)
def nothing_is_kept() -> None:
    remembered.forget()


@pytest.fixture
def simulated(settings: Any) -> None:
    settings.PAYMENT_PROVIDER = "billing.providers.Simulated"


def page(cast: Cast, *path: str) -> str:
    return "/".join(["/billing", str(cast.organization.pk), *path, ""])


def local(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def begun(browser: Client, cast: Cast, amount: str = "50") -> str:
    """The address of the provider's page."""
    response = browser.post(page(cast, "top-up"), {"amount": amount})
    assert response.status_code == 302
    return response["Location"]


def receipt(browser: Client, cast: Cast, amount: str = "50") -> str:
    """Paid on the provider's page: the address to come back to."""
    order = parse_qs(urlsplit(begun(browser, cast, amount)).query)["order"][0]
    return local(browser.post("/billing/simulated/", {"order": order})["Location"])


def test_from_the_form_to_the_balance(shop: Shop, simulated: None) -> None:
    cast = shop.cast
    browser = cast.browser("alice")
    assert "Go on to pay" in text_of(browser.get(page(cast, "top-up")))
    asked = begun(browser, cast)
    assert "¥50.00" in text_of(browser.get(asked)) and not Payment.objects.exists()
    order = parse_qs(urlsplit(asked).query)["order"][0]
    back = browser.post("/billing/simulated/", {"order": order})
    assert back["Location"].startswith(f"http://testserver{page(cast, 'paid')}?token=")
    response = browser.get(local(back["Location"]), follow=True)
    assert response.redirect_chain == [(f"/billing/?organization={cast.organization.pk}", 302)]
    text = text_of(response)
    assert "50.00 CNY was paid." in text and "Paid in advance ¥50.00" in text
    payment = Payment.objects.get()
    assert (payment.organization, payment.amount, payment.recorded_by) == (cast.organization, 50, cast.alice)


def test_a_payment_is_known_by_what_people_can_read_out(shop: Shop, simulated: None) -> None:
    """Each its own, found by it in admin and in the books; those of before are found too, though they look like ids."""
    cast, browser = shop.cast, shop.cast.browser("alice")
    for _time in range(2):
        browser.get(receipt(browser, cast))
    first, second = (one.reference for one in Payment.objects.order_by("reference"))
    assert re.fullmatch(r"PAY-20\d\d-\d\d-0001", first) and second == f"{first[:-4]}0002"
    old = payments.record(cast.organization, Decimal(5), "CNY", "simulated", uuid4().hex, cast.root)
    for reference in (second, old.reference):
        found = cast.browser("root").get("/admin/billing/payment/", {"q": reference}).content.decode()
        assert found.count('class="field-reference') == 1 or found.count(f">{reference}<") == 1
        assert first not in found
    assert second in cast.browser("root").get("/admin/billing/entry/", {"q": second}).content.decode()


def test_coming_back_twice_books_once(shop: Shop, simulated: None) -> None:
    browser = shop.cast.browser("alice")
    back = receipt(browser, shop.cast)
    for _time in range(3):
        assert browser.get(back).status_code == 302
    assert ledger.prepaid(shop.cast.organization, "CNY") == 50


def test_who_cancels_has_paid_nothing_and_is_told(shop: Shop, simulated: None) -> None:
    browser = shop.cast.browser("alice")
    text = text_of(browser.get(begun(browser, shop.cast)))
    assert "Cancel" in text
    assert "Nothing was paid." in text_of(browser.get(page(shop.cast, "paid"), follow=True))
    assert not Payment.objects.exists()


@pytest.mark.parametrize("token", ["", "nonsense", "a\0b",
                                   # Signed when it runs: a test's name must not hold the second it was collected in.
                                   lambda: signing.dumps(["x", "1", "CNY", "r"], salt="other")])
def test_a_forged_token_books_nothing(shop: Shop, simulated: None, token: str | Callable[[], str]) -> None:
    sent = token() if callable(token) else token
    response = shop.cast.browser("alice").get(page(shop.cast, "paid"), {"token": sent})
    assert response.status_code == 400 and not Payment.objects.exists()


def test_an_order_is_no_receipt(shop: Shop, simulated: None) -> None:
    """Whoever only began to pay cannot come back with what they were sent away with."""
    browser = shop.cast.browser("alice")
    order = parse_qs(urlsplit(begun(browser, shop.cast)).query)["order"][0]
    assert browser.get(page(shop.cast, "paid"), {"token": order}).status_code == 400
    assert not Payment.objects.exists()


def test_an_old_token_books_nothing(shop: Shop, simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = shop.cast.browser("alice")
    back = receipt(browser, shop.cast)
    monkeypatch.setattr(Simulated, "VALID_S", -1)
    assert browser.get(back).status_code == 400 and not Payment.objects.exists()


def test_anothers_payment_is_not_ours(shop: Shop, simulated: None) -> None:
    cast = shop.cast
    back = receipt(cast.browser("alice"), cast)
    stolen = back.replace(str(cast.organization.pk), str(cast.rival_organization.pk))
    assert cast.browser("mallory").get(stolen).status_code == 400
    assert cast.browser("mallory").get(back).status_code == 404
    assert not Payment.objects.exists()


@pytest.mark.parametrize("amount", ["0", "-5", "0.001", "NaN", "1e30", "", "many", "9" * 40])
def test_an_amount_that_is_none_is_refused_beside_its_field(shop: Shop, simulated: None, amount: str) -> None:
    response = shop.cast.browser("alice").post(page(shop.cast, "top-up"), {"amount": amount})
    assert response.status_code == 400 and response.context["form"].errors.keys() == {"amount"}


def test_the_provider_itself_says_so_without_a_session(shop: Shop, simulated: None) -> None:
    back = receipt(shop.cast.browser("alice"), shop.cast)
    token = parse_qs(urlsplit(back).query)["token"][0]
    provider = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert provider.post("/payments/told/", {"token": "nonsense"}).status_code == 400
    for _time in range(2):
        assert provider.post("/payments/told/", {"token": token}).status_code == 204
    assert Payment.objects.get().recorded_by is None
    assert shop.cast.browser("alice").get(back).status_code == 302  # and the browser comes later
    assert ledger.prepaid(shop.cast.organization, "CNY") == 50


def test_a_link_leads_to_a_provider_on_another_site(shop: Shop, simulated: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulated, "start", lambda *_arguments: "https://pay.example/checkout/1")
    response = shop.cast.browser("alice").post(page(shop.cast, "top-up"), {"amount": "5"})
    assert response.status_code == 200 and b'href="https://pay.example/checkout/1"' in response.content


# -- without a provider --

def test_without_a_provider_the_page_says_how_to_pay_by_bank(shop: Shop, settings: Any) -> None:
    settings.PAYMENT_PROVIDER = ""
    cast = shop.cast
    Issuer.objects.create(pk=1, name="Waterworks Ltd", bank="Bank of Pipes\nIBAN CN00 1234")
    text = text_of(cast.browser("alice").get(page(cast, "top-up")))
    assert "Waterworks Ltd" in text and "IBAN CN00 1234" in text
    assert f"MAINS-{cast.organization.pk.hex[:12].upper()}" in text
    assert cast.browser("alice").post(page(cast, "top-up"), {"amount": "5"}).status_code == 200
    browser = Client(raise_request_exception=False)
    assert browser.post("/payments/told/", {"token": "x"}).status_code == 404
    assert cast.browser("alice").get("/billing/simulated/", {"order": "x"}).status_code == 302
    answer = cast.api("alice").post(f"/api/v1/balances/{cast.organization.pk}/actions/top-up/", {"amount": "5"}, format="json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["amount"])


@pytest.mark.parametrize(("who", "code"), [("mallory", 404), ("adam", 403), ("vera", 403), ("alice", 200)])
def test_who_may_pay(shop: Shop, simulated: None, who: str, code: int) -> None:
    assert shop.cast.browser(who).get(page(shop.cast, "top-up")).status_code == code


def test_whoever_only_looks_at_bills_pays_none(shop: Shop, simulated: None) -> None:
    bind(shop.cast.vera, "viewer", shop.cast.organization)
    assert shop.cast.browser("vera").get(page(shop.cast, "top-up")).status_code == 403
    assert "Pay in advance" not in text_of(shop.cast.browser("vera").get("/billing/"))


# -- REST --

def test_rest_says_where_to_go_and_how_the_account_stands(shop: Shop, simulated: None) -> None:
    cast = shop.cast
    profiles.set_profile(cast.organization, actor=cast.root, is_prepaid=True)
    api, url = cast.api("alice"), f"/api/v1/balances/{cast.organization.pk}/"
    answer = api.post(f"{url}actions/top-up/", {"amount": "7.20"}, format="json")
    assert answer.status_code == 200
    browser = cast.browser("alice")
    order = parse_qs(urlsplit(answer.json()["url"]).query)["order"][0]
    browser.get(local(browser.post("/billing/simulated/", {"order": order})["Location"]))
    shop.burnt(shop.lamp(), database_now(), None)
    found = api.get(url).json()
    assert (found["is_prepaid"], found["prepaid"]) == (True, [{"amount": "7.20", "currency": "CNY"}])
    assert found["hourly"] == {"amount": "0.36", "currency": "CNY"} and found["lasts_until"] is not None
    assert Decimal("7.19") < Decimal(found["left"]["amount"]) <= Decimal("7.20")
    assert found["dunning"] == {"rung": "none", "cause": "", "began_at": None, "since": None, "next_rung": None, "next_at": None}


@pytest.mark.parametrize(("who", "code"), [("mallory", 404), ("adam", 403), ("vera", 403), ("root", 200)])
def test_who_sees_the_balance(shop: Shop, who: str, code: int) -> None:
    assert shop.cast.api(who).get(f"/api/v1/balances/{shop.cast.organization.pk}/").status_code == code


def test_the_list_of_balances_says_of_each_what_it_says_alone(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit, "LATELY_S", 3600)  # what is used meanwhile is not seen
    cast = shop.cast
    profiles.set_profile(cast.rival_organization, actor=cast.root, is_prepaid=True)
    payments.record(cast.rival_organization, amount=Decimal(5), currency="CNY", provider="manual", reference="1", actor=cast.root)
    Organization.objects.filter(pk=cast.organization.pk).update(plan="trial")
    operations.grant_credit(cast.organization, amount=Decimal(3), reason="trial", actor=cast.root)
    shop.burnt(shop.lamp(), database_now(), None)
    blocked(shop)
    api = cast.api("root")
    found = {one["organization"]: one for one in api.get("/api/v1/balances/").json()["results"]}
    assert {str(cast.organization.pk), str(cast.rival_organization.pk)} <= set(found)
    for pk, one in found.items():
        alone = api.get(f"/api/v1/balances/{pk}/").json()
        assert {name: value for name, value in one.items() if name != "lasts_until"} == {
            name: value for name, value in alone.items() if name != "lasts_until"}
    assert found[str(cast.organization.pk)]["hourly"] == {"amount": "0.36", "currency": "CNY"}
    assert found[str(cast.rival_organization.pk)]["prepaid"] == [{"amount": "5.00", "currency": "CNY"}]


def test_the_list_of_balances_has_pages_and_only_what_one_may_see(shop: Shop) -> None:
    cast = shop.cast
    for who, seen in (("alice", {cast.organization}), ("mallory", {cast.rival_organization}), ("adam", set())):
        answer = cast.api(who).get("/api/v1/balances/")
        assert answer.status_code == 200
        assert {one["organization"] for one in answer.json()["results"]} == {str(one.pk) for one in seen}
    first = cast.api("root").get("/api/v1/balances/", {"limit": 1}).json()
    second = cast.api("root").get(first["next"]).json()
    names = list(Organization.objects.order_by("name").values_list("pk", flat=True)[:2])
    assert [one["organization"] for one in first["results"] + second["results"]] == list(map(str, names))
    found = cast.api("root").get("/api/v1/balances/", {"search": cast.rival_organization.name[:4]}).json()["results"]
    assert [one["organization"] for one in found] == [str(cast.rival_organization.pk)]


# -- pages say how it stands --

def blocked(shop: Shop) -> None:
    now = database_now()
    Dunning.objects.create(organization=shop.cast.organization, rung="blocked", cause="overdue", began_at=now, since=now,
                           next_at=now)


def test_every_page_says_what_is_due_and_what_comes_next(shop: Shop) -> None:
    blocked(shop)
    text = text_of(shop.cast.browser("alice").get("/instances/"))
    assert "Acme: an invoice is overdue since" in text and "Nothing new is made or started." in text
    assert "on: Instances are stopped." in text
    assert "overdue since" not in text_of(shop.cast.browser("mallory").get("/instances/"))
    assert "overdue since" not in text_of(shop.cast.browser("vera").get("/instances/"))


def test_the_balance_page_says_it_once(shop: Shop) -> None:
    blocked(shop)
    text = text_of(shop.cast.browser("alice").get("/billing/"))
    assert text.count("an invoice is overdue since") == 1 and "Nothing new is made or started." in text


def test_the_balance_page_says_how_long_it_lasts(shop: Shop) -> None:
    cast = shop.cast
    profiles.set_profile(cast.organization, actor=cast.root, is_prepaid=True)
    assert "Lasts until nothing runs" in text_of(cast.browser("alice").get("/billing/"))
    remembered.forget()
    shop.burnt(shop.lamp(), database_now(), None)
    text = text_of(cast.browser("alice").get("/billing/"))
    assert "UTC, if what runs now goes on at ¥0.36 an hour" in text


# -- operators --

def test_operators_find_who_does_not_pay_and_hold_the_ladder(shop: Shop) -> None:
    blocked(shop)
    root = shop.cast.browser("root")
    assert "Acme" in text_of(root.get("/admin/billing/dunning/", {"rung": "blocked"}))
    assert "Acme" not in text_of(root.get("/admin/billing/dunning/", {"rung": "stopped"})).split("Dunning")[-1]
    sent = {"organization": str(shop.cast.organization.pk), "held_until_0": "2999-01-01", "held_until_1": "00:00:00",
            "hold_reason": "They called"}
    assert root.post("/admin/billing/dunning/add/", sent).status_code == 302
    row = Dunning.objects.get()
    assert (row.held_until.year, row.hold_reason, row.rung) == (2999, "They called", "blocked")


def test_days_that_do_not_climb_are_refused_beside_the_field(shop: Shop) -> None:
    sent = {"name": "W", "country": "CN", "time_zone": "UTC", "prefix": "INV-", "due_days": "14", "reminder_days": "3",
            "block_days": "3", "stop_days": "20", "recycle_days": "40"}
    response = shop.cast.browser("root").post("/admin/billing/issuer/add/", sent)
    assert response.status_code == 200 and not Issuer.objects.exists()
    assert response.context["adminform"].form.errors.keys() >= {"block_days"}
