"""A person who is forgotten is no longer named in the trail, its chain is whole, and nobody else's name goes that way."""
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from portal.kernel import audit, sealing, verifying
from portal.kernel.models import AuditChain, AuditEvent
from tenants import people
from tests.audit.rewriting import rewriting
from tests.audit.test_append_only import refused, sql
from tests.cast import Cast
from tests.tenants.people.conftest import fresh

NAME = "vera"


@pytest.fixture
def site(cast: Cast) -> AuditChain:
    """The chain in which rows about people are, with some about vera, about oscar, and about nobody."""
    people.set_active(cast.vera, False, actor=cast.root)
    people.set_active(cast.vera, True, actor=cast.root)
    people.set_active(cast.oscar, True, actor=cast.root)
    audit.record("portal.drain", None, actor=cast.root)
    sealing.seal()
    return AuditChain.objects.get(organization=None)


def fault(chain: AuditChain) -> tuple[str, int | None]:
    [verdict] = verifying.verify(AuditChain.objects.filter(pk=chain.pk))
    return (str(verdict.found.fault), verdict.found.sequence) if verdict.found else ("", None)


def named(text: str) -> int:
    return AuditEvent.objects.filter(target_name=text).count()


@pytest.mark.parametrize("sealed_after", [False, True])
def test_the_name_is_gone_and_the_chain_is_whole(cast: Cast, site: AuditChain, sealed_after: bool) -> None:
    if sealed_after:
        people.set_active(cast.vera, True, actor=cast.root)  # a row that is not sealed yet
    assert named(NAME) == 2 + sealed_after and fault(site) == ("", None)
    people.delete_account(fresh(cast.vera))
    assert named(NAME) == 0 and named("oscar") == 1
    assert fault(site) == ("", None) or not sealed_after, "sealing the row of the end comes seconds later"
    sealing.seal()
    assert fault(site) == ("", None)
    assert AuditEvent.objects.get(action="user.delete").after["erased"] and all(
        event.is_erased for event in AuditEvent.objects.filter(target_id=str(cast.vera.pk)).exclude(action="user.delete"))


def test_nothing_that_is_left_tells_the_name(cast: Cast, site: AuditChain) -> None:
    people.delete_account(fresh(cast.vera))
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kernel_auditevent event WHERE event::text ILIKE '%%vera%%'")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT name_salt FROM kernel_auditevent WHERE target_id = %s AND action <> 'user.delete'",
                       [str(cast.vera.pk)])
        assert {row[0] for row in cursor.fetchall()} == {None}


def _other_name(cursor: CursorWrapper, pk: str) -> None:
    cursor.execute("UPDATE kernel_auditevent SET target_name = 'mallory' WHERE id = %s", [pk])


def _by_hand(cursor: CursorWrapper, pk: str) -> None:
    """What erasing does, to somebody who is not forgotten."""
    cursor.execute("UPDATE kernel_auditevent SET target_name = '', name_salt = NULL WHERE id = %s", [pk])


def _no_hash(cursor: CursorWrapper, pk: str) -> None:
    cursor.execute("UPDATE kernel_auditevent SET target_name = 'mallory', name_salt = NULL, name_hash = NULL WHERE id = %s", [pk])


def _own_hash(cursor: CursorWrapper, pk: str) -> None:
    cursor.execute("UPDATE kernel_auditevent SET target_name = 'mallory', name_salt = 'x', name_hash = sha256('xmallory')"
                   " WHERE id = %s", [pk])


def _no_salt(cursor: CursorWrapper, pk: str) -> None:
    cursor.execute("UPDATE kernel_auditevent SET name_salt = NULL WHERE id = %s", [pk])


@pytest.mark.parametrize("edit", [_other_name, _by_hand, _no_hash, _own_hash, _no_salt])
def test_any_other_edit_of_a_name_is_found(cast: Cast, site: AuditChain, edit: Callable[[CursorWrapper, str], None]) -> None:
    people.delete_account(fresh(cast.vera))
    sealing.seal()
    row = AuditEvent.objects.get(target_name="oscar")
    with rewriting() as cursor:
        edit(cursor, str(row.pk))
    assert fault(site) == ("changed", row.sequence)


def test_a_name_that_is_put_back_is_found(cast: Cast, site: AuditChain) -> None:
    people.delete_account(fresh(cast.vera))
    sealing.seal()
    row = AuditEvent.objects.filter(target_id=str(cast.vera.pk)).exclude(action="user.delete").earliest("sequence")
    with rewriting() as cursor:
        _other_name(cursor, str(row.pk))
    assert fault(site) == ("changed", row.sequence)


def test_one_persons_end_erases_no_row_about_another(cast: Cast, site: AuditChain) -> None:
    """The row of the end names the rows that it concerned, and their person."""
    row = AuditEvent.objects.get(target_name="oscar")
    audit.record("user.delete", cast.vera, actor=cast.vera, after={"erased": [str(row.pk)]})
    sealing.seal()
    with rewriting() as cursor:
        _by_hand(cursor, str(row.pk))
    assert fault(site) == ("changed", row.sequence)


def test_the_application_itself_can_erase_and_do_nothing_else(cast: Cast, site: AuditChain) -> None:
    row = AuditEvent.objects.filter(target_name=NAME).earliest("sequence")
    for change in ("target_name = ''", "name_salt = NULL", "name_hash = NULL", "target_name = '', name_salt = NULL, result = 'x'",
                   "target_name = '', name_salt = NULL, name_hash = 'x'", "target_name = 'x', name_salt = NULL"):
        refused(sql(f"UPDATE kernel_auditevent SET {change} WHERE id = %s", row.pk))
    other = AuditEvent.objects.filter(name_hash=None).first()
    refused(sql("UPDATE kernel_auditevent SET target_name = '', name_salt = NULL WHERE id = %s", other.pk))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE kernel_auditevent SET target_name = '', name_salt = NULL WHERE id = %s", [row.pk])
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE kernel_auditevent SET target_name = 'vera', name_salt = 'x' WHERE id = %s", [row.pk])
