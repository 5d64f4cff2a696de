"""A closed month rated anew: its invoice stays, and the difference waits for the next one, once. Credit counts nothing twice."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import Sum

from billing import closing, credit
from billing.models import Charge, Credit, Invoice, UsageInterval
from billing.periods import Month
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent
from tests.billing.lamps import BIG, Shop

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
FIRST, THIRD = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)
SECOND_OF_NOVEMBER, SECOND_OF_DECEMBER = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def close(shop: Shop, month: Month = OCTOBER, now: datetime = SECOND_OF_NOVEMBER) -> Invoice:
    (invoice,) = closing.close(shop.cast.organization, month, now=now)
    return invoice


def rerate(shop: Shop, *, commit: bool = True, now: datetime = datetime(2026, 11, 20, tzinfo=UTC)) -> closing.Correction:
    return closing.rerate(shop.cast.organization, OCTOBER, commit=commit, actor=shop.cast.root, now=now)


def sums(found: closing.Correction) -> list[str]:
    return [str(one) for one in found.sums]


def test_a_month_in_which_nothing_changed_needs_no_correction(shop: Shop) -> None:
    for number in range(3):
        shop.burnt(shop.lamp(), THIRD, THIRD + timedelta(seconds=100 + 7 * number))
    close(shop)
    found = rerate(shop)
    assert (found.count, found.differences, found.sums) == (0, (), ())
    assert not Charge.objects.filter(kind="correction").exists()


def test_usage_that_was_told_late_is_on_the_next_invoice(shop: Shop) -> None:
    shop.burnt(shop.lamp(), THIRD, THIRD + HOUR)
    first = close(shop)
    late = shop.burnt(shop.lamp("late"), THIRD, THIRD + 10 * HOUR)
    preview = rerate(shop, commit=False)
    assert (preview.count, sums(preview)) == (1, ["3.60 CNY"])
    (difference,) = preview.differences
    assert (difference.interval, difference.resource, difference.meter, str(difference.money)) == (
        late.pk, late.resource_id, "lamp", "3.60 CNY")
    assert not Charge.objects.filter(kind="correction").exists()  # only looked at
    assert sums(rerate(shop)) == ["3.60 CNY"]
    assert rerate(shop).count == 0  # though it still waits
    second = close(shop, NOVEMBER, SECOND_OF_DECEMBER)
    assert [(line.kind, line.text, line.sku, line.quantity, line.amount) for line in second.lines.all()] == [
        ("correction", "2026-10", "small", 36000, Decimal("3.60"))]
    assert rerate(shop).count == 0  # and when it is invoiced
    first.refresh_from_db()
    assert first.subtotal == Decimal("0.36")
    assert AuditEvent.objects.get(action="invoice.rerate").after == {
        "month": "2026-10", "charges": 1, "sums": ["3.60 CNY"]}


def test_usage_that_was_wrong_is_taken_back_and_corrected_again(shop: Shop) -> None:
    wrong = shop.burnt(shop.lamp(), THIRD, THIRD + 10 * HOUR)
    shop.burnt(shop.lamp("hall"), THIRD, THIRD + HOUR, reading=BIG)
    close(shop)
    rows = UsageInterval.objects.filter(pk=wrong.pk)
    rows.update(period=(THIRD, THIRD + 4 * HOUR))
    assert sums(rerate(shop)) == ["-2.16 CNY"]
    rows.update(period=(THIRD, THIRD + 5 * HOUR))
    assert sums(rerate(shop)) == ["0.36 CNY"]
    second = close(shop, NOVEMBER, SECOND_OF_DECEMBER)
    assert second.subtotal == Decimal("-1.80")
    charged = Charge.objects.filter(interval=wrong).aggregate(sum=Sum("amount"))["sum"]
    assert charged == Decimal("1.80")  # what five hours cost


def test_only_the_months_part_of_an_interval_is_rated_anew(shop: Shop) -> None:
    used = shop.burnt(shop.lamp(), datetime(2026, 9, 30, 20, tzinfo=UTC), datetime(2026, 11, 1, 2, tzinfo=UTC))
    close(shop, Month(2026, 9), SECOND_OF_NOVEMBER)
    close(shop)
    UsageInterval.objects.filter(pk=used.pk).update(period=(datetime(2026, 9, 30, 20, tzinfo=UTC), FIRST + 2 * HOUR))
    assert sums(rerate(shop)) == [f"{Decimal('-0.36') * (31 * 24 - 2)} CNY"]


def test_a_month_that_is_not_invoiced_is_not_corrected(shop: Shop) -> None:
    shop.burnt(shop.lamp(), THIRD, THIRD + HOUR)
    with pytest.raises(InvalidInput):
        rerate(shop)


def test_another_organizations_usage_is_none_of_it(shop: Shop) -> None:
    shop.burnt(shop.lamp(), THIRD, THIRD + HOUR)
    close(shop)
    shop.burnt(shop.lamp(project=shop.cast.rival_project), THIRD, THIRD + HOUR)
    assert rerate(shop).count == 0


def left(shop: Shop, now: datetime) -> Decimal:
    (balance,) = credit.balances([shop.cast.organization], now=now)
    return balance.left.amount


def give(shop: Shop, amount: str, since: datetime, until: datetime | None = None) -> None:
    Credit.objects.create(organization=shop.cast.organization, amount=Decimal(amount), currency="CNY", reason="gift",
                          created_at=since, expires_at=until)


def test_closing_a_month_leaves_the_credit_as_it_was(shop: Shop) -> None:
    give(shop, "100", FIRST)
    shop.burnt(shop.lamp(), THIRD, datetime(2026, 11, 1, 5, tzinfo=UTC))
    shop.burnt(shop.lamp(), datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 10, tzinfo=UTC), reading=BIG)
    before = left(shop, SECOND_OF_NOVEMBER)
    invoice = close(shop)
    assert invoice.credit == 100  # 696 hours at 0.36: more than there is
    assert before == 100 - Decimal("250.56") - Decimal("1.80") - 18
    # What money pays is no debt of the credit any more; November's usage is.
    assert left(shop, SECOND_OF_NOVEMBER) == -Decimal("1.80") - 18


def test_what_credit_paid_for_is_never_counted_again(shop: Shop) -> None:
    give(shop, "10", FIRST)
    shop.burnt(shop.lamp(), THIRD, THIRD + 10 * HOUR)
    assert left(shop, SECOND_OF_NOVEMBER) == Decimal("6.40")
    close(shop)
    assert left(shop, SECOND_OF_NOVEMBER) == Decimal("6.40")
    shop.burnt(shop.lamp("second"), datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 3, 10, tzinfo=UTC))
    assert left(shop, SECOND_OF_DECEMBER) == Decimal("2.80")
    close(shop, NOVEMBER, SECOND_OF_DECEMBER)
    assert left(shop, SECOND_OF_DECEMBER) == Decimal("2.80")


def test_usage_of_a_month_that_was_left_open_counts_too(shop: Shop) -> None:
    give(shop, "10", FIRST)
    shop.burnt(shop.lamp(), THIRD, THIRD + 10 * HOUR)
    shop.burnt(shop.lamp("second"), datetime(2026, 11, 3, tzinfo=UTC), datetime(2026, 11, 3, 10, tzinfo=UTC))
    close(shop, NOVEMBER, SECOND_OF_DECEMBER)  # October is still open
    assert left(shop, SECOND_OF_DECEMBER) == Decimal("2.80")
