"""The books: double entry, each thing once, and nobody changes them, whoever asks PostgreSQL for it."""
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import Error, connection, transaction

from billing import ledger
from billing.ledger import BookedOtherwise, Unbalanced
from billing.models import Account, Entry, Leg
from tests.billing.races import at_once
from tests.cast import Cast, make_cast
from tests.conftest import FINAL

TEN = Decimal(10)
TABLES = tuple(name.removeprefix("billing_") for name in FINAL if name.startswith("billing_") and name != "billing_invoicemail")
"""All books; what was mailed is none, and is pruned."""


def top_up(cast: Cast, key: str = "payment:1", amount: Decimal = TEN) -> Entry:
    return ledger.book(cast.organization, key, "payment", {Account.CASH: amount, Account.PREPAID: -amount}, "CNY",
                       actor=cast.root)


def sql(text: str, *values: object) -> Callable[[], object]:
    """Runs it, and what was put off to the end of the transaction."""
    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text, values)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    return work


def refused(work: Callable[[], object], match: str) -> None:
    with pytest.raises(Error, match=match), transaction.atomic():
        work()


def test_money_that_comes_in_is_owed_back_until_it_is_used(cast: Cast) -> None:
    top_up(cast)
    top_up(cast, "payment:2", Decimal("2.50"))
    assert ledger.balance(cast.organization, Account.CASH, "CNY") == Decimal("12.50")
    assert ledger.prepaid(cast.organization, "CNY") == Decimal("12.50")
    assert ledger.prepaid(cast.organization, "EUR") == ledger.prepaid(cast.rival_organization, "CNY") == 0


def test_the_same_key_books_once(cast: Cast) -> None:
    assert top_up(cast) == top_up(cast)
    assert ledger.prepaid(cast.organization, "CNY") == TEN


def test_a_key_is_never_taken_for_something_else(cast: Cast) -> None:
    top_up(cast)
    with pytest.raises(BookedOtherwise):
        top_up(cast, amount=Decimal(11))
    with pytest.raises(BookedOtherwise):
        ledger.book(cast.rival_organization, "payment:1", "payment", {Account.CASH: TEN, Account.PREPAID: -TEN}, "CNY")
    with pytest.raises(BookedOtherwise):
        ledger.book(cast.organization, "payment:1", "payment", {Account.CASH: TEN, Account.PREPAID: -TEN}, "EUR")
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("legs", [{}, {Account.CASH: Decimal(0)}, {Account.CASH: TEN},
                                  {Account.CASH: TEN, Account.PREPAID: Decimal("-9.99")}])
def test_what_does_not_sum_to_zero_is_refused_before_postgresql_is_asked(cast: Cast, legs: dict) -> None:
    with pytest.raises(Unbalanced):
        ledger.book(cast.organization, "odd", "payment", legs, "CNY")
    assert not Entry.objects.exists()


def test_postgresql_refuses_legs_that_do_not_sum_to_zero(cast: Cast) -> None:
    def work(*legs: tuple[str, str]) -> None:
        entry = Entry.objects.create(organization=cast.organization, key="odd", kind="payment", at="2026-11-01T00:00:00Z")
        for amount, currency in legs:
            Leg.objects.create(entry=entry, organization=cast.organization, account=Account.CASH if amount[0] != "-" else
                               Account.PREPAID, amount=Decimal(amount), currency=currency)
        sql("SELECT 1")()

    refused(lambda: work(("10", "CNY"), ("-9.99", "CNY")), "do not sum to zero")
    refused(lambda: work(("10", "CNY"), ("-10", "EUR")), "do not sum to zero")
    refused(work, "has no legs")


def test_a_leg_that_comes_after_an_early_check_is_looked_at_too(cast: Cast) -> None:
    def work() -> None:
        entry = top_up(cast)
        sql("SELECT 1")()
        sql("INSERT INTO billing_leg (entry_id, organization_id, account, amount, currency) VALUES (%s, %s, 'tax', 1, 'CNY')",
            entry.pk, cast.organization.pk)()
    refused(work, "do not sum to zero")


@pytest.mark.parametrize("change", ["amount = amount * 2", "currency = 'EUR'", "account = 'revenue'", "entry_id = entry_id"])
def test_a_leg_is_never_changed(cast: Cast, change: str) -> None:
    top_up(cast)
    refused(sql(f"UPDATE billing_leg SET {change}"), "neither changed nor deleted")


@pytest.mark.parametrize("change", ["key = 'x'", "kind = 'x'", "text = 'x'", "at = now()", "written_in = pg_current_xact_id()"])
def test_an_entry_is_never_changed(cast: Cast, change: str) -> None:
    top_up(cast)
    refused(sql(f"UPDATE billing_entry SET {change}"), "neither changed nor deleted")


@pytest.mark.parametrize("table", ["entry", "leg"])
def test_nothing_booked_is_deleted(cast: Cast, table: str) -> None:
    top_up(cast)
    refused(sql(f"DELETE FROM billing_{table}"), "neither changed nor deleted")


@pytest.mark.parametrize("table", TABLES)
def test_no_book_is_emptied(cast: Cast, table: str) -> None:
    refused(sql(f"TRUNCATE billing_{table} CASCADE"), "neither changed nor deleted")


@pytest.mark.django_db(transaction=True)
def test_legs_do_not_join_an_entry_of_another_transaction_even_when_they_sum_to_zero() -> None:
    cast = make_cast()
    entry = top_up(cast)
    legs = ("INSERT INTO billing_leg (entry_id, organization_id, account, amount, currency)"
            " VALUES (%s, %s, 'receivable', 5, 'CNY'), (%s, %s, 'revenue', -5, 'CNY')")
    ids = (entry.pk, cast.organization.pk)
    refused(sql(legs, *ids, *ids), "nothing is added to what is booked")
    assert Leg.objects.count() == 2


def test_legs_do_not_go_to_another_organization_than_their_entry(cast: Cast) -> None:
    entry = top_up(cast)
    ids = (entry.pk, cast.rival_organization.pk)
    refused(sql("INSERT INTO billing_leg (entry_id, organization_id, account, amount, currency)"
                " VALUES (%s, %s, 'receivable', 5, 'CNY'), (%s, %s, 'revenue', -5, 'CNY')", *ids, *ids), "nothing is added")


def test_who_claims_that_an_entry_is_of_a_later_transaction_is_not_believed(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO billing_entry (id, organization_id, key, kind, text, at, written_in) VALUES"
                       " (gen_random_uuid(), %s, 'forged', 'payment', '', now(), '999999999999') RETURNING id", [
                           cast.organization.pk])
        entry, cast_pk = cursor.fetchone()[0], cast.organization.pk
        cursor.execute("INSERT INTO billing_leg (entry_id, organization_id, account, amount, currency) VALUES"
                       " (%s, %s, 'cash', 5, 'CNY'), (%s, %s, 'prepaid', -5, 'CNY')", [entry, cast_pk, entry, cast_pk])
        cursor.execute("SELECT written_in = pg_current_xact_id() FROM billing_entry WHERE id = %s", [entry])
        assert cursor.fetchone() == (True,)


@pytest.mark.django_db(transaction=True)
def test_two_that_book_the_same_at_once_book_it_once() -> None:
    cast = make_cast()
    assert at_once(lambda _which: [top_up(cast, f"payment:{number}") for number in range(10)], 4) == []
    assert (Entry.objects.count(), Leg.objects.count()) == (10, 20)
    assert ledger.prepaid(cast.organization, "CNY") == 100
