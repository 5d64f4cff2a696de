"""Choosing a row by its key: a form that came back with nonsense for a key is shown again, with its error, not broken."""
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest


class KnownKeys(AutocompleteSelect):
    """Django's own looks up whatever was sent as the chosen key, and fails at what cannot be one.

    `known` has labels by key that need not be looked up: those of all rows of a table.
    """

    known: Mapping[str, str] = MappingProxyType({})

    def optgroups(self, name: str, value: list[str], attr: Any = None) -> list:
        if len(value) == 1 and value[0] and value[0] in self.known:
            chosen = self.create_option(name, value[0], self.known[value[0]], True, 0)
            return [(None, [chosen] if self.is_required else [self.create_option(name, "", "", False, 0), chosen], 0)]
        return super().optgroups(name, [key for key in value if not key or self._may_be_a_key(key)], attr)

    def _may_be_a_key(self, key: str) -> bool:
        try:
            self.field.target_field.to_python(key)
        except ValidationError:
            return False
        return "\0" not in key


class AsksForKeys:
    """For pages and for the tables in them."""

    def formfield_for_foreignkey(self, db_field: models.ForeignKey, request: HttpRequest, **kwargs: Any) -> Any:
        if "widget" not in kwargs and db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = KnownKeys(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
