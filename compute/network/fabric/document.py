"""A document: all rows that one owner (a VPC, a public network) shall have in the fabric, named by keys.

Pure values. A document says nothing about rows that it does not name, and about columns that it does not list. Which
deployment the rows belong to is the driver's to know.
"""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

Scalar = str | int | bool
Value = Scalar | tuple[Scalar, ...] | Mapping[str, str]
"""Of a column: one value, a set (written as a tuple, compared without order; empty for an optional column without a
value) or a map."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row. `refs` are columns that name other rows by key: in this document, or in one applied before.

    A set of references is only ever changed by members of the same owner, so that others' members stay.
    `extends`: the row is another document's; only `refs` into it are kept, and it must be there.
    """

    table: str
    key: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    refs: Mapping[str, frozenset[str]] = field(default_factory=dict)
    extends: bool = False


@dataclass(frozen=True, kw_only=True)
class Document:
    """The rows of `owner` at `revision`, which is kept on the row called `anchor`."""

    owner: UUID
    revision: int
    anchor: str
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        keys = [row.key for row in self.rows]
        doubled = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set()
        if doubled:
            raise ValueError(f"keys used twice in one document: {sorted(doubled)}")
        if self.anchor not in {row.key for row in self.own}:
            raise ValueError(f"the anchor {self.anchor!r} is no row of the document")

    @property
    def own(self) -> Iterator[Row]:
        """The rows that belong to this document."""
        return (row for row in self.rows if not row.extends)

    @property
    def extended(self) -> Iterator[Row]:
        """Rows of other documents that this one adds members to."""
        return (row for row in self.rows if row.extends)
