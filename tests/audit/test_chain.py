"""Sealing and verifying: whatever is done to a chain by hand is found, and the first row that is wrong is named."""
import hashlib
import threading
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from portal.kernel import audit, sealing, tasks, verifying
from portal.kernel.models import AuditChain, AuditEvent
from portal.kernel.states import database_now
from tests.audit.rewriting import rewriting
from tests.cast import Cast, make_cast

Fault = AuditChain.Fault
Rewrite = Callable[[CursorWrapper, AuditChain], object]


def found(chain: AuditChain) -> tuple[str, int | None]:
    """The fault that verifying finds, and noted with the chain."""
    [verdict] = verifying.verify(AuditChain.objects.filter(pk=chain.pk))
    chain.refresh_from_db(fields=["fault", "fault_sequence"])
    told = (str(verdict.found.fault), verdict.found.sequence) if verdict.found else ("", None)
    assert (chain.fault, chain.fault_sequence) == told
    return told


def numbers(chain: AuditChain) -> list[int]:
    return list(chain.events.order_by("sequence").values_list("sequence", flat=True))


def test_rows_are_sealed_in_order_each_organization_in_a_chain_of_its_own(cast: Cast, chain: AuditChain) -> None:
    audit.record("portal.drain", None, actor=cast.root)
    sealing.seal()
    assert not sealing.unsealed().exists()
    for one in AuditChain.objects.all():
        assert numbers(one) == list(range(1, one.sequence + 1)) and one.sequence
        assert set(one.events.values_list("organization_id", flat=True)) == {one.organization_id}
        assert found(one) == ("", None)
    assert AuditChain.objects.count() == 3 and AuditChain.objects.filter(organization=None).count() == 1


def test_anybody_can_compute_the_hashes_anew(chain: AuditChain) -> None:
    from django.db.models.expressions import RawSQL

    last = b""
    for text, known in chain.events.order_by("sequence").annotate(text=RawSQL(sealing.CANONICAL, ())).values_list("text", "hash"):
        last = hashlib.sha256(last + text.encode()).digest()
        assert last == bytes(known)
    assert last == bytes(chain.hash)


def test_the_canonical_form_has_every_field_of_a_row(chain: AuditChain) -> None:
    left_out = {"chain_id", "sequence", "hash", "name_salt"}  # which proves what the name was, by the hash
    named = {field.attname for field in AuditEvent._meta.concrete_fields} - left_out
    words = set(sealing.CANONICAL.replace("(", " ").replace(")", " ").replace(",", " ").replace("::", " ").split())
    assert named <= words


def test_the_time_zone_of_a_session_changes_nothing(chain: AuditChain) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Asia/Shanghai'")
        cursor.execute("SET LOCAL extra_float_digits = 0")
    assert found(chain) == ("", None)


COLUMNS = {"at": "at + interval '1 microsecond'", "organization_id": "NULL", "project_id": "NULL", "actor_id": "NULL",
           "on_behalf_of_id": "actor_id", "api_key": "id", "address": "'192.0.2.9'", "request_id": "'x'", "route": "'GET /'",
           "action": "'x'", "target_type": "'x'", "target_id": "'x'", "target_name": "'x'", "before": "'{}'",
           "after": """'{"description": "number 6 "}'""", "result": "'refused'", "operation_id": "id",
           "id": "gen_random_uuid()", "hash": "sha256('x')"}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_row_edited_by_hand_is_found(chain: AuditChain, column: str) -> None:
    with rewriting() as cursor:
        cursor.execute(f"UPDATE kernel_auditevent SET {column} = {COLUMNS[column]} WHERE chain_id = %s AND sequence = 9",
                       [chain.pk])
        assert cursor.rowcount == 1
    assert found(chain) == (Fault.CHANGED, 9)


def _delete(*wanted: int) -> Rewrite:
    return lambda cursor, chain: cursor.execute(
        "DELETE FROM kernel_auditevent WHERE chain_id = %s AND sequence = ANY(%s)", [chain.pk, list(wanted)])


