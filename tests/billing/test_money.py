"""How amounts are written for people and for programs."""
from decimal import Decimal

import pytest
from django.utils.translation import override

from billing.money import Money, plain
from billing.templatetags.money import cents, exact, money, price, rate


@pytest.mark.parametrize(("amount", "shown"), [
    ("0", "¥0.00"), ("12.3", "¥12.30"), ("1234.565", "¥1,234.57"), ("0.01", "¥0.01"), ("0.0099999", "¥0.0100"),
    ("0.00012345", "¥0.00012"), ("0.0000000001", "¥0.0000000001"), ("-3.5", "-¥3.50"),
])
def test_people_see_cents_and_two_digits_below_a_cent(amount: str, shown: str) -> None:
    with override("en"):
        assert money(Money(Decimal(amount), "CNY")) == shown


def test_a_currency_without_a_sign_is_named() -> None:
    with override("zh-hans"):
        assert money(Money(Decimal(5), "CHF")) == "5.00 CHF"


def test_a_price_keeps_all_of_its_digits() -> None:
    assert rate(Decimal("0.0125000000"), "CNY") == "¥0.0125"
    assert exact(Decimal("3600.000000")) == "3,600"


@pytest.mark.parametrize(("amount", "shown"), [
    ("0", "¥0.00"), ("0.0000661", "< ¥0.01"), ("0.01", "¥0.01"), ("12.345", "¥12.35"), ("-0.001", "-¥0.0010")])
def test_a_headline_is_to_the_cent(amount: str, shown: str) -> None:
    with override("en"):
        assert cents(Money(Decimal(amount), "CNY")) == shown


def test_an_hours_price_agrees_with_its_months() -> None:
    assert price(Money(Decimal("0.0143000000"), "CNY")) == "¥0.0143"


@pytest.mark.parametrize(("amount", "text"), [
    ("12.3400000000", "12.34"), ("1E+3", "1000.00"), ("0.0000000001", "0.0000000001"),
])
def test_programs_get_plain_digits(amount: str, text: str) -> None:
    assert Money(Decimal(amount), "CNY").as_json() == {"amount": text, "currency": "CNY"}


def test_whole_numbers_may_stand_without_decimals() -> None:
    assert plain(Decimal("3600.000000"), 0) == "3600"


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Money(Decimal(1), "CNY") + Money(Decimal(1), "EUR")
