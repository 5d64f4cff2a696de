"""What the viewsets of networks share: PATCH, rows as they are stored, filters by states that no column holds, locks."""
from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.db import models
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from compute.network.models import Vpc
from portal.kernel.describing import update_resource
from portal.kernel.errors import InvalidInput
from portal.kernel.guards import hold
from portal.kernel.rest.filters import MOST_VALUES, DeclaredFilters
from portal.kernel.rest.serializers import RenameSerializer
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet


class NetworkFilters(DeclaredFilters):
    """The view's `conditions` beside its `filters`."""

    def filter_queryset(self, request: Request, queryset: QuerySet, view: Any) -> QuerySet:
        queryset = super().filter_queryset(request, queryset, view)
        for name, choices in view.conditions.items():
            wanted = Q()
            for text in request.query_params.getlist(name)[:MOST_VALUES]:
                if text not in choices:
                    raise InvalidInput.field(name, _("Not one of: {choices}.").format(choices=", ".join(choices)))
                wanted |= choices[text]
            queryset = queryset.filter(wanted)
        return queryset

    def get_schema_operation_parameters(self, view: Any) -> list[dict]:
        return [*super().get_schema_operation_parameters(view), *(
            {"name": name, "in": "query", "required": False, "schema": {"type": "string", "enum": list(choices)}}
            for name, choices in view.conditions.items())]


class NetworkViewSet(Listed, Fetched, RoomViewSet):
    """Creates answer 201 and deletes 204: rows change at once, the fabric follows."""

    conditions: ClassVar[Mapping[str, Mapping[str, Q]]] = {}
    """parameter → value → which rows it is true of."""
    filter_backends = (NetworkFilters,)
    bodies = {"partial_update": RenameSerializer}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name")

    def allowed_query(self) -> set[str]:
        return super().allowed_query() | (set(self.conditions) if self.action == "list" else set())

    def partial_update(self, request: Request, pk: str) -> Response:
        """Rename, describe, tag."""
        changes = self.read_body()
        if not changes:
            raise InvalidInput.field("name", _("Nothing to change."))
        self.change(changes)
        return self.shown(self.stored(self.target))

    def change(self, changes: dict[str, Any]) -> None:
        update_resource(self.target, actor=self.request.user, **changes)

    def stored(self, row: models.Model) -> models.Model:
        """The row with its version as it is now, and all that its representation reads."""
        return self.queryset.all().get(pk=row.pk)

    def created(self, row: models.Model) -> Response:
        return self.shown(self.stored(row), 201)

    def vpc_of(self, row: Any) -> UUID | None:
        """Whose row the verbs lock before this one's."""
        return None

    def domain_of(self, row: Any) -> UUID | None:
        """Whose guards the verbs ask before that."""
        return None

    def matched(self, request: Request, target: Any) -> Any:
        """As everywhere, with the locks of the verbs taken first and in their order, so that nobody waits in a circle."""
        if "If-Match" in request.headers:
            hold(self.domain_of(target))
            vpc_id = self.vpc_of(target)
            if vpc_id is not None:
                Vpc.objects.select_for_update(of=("self",), no_key=True).get(pk=vpc_id)
            type(target).objects.select_for_update(of=("self",), no_key=True).get(pk=target.pk)
        return super().matched(request, target)
