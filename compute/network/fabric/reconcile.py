"""How rows are made equal to a document: one algorithm for all drivers, over what each shows of its rows.

Rows are found by their marks, never by place or name. What carries no mark of this deployment is not ours: it is left
alone, also as a member of a set of ours. A row is inserted under an id that follows from deployment, owner and key, so
that two actors at once cannot insert it twice, and one whose marks were wiped is known again.
"""
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID, uuid5

from . import reasons, schema
from .contract import FabricFault, StaleRevision
from .document import Document, Row

DEPLOYMENT, OWNER, KEY, REVISION = "mains:deployment", "mains:owner", "mains:key", "mains:revision"
_NAMESPACE = UUID("6f1d1d0e-5a3c-4f0e-9d53-3c7f1f0f6c11")


class Record(Protocol):
    """One row as a driver shows it. Values are plain (`schema.Column.plain`)."""

    table: str
    id: UUID

    def marks(self) -> Mapping[str, str]: ...

    def mark(self, marks: Mapping[str, str]) -> None:
        """Add these marks; others stay."""

    def value(self, column: str) -> Any:
        """None for a column of a row that is being inserted."""

    def write(self, column: str, value: Any) -> None: ...

    def members(self, column: str) -> "list[Record]": ...

    def add(self, column: str, member: "Record") -> None: ...

    def drop(self, column: str, member: "Record") -> None: ...

    def refer(self, column: str, member: "Record | None") -> None:
        """Set a column with room for one reference."""


class Replica(Protocol):
    """The rows of one fabric, during one transaction."""

    deployment: str

    def owned(self, owner: UUID) -> list[Record]: ...

    def keyed(self, table: str, key: str) -> Record | None:
        """The row of this deployment with that key, whoever owns it."""

    def at(self, table: str, id: UUID) -> Record | None: ...

    def insert(self, table: str, id: UUID) -> Record: ...

    def delete(self, record: Record) -> None:
        """Only of tables that are roots; other rows end with the last reference."""

    def parents(self, record: Record) -> Iterable[tuple[Record, str]]:
        """All rows that keep this one alive, with the column. Slow: looks at everything."""

    def guard(self, record: Record) -> None:
        """Let the transaction fail when the marks of the row change meanwhile."""


def make_so(replica: Replica, document: Document) -> None:
    """Insert, update and remove rows until the owner's are those of the document."""
    own = replica.owned(document.owner)
    _refuse_older(replica, own, document.revision)
    kept, extra = _match(replica, document, own)
    for row in document.own:
        _write(replica, document, row, kept[row.key])
    for row in document.extended:
        kept[row.key] = _require(replica, row)
    for row in document.rows:
        _link(replica, document, row, kept)
    _remove(replica, extra, [*own, *(kept[row.key] for row in document.extended)])


def remove_all(replica: Replica, owner: UUID, revision: int) -> None:
    """Remove every row of the owner."""
    own = replica.owned(owner)
    _refuse_older(replica, own, revision)
    _remove(replica, own, own)


def revision_of(marks: Mapping[str, str]) -> int:
    """0 when there is none, or none that can be read."""
    text = marks.get(REVISION, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def only_ids(owners: Mapping[str, int]) -> dict[UUID, int]:
    """Without those that somebody wrote there who is none of us."""
    found: dict[UUID, int] = {}
    for text, revision in owners.items():
        with suppress(ValueError):
            found[UUID(text)] = revision
    return found


def _refuse_older(replica: Replica, own: list[Record], revision: int) -> None:
    for record in own:
        if REVISION in record.marks():
            replica.guard(record)
            if (known := revision_of(record.marks())) > revision:
                raise StaleRevision(reasons.SUPERSEDED, known=known, given=revision)


def _match(replica: Replica, document: Document, own: list[Record]) -> tuple[dict[str, Record], list[Record]]:
    """The record of each row, and the records that are too many. Of several with one key the one under the id that
    we gave stays."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in own:
        found.setdefault((record.table, record.marks().get(KEY, "")), []).append(record)
    kept: dict[str, Record] = {}
    for row in document.own:
        given = _id(replica, document.owner, row)
        candidates = sorted(found.pop((row.table, row.key), ()), key=lambda record: (record.id != given, record.id))
        if candidates:
            kept[row.key], *others = candidates
            found[row.table, row.key] = others
        else:
            kept[row.key] = replica.at(row.table, given) or replica.insert(row.table, given)
    return kept, [record for records in found.values() for record in records]


def _id(replica: Replica, owner: UUID, row: Row) -> UUID:
    return uuid5(_NAMESPACE, f"{replica.deployment}/{owner}/{row.table}/{row.key}")


def _write(replica: Replica, document: Document, row: Row, record: Record) -> None:
    marks = {DEPLOYMENT: replica.deployment, OWNER: str(document.owner), KEY: row.key}
    if row.key == document.anchor:
        marks[REVISION] = str(document.revision)
    known = record.marks()
    if missing := {name: value for name, value in marks.items() if known.get(name) != value}:
        record.mark(missing)
    for column, value in row.columns.items():
        wanted = schema.column(row.table, column).plain(value)
        if record.value(column) != wanted:
            record.write(column, wanted)


def _require(replica: Replica, row: Row) -> Record:
    record = replica.keyed(row.table, row.key)
    if record is None:
        raise _not_there(row.key)
    return record


def _not_there(key: str) -> FabricFault:
    """Which row it is stays in the log: facts of a fault are told to tenants."""
    fault = FabricFault(reasons.NOT_THERE_YET, transient=True)
    fault.add_note(f"no row {key}")
    return fault


def _link(replica: Replica, document: Document, row: Row, kept: dict[str, Record]) -> None:
    for column, keys in row.refs.items():
        declared, record = schema.column(row.table, column), kept[row.key]
        wanted = {}
        for key in keys:
            target = kept.get(key) or replica.keyed(str(declared.kind), key)
            if target is None or target.table != declared.kind:
                raise _not_there(key)
            wanted[target.id] = target
        present = {member.id: member for member in record.members(column)}
        if declared.is_single:
            if present.keys() != wanted.keys():
                record.refer(column, next(iter(wanted.values()), None))
            continue
        for id in sorted(wanted.keys() - present.keys()):
            record.add(column, wanted[id])
        for id in sorted(present.keys() - wanted.keys()):
            if _is_of(replica, document.owner, present[id]):
                record.drop(column, present[id])


def _is_of(replica: Replica, owner: UUID, record: Record) -> bool:
    marks = record.marks()
    return marks.get(DEPLOYMENT) == replica.deployment and marks.get(OWNER) == str(owner)


def _remove(replica: Replica, extra: list[Record], near: list[Record]) -> None:
    """Rows that are no roots are let go of by their parents: looked for among those near first, since almost always
    they are there, and looking everywhere is slow."""
    going = {record.id for record in extra if schema.TABLES[record.table].is_root}
    parents = _parents_among(near) if extra else {}
    for record in extra:
        if record.id not in going:
            for parent, column in parents.get(record.id) or replica.parents(record):
                if parent.id not in going:
                    parent.drop(column, record)
    for record in extra:
        if record.id in going:
            replica.delete(record)


def _parents_among(records: list[Record]) -> dict[UUID, list[tuple[Record, str]]]:
    found: dict[UUID, list[tuple[Record, str]]] = {}
    for record, column in _holding(records):
        for member in record.members(column):
            found.setdefault(member.id, []).append((record, column))
    return found


def _holding(records: list[Record]) -> Iterator[tuple[Record, str]]:
    return ((record, column) for record in records for column in schema.TABLES[record.table].strong)
