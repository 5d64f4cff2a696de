"""Vouchers and credit that pays for some usage alone, as stories that add up to the cent."""
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from billing import closing, credit, operations, scopes, vouchers
from billing.models import Credit, CreditUse, Invoice, Voucher, VoucherUse
from billing.prices import price_of
from portal.kernel.errors import InvalidInput, PaymentRequired, TooManyRequests
from portal.kernel.models import AuditEvent, Region
from portal.kernel.states import database_now
from tenants.models import Organization
from tests.billing.lamps import BIG, OIL, SMALL, Shop
from tests.billing.months import HOUR, SECOND_OF_NOVEMBER, books_add_up, close, give, october
from tests.billing.races import at_once

YEAR = timedelta(days=365)


def make(shop: Shop, **values: Any) -> tuple[Voucher, str]:
    return vouchers.create_voucher(**{"actor": shop.cast.root, "amount": Decimal(20), "reason": "Welcome"} | values)


# -- codes --

def test_a_code_has_90_random_bits_and_is_read_as_people_type_it() -> None:
    code = vouchers.new_code()
    assert len({vouchers.new_code() for _one in range(100)}) == 100
    signs = vouchers.read_code(code)
    assert (len(signs), vouchers.RANDOM * 5) == (20, 90)
    typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert vouchers.read_code(f" {typed} ") == signs


def test_one_wrong_sign_and_two_that_changed_places_are_noticed() -> None:
    signs = vouchers.read_code(vouchers.new_code())
    for at, sign in enumerate(signs):
        wrong = [signs[:at] + other + signs[at + 1:] for other in vouchers.SIGNS if other != sign]
        if at + 1 < len(signs) and signs[at + 1] != sign:
            wrong.append(signs[:at] + signs[at + 1] + sign + signs[at + 2:])
        for text in wrong:
            with pytest.raises(InvalidInput):
                vouchers.read_code(text)


