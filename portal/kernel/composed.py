"""Statements that are composed once for each process: what every request asks is not worth milliseconds of composing anew."""
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import ForeignKey, Lookup, Model, QuerySet
from django.utils.functional import cached_property

# What stands in a statement for a value of this kind while it is composed.
STAND_INS: dict[type, Callable[[int], Any]] = {
    UUID: lambda number: UUID(int=0x7C1A6F0E5B0C4A3E9D360D0F5E1F2A00 + number),
    str: lambda number: f"a text of a caller, number {number}",
    list: lambda number: [UUID(int=0x2B9F33D1C2D746C8A0E7B1D24C9A6600 + number)],
    datetime: lambda number: datetime(1900, 1, 1, 0, 0, number, 271828, tzinfo=UTC)}


@ForeignKey.register_lookup
class AnyOf(Lookup):
    """`project__any_of=ids`: as `in`, with one parameter however many ids there are, so that the statement stays the same."""

    lookup_name, prepare_rhs = "any_of", False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        left, parameters = self.process_lhs(compiler, connection)
        return f"{left} = ANY(%s)", [*parameters, self.rhs]


class Composed:
    """The rows of a query that differs by a few values alone, as PostgreSQL gives them: JSON is text.

        BINDINGS = Composed(lambda user: Binding.objects.filter(user=user).values_list("scope", "codename"), user=UUID)
        for scope, codename in BINDINGS.rows(user=user.pk): ...

    Kinds of values are those of STAND_INS. The query names columns in their order (`values_list`), unless `models` are asked for.
    """

    def __init__(self, compose: Callable[..., QuerySet], **kinds: type) -> None:
        self.compose = compose
        self.places = {name: STAND_INS[kind](number) for number, (name, kind) in enumerate(kinds.items())}

    @cached_property
    def _statement(self) -> tuple[str, list[tuple[str, Any]]]:
        """The text, and for each parameter the name of the value that it is of, or none and the parameter itself."""
        text, parameters = self.compose(**self.places).query.get_compiler(connection=connection).as_sql()
        return text, [(next((name for name, one in self.places.items() if one == value), ""), value) for value in parameters]

    def models(self, **values: Any) -> list[Any]:
        """The same as rows of the query's model, whose columns it must not name nor join with others. Raises as `rows` does."""
        return [self._model.from_db(connection.alias, self._columns, row) for row in self.rows(**values)]

    @cached_property
    def _model(self) -> type[Model]:
        return self.compose(**self.places).model

    @cached_property
    def _columns(self) -> list[str]:
        return [field.attname for field in self._model._meta.concrete_fields]

    def rows(self, **values: Any) -> list[tuple[Any, ...]]:
        """The rows for these values. Raises what executing any statement raises."""
        text, parameters = self._statement
        with connection.cursor() as cursor:
            cursor.execute(text, [values[name] if name else value for name, value in parameters])
            return cursor.fetchall()
