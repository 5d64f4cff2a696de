"""Query parameters: each view declares what it takes; anything else is refused by name.

`filters` maps a parameter to a look-up path; its values are converted by the model's own field, so nonsense is a 400.
Ids of hidden things filter to nothing, exactly as absent ones do.
"""
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import models
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from portal.kernel.errors import InvalidInput

from .parsing import is_storable

LIST_PARAMETERS = ("limit", "cursor", "ordering")
LONGEST = 200
MOST_VALUES = 100


def check_query(request: Request, allowed: set[str]) -> None:
    """Raise InvalidInput naming the parameters that this view does not take, or that cannot be stored."""
    errors = {}
    for name, values in request.query_params.lists():
        if name not in allowed:
            errors[name if is_storable(name) else "query"] = [_("Unknown query parameter.")]
        elif not all(map(is_storable, values)):
            errors[name] = [_("Strings must not contain NUL or half characters.")]
    if errors:
        raise InvalidInput(errors=errors)


def moment(request: Request, name: str) -> datetime | None:
    """A point in time with its zone; None when absent. Raises InvalidInput."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not quoted arrives as a space.
        found = parse_datetime(text.replace(" ", "+"))
        if found is None or found.tzinfo is None:
            raise ValueError(text)
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput.field(name, _("A time like 2026-11-01T00:00:00Z.")) from error


def flag(request: Request, name: str) -> bool:
    """A true/false query parameter; raises InvalidInput on anything else."""
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise InvalidInput.field(name, _("Either true or false."))
    return text == "true"


def field_at(model: type[models.Model], path: str) -> models.Field:
    """The model field at the end of a look-up path; a relation stands for the other side's primary key."""
    field: Any = None
    for part in path.split("__"):
        field = model._meta.pk if part == "pk" else model._meta.get_field(part)
        if field.is_relation:
            model = field.related_model
    return field.target_field if field.is_relation and not isinstance(field.target_field, models.OneToOneField) else (
        model._meta.get_field("id") if field.is_relation else field)


def convert(field: models.Field, name: str, text: str) -> Any:
    """The parameter's value as the field's type; raises InvalidInput."""
    if isinstance(field, models.BooleanField):
        text = {"true": "True", "false": "False"}.get(text, "")
    try:
        value = field.to_python(text)
        if value is None:
            raise ValueError(text)
        if isinstance(field, models.GenericIPAddressField):
            field.run_validators(value)  # its `to_python` takes any text
        if isinstance(field, models.IntegerField) and abs(value) > 2**63 - 1:
            raise ValueError(text)
    except (ValidationError, ValueError, TypeError) as error:
        raise InvalidInput.field(name, _("Not a valid value.")) from error
    if field.choices and value not in dict(field.flatchoices):
        raise InvalidInput.field(name, _("Not one of: {choices}.").format(
            choices=", ".join(str(choice) for choice, _label in field.flatchoices)))
    return value


class DeclaredFilters(BaseFilterBackend):
    """The view's `filters`, `?project=`, `?tag=key:value`, `?search=` over `search_fields`."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        for name, path in view.all_filters().items():
            texts = request.query_params.getlist(name)
            if texts:
                field = field_at(queryset.model, path)
                values = [convert(field, name, text) for text in texts[:MOST_VALUES]]
                queryset = queryset.filter(**{f"{path}__in": values})
        if view.has_tags():
            for text in request.query_params.getlist("tag")[:MOST_VALUES]:
                queryset = queryset.filter(tagged(text))
        text = request.query_params.get("search", "").strip()
        return queryset.filter(_search(text, view.searched())) if text and view.searched() else queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict]:
        model = view.queryset.model
        found = [{"name": name, "in": "query", "required": False, "schema": _schema(field_at(model, path))}
                 for name, path in view.all_filters().items()]
        if view.has_tags():
            found.append(_parameter("tag", "`key` or `key:value`; may be given several times."))
        if view.searched():
            found.append(_parameter("search", "Part of: " + ", ".join(view.searched())))
        orderings = [sign + name for name in view.ordering_fields for sign in ("", "-")]
        return [*found, {"name": "ordering", "in": "query", "required": False,
                         "schema": {"type": "string", "enum": orderings}}]


def _parameter(name: str, description: str) -> dict:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": {"type": "string"}}


def _schema(field: models.Field) -> dict:
    if isinstance(field, models.UUIDField):
        return {"type": "string", "format": "uuid"}
    if isinstance(field, models.BooleanField):
        return {"type": "boolean"}
    if isinstance(field, models.IntegerField):
        return {"type": "integer"}
    choices = [str(value) for value, _label in field.flatchoices] if field.choices else []
    return {"type": "string", "enum": choices} if choices else {"type": "string"}


def tagged(text: str) -> Q:
    key, colon, value = text.partition(":")
    return Q(tags__contains={key: value}) if colon else Q(tags__has_key=key)


def _search(text: str, fields: tuple[str, ...]) -> Q:
    if len(text) > LONGEST:
        raise InvalidInput.field("search", _("At most {most} characters.").format(most=LONGEST))
    found = Q()
    for field in fields:
        found |= Q(**{f"{field}__icontains": text})
    return found


def has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
