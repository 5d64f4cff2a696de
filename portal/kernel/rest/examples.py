"""Examples for the schema, made of what serializers declare: every body and answer has one, and none rots.

A serializer says what its type alone does not: `example = {"cidr": "10.0.0.0/24"}` (subclasses add to it; None leaves an
optional field of a body out). Examples of bodies carry the required fields and those named there.
"""
import uuid
from typing import Any

from drf_spectacular.drainage import get_override
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers

SPACE = uuid.UUID("5f1c3c2e-7a0b-4b57-9a52-0d6c1c1d4e4a")
MOMENT = "2026-11-01T08:00:00Z"
TEXTS = {"name": "web-1", "description": "Front of the shop", "username": "mei", "first_name": "Mei", "last_name": "Lin",
         "email": "mei@example.org", "os": "debian-12", "slug": "small", "mac": "fa:16:3e:5a:01:02", "amount": "12.34",
         "currency": "CNY", "detail": "What happened, as a sentence."}


def id_of(name: str) -> str:
    """The same id for the same name in every example."""
    return str(uuid.uuid5(SPACE, name.rstrip("s")))


def example_of(serializer: Any, direction: str) -> Any:
    """What `direction` ("request" or "response") carries: of a serializer, its class, or a list of them."""
    serializer = serializer() if isinstance(serializer, type) else serializer
    if isinstance(serializer, serializers.ListSerializer):
        return [example_of(serializer.child, direction)]
    declared = _declared(type(serializer))
    found = {}
    for name, field in serializer.fields.items():
        if field.read_only if direction == "request" else field.write_only:
            continue
        if direction == "request" and not field.required and name not in declared:
            continue
        if name in declared:
            if direction == "response" or declared[name] is not None:
                found[name] = declared[name]
        else:
            found[name] = value_of(name, field, serializer, direction)
    return found


def _declared(kind: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in reversed(kind.__mro__):
        found |= vars(one).get("example", {})
    return found


def value_of(name: str, field: Any, serializer: Any, direction: str) -> Any:
    """Of one field, from its declaration."""
    if isinstance(field, (serializers.BaseSerializer,)):
        return example_of(field, direction)
    if isinstance(field, serializers.ListField):
        return [value_of(name, field.child, serializer, direction)]
    if isinstance(field, serializers.DictField):
        return {}
    if isinstance(field, serializers.SerializerMethodField):
        return _of_override(name, get_override(getattr(serializer, field.method_name), "field"), direction)
    override = get_override(field, "field")
    return _of_type(name, field) if override is None else _of_override(name, override, direction)


def _of_type(name: str, field: Any) -> Any:
    match field:
        case serializers.UUIDField() | serializers.PrimaryKeyRelatedField():
            return id_of(name)
        case serializers.DateTimeField():
            return MOMENT
        case serializers.DateField():
            return MOMENT[:10]
        case serializers.BooleanField():
            return True
        case serializers.ChoiceField():
            return next(iter(field.choices))
        case serializers.IntegerField():
            return 1
        case serializers.FloatField():
            return 1.0
        case serializers.IPAddressField():
            return "198.51.100.7"
        case serializers.JSONField():
            return {}
    return TEXTS.get(name, name)


def _of_override(name: str, override: Any, direction: str) -> Any:
    if override is OpenApiTypes.UUID:
        return id_of(name)
    if isinstance(override, dict):
        return _of_schema(name, override)
    if isinstance(override, (serializers.BaseSerializer, type)) and hasattr(override, "to_representation"):
        is_serializer = isinstance(override, serializers.BaseSerializer) or issubclass(override, serializers.BaseSerializer)
        return example_of(override, direction) if is_serializer else value_of(name, override, None, direction)
    return TEXTS.get(name, name)


def _of_schema(name: str, schema: dict[str, Any]) -> Any:
    if "example" in schema:
        return schema["example"]
    kinds = schema.get("type")
    kind = kinds[0] if isinstance(kinds, list) else kinds
    if kind == "object":
        return {"env": "prod"} if name == "tags" else {}
    known = {"array": [], "integer": 1, "number": 1.0, "boolean": True, "null": None}
    formats = {"uuid": id_of(name), "ipv4": "10.0.0.5", "date-time": MOMENT}
    return known[kind] if kind in known else formats.get(schema.get("format", ""), TEXTS.get(name, name))