def _delete_newest(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("DELETE FROM kernel_auditevent WHERE chain_id = %s AND sequence > %s", [chain.pk, chain.sequence - 3])


def _delete_newest_and_move_head(cursor: CursorWrapper, chain: AuditChain) -> None:
    """All that can be made to fit without the master key."""
    _delete_newest(cursor, chain)
    cursor.execute("""UPDATE kernel_auditchain SET sequence = sequence - 3, hash = (SELECT hash FROM kernel_auditevent
                       WHERE chain_id = %s ORDER BY sequence DESC LIMIT 1) WHERE id = %s""", [chain.pk, chain.pk])


def _swap(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("UPDATE kernel_auditevent SET sequence = 100000 WHERE chain_id = %s AND sequence = 9", [chain.pk])
    cursor.execute("UPDATE kernel_auditevent SET sequence = 9 WHERE chain_id = %s AND sequence = 10", [chain.pk])
    cursor.execute("UPDATE kernel_auditevent SET sequence = 10 WHERE chain_id = %s AND sequence = 100000", [chain.pk])


def _insert(sequence: str) -> Rewrite:
    return lambda cursor, chain: cursor.execute(
        f"""INSERT INTO kernel_auditevent (id, at, organization_id, request_id, action, target_type, target_id, target_name,
                                           result, chain_id, sequence, hash)
             SELECT gen_random_uuid(), now(), organization_id, '', 'forged', '', '', '', 'ok', id, {sequence}, sha256('x')
               FROM kernel_auditchain WHERE id = %s""", [chain.pk])


def _make_room_and_insert(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("UPDATE kernel_auditevent SET sequence = sequence + 100000 WHERE chain_id = %s AND sequence > 8", [chain.pk])
    cursor.execute("UPDATE kernel_auditevent SET sequence = sequence - 99999 WHERE chain_id = %s AND sequence > 100000",
                   [chain.pk])
    _insert("9")(cursor, chain)


def _unseal(cursor: CursorWrapper, chain: AuditChain) -> None:
    """So that sealing takes the changed row in again."""
    cursor.execute("UPDATE kernel_auditevent SET chain_id = NULL, sequence = NULL, hash = NULL, action = 'x'"
                   " WHERE chain_id = %s AND sequence = 9", [chain.pk])


def _rewind(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("UPDATE kernel_auditchain SET sequence = sequence - 1 WHERE id = %s", [chain.pk])


def _forget_by_hand(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("DELETE FROM kernel_auditevent WHERE chain_id = %s AND sequence < 10", [chain.pk])
    cursor.execute("UPDATE kernel_auditchain SET forgotten = 9, forgotten_hash = hash WHERE id = %s", [chain.pk])


def _forge_seal(cursor: CursorWrapper, chain: AuditChain) -> None:
    forged = Fernet(Fernet.generate_key()).encrypt(sealing.seal_text(chain).encode()).decode()
    cursor.execute("UPDATE kernel_auditchain SET seal = %s WHERE id = %s", [forged, chain.pk])


def _borrow_seal(cursor: CursorWrapper, chain: AuditChain) -> None:
    cursor.execute("UPDATE kernel_auditchain SET seal = (SELECT seal FROM kernel_auditchain WHERE id <> %s LIMIT 1)"
                   " WHERE id = %s", [chain.pk, chain.pk])


REWRITTEN: dict[str, tuple[Rewrite, str, int | None]] = {
    "one is deleted": (_delete(9), Fault.MISSING, 9),
    "some are deleted": (_delete(8, 9, 10), Fault.MISSING, 8),
    "the first is deleted": (_delete(1), Fault.MISSING, 1),
    "the newest are deleted": (_delete_newest, Fault.MISSING, None),
    "the newest are deleted and the head follows": (_delete_newest_and_move_head, Fault.HEAD, None),
    "two are swapped": (_swap, Fault.CHANGED, 9),
    "one is put in between": (_make_room_and_insert, Fault.CHANGED, 9),
    "one is put at the end": (_insert("sequence + 1"), Fault.INSERTED, None),
    "one is put in far away": (_insert("sequence + 1000"), Fault.INSERTED, None),
    "one is put in without a number": (_insert("NULL"), Fault.INSERTED, None),
    "one is put in before the first": (_insert("0"), Fault.INSERTED, 0),
    "one is given back to the sealer": (_unseal, Fault.MISSING, 9),
    "the head is moved back": (_rewind, Fault.HEAD, None),
    "some are forgotten by hand": (_forget_by_hand, Fault.HEAD, None),
    "the seal is forged": (_forge_seal, Fault.HEAD, None),
    "the seal is of another chain": (_borrow_seal, Fault.HEAD, None),
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_whatever_is_done_by_hand_is_found(chain: AuditChain, how: str) -> None:
    rewrite, fault, sequence = REWRITTEN[how]
    with rewriting() as cursor:
        rewrite(cursor, chain)
    told = found(chain)
    assert told[0] == fault and (sequence is None or told[1] == sequence)
    sealing.seal()
    assert found(chain)[0] == fault, "sealing must not heal it"
    others = AuditChain.objects.exclude(pk=chain.pk)
    assert others and all(verdict.found is None for verdict in verifying.verify(others))


@pytest.mark.parametrize("page", [1, 7, 50])
def test_pages_of_rows_leave_nothing_out(chain: AuditChain, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
    monkeypatch.setattr(verifying, "PAGE", page)
    assert found(chain) == ("", None)
    for sequence in (chain.sequence, 8, 7, 1):
        with rewriting() as cursor:
            cursor.execute("UPDATE kernel_auditevent SET action = action || '!' WHERE chain_id = %s AND sequence = %s",
                           [chain.pk, sequence])
        assert found(chain) == (Fault.CHANGED, sequence)


def test_the_retention_leaves_chains_that_can_be_verified(cast: Cast, chain: AuditChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BATCH", 7)
    audit.record("project.change", cast.project, actor=cast.alice)
    with rewriting() as cursor:  # an old trail, as if these had been written long ago
        cursor.execute("UPDATE kernel_auditevent SET at = at - interval '400 days' WHERE sequence <= 20")
        cursor.execute("UPDATE kernel_auditevent SET chain_id = NULL, sequence = NULL, hash = NULL")
        cursor.execute("DELETE FROM kernel_auditchain")
    sealing.seal()
    chain = AuditChain.objects.get(organization=cast.organization)
    assert sealing.forget(database_now() - timedelta(days=365)) > 20
    chain.refresh_from_db()
    assert chain.forgotten == 20 and numbers(chain) == list(range(21, chain.sequence + 1))
    assert found(chain) == ("", None)
    audit.record("project.change", cast.project, actor=cast.alice)
    sealing.seal()
    assert found(chain) == ("", None) and sealing.forget(database_now() - timedelta(days=365)) == 0
    with rewriting() as cursor:
        _delete(21)(cursor, chain)
    assert found(chain) == (Fault.MISSING, 21)


def test_old_keys_may_go_when_secrets_were_rotated(chain: AuditChain, settings: Any) -> None:
    newest = Fernet.generate_key().decode()
    settings.MASTER_KEYS = [newest, *settings.MASTER_KEYS]
    call_command("rotate_secrets", stdout=StringIO())
    settings.MASTER_KEYS = [newest]
    assert found(chain) == ("", None)


def test_the_command_names_the_first_broken_row_and_fails(cast: Cast, chain: AuditChain) -> None:
    out = StringIO()
    call_command("audit", "verify", stdout=out)
    assert "Acme" in out.getvalue() and "Rival" in out.getvalue() and "BROKEN" not in out.getvalue()
    with rewriting() as cursor:
        cursor.execute("UPDATE kernel_auditevent SET actor_id = %s WHERE chain_id = %s AND sequence = 9",
                       [cast.mallory.pk, chain.pk])
    event, out = chain.events.get(sequence=9), StringIO()
    with pytest.raises(CommandError):
        call_command("audit", "verify", organization="Acme", stdout=out)
    assert f"BROKEN: A row was changed at number 9 ({event.pk}: project.change web" in out.getvalue()
    assert "Rival" not in out.getvalue()
    call_command("audit", "verify", organization=str(cast.rival_organization.pk), stdout=StringIO())
    with pytest.raises(CommandError, match="no chain"):
        call_command("audit", "verify", organization="Nobody", stdout=StringIO())


def test_a_trail_that_is_gone_altogether_is_missed(cast: Cast, chain: AuditChain) -> None:
    with rewriting() as cursor:
        cursor.execute("DELETE FROM kernel_auditevent WHERE chain_id = %s", [chain.pk])
        cursor.execute("DELETE FROM kernel_auditchain WHERE id = %s", [chain.pk])
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("audit", "verify", stdout=out)
    assert f"({cast.organization.pk}): BROKEN" in out.getvalue()


def test_the_clocks_seal_and_verify(cast: Cast, chain: AuditChain) -> None:
    audit.record("project.change", cast.project, actor=cast.alice)
    tasks.seal()
    assert not sealing.unsealed().exists()
    tasks.verify_audit()
    chain.refresh_from_db()
    assert chain.verified == chain.sequence and chain.verified_at and not chain.fault


@pytest.mark.django_db(transaction=True)
def test_sealers_at_once_make_one_chain_while_rows_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "BATCH", 5)
    cast, errors, over = make_cast(), [], threading.Event()

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # shown by the main thread
            errors.append(error)
        finally:
            connection.close()

    def write() -> None:
        for number in range(60):
            with transaction.atomic():
                audit.record("project.change", cast.project, actor=cast.alice, after={"description": str(number)})

    def keep_sealing() -> None:
        while not over.is_set():
            sealing.seal()

    writers = [threading.Thread(target=run, args=(write,)) for _number in range(3)]
    sealers = [threading.Thread(target=run, args=(keep_sealing,)) for _number in range(3)]
    for thread in (*writers, *sealers):
        thread.start()
    for thread in writers:
        thread.join(60)
    over.set()
    for thread in sealers:
        thread.join(60)
    sealing.seal()
    assert not errors and not sealing.unsealed().exists()
    chain = AuditChain.objects.get(organization=cast.organization)
    assert numbers(chain) == list(range(1, chain.sequence + 1)) and chain.sequence > 180
    assert found(chain) == ("", None)


@pytest.mark.django_db(transaction=True)
def test_a_row_that_commits_late_is_sealed_after_younger_ones() -> None:
    cast = make_cast()
    written, sealed = threading.Event(), threading.Event()

    def write_and_wait() -> None:
        try:
            with transaction.atomic():
                audit.record("late", cast.project, actor=cast.alice)
                written.set()
                sealed.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=write_and_wait)
    thread.start()
    assert written.wait(10)
    audit.record("young", cast.project, actor=cast.alice)
    sealing.seal()
    sealed.set()
    thread.join(10)
    sealing.seal()
    late, young = AuditEvent.objects.get(action="late"), AuditEvent.objects.get(action="young")
    assert late.at < young.at and late.sequence == young.sequence + 1
    assert found(late.chain) == ("", None)


@pytest.mark.parametrize("point", ["_locked", "_hashes", "_move", "database_now"])
def test_a_sealer_killed_anywhere_leaves_a_whole_chain(cast: Cast, chain: AuditChain, monkeypatch: pytest.MonkeyPatch,
                                                       point: str) -> None:
    """After the first batch the named step is the last that it does."""
    for number in range(6):
        audit.record("project.change", cast.project, actor=cast.alice, after={"description": f"again {number}"})
    monkeypatch.setattr(sealing, "BATCH", 2)
    real, calls = getattr(sealing, point), []

    def die(*args: Any, **options: Any) -> Any:
        done = real(*args, **options)
        calls.append(point)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(sealing, point, die)
    with pytest.raises(KeyboardInterrupt):
        sealing.seal()
    assert found(chain) == ("", None) and sealing.unsealed().count() == 4
    sealing.seal()
    assert found(chain) == ("", None) and not sealing.unsealed().exists()
