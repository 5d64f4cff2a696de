"""Rows of the replica as `reconcile` sees them, and as they are written: by difference, so that what others do to the
same row at the same time is not undone."""
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from ovs.db.idl import Row as IdlRow
from ovs.db.idl import Transaction

from .. import schema
from ..reconcile import DEPLOYMENT
from .marked import MarkedIdl


class OvnRecord:
    def __init__(self, idl: MarkedIdl, row: IdlRow, *, is_new: bool = False) -> None:
        self._idl, self.row, self._is_new = idl, row, is_new
        self.table, self.id = row._table.name, row.uuid

    def marks(self) -> Mapping[str, str]:
        return {} if self._is_new else self._idl.marks(self.row)

    def mark(self, marks: Mapping[str, str]) -> None:
        if self._is_new:
            self.row.external_ids = dict(marks)
            return
        for name, value in marks.items():
            self.row.setkey(schema.MARKS, name, value)

    def value(self, column: str) -> Any:
        return None if self._is_new else schema.column(self.table, column).plain(getattr(self.row, column))

    def write(self, column: str, value: Any) -> None:
        setattr(self.row, column, list(value) if isinstance(value, tuple) else value)

    def members(self, column: str) -> "list[OvnRecord]":
        return [] if self._is_new else [OvnRecord(self._idl, row) for row in getattr(self.row, column)]

    def add(self, column: str, member: "OvnRecord") -> None:
        self.row.addvalue(column, member.row)

    def drop(self, column: str, member: "OvnRecord") -> None:
        self.row.delvalue(column, member.row)

    def refer(self, column: str, member: "OvnRecord | None") -> None:
        setattr(self.row, column, [member.row] if member else [])


class OvnReplica:
    """Without a transaction it can only be looked at."""

    def __init__(self, idl: MarkedIdl, deployment: str, transaction: Transaction | None = None) -> None:
        self._idl, self._transaction, self.deployment = idl, transaction, deployment

    def marks_of_ours(self, table: str) -> Iterator[Mapping[str, str]]:
        return (marks for _, marks in self._idl.marked(table) if marks.get(DEPLOYMENT) == self.deployment)

    def owned(self, owner: UUID) -> list[OvnRecord]:
        return self._ours(self._idl.of_owner(str(owner)))

    def keyed(self, table: str, key: str) -> OvnRecord | None:
        return min(self._ours(self._idl.of_key(table, key)), key=lambda record: record.id, default=None)

    def at(self, table: str, id: UUID) -> OvnRecord | None:
        row = self._idl.tables[table].rows.get(id)
        return OvnRecord(self._idl, row) if row is not None else None

    def insert(self, table: str, id: UUID) -> OvnRecord:
        row = self._transaction.insert(self._idl.tables[table], id, persist_uuid=True)
        return OvnRecord(self._idl, row, is_new=True)

    def delete(self, record: OvnRecord) -> None:
        record.row.delete()

    def parents(self, record: OvnRecord) -> Iterator[tuple[OvnRecord, str]]:
        for name, table in schema.TABLES.items():
            for column in table.strong:
                if table.columns[column].kind == record.table:
                    yield from ((OvnRecord(self._idl, row), column) for row in self._idl.tables[name].rows.values()
                                if record.row in getattr(row, column))

    def guard(self, record: OvnRecord) -> None:
        """The library forgets what is verified on rows that the transaction does not know."""
        self._transaction._txn_rows[record.id] = record.row
        record.row.verify(schema.MARKS)

    def _ours(self, rows: Iterator[IdlRow]) -> list[OvnRecord]:
        """In an order of their own, so that transactions are alike."""
        found = (OvnRecord(self._idl, row) for row in rows if self._idl.marks(row).get(DEPLOYMENT) == self.deployment)
        return sorted(found, key=lambda record: record.id)
