"""The replica of our tables, with the marks of its rows at hand: the library unpacks a map anew at every look, and its
own indexes compare rows in Python, which takes long where there are many."""
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from ovs.db.idl import ROW_DELETE, Idl, Row, SchemaHelper

from .. import schema
from ..reconcile import KEY, OWNER

Marks = dict[str, str]
_NONE: Marks = {}


class MarkedIdl(Idl):
    """Rows without any mark are not remembered; those that went without a notice, as all do when the replica is begun
    anew, are passed over."""

    def __init__(self, remotes: str) -> None:
        self._marks: dict[str, dict[UUID, Marks]] = {table: {} for table in schema.TABLES}
        self._places: dict[tuple[str, str], set[tuple[str, UUID]]] = {}
        helper = SchemaHelper(schema_json=schema.as_json())
        for table in schema.TABLES:
            helper.register_table(table)
        super().__init__(remotes, helper)

    def marks(self, row: Row) -> Marks:
        """As committed; not what the transaction under way does to them."""
        return self._marks[row._table.name].get(row.uuid, _NONE)

    def marked(self, table: str) -> Iterator[tuple[Row, Marks]]:
        """Rows of a table that have marks."""
        rows = self.tables[table].rows
        return ((rows[uuid], marks) for uuid, marks in self._marks[table].items() if uuid in rows)

    def of_owner(self, owner: str) -> Iterator[Row]:
        return self._at(OWNER, owner)

    def of_key(self, table: str, key: str) -> Iterator[Row]:
        return (row for row in self._at(KEY, key) if row._table.name == table)

    def notify(self, event: str, row: Row, updates: Any = None) -> None:
        table = row._table.name
        if table not in self._marks or (updates is not None and not hasattr(updates, schema.MARKS)):
            return
        for place in self._marks[table].pop(row.uuid, _NONE).items():
            self._leave(place, (table, row.uuid))
        marks = _NONE if event == ROW_DELETE else _unpacked(row)
        if marks:
            self._marks[table][row.uuid] = marks
            for name in (OWNER, KEY):
                if name in marks:
                    self._places.setdefault((name, marks[name]), set()).add((table, row.uuid))

    def _leave(self, place: tuple[str, str], one: tuple[str, UUID]) -> None:
        if there := self._places.get(place):
            there.discard(one)
            if not there:
                del self._places[place]

    def _at(self, mark: str, value: str) -> Iterator[Row]:
        found = self._places.get((mark, value), ())
        return (self.tables[table].rows[uuid] for table, uuid in found if uuid in self.tables[table].rows)


def _unpacked(row: Row) -> Marks:
    """What `row.external_ids` says, at a fifth of its price."""
    return {name.value: value.value for name, value in row._data[schema.MARKS].values.items()}
