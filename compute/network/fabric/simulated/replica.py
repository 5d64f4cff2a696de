"""Rows of the store as `reconcile` sees them, with what a database would see to: defaults, lost references, unique
names, rows that nobody refers to any more."""
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from .. import reasons, schema
from ..contract import FabricFault
from ..reconcile import DEPLOYMENT, KEY, OWNER
from .store import State


class SimulatedRecord:
    def __init__(self, replica: "SimulatedReplica", table: str, id: str) -> None:
        self._replica, self.table, self.id = replica, table, UUID(id)
        self.row = replica.state["rows"][table][id]

    def marks(self) -> Mapping[str, str]:
        return self.row["marks"]

    def mark(self, marks: Mapping[str, str]) -> None:
        self.row["marks"] |= marks
        self._replica.changed = True

    def value(self, column: str) -> Any:
        value = self.row["columns"].get(column)
        return tuple(value) if isinstance(value, list) else value

    def write(self, column: str, value: Any) -> None:
        self.row["columns"][column] = list(value) if isinstance(value, tuple) else value
        self._replica.changed = True

    def members(self, column: str) -> "list[SimulatedRecord]":
        kind, present = schema.column(self.table, column).kind, self.row["refs"].get(column, ())
        return [SimulatedRecord(self._replica, kind, id) for id in present]

    def add(self, column: str, member: "SimulatedRecord") -> None:
        self.row["refs"].setdefault(column, []).append(str(member.id))
        self._replica.changed = True

    def drop(self, column: str, member: "SimulatedRecord") -> None:
        present = self.row["refs"].get(column, [])
        self.row["refs"][column] = [id for id in present if id != str(member.id)]
        self._replica.changed = True

    def refer(self, column: str, member: "SimulatedRecord | None") -> None:
        self.row["refs"][column] = [str(member.id)] if member else []
        self._replica.changed = True


class SimulatedReplica:
    def __init__(self, state: State, deployment: str) -> None:
        self.state, self.deployment, self.changed = state, deployment, False

    def all(self, table: str) -> Iterator[SimulatedRecord]:
        return (SimulatedRecord(self, table, id) for id in self.state["rows"].get(table, ()))

    def ours(self, table: str) -> Iterator[SimulatedRecord]:
        return (record for record in self.all(table) if record.marks().get(DEPLOYMENT) == self.deployment)

    def owned(self, owner: UUID) -> list[SimulatedRecord]:
        return [record for table in schema.TABLES for record in self.ours(table)
                if record.marks().get(OWNER) == str(owner)]

    def keyed(self, table: str, key: str) -> SimulatedRecord | None:
        return next((record for record in self.ours(table) if record.marks().get(KEY) == key), None)

    def at(self, table: str, id: UUID) -> SimulatedRecord | None:
        return SimulatedRecord(self, table, str(id)) if str(id) in self.state["rows"].get(table, ()) else None

    def insert(self, table: str, id: UUID) -> SimulatedRecord:
        self.state["rows"].setdefault(table, {})[str(id)] = {"columns": {}, "refs": {}, "marks": {}}
        self.changed = True
        return SimulatedRecord(self, table, str(id))

    def delete(self, record: SimulatedRecord) -> None:
        del self.state["rows"][record.table][str(record.id)]
        self.changed = True

    def parents(self, record: SimulatedRecord) -> Iterator[tuple[SimulatedRecord, str]]:
        for name, table in schema.TABLES.items():
            for column in table.strong:
                if table.columns[column].kind == record.table:
                    yield from ((parent, column) for parent in self.all(name)
                                if record.id in {member.id for member in parent.members(column)})

    def guard(self, record: SimulatedRecord) -> None:
        """The store lets nobody else in meanwhile."""

    def close(self) -> None:
        """What a database does before it commits."""
        while self._collect():
            pass
        self._forget_lost_references()
        for name, table in schema.TABLES.items():
            values = [record.value(table.unique) for record in self.all(name)] if table.unique else []
            if len(set(values)) < len(values):
                refused = FabricFault(reasons.REFUSED, transient=True)
                refused.add_note(f"two rows of {name} with one {table.unique}")
                raise refused

    def _collect(self) -> bool:
        """Let go of rows that are no roots and that nobody refers to; True when there were any."""
        held: set[tuple[str, str]] = set()
        for name, table in schema.TABLES.items():
            for column in table.strong:
                for row in self.state["rows"].get(name, {}).values():
                    held |= {(str(table.columns[column].kind), id) for id in row["refs"].get(column, ())}
        gone = [(name, id) for name, table in schema.TABLES.items() if not table.is_root
                for id in self.state["rows"].get(name, ()) if (name, id) not in held]
        for name, id in gone:
            del self.state["rows"][name][id]
        return bool(gone)

    def _forget_lost_references(self) -> None:
        rows = self.state["rows"]
        for name, table in rows.items():
            for row in table.values():
                for column, ids in row["refs"].items():
                    kind = schema.column(name, column).kind
                    row["refs"][column] = [id for id in ids if id in rows.get(kind, ())]
