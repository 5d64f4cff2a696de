"""Paying in advance: what is left is one sum of credit, money, bills and usage; how long it lasts; and who is told in time."""
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing import closing, credit, ladder, operations, payments, prepaid, profiles
from billing.invoice_queries import accounts
from billing.models import Credit, Price, PriceBook, TaxRate
from billing.periods import Month
from billing.prices import Estimate, price_of
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, PrepaidUsedUp
from portal.kernel.models import AuditEvent
from portal.notices.models import Notice
from portal.templatetags.ui import explain
from tenants.models import Organization
from tests.billing.lamps import BIG, SMALL, Shop
from tests.billing.months import give

NOW, HOUR = datetime(2026, 11, 10, 12, tzinfo=UTC), timedelta(hours=1)
LAMP = Decimal("0.36")


@pytest.fixture
def acme(shop: Shop) -> Shop:
    """Acme pays in advance, since the beginning of the year."""
    organization = shop.cast.organization
    type(organization).objects.update(created_at=datetime(2026, 1, 1, tzinfo=UTC))
    organization.refresh_from_db()
    profiles.set_profile(organization, actor=shop.cast.root, is_prepaid=True)
    return shop


def pay(shop: Shop, amount: str, reference: str = "1", currency: str = "CNY") -> None:
    payments.record(shop.cast.organization, Decimal(amount), currency, "manual", reference, shop.cast.root)


def left(shop: Shop, now: datetime = NOW) -> Decimal:
    (balance,) = credit.balances([shop.cast.organization], now=now)
    return balance.left.amount


def outlook(shop: Shop, now: datetime = NOW) -> prepaid.Outlook:
    (balance,) = credit.balances([shop.cast.organization], now=now)
    return prepaid.outlook(balance, now=now)


# -- what is left --

def test_what_was_paid_less_what_was_used(acme: Shop) -> None:
    pay(acme, "10")
    acme.burnt(acme.lamp(), NOW - 5 * HOUR, None)
    assert left(acme) == Decimal(10) - 5 * LAMP
    assert left(acme, NOW + 5 * HOUR) == Decimal(10) - 10 * LAMP


def test_who_does_not_pay_in_advance_has_no_such_balance(shop: Shop) -> None:
    pay(shop, "10")
    assert credit.balances([shop.cast.organization], now=NOW) == []
    assert not credit.pays_by_credit(shop.cast.organization)


def test_what_waits_for_the_next_invoice_counts_as_it_will_there(acme: Shop) -> None:
    pay(acme, "10")
    acme.burnt(acme.lamp(), NOW - 5 * HOUR, None)
    organization = acme.cast.organization
    closing.adjust(organization, Decimal("-3"), "Sorry", acme.cast.root, now=NOW)
    assert left(acme) == Decimal(13) - 5 * LAMP
    closing.adjust(organization, Decimal("9"), "Set-up", acme.cast.root, now=NOW)
    assert left(acme) == Decimal(4) - 5 * LAMP


def test_what_is_used_and_on_no_invoice_yet_is_not_given_back(acme: Shop, monkeypatch) -> None:
    monkeypatch.setattr(payments, "database_now", lambda: NOW)
    pay(acme, "10")
    acme.burnt(acme.lamp(), NOW - 5 * HOUR, None)
    organization, root = acme.cast.organization, acme.cast.root
    with pytest.raises(InvalidInput):
        payments.refund(organization, Decimal("8.21"), "CNY", "manual", "back", root)
    payments.refund(organization, Decimal("8.20"), "CNY", "manual", "back", root)
    assert left(acme) == 0


def test_an_invoice_takes_the_place_of_what_it_says(acme: Shop) -> None:
    """Before, at and after the close of the month the same is left: nothing counts twice, and nothing is lost."""
    october = datetime(2026, 10, 30, tzinfo=UTC)
    pay(acme, "10")
    acme.burnt(acme.lamp(), october, october + 10 * HOUR)
    assert left(acme) == Decimal("6.40")
    closing.close(acme.cast.organization, Month(2026, 10), now=NOW)
    assert left(acme) == Decimal("6.40")
    pay(acme, "1", "2")
    assert left(acme) == Decimal("7.40")