@pytest.mark.parametrize("text", ["", "x", "0" * 19, "0" * 21, "Ω" * 20, "9" * 10_000, "\0" * 20])
def test_what_is_no_code_is_said_to_be_none(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        vouchers.read_code(text)
    assert list(refused.value.errors) == ["code"]


# -- redeeming --

def test_a_voucher_gives_credit_of_its_own_lifetime_and_scope(shop: Shop) -> None:
    voucher, code = make(shop, lifetime_days=30, meters=["lamp"], region=shop.cast.region)
    assert code.replace("-", "") not in str(Voucher.objects.values().get())  # the digest alone is kept
    now = database_now()
    given = vouchers.redeem(shop.cast.organization, code, actor=shop.cast.alice, now=now)
    assert (given.amount, given.currency, given.reason, given.meters, given.region) == (
        20, "CNY", "Welcome", ["lamp"], shop.cast.region)
    assert given.expires_at == now + timedelta(days=30)
    use = VoucherUse.objects.get()
    assert (use.voucher, use.organization, use.credit, use.used_by) == (
        voucher, shop.cast.organization, given, shop.cast.alice)
    told = AuditEvent.objects.get(action="voucher.redeem", result="ok")
    assert (told.organization_id, told.actor_id) == (shop.cast.organization.pk, shop.cast.alice.pk)
    assert code not in str(told.after)


def test_each_organization_once_and_so_many_in_all(shop: Shop) -> None:
    _voucher, code = make(shop, most_uses=2)
    third = Organization.objects.create(name="Third")
    vouchers.redeem(shop.cast.organization, code, actor=shop.cast.alice)
    for who in (shop.cast.organization, shop.cast.organization):
        with pytest.raises(vouchers.VoucherRefused):
            vouchers.redeem(who, code, actor=shop.cast.alice)
    vouchers.redeem(shop.cast.rival_organization, code, actor=shop.cast.mallory)
    with pytest.raises(vouchers.VoucherRefused):
        vouchers.redeem(third, code, actor=shop.cast.alice)
    assert Credit.objects.count() == 2


def refusals(shop: Shop) -> dict[str, str]:
    """A code for every reason to refuse it."""
    now = database_now()
    found = {"unknown": vouchers.new_code(), "early": make(shop, valid_from=now + HOUR)[1]}
    late, found["late"] = make(shop, valid_until=now + HOUR)
    Voucher.objects.filter(pk=late.pk).update(valid_from=now - YEAR, valid_until=now - HOUR)
    gone, found["withdrawn"] = make(shop)
    vouchers.withdraw(gone, actor=shop.cast.root)
    _used, found["used"] = make(shop)
    vouchers.redeem(shop.cast.rival_organization, found["used"], actor=shop.cast.mallory)
    _mine, found["again"] = make(shop, most_uses=5)
    vouchers.redeem(shop.cast.organization, found["again"], actor=shop.cast.alice)
    return found


def test_why_a_code_gives_nothing_is_not_told_and_every_try_is_audited(shop: Shop) -> None:
    """By REST and on the page; one answer for all of them."""
    api, browser = shop.cast.api("alice"), shop.cast.browser("alice")
    codes = refusals(shop)
    answers = [api.post("/api/v1/vouchers/actions/redeem/", {
        "organization": str(shop.cast.organization.pk), "code": code}, format="json") for code in list(codes.values())[:5]]
    for answer in answers:
        answer.data.pop("request_id", None)
    assert {answer.status_code for answer in answers} == {403}
    assert len({str({name: value for name, value in answer.json().items() if name not in ("request_id", "instance")})
                for answer in answers}) == 1
    page = reverse("balance:voucher", args=[shop.cast.organization.pk])
    shown = [browser.post(page, {"code": code}) for code in codes.values()]
    texts = {str(one.context["form"].errors["code"]) for one in shown[:5]}
    assert {one.status_code for one in shown} == {400} and len(texts) == 1
    tries = AuditEvent.objects.filter(action="voucher.redeem", result="refused", organization=shop.cast.organization.pk)
    assert tries.count() == 11
    assert Credit.objects.filter(organization=shop.cast.organization).count() == 1


def test_many_tries_are_too_many_for_one_organization(shop: Shop, settings: Any) -> None:
    settings.API_RATE = settings.API_RATE | {"voucher_tries": 3}
    browser, page = shop.cast.browser("alice"), reverse("balance:voucher", args=[shop.cast.organization.pk])
    _voucher, good = make(shop, most_uses=2)
    for _try in range(3):
        browser.post(page, {"code": vouchers.new_code()})
    browser.post(page, {"code": "ABC"})
    refused = browser.post(page, {"code": good})
    assert refused.status_code == 400 and "Too many requests" in str(refused.context["form"].errors["code"])
    answer = shop.cast.api("alice").post("/api/v1/vouchers/actions/redeem/", {
        "organization": str(shop.cast.organization.pk), "code": good}, format="json")
    assert answer.status_code == 429 and 0 < int(answer["Retry-After"]) <= 3600
    vouchers.redeem(shop.cast.rival_organization, good, actor=shop.cast.mallory)


@pytest.mark.django_db(transaction=True)
def test_of_many_tries_at_once_no_more_are_looked_up_than_there_may_be(shop: Shop, settings: Any) -> None:
    settings.API_RATE = settings.API_RATE | {"voucher_tries": 4}
    errors = at_once(lambda _which: vouchers.redeem(shop.cast.organization, vouchers.new_code(), actor=shop.cast.alice), 12)
    assert Counter(map(type, errors)) == {vouchers.VoucherRefused: 4, TooManyRequests: 8}


def test_by_rest_and_on_the_page(shop: Shop) -> None:
    (_one, first), (_other, second) = make(shop), make(shop)
    answer = shop.cast.api("alice").post("/api/v1/vouchers/actions/redeem/", {
        "organization": str(shop.cast.organization.pk), "code": first}, format="json")
    assert (answer.status_code, answer.json()["amount"]) == (201, {"amount": "20.00", "currency": "CNY"})
    page = reverse("balance:voucher", args=[shop.cast.organization.pk])
    assert shop.cast.browser("alice").post(page, {"code": second}).status_code == 302
    assert Credit.objects.count() == 2
    for name in ("vera", "adam"):
        assert shop.cast.browser(name).get(page).status_code == 403
    assert shop.cast.browser("mallory").get(page).status_code == 404


WRONG = [({"amount": Decimal(0)}, "amount"), ({"amount": Decimal("9" * 30)}, "amount"), ({"reason": ""}, "reason"),
         ({"most_uses": 0}, "most_uses"), ({"lifetime_days": 0}, "lifetime_days"), ({"meters": ["unicorn"]}, "meters"),
         ({"lifetime_days": 10**9}, "lifetime_days")]


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_a_voucher_that_makes_no_sense_is_refused_by_name(shop: Shop, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make(shop, **values)
    assert list(refused.value.errors) == [field]


def test_a_voucher_that_ends_before_it_begins_is_refused(shop: Shop) -> None:
    now = database_now()
    for until in (now - HOUR, now + HOUR):
        with pytest.raises(InvalidInput) as refused:
            make(shop, valid_from=now + 2 * HOUR, valid_until=until, now=now)
        assert list(refused.value.errors) == ["valid_until"]


@pytest.mark.django_db(transaction=True)
def test_redeemed_by_many_at_once_it_gives_once(shop: Shop) -> None:
    _voucher, code = make(shop, most_uses=100)
    errors = at_once(lambda _which: vouchers.redeem(shop.cast.organization, code, actor=None), 6)
    assert [type(error) for error in errors] == [vouchers.VoucherRefused] * 5
    assert (Credit.objects.count(), VoucherUse.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_the_last_use_is_given_to_one_of_two(shop: Shop) -> None:
    _voucher, code = make(shop, most_uses=1)
    both = (shop.cast.organization, shop.cast.rival_organization)
    errors = at_once(lambda which: vouchers.redeem(both[which], code, actor=None), 2)
    assert [type(error) for error in errors] == [vouchers.VoucherRefused]
    assert Credit.objects.count() == 1


def test_the_use_of_a_voucher_is_never_changed(shop: Shop) -> None:
    vouchers.redeem(shop.cast.organization, make(shop)[1], actor=shop.cast.alice)
    for doing in (lambda: VoucherUse.objects.update(used_by=None), lambda: VoucherUse.objects.all().delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            doing()


def test_operators_make_vouchers_in_admin_and_see_the_code_once(shop: Shop) -> None:
    browser = shop.cast.browser("root")
    sent = {"amount": "50", "reason": "Fair", "most_uses": "3", "lifetime_days": "90", "meters": ["lamp"], "region": "",
            "valid_from_0": "", "valid_from_1": "", "valid_until_0": "", "valid_until_1": ""}
    answer = browser.post(reverse("admin:billing_voucher_add"), sent)
    assert answer.status_code == 200, answer.headers
    code = answer.context_data["code"]
    assert code in answer.content.decode() and "no-store" in answer["Cache-Control"]
    voucher = Voucher.objects.get()
    assert (voucher.most_uses, voucher.lifetime_days, voucher.meters, voucher.made_by) == (3, 90, ["lamp"], shop.cast.root)
    assert code not in browser.get(reverse("admin:billing_voucher_change", args=[voucher.pk])).content.decode()
    given = vouchers.redeem(shop.cast.organization, code, actor=shop.cast.alice)
    assert given.amount == 50
    browser.post(reverse("admin:billing_voucher_changelist"), {
        "action": "withdraw", "_selected_action": [str(voucher.pk)], "confirmed": "yes"})
    voucher.refresh_from_db()
    assert voucher.withdrawn_at is not None


# -- closing a month with credit for some usage alone --

def give_for(shop: Shop, amount: str, *meters: str, region: Region | None = None, until: Any = None) -> Credit:
    return Credit.objects.create(organization=shop.cast.organization, amount=Decimal(amount), currency="CNY", reason="gift",
                                 created_at=october(1), expires_at=until, meters=list(meters), region=region)


def paid(invoice: Invoice) -> dict[str, Decimal]:
    return {str(use.credit.amount): use.amount for use in CreditUse.objects.filter(invoice=invoice).select_related("credit")}


def burn(shop: Shop) -> None:
    """Ten hours of a lamp for 3.60, ten of its oil (at 4 an hour) for 100.00."""
    from billing.models import Price

    Price.objects.filter(meter="lamp.oil").update(price_per_hour=4)
    lamp = shop.lamp()
    shop.burnt(lamp, october(3), october(3, 10), reading=SMALL)
    shop.burnt(lamp, october(3), october(3, 10), reading=OIL)


def test_more_credit_than_its_lines_pays_for_its_lines_alone(shop: Shop) -> None:
    burn(shop)
    give_for(shop, "50", "lamp")
    (invoice,) = close(shop)
    assert (invoice.subtotal, invoice.credit, invoice.total) == (Decimal("103.60"), Decimal("3.60"), Decimal("100.00"))
    assert paid(invoice) == {"50.00": Decimal("3.60")}
    books_add_up()


def test_credit_for_everything_leaves_to_the_others_what_they_are_good_for(shop: Shop) -> None:
    """It expires first, so it pays first: 100 of oil, and not the lamp, which the other one can pay for."""
    burn(shop)
    give_for(shop, "100", until=october(20))
    give_for(shop, "3", "lamp")
    (invoice,) = close(shop)
    assert paid(invoice) == {"100.00": Decimal(100), "3.00": Decimal(3)}
    assert invoice.total == Decimal("0.60")
    books_add_up()


def test_of_what_expires_together_the_narrower_pays_first(shop: Shop) -> None:
    burn(shop)
    give_for(shop, "103")
    give_for(shop, "3", "lamp", region=shop.cast.region)
    give_for(shop, "2", "lamp")
    (invoice,) = close(shop)
    assert paid(invoice) == {"3.00": Decimal(3), "2.00": Decimal("0.60"), "103.00": Decimal(100)}
    assert invoice.total == 0
    books_add_up()


def test_a_region_is_of_its_lines_and_a_meter_that_was_not_used_pays_nothing(shop: Shop) -> None:
    burn(shop)
    elsewhere = Region.objects.create(slug="south", name="South")
    give_for(shop, "30", region=elsewhere)
    give_for(shop, "40", "instance.running")
    (invoice,) = close(shop)
    assert (paid(invoice), invoice.total) == ({}, Decimal("103.60"))


def test_what_is_taken_back_is_not_paid_for(shop: Shop) -> None:
    """An adjustment makes the invoice less than its lines of usage; credit pays no more than the invoice."""
    from billing import closing

    burn(shop)
    closing.adjust(shop.cast.organization, Decimal("-101.00"), "Sorry", None, now=october(20))
    give_for(shop, "50", "lamp")
    (invoice,) = close(shop)
    assert (invoice.subtotal, invoice.credit, invoice.total) == (Decimal("2.60"), Decimal("2.60"), 0)
    books_add_up()


def test_what_is_left_goes_on_in_the_next_month(shop: Shop) -> None:
    from tests.billing.months import NOVEMBER

    burn(shop)
    shop.burnt(shop.lamp("late"), october(31) + timedelta(days=5), october(31) + timedelta(days=5, hours=10), reading=SMALL)
    give_for(shop, "5", "lamp")
    close(shop)
    (invoice,) = close(shop, NOVEMBER, now=october(31) + timedelta(days=40))
    assert (invoice.subtotal, invoice.credit) == (Decimal("3.60"), Decimal("1.40"))


def test_the_split_never_pays_twice_nor_more_than_there_is() -> None:
    """Random credits and lines: no part is paid twice, no credit pays what it does not fit, nor more than it has."""
    import random
    import uuid

    chance, south = random.Random(20261129), uuid.uuid4()
    for _round in range(300):
        parts = {(region, meter): Decimal(chance.randint(-50, 900)) / 100 for region in (None, south) for meter in "abc"}
        credits = [(Credit(amount=Decimal(1000), meters=chance.sample("abc", chance.randint(0, 3)), created_at=october(1),
                           region_id=chance.choice((None, south)),
                           expires_at=chance.choice((None, october(chance.randint(2, 5))))),
                    Decimal(chance.randint(0, 900)) / 100) for _credit in range(chance.randint(0, 6))]
        most = sum(parts.values())
        found = scopes.paid_by(credits, parts, max(most, Decimal(0)))
        assert sum(found.values()) <= max(most, 0)
        for credit_, left in credits:
            fitting = sum(amount for part, amount in parts.items() if amount > 0 and credit_.fits(*part))
            assert 0 <= found.get(credit_.pk, 0) <= min(left, fitting)
        for meter in "abc":  # credits of this meter alone pay no more than there is of it
            only = [one.pk for one, _left in credits if one.meters == [meter]]
            there = sum(max(amount, Decimal(0)) for part, amount in parts.items() if part[1] == meter)
            assert sum(found.get(pk, Decimal(0)) for pk in only) <= there


# -- what is left meanwhile --

def test_credit_for_oil_pays_for_no_lamp(shop: Shop) -> None:
    """On trial: 10 for everything, 100 for oil. Usage: 3.60 of a lamp and 100 of oil."""
    Organization.objects.filter(pk=shop.cast.organization.pk).update(plan=Organization.Plan.TRIAL)
    shop.cast.organization.refresh_from_db()
    burn(shop)
    give(shop, "10", since=october(1))
    oil = give_for(shop, "40", "lamp.oil")
    (found,) = credit.balances([shop.cast.organization], now=october(4))
    # 40 of oil are paid, 60 are not: they and the lamp are more than the 10.
    assert found.left.amount == 10 - Decimal("3.60") - 60
    assert [(rest.credit, rest.left) for rest in found.scoped] == [(oil, 0)]
    with pytest.raises(PaymentRequired):
        credit.require(shop.cast.organization, price_of(shop.cast.organization, shop.cast.region, [SMALL], october(4)),
                       now=october(4))


def test_what_is_left_for_oil_alone_starts_oil_and_nothing_else(shop: Shop) -> None:
    Organization.objects.filter(pk=shop.cast.organization.pk).update(plan=Organization.Plan.TRIAL)
    shop.cast.organization.refresh_from_db()
    shop.burnt(shop.lamp(), october(3), october(3, 10), reading=SMALL)
    give(shop, "3.60", since=october(1))
    give_for(shop, "40", "lamp.oil", region=shop.cast.region)
    (found,) = credit.balances([shop.cast.organization], now=october(4))
    assert (found.left.amount, [rest.left for rest in found.scoped]) == (0, [40])
    of_oil, of_lamp = (price_of(shop.cast.organization, shop.cast.region, [one], october(4)) for one in (OIL, BIG))
    credit.require(shop.cast.organization, of_oil, now=october(4))
    with pytest.raises(PaymentRequired):
        credit.require(shop.cast.organization, of_lamp, now=october(4))


def test_meanwhile_and_closing_agree_on_what_is_given_back(shop: Shop) -> None:
    burn(shop)
    give_for(shop, "50", until=october(31) + YEAR)
    give_for(shop, "70", "lamp.oil", region=shop.cast.region)
    closing.adjust(shop.cast.organization, Decimal("-1.50"), "Sorry", None, now=october(20))
    (before,) = credit.balances([shop.cast.organization], now=october(31, 23))
    close(shop)
    (after,) = credit.balances([shop.cast.organization], now=SECOND_OF_NOVEMBER)
    assert [rest.left for rest in before.scoped] == [rest.left for rest in after.scoped]
    assert before.left == after.left


def test_meanwhile_and_closing_agree(shop: Shop) -> None:
    burn(shop)
    give_for(shop, "50", until=october(31) + YEAR)
    give_for(shop, "2", "lamp")
    give_for(shop, "70", "lamp.oil", region=shop.cast.region)
    moment = october(31, 23)
    (before,) = credit.balances([shop.cast.organization], now=moment)
    (invoice,) = close(shop)
    (after,) = credit.balances([shop.cast.organization], now=invoice.issued_at)
    left = {rest.credit.pk: rest.left for rest in before.scoped}
    assert left == {rest.credit.pk: rest.left for rest in after.scoped}
    assert before.left == after.left
    assert sum(left.values()) + before.left.amount == 122 - invoice.credit


def test_grants_may_be_scoped_and_unknown_meters_are_refused(shop: Shop) -> None:
    given = operations.grant_credit(shop.cast.organization, amount=Decimal(5), reason="gift", actor=shop.cast.root,
                                    meters=["lamp"], region=shop.cast.region)
    assert (given.meters, given.region, given.is_scoped) == (["lamp"], shop.cast.region, True)
    with pytest.raises(InvalidInput) as refused:
        operations.grant_credit(shop.cast.organization, amount=Decimal(5), reason="gift", actor=shop.cast.root, meters=["x"])
    assert list(refused.value.errors) == ["meters"]
