"""Statements that are composed once for each process: what every request asks is not worth milliseconds of composing anew."""
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import ForeignKey, Lookup, QuerySet, TextField, UUIDField, prefetch_related_objects
from django.db.models.sql.compiler import SQLCompiler
from django.utils.functional import cached_property

# What stands in a statement for a value of this kind while it is composed.
STAND_INS: dict[Any, Callable[[int], Any]] = {
    UUID: lambda number: UUID(int=0x7C1A6F0E5B0C4A3E9D360D0F5E1F2A00 + number),
    str: lambda number: f"a text of a caller, number {number}",
    list[UUID]: lambda number: [UUID(int=0x2B9F33D1C2D746C8A0E7B1D24C9A6600 + number)],
    list[str]: lambda number: [f"a text among many, number {number}"],
    datetime: lambda number: datetime(1900, 1, 1, 0, 0, number, 271828, tzinfo=UTC)}


@ForeignKey.register_lookup
@UUIDField.register_lookup
@TextField.register_lookup
class AnyOf(Lookup):
    """`project__any_of=ids`: as `in`, with one parameter however many ids there are, so that the statement stays the same."""

    lookup_name, prepare_rhs = "any_of", False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, parameters = self.process_lhs(compiler, connection)
        return f"{left} = ANY(%s)", [*parameters, self.rhs]


class Composed:
    """A query that differs by a few values alone: its rows as PostgreSQL gives them (JSON is text), or as models.

        BINDINGS = Composed(lambda user: Binding.objects.filter(user=user).values_list("scope", "codename"), user=UUID)
        for scope, codename in BINDINGS.rows(user=user.pk): ...

        USER = Composed(lambda pk: User.objects.filter(pk=pk).select_related("team"), pk=UUID)
        user, = USER.models(pk=pk)

    Kinds of values are those of STAND_INS. For `rows` the query names columns in their order (`values_list`).
    """

    def __init__(self, compose: Callable[..., QuerySet], **kinds: Any) -> None:
        self.compose = compose
        self.places = {name: STAND_INS[kind](number) for number, (name, kind) in enumerate(kinds.items())}

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """The rows for these values. Raises what executing any statement raises."""
        text, parameters = self._statement(values)
        with connection.cursor() as cursor:
            cursor.execute(text, parameters)
            return cursor.fetchall()

    def models(self, **values: Any) -> list[Any]:
        """The same as models, with what the query selects and prefetches. Raises as `rows` does."""
        query, compiler, _parameters = self._composed
        found = list(QuerySet(query.model, query=_Ready(compiler, self._statement(values))))
        prefetch_related_objects(found, *query._prefetch_related_lookups)
        return found

    @cached_property
    def _composed(self) -> tuple[QuerySet, SQLCompiler, list[tuple[str, Any]]]:
        """The query, its compiler with the text, and each parameter with the name of the value that it is of, or none."""
        query = self.compose(**self.places)
        compiler = query.query.get_compiler(DEFAULT_DB_ALIAS)
        compiler.text, parameters = compiler.as_sql()
        return query, compiler, [
            (next((name for name, one in self.places.items() if one == value), ""), value) for value in parameters]

    def _statement(self, values: dict[str, Any]) -> tuple[str, list[Any]]:
        _query, compiler, parameters = self._composed
        return compiler.text, [values[name] if name else value for name, value in parameters]


@dataclass(frozen=True)
class _Ready:
    """What a queryset asks of its query, when the statement is known."""

    compiler: SQLCompiler
    statement: tuple[str, list[Any]]

    def get_compiler(self, using: str) -> SQLCompiler:
        """A copy for this thread, since a compiler is of one connection."""
        compiler = copy(self.compiler)
        compiler.connection, compiler.as_sql = connections[using], lambda *_asked, **_how: self.statement
        return compiler