def test_a_bill_that_money_does_not_cover_is_taken_off(acme: Shop) -> None:
    october = datetime(2026, 10, 30, tzinfo=UTC)
    acme.burnt(acme.lamp(), october, october + 10 * HOUR)
    closing.close(acme.cast.organization, Month(2026, 10), now=NOW)
    assert left(acme) == Decimal("-3.60")


def test_credit_pays_first_and_without_tax_and_money_with_it(acme: Shop) -> None:
    """10 hours of 0.36: credit pays 1.80 of it, money the other 1.80 and 50 % tax on that; closing says the same."""
    TaxRate.objects.create(country="CN", name="VAT", percent=50, since=date(2020, 1, 1))
    october = datetime(2026, 10, 30, tzinfo=UTC)
    give(acme, "1.80", since=datetime(2026, 10, 1, tzinfo=UTC))
    pay(acme, "10")
    acme.burnt(acme.lamp(), october, october + 10 * HOUR)
    assert left(acme) == Decimal(10) - Decimal("2.70")
    (invoice,) = closing.close(acme.cast.organization, Month(2026, 10), now=NOW)
    assert (invoice.credit, invoice.total) == (Decimal("1.80"), Decimal("2.70"))
    assert left(acme) == Decimal(10) - Decimal("2.70")


def test_without_tax_where_operators_said_so(acme: Shop) -> None:
    TaxRate.objects.create(country="CN", name="VAT", percent=50, since=date(2020, 1, 1))
    pay(acme, "10")
    acme.burnt(acme.lamp(), NOW - 10 * HOUR, NOW)
    assert left(acme) == Decimal("4.60")
    profiles.set_profile(acme.cast.organization, actor=acme.cast.root, is_tax_exempt=True)
    assert left(acme) == Decimal("6.40")


def test_it_is_of_the_currency_that_is_paid_in(acme: Shop) -> None:
    """Yuan pay for nothing where the terms are in euro; what is left of them is told beside."""
    euro = PriceBook.objects.create(name="Euro", currency="EUR")
    new_year = datetime(2026, 1, 1, tzinfo=UTC)
    operations.set_price(euro, region=acme.cast.region, meter="lamp", sku="small", price_per_hour=Decimal(1),
                         actor=acme.cast.root, valid_from=new_year, now=new_year)
    operations.set_terms(acme.cast.organization, book=euro, actor=acme.cast.root, valid_from=new_year, now=new_year)
    pay(acme, "100")
    pay(acme, "7", "2", "EUR")
    give(acme, "50", since=new_year)
    acme.burnt(acme.lamp(), NOW - 3 * HOUR, NOW)
    balance, before = credit.balances([acme.cast.organization], now=NOW)
    assert (balance.left.amount, balance.left.currency, balance.is_earlier) == (4, "EUR", False)
    assert (before.left.amount, before.left.currency, before.is_earlier) == (150, "CNY", True)
    (account,) = accounts(Organization.objects.filter(pk=acme.cast.organization.pk), user=acme.cast.root, now=NOW)
    assert account.outlook is not None and account.outlook.balance.left.currency == "EUR"
    with pytest.raises(PrepaidUsedUp):
        credit.require(acme.cast.organization, priced_in_euro(acme, 5), now=NOW)


def test_what_is_shown_is_what_is_decided_by(acme: Shop) -> None:
    """Without `now`, for pages, it is the same sum."""
    pay(acme, "10")
    acme.burnt(acme.lamp(), NOW - 10 * HOUR, NOW)
    (shown,) = credit.balances([acme.cast.organization])
    assert shown.left.amount == Decimal("6.40")
    pay(acme, "5", "2")  # at once, although usage may be some seconds old
    (again,) = credit.balances([acme.cast.organization])
    assert again.left.amount == shown.left.amount + 5


# -- what would outrun it --

def priced(shop: Shop, reading: Reading = SMALL) -> Estimate:
    return price_of(shop.cast.organization, shop.cast.region, [reading], NOW)


def priced_in_euro(shop: Shop, lamps: int) -> Estimate:
    return price_of(shop.cast.organization, shop.cast.region, [replace(SMALL, quantity=Decimal(lamps))], NOW)


