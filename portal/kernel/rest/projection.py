"""Reading rows fast: a read serializer compiled once into columns to fetch and one plain function for each field.

The serializer stays the one declaration of what a resource shows: the schema is made from it, lists and single rows are
projected from it, so they cannot differ. Only this module turns rows into answers.

A list fetches bare columns (no model instances) when each field is a column, or says what it reads:

    class InstanceSerializer(ResourceSerializer):
        reads = {"host": ("host_id",), "addresses": ("pk",)}        # what get_host(row) and get_addresses(row) look at

        def prepare(self, rows):                                    # optional: what a whole page needs, at once
            self.context[PORTS] = ports_by_instance([row.pk for row in rows])

A field that reads something else (a property of the model) makes the list fetch whole rows.
"""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ObjectDoesNotExist
from django.db import models
from django.db.models import QuerySet
from rest_framework import serializers

Getter = Callable[[Any], Any]

# What these show is what the row holds: JSON has it, or the renderer knows it (ids, times).
PLAIN = (serializers.UUIDField, serializers.DateTimeField, serializers.DateField, serializers.IntegerField,
         serializers.BooleanField, serializers.CharField, serializers.ChoiceField, serializers.ListField,
         serializers.DictField, serializers.JSONField, serializers.FloatField)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One field: how it is read off a whole row and off fetched columns, or the method that makes it."""

    name: str
    whole: Getter
    column: str | None = None
    convert: Getter | None = None
    method: str | None = None
    reads: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...] | None:
        """What to fetch; None when only a whole row will do."""
        if self.method:
            return self.reads or None
        return (self.column,) if self.column else None


class Projection:
    """A serializer class, compiled. Get it by `projection_of`."""

    def __init__(self, serializer_class: type[serializers.Serializer]) -> None:
        serializer = serializer_class()
        self.serializer_class = serializer_class
        model = getattr(getattr(serializer_class, "Meta", None), "model", None)
        reads = getattr(serializer_class, "reads", {})
        self.members = [_member(name, field, model, reads) for name, field in serializer.fields.items()
                        if not field.write_only]
        needed = [member.columns for member in self.members]
        self.columns = None if model is None or None in needed else tuple(
            dict.fromkeys(["pk", *(column for columns in needed for column in columns)]))

    def narrowed(self, queryset: QuerySet, *further: str) -> QuerySet:
        """The query, fetching the columns that are shown (and `further` ones) when that is all that is needed."""
        if self.columns is None:
            return queryset
        columns = tuple(dict.fromkeys([*self.columns, *further]))
        return queryset.select_related(None).prefetch_related(None).values_list(*columns, named=True)

    def of(self, rows: Iterable[Any], context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What the rows show: model instances, or what `narrowed` fetched."""
        rows = list(rows)
        serializer = self.serializer_class(context=dict(context))
        if prepare := getattr(serializer, "prepare", None):
            prepare(rows)
        are_whole = not rows or isinstance(rows[0], models.Model)
        getters = [(member.name, self._getter(member, serializer, are_whole)) for member in self.members]
        return [{name: get(row) for name, get in getters} for row in rows]

    def _getter(self, member: Member, serializer: Any, are_whole: bool) -> Getter:
        if member.method:
            method = getattr(serializer, member.method)
            return (lambda row: method(Walked(row))) if are_whole and member.reads else method
        if are_whole:
            return member.whole
        get, convert = attrgetter(member.column), member.convert
        return get if convert is None else lambda row: convert(get(row))


class Walked:
    """A model instance under the names of fetched columns: `row.target__kind` is `row.target.kind`."""

    def __init__(self, row: models.Model) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        return _walk(self._row, name.split("__"))


@cache
def projection_of(serializer_class: type[serializers.Serializer]) -> Projection:
    return Projection(serializer_class)


def project(serializer_class: type[serializers.Serializer], rows: Iterable[Any], context: Mapping[str, Any]) -> list[dict]:
    """What the serializer shows of the rows."""
    return projection_of(serializer_class).of(rows, context)


def _member(name: str, field: serializers.Field, model: type[models.Model] | None,
            reads: Mapping[str, tuple[str, ...]]) -> Member:
    if isinstance(field, serializers.SerializerMethodField):
        return Member(name=name, whole=_nothing, method=field.method_name, reads=tuple(reads.get(name, ())))
    parts, convert = list(field.source_attrs) or [name], _conversion(field)
    column, rest = _column(model, parts) if model else (None, [])
    if rest:
        convert = _after(rest, convert)
    return Member(name=name, whole=_reader(parts, _conversion(field)), column=column, convert=convert)


def _nothing(_row: Any) -> None:
    return None


def _column(model: type[models.Model], parts: list[str]) -> tuple[str | None, list[str]]:
    """The column's look-up path, and what is then read off its value; None when the way leads over anything else."""
    for number, part in enumerate(parts):
        try:
            field = model._meta.pk if part == "pk" else model._meta.get_field(part)
        except FieldDoesNotExist:
            return None, []
        path, rest = "__".join(parts[:number + 1]), parts[number + 1:]
        if not getattr(field, "concrete", False) and not field.one_to_one:
            return None, []
        if not field.is_relation or part == getattr(field, "attname", ""):
            return path, rest
        model = field.related_model
    return None, []  # it ends at a relation: a nested serializer, which wants the rows


def _conversion(field: serializers.Field) -> Getter | None:
    """What a value becomes; None for those shown as they are."""
    if isinstance(field, serializers.ListSerializer) and isinstance(field.child, serializers.ModelSerializer):
        child = projection_of(type(field.child))
        return lambda found: child.of(found.all() if isinstance(found, models.Manager) else found, {})
    if isinstance(field, serializers.ModelSerializer):
        nested = projection_of(type(field))
        return lambda row: None if row is None else nested.of([row], {})[0]
    if type(field).to_representation in PLAIN_WAYS:
        return None
    return lambda value: None if value is None else field.to_representation(value)


PLAIN_WAYS = frozenset(kind.to_representation for kind in PLAIN)


def _after(parts: list[str], convert: Getter | None) -> Getter:
    return lambda value: _converted(_walk(value, parts), convert)


def _converted(value: Any, convert: Getter | None) -> Any:
    return value if convert is None else convert(value)


def _reader(parts: list[str], convert: Getter | None) -> Getter:
    if len(parts) == 1 and convert is None:
        return attrgetter(parts[0])
    return lambda row: _converted(_walk(row, parts), convert)


def _walk(row: Any, parts: list[str]) -> Any:
    """The value at the end of the way; None when there is nothing under way (an absent row of a one-to-one)."""
    for part in parts:
        if row is None:
            return None
        if isinstance(row, Mapping):
            row = row.get(part)
            continue
        try:
            row = getattr(row, part)
        except ObjectDoesNotExist:
            return None
    return row
