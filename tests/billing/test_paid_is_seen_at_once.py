"""A page that said a moment ago that money is missing says so no more once it is there, whoever brought it."""
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from billing import affording, credit, operations, payments, profiles, vouchers
from billing.ladder import require_paid
from billing.models import Dunning
from billing.price_verbs import set_terms
from billing.prices import Estimate, price_of
from portal.kernel import remembered
from portal.kernel.errors import PrepaidUsedUp, Unpaid
from portal.kernel.states import database_now
from tests.billing.lamps import BIG, Shop


@pytest.fixture(autouse=True)
def nothing_is_kept() -> None:
    remembered.forget()


@pytest.fixture
def price(shop: Shop) -> Estimate:
    """Of a big lamp, 3.60 an hour, beside one that burns; 4.00 are there."""
    pay(shop, 4)
    profiles.set_profile(shop.cast.organization, actor=shop.cast.root, is_prepaid=True)
    now = database_now()
    shop.burnt(shop.lamp(), now, None, reading=BIG)
    return price_of(shop.cast.organization, shop.cast.region, [BIG], now)


def pay(shop: Shop, amount: int) -> None:
    payments.record(shop.cast.organization, Decimal(amount), "CNY", "bank", f"of {amount}", shop.cast.root)


def give(shop: Shop) -> None:
    operations.grant_credit(shop.cast.organization, amount=Decimal(50), reason="Sorry", actor=shop.cast.root)


def redeem(shop: Shop) -> None:
    _voucher, code = vouchers.create_voucher(actor=shop.cast.root, amount=Decimal(50), reason="Fair")
    vouchers.redeem(shop.cast.organization, code, actor=shop.cast.alice)


def agree(shop: Shop) -> None:
    set_terms(shop.cast.organization, actor=shop.cast.root, discount_percent=Decimal(90))


def postpay(shop: Shop) -> None:
    profiles.set_profile(shop.cast.organization, actor=shop.cast.root, is_prepaid=False)


@pytest.mark.parametrize("comes", [lambda shop: pay(shop, 50), give, redeem, agree, postpay],
                         ids=["payment", "credit", "voucher", "terms", "not in advance"])
def test_what_comes_in_is_seen_at_once(shop: Shop, price: Estimate, comes: Callable[[Shop], Any]) -> None:
    assert isinstance(affording.refusal(shop.cast.project, price, {}, actor=None), PrepaidUsedUp)
    comes(shop)
    assert affording.refusal(shop.cast.project, price, {}, actor=None) is None


def test_what_is_missing_is_not_added_up_for_each_look(shop: Shop, price: Estimate, monkeypatch: pytest.MonkeyPatch) -> None:
    for _look in range(2):
        assert credit.shortfall(shop.cast.organization, price, now=None)
    monkeypatch.setattr(credit, "_standing", None)
    assert credit.shortfall(shop.cast.organization, price, now=None)


def test_who_left_the_ladder_is_let_in_at_once(shop: Shop) -> None:
    now = database_now()
    row = Dunning.objects.create(organization=shop.cast.organization, rung="blocked", cause="overdue", began_at=now, since=now)
    with pytest.raises(Unpaid):
        require_paid(shop.cast.organization.pk, lately=True)
    row.delete()
    require_paid(shop.cast.organization.pk, lately=True)