def test_what_costs_more_than_is_left_is_refused_with_facts(acme: Shop) -> None:
    pay(acme, "0.36")
    credit.require(acme.cast.organization, priced(acme), now=NOW)
    with pytest.raises(PrepaidUsedUp) as refused:
        credit.require(acme.cast.organization, priced(acme, BIG), now=NOW, actor=acme.cast.alice)
    assert refused.value.status == 402
    assert refused.value.facts == {"organization": "Acme", "left": "0.36", "running": "0.00", "hourly": "3.60", "currency": "CNY"}
    assert "0.36 CNY left" in refused.value.detail and "3.60 CNY more" in refused.value.detail


def test_figures_of_the_organization_are_told_to_whoever_may_see_them(acme: Shop) -> None:
    """Adam runs one project of it: he is told the sentence."""
    for actor in (acme.cast.adam, None):
        with pytest.raises(PrepaidUsedUp) as refused:
            credit.require(acme.cast.organization, priced(acme, BIG), now=NOW, actor=actor)
        assert refused.value.facts == {"organization": "Acme"}
        assert refused.value.detail == explain(refused.value) and "Too little is left of what Acme paid" in refused.value.detail
        assert not any(sign.isdigit() for sign in refused.value.detail)


def test_what_runs_counts_beside_what_is_new(acme: Shop) -> None:
    """Left must be an hour of both: of what burns already, and of the next lamp."""
    pay(acme, "1.08")
    acme.burnt(acme.lamp(), NOW, None)
    acme.burnt(acme.lamp("other"), NOW, None)
    credit.require(acme.cast.organization, priced(acme), now=NOW)  # three lamps, an hour
    later = NOW + timedelta(minutes=1)
    with pytest.raises(PrepaidUsedUp) as refused:
        credit.require(acme.cast.organization, priced(acme), now=later, actor=acme.cast.alice)
    assert {name: refused.value.facts[name] for name in ("running", "hourly", "left")} == {
        "running": "0.72", "hourly": "0.36", "left": "1.07"}


def test_what_changes_its_state_counts_once(acme: Shop) -> None:
    """A lamp that burns small and is to burn big: 3.60 an hour, not 3.96."""
    lamp = acme.lamp()
    acme.burnt(lamp, NOW, None)
    acme.burnt(acme.lamp("other"), NOW, None)
    pay(acme, "3.96")
    with pytest.raises(PrepaidUsedUp):
        credit.require(acme.cast.organization, priced(acme, BIG), now=NOW)
    credit.require(acme.cast.organization, priced(acme, BIG), now=NOW, instead_of=lamp.pk)


def test_credit_for_one_region_pays_there_for_what_runs_too(acme: Shop) -> None:
    """2 lamps run and 0.90 is good for lamps here: 0.72 of it is theirs, so that of the third 0.18 must be paid otherwise."""
    Credit.objects.create(organization=acme.cast.organization, amount=Decimal("0.90"), currency="CNY", reason="gift",
                          created_at=NOW - HOUR, meters=["lamp"], region=acme.cast.region)
    for name in ("one", "two"):
        acme.burnt(acme.lamp(name), NOW, None)
    with pytest.raises(PrepaidUsedUp):
        credit.require(acme.cast.organization, priced(acme), now=NOW)
    pay(acme, "0.17")
    with pytest.raises(PrepaidUsedUp):
        credit.require(acme.cast.organization, priced(acme), now=NOW)
    pay(acme, "0.01", "2")
    credit.require(acme.cast.organization, priced(acme), now=NOW)


def test_the_tax_must_be_left_too(acme: Shop) -> None:
    TaxRate.objects.create(country="CN", name="VAT", percent=50, since=date(2020, 1, 1))
    pay(acme, "0.53")
    with pytest.raises(PrepaidUsedUp):
        credit.require(acme.cast.organization, priced(acme), now=NOW)
    pay(acme, "0.01", "2")
    credit.require(acme.cast.organization, priced(acme), now=NOW)


# -- how long it lasts --

