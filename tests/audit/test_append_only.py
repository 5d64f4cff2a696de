"""PostgreSQL refuses to change or delete what was written; it lets sealing fill its fields once, and the retention forget."""
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from portal.kernel import audit
from portal.kernel.models import AuditChain, AuditEvent
from tests.cast import Cast

COLUMNS = [field.attname for field in AuditEvent._meta.concrete_fields]
SETTABLE = {"id": "gen_random_uuid()", "at": "now()", "before": """'{"a": 1}'""", "after": """'{"a": 1}'""",
            "address": "'192.0.2.1'", "hash": "'x'::bytea", "sequence": "99"}


def refused(work: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match="audit"), transaction.atomic():
        work()


def sql(text: str, *values: object) -> Callable[[], object]:
    def work() -> None:
        with connection.cursor() as cursor:
            cursor.execute(text, values)
    return work


@pytest.mark.parametrize("column", COLUMNS)
def test_no_column_of_a_sealed_row_can_be_changed(chain: AuditChain, column: str) -> None:
    value = SETTABLE.get(column) or ("gen_random_uuid()" if _is_uuid(column) else "'other'")
    refused(sql(f"UPDATE kernel_auditevent SET {column} = {value} WHERE chain_id = %s AND sequence = 7", chain.pk))


@pytest.mark.parametrize("column", [name for name in COLUMNS if name not in ("chain_id", "sequence", "hash")])
def test_nor_of_one_that_is_not_sealed_yet(cast: Cast, column: str) -> None:
    value = SETTABLE.get(column) or ("gen_random_uuid()" if _is_uuid(column) else "'other'")
    refused(sql(f"UPDATE kernel_auditevent SET {column} = {value}"))


def test_sealing_changes_nothing_on_the_way(cast: Cast, chain: AuditChain) -> None:
    event = audit.record("project.change", cast.project, actor=cast.alice)
    seal = "UPDATE kernel_auditevent SET chain_id = %s, sequence = 1000, hash = 'x'::bytea"
    refused(sql(f"{seal}, result = 'other' WHERE id = %s", chain.pk, event.pk))
    refused(sql("UPDATE kernel_auditevent SET sequence = 1000 WHERE id = %s", event.pk))


def test_rows_are_not_deleted_nor_the_table_emptied(cast: Cast, chain: AuditChain) -> None:
    event = audit.record("project.change", cast.project, actor=cast.alice)
    refused(event.delete)
    refused(AuditEvent.objects.all().delete)
    refused(sql("SET CONSTRAINTS ALL IMMEDIATE; TRUNCATE kernel_auditevent"))
    refused(chain.events.filter(sequence=1).delete)


def test_a_chain_only_grows_and_forgets_nothing_young(chain: AuditChain) -> None:
    chains = AuditChain.objects.filter(pk=chain.pk)
    refused(lambda: chains.update(sequence=F("sequence") - 1))
    refused(lambda: chains.update(organization=None))
    refused(lambda: chains.update(forgotten=5))


def _is_uuid(column: str) -> bool:
    field = next(one for one in AuditEvent._meta.concrete_fields if one.attname == column)
    return getattr(field, "target_field", field).get_internal_type() == "UUIDField" or column == "resource_id"
