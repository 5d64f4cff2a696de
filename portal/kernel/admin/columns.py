"""Columns as people read them: states as coloured words, sizes with units, kinds by their names."""
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.http import HttpRequest
from django.utils import formats
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display

from portal.kernel.admin.bases import id_in
from portal.kernel.declarations import registry
from portal.kernel.operations import kinds

RESULTS = {"ok": _("Done"), "refused": _("Refused")}
TYPES = {"ok": "success", "busy": "info", "warn": "warning", "bad": "danger", "off": "default"}


def toned(field: str = "state", *, description: Any = None, tones: Mapping[Any, str] | None = None) -> Callable:
    """A column: the field's word in the colour of its tone (the model's own `TONES` when not given)."""
    @display(description=description or _("state"), ordering=field, label=TYPES)
    def column(_admin: Any, row: Any) -> tuple[str, str] | str:
        value = getattr(row, field)
        label = getattr(row, f"get_{field}_display", lambda: value)()
        return ((row.TONES if tones is None else tones).get(value, "off"), str(label)) if label else ""
    return column


def sized(field: str, *, description: Any, unit: int = 1) -> Callable:
    """A column: so many bytes (or `unit` bytes each) in the unit that people would say."""
    @display(description=description, ordering=field)
    def column(_admin: Any, row: Any) -> str:
        return size_text(getattr(row, field) * unit)
    return column


def size_text(size: float) -> str:
    """Bytes in words: 512 MiB, 23.5 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{_rounded(size)} {unit}"
        size /= 1024
    return f"{_rounded(size)} TiB"


def _rounded(number: float) -> str:
    return formats.number_format(round(number, 1) if number % 1 else int(number))


def resource_kind(name: str) -> str:
    declared = registry.kinds.get(name)
    return str(declared.label) if declared else name


def operation_kind(name: str) -> str:
    declared = kinds.get(name)
    return str(declared.label) if declared else name


class OneOf(DropdownFilter):
    """A filter whose choices are known without asking the table, which would read all of it."""

    declared: ClassVar[Mapping[str, Any]] = {}
    """What the rooms have declared: value → something with a label."""

    @classmethod
    def words(cls) -> Mapping[str, Any]:
        return {name: one.label for name, one in cls.declared.items()}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return sorted(self.words().items(), key=lambda pair: str(pair[1]))

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(**{self.parameter_name: self.value()}) if self.value() else queryset


class ResourceKindFilter(OneOf):
    title, parameter_name, declared = _("kind"), "kind", registry.kinds


class OperationKindFilter(OneOf):
    title, parameter_name, declared = _("kind"), "kind", kinds


class MeterFilter(OneOf):
    title, parameter_name, declared = _("meter"), "meter", registry.meters


class TargetFilter(OneOf):
    title, parameter_name, declared = _("what was changed"), "target_type", registry.kinds


class ResultFilter(OneOf):
    title, parameter_name = _("result"), "result"

    @classmethod
    def words(cls) -> Mapping[str, Any]:
        return RESULTS


class LiveFilter(DropdownFilter):
    """Resources outlive their deletion; those that are there are shown unless somebody asks for others, or for an id."""

    title, parameter_name = _("deleted"), "deleted"
    all_option = ["", _("Not deleted")]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Deleted")), ("any", _("All"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "any" or id_in(request.GET.get("q", "")) is not None:
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() != "yes")