def test_it_lasts_as_long_as_what_runs_now_can_be_paid(acme: Shop) -> None:
    pay(acme, "7.20")
    assert outlook(acme).lasts_until is None  # nothing runs
    acme.burnt(acme.lamp(), NOW, None)
    assert outlook(acme).hourly.amount == LAMP
    assert outlook(acme).lasts_until == NOW + 20 * HOUR
    acme.burnt(acme.lamp("other"), NOW, None)
    assert outlook(acme).lasts_until == NOW + 10 * HOUR


def test_credit_lasts_longer_than_money_because_of_the_tax(acme: Shop) -> None:
    TaxRate.objects.create(country="CN", name="VAT", percent=50, since=date(2020, 1, 1))
    give(acme, "3.60", since=NOW - HOUR)
    pay(acme, "5.40")
    acme.burnt(acme.lamp(), NOW, None)
    assert outlook(acme).lasts_until == NOW + 20 * HOUR
    assert left(acme, NOW + 20 * HOUR) == 0  # and so it comes


def test_what_lasts_for_ever_has_no_end(acme: Shop) -> None:
    pay(acme, "100000000")
    acme.burnt(acme.lamp(), NOW, None)
    assert outlook(acme).lasts_until is None


def test_what_is_used_up_has_ended(acme: Shop) -> None:
    acme.burnt(acme.lamp(), NOW - HOUR, None)
    assert outlook(acme).lasts_until == NOW


def test_a_price_of_the_coming_hour_counts(acme: Shop) -> None:
    pay(acme, "3.60")
    acme.burnt(acme.lamp(), NOW, None)
    operations.set_price(acme.book, region=acme.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.72"),
                         actor=acme.cast.root, valid_from=NOW, now=NOW - HOUR)
    assert Price.objects.filter(sku="small").count() == 2
    assert outlook(acme).lasts_until == NOW + 5 * HOUR


# -- who is told --

def told() -> list[int]:
    return [event.after["hours"] for event in AuditEvent.objects.filter(action="credit.low").order_by("at")]


def follow(shop: Shop, now: datetime) -> None:
    ladder.follow(shop.cast.organization, now=now)


def test_seven_days_a_day_and_two_hours_before_once_each(acme: Shop) -> None:
    pay(acme, "72")  # 200 hours
    acme.burnt(acme.lamp(), NOW, None)
    said = []
    for hours in (0, 31, 32, 33, 100, 175, 176, 190, 197, 198, 199):
        follow(acme, NOW + hours * HOUR)
        said.append(told())
    assert said == [[], [], [168], [168], [168], [168], [168, 24], [168, 24], [168, 24], [168, 24, 2], [168, 24, 2]]
    event = AuditEvent.objects.filter(action="credit.low").latest("at")
    assert event.after["lasts_until"] == (NOW + 200 * HOUR).isoformat() and event.organization == acme.cast.organization
    assert event.after["reason"] == "0.72 CNY → 2026-11-18 20:00 UTC"


def test_topped_up_it_is_told_again(acme: Shop) -> None:
    pay(acme, "72")
    acme.burnt(acme.lamp(), NOW, None)
    follow(acme, NOW + 40 * HOUR)
    follow(acme, NOW + 199 * HOUR)
    assert told() == [168, 2]
    pay(acme, "36", "2")
    follow(acme, NOW + 199 * HOUR)
    assert told() == [168, 2]  # four days: that was told already
    pay(acme, "720", "3")
    follow(acme, NOW + 199 * HOUR)
    follow(acme, NOW + 2150 * HOUR)
    assert told() == [168, 2, 168]


def test_members_who_pay_are_told_by_mail(acme: Shop) -> None:
    pay(acme, "0.72")
    acme.burnt(acme.lamp(), NOW, None)
    follow(acme, NOW)
    notice = Notice.objects.get(act="credit.low")
    assert (notice.user, notice.kind) == (acme.cast.alice, "billing.low")
    assert notice.facts["reason"].startswith("0.72 CNY → 2026-11-10 14:00 UTC")


def test_trial_credit_is_told_of_too(shop: Shop) -> None:
    type(shop.cast.organization).objects.filter(pk=shop.cast.organization.pk).update(plan="trial")
    shop.cast.organization.refresh_from_db()
    give(shop, "0.72", since=NOW)
    shop.burnt(shop.lamp(), NOW, None)
    follow(shop, NOW)
    assert told() == [2]
