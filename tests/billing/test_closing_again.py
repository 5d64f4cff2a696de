"""Closing a month again, at once on several connections, and killed at each statement leaves what one closing leaves."""
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.db.models import Sum

from billing import closing
from billing.models import Charge, CreditUse, Invoice, InvoiceLine
from billing.periods import Month
from tests.billing.conftest import make_shop
from tests.billing.lamps import Shop
from tests.billing.months import DAY, OCTOBER, SECOND_OF_NOVEMBER, books_add_up, close, furnish, give, october, written
from tests.billing.races import at_once


def test_ten_closings_leave_what_one_leaves(shop: Shop) -> None:
    furnish(shop)
    (invoice,) = close(shop)
    once = written()
    books_add_up()
    for number in range(9):
        assert close(shop, now=SECOND_OF_NOVEMBER + number * DAY) == [invoice]
    assert written() == once
    assert closing.close_all(OCTOBER, now=SECOND_OF_NOVEMBER) == ([], [])


@pytest.mark.django_db(transaction=True)
def test_closers_at_once_leave_what_one_leaves(lamps_are_metered: None) -> None:
    shop = make_shop()
    furnish(shop)
    found = []
    assert at_once(lambda _which: found.append([invoice.pk for invoice in close(shop)]), 3) == []
    assert found == [[Invoice.objects.get().pk]] * 3
    assert (len(found), Invoice.objects.get().number) == (3, "INV-2026-000001")
    books_add_up()


@pytest.mark.django_db(transaction=True)
def test_two_organizations_at_once_get_numbers_without_a_gap(lamps_are_metered: None) -> None:
    shop = make_shop()
    organizations = (shop.cast.organization, shop.cast.rival_organization)
    for project in (shop.cast.project, shop.cast.rival_project):
        shop.burnt(shop.lamp(project=project), datetime(2026, 1, 1, tzinfo=UTC), None)

    def close_ten(which: int) -> None:
        for month in range(1, 11):
            closing.close(organizations[which], Month(2026, month), now=SECOND_OF_NOVEMBER)

    assert at_once(close_ten, 2) == []
    numbers = sorted(Invoice.objects.values_list("number", flat=True))
    assert numbers == [f"INV-2026-{number:06}" for number in range(1, 21)]
    books_add_up()


class Killed(Exception):
    pass


@contextmanager
def killed_at(number: int) -> Iterator[list[int]]:
    """The statement of this number never runs; the list has how many were asked for."""
    passed = [0]

    def count(execute: Callable, *arguments: Any) -> Any:
        passed[0] += 1
        if passed[0] == number:
            raise Killed
        return execute(*arguments)

    with connection.execute_wrapper(count):
        yield passed


@pytest.mark.django_db(transaction=True)
def test_killed_at_each_statement_it_leaves_nothing_and_then_what_one_leaves(lamps_are_metered: None) -> None:
    shop = make_shop()
    furnish(shop)
    before, number = written(), 0
    while True:
        number += 1
        try:
            with killed_at(number) as passed:
                close(shop)
        except Killed:
            assert written() == before
        else:
            break
    assert passed[0] == number - 1 > 20  # all statements were tried
    (invoice,) = Invoice.objects.all()
    assert invoice.number == "INV-2026-000001"
    assert (invoice.subtotal, invoice.credit) == (invoice.lines.aggregate(sum=Sum("amount"))["sum"], 5)
    books_add_up()
    once = written()
    assert close(shop) == [invoice]
    assert written() == once


# -- what is issued stays --

@pytest.mark.parametrize("statement", [
    "UPDATE billing_invoice SET total = total", "DELETE FROM billing_invoice", "UPDATE billing_invoiceline SET amount = 1",
    "DELETE FROM billing_invoiceline", "UPDATE billing_charge SET amount = 1", "UPDATE billing_charge SET line_id = NULL",
    "UPDATE billing_charge SET line_id = line_id", "DELETE FROM billing_charge", "UPDATE billing_credituse SET amount = 1",
    "DELETE FROM billing_credituse"])
def test_postgresql_refuses_to_change_what_is_issued(shop: Shop, statement: str) -> None:
    furnish(shop)
    close(shop)
    with pytest.raises(Error, match="neither changed nor deleted"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.django_db(transaction=True)
def test_postgresql_refuses_what_would_join_an_issued_invoice(lamps_are_metered: None) -> None:
    shop = make_shop()
    furnish(shop)
    (invoice,) = close(shop)
    line, credit = invoice.lines.first(), give(shop, "1", since=october(1))
    late = closing.adjust(shop.cast.organization, Decimal(5), "Late", None)
    with pytest.raises(Error, match="nothing is added"):
        InvoiceLine.objects.create(invoice=invoice, position=99, kind="usage", amount=1)
    with pytest.raises(Error, match="nothing is added"):
        CreditUse.objects.create(invoice=invoice, credit=credit, amount=1)
    with pytest.raises(Error, match="nothing is added"):
        Charge.objects.filter(pk=late.pk).update(line=line)
    with pytest.raises(Error, match="nothing is added"):
        Charge.objects.create(line=line, organization=invoice.organization, kind="usage", span=invoice.period, amount=1,
                              currency="CNY", created_at=october(1))
    books_add_up()
