"""Keyset pages: `?limit=&cursor=`, stable while rows come and go, exact with equal sort values (the id decides).

The cursor holds the ordering, the direction and the last row's sort value and id; it is no secret and grants nothing.
"""
import base64
import json
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from portal.kernel.errors import InvalidInput
from portal.kernel.planning import planned_by_values

from .parsing import is_storable

DEFAULT_LIMIT, MOST = 50, 500


@dataclass(frozen=True)
class Cursor:
    """Where a page starts: after (or, when `back`, before) the row with this sort value and id."""

    ordering: str
    back: bool
    value: Any
    pk: Any

    def text(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, (datetime, date)) else self.value
        value = value if isinstance(value, (int, str)) else str(value)
        packed = json.dumps([self.ordering, self.back, value, str(self.pk)])
        return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")

    @classmethod
    def read(cls, text: str, ordering: str, queryset: QuerySet) -> "Cursor":
        """Raises InvalidInput unless the text is a cursor of this list in this ordering."""
        meta = queryset.model._meta
        try:
            packed = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            made_for, back, value, pk = packed
            if made_for != ordering or not isinstance(back, bool) or not is_storable(f"{value}{pk}"):
                raise ValueError(text)
            return cls(ordering, back, _convert(meta.get_field(ordering.lstrip("-")), value), _convert(meta.pk, pk))
        except (ValueError, TypeError, OverflowError, ValidationError, RecursionError) as error:
            raise InvalidInput.field("cursor", _("This is no cursor of this list in this ordering.")) from error


def _convert(field: Field, value: Any) -> Any:
    field = getattr(field, "target_field", field)
    field = getattr(field, "output_field", field)  # a generated column converts as what it holds
    converted = field.to_python(value)
    if converted is None:
        raise ValueError(value)
    # PostgreSQL knows fewer offsets than Python.
    return converted.astimezone(UTC) if isinstance(converted, datetime) and converted.tzinfo else converted


class KeysetPagination(BasePagination):
    """`{"next", "previous", "results"}`; the view's `ordering_of(request)` names the one sort field."""

    def paginate_queryset(self, queryset: QuerySet, request: Request, view: Any = None) -> list:
        self.request, self.limit = request, limit_of(request)
        self.ordering = view.ordering_of(request)
        self.field = self.ordering.lstrip("-")
        text = request.query_params.get("cursor")
        cursor = Cursor.read(text, self.ordering, queryset) if text is not None else None
        self.back = bool(cursor and cursor.back)
        descending = self.ordering.startswith("-") != self.back
        if cursor:
            queryset = queryset.filter(self._beyond(cursor, descending))
        sign = "-" if descending else ""
        # What is not filtered is what everybody asks: that plan is kept.
        is_filtered = request.query_params.keys() - {"limit", "cursor", "ordering"}
        with planned_by_values() if is_filtered else nullcontext():
            rows = list(queryset.order_by(sign + self.field, f"{sign}pk")[: self.limit + 1])
        self.more, rows = len(rows) > self.limit, rows[: self.limit]
        self.rows = rows[::-1] if self.back else rows
        self.has_next = self.more if not self.back else True
        self.has_previous = self.more if self.back else cursor is not None
        return self.rows

    def _beyond(self, cursor: Cursor, descending: bool) -> Q:
        side = "lt" if descending else "gt"
        # The first condition alone is implied by the second; it lets PostgreSQL use the index.
        return Q(**{f"{self.field}__{side}e": cursor.value}) & (
            Q(**{f"{self.field}__{side}": cursor.value}) | Q(**{f"pk__{side}": cursor.pk}))

    def get_paginated_response(self, data: list) -> Response:
        return Response({"next": self._link(self.rows[-1:], False) if self.has_next else None,
                         "previous": self._link(self.rows[:1], True) if self.has_previous else None, "results": data})

    def _link(self, edge: list, back: bool) -> str | None:
        if not edge:
            return None
        cursor = Cursor(self.ordering, back, getattr(edge[0], self.field), edge[0].pk)
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor.text())

    def get_paginated_response_schema(self, schema: dict) -> dict:
        link = {"type": ["string", "null"], "format": "uri"}
        return {"type": "object", "required": ["next", "previous", "results"],
                "properties": {"next": link, "previous": link, "results": schema}}

    def get_schema_operation_parameters(self, view: Any) -> list[dict]:
        return [{"name": "limit", "in": "query", "required": False, "description": "Rows on a page.",
                 "schema": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}},
                {"name": "cursor", "in": "query", "required": False, "description": "From `next` or `previous`.",
                 "schema": {"type": "string"}}]


def limit_of(request: Request) -> int:
    """`?limit=`; raises InvalidInput unless 1 … 500."""
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MOST):
        raise InvalidInput.field("limit", _("A number from 1 to {most}.").format(most=MOST))
    return int(text)
