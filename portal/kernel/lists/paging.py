"""Keyset pages for lists: which rows, and the cursors before and after them. The rows themselves are read by key.

Reading keys first keeps a page's cost the same however many tables its rows are joined with, and however deep it lies.
"""
from dataclasses import dataclass
from typing import Any

from django.db.models import IntegerField, Q, QuerySet, Subquery, Value

from portal.kernel.planning import planned_by_values
from portal.kernel.rest.pagination import Cursor


@dataclass(frozen=True)
class Keys:
    """One page's primary keys in order; the cursors are None at the ends.

    `seen` is how many rows there are from here on, of those that were looked for: exact when it is not more than asked.
    """

    pks: tuple[Any, ...]
    next: str | None
    previous: str | None
    seen: int


def keys(rows: QuerySet, ordering: str, text: str | None, limit: int, *, look_for: int = 0) -> Keys:
    """The page of `rows` at a cursor's text (None: the first), by one field and the primary key.

    `ordering` names a field that is never null. `look_for` more rows than a page are counted on the way. Raises
    InvalidInput when the text is no cursor of this ordering.
    """
    cursor = Cursor.read(text, ordering, rows) if text else None
    back = cursor is not None and cursor.back
    field = ordering.lstrip("-")
    descending = ordering.startswith("-") != back
    sign = "-" if descending else ""
    if cursor:
        rows = rows.filter(_beyond(field, cursor, descending))
    # Counted by PostgreSQL: reading hundreds of keys takes longer than all else that a page asks for.
    seen = _Count(rows.order_by().values("pk")[: look_for + 1]) if look_for > limit else Value(0)
    with planned_by_values():
        found = list(rows.order_by(f"{sign}{field}", f"{sign}pk").values_list("pk", field, seen)[: limit + 1])
    seen, more, found = max(len(found), found[0][2] if found else 0), len(found) > limit, found[:limit]
    found = found[::-1] if back else found
    has_next, has_previous = (True, more) if back else (more, cursor is not None)

    def edge(row: tuple[Any, ...], is_back: bool) -> str:
        return Cursor(ordering, is_back, row[1], row[0]).text()

    return Keys(pks=tuple(pk for pk, *_beside in found), next=edge(found[-1], False) if found and has_next else None,
                previous=edge(found[0], True) if found and has_previous else None, seen=seen)


class _Count(Subquery):
    """How many rows a query has; for the whole statement once."""

    template, output_field = "(SELECT count(*) FROM (%(subquery)s) counted)", IntegerField()


def _beyond(field: str, cursor: Cursor, descending: bool) -> Q:
    side = "lt" if descending else "gt"
    # The first condition alone is implied by the second; it lets PostgreSQL use the index.
    return Q(**{f"{field}__{side}e": cursor.value}) & (
        Q(**{f"{field}__{side}": cursor.value}) | Q(**{f"pk__{side}": cursor.pk}))
