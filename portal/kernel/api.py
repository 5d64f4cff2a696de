"""REST of the kernel's own rows: regions, zones, operations, audit."""
import time
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent, Operation, Region, Zone
from portal.kernel.models.audit import about
from portal.kernel.operations import request_cancel
from portal.kernel.operations.submit import retry_now
from portal.kernel.rest.filters import LONGEST, moment
from portal.kernel.rest.serializers import OperationSerializer
from portal.kernel.rest.views import SIGNED_IN, STAFF, Fetched, Listed, RoomViewSet, accepted

LONGEST_WAIT_S = 60
LOOK_EVERY_S = 0.25


class RegionSerializer(serializers.ModelSerializer):
    example = {"slug": "north", "name": "North"}

    class Meta:
        model = Region
        fields = ("id", "slug", "name", "is_open")
        read_only_fields = fields


class ZoneSerializer(serializers.ModelSerializer):
    example = {"slug": "north-a", "name": "North A"}
    region = serializers.UUIDField(source="region_id", read_only=True)

    class Meta:
        model = Zone
        fields = ("id", "region", "slug", "name", "is_open")
        read_only_fields = fields


class AuditEventSerializer(serializers.ModelSerializer):
    """Who did what to what, from where. `sequence` and `hash` are its place in the chain of its organization, seconds later."""

    example = {"action": "instance.update", "address": "203.0.113.7", "route": "PATCH /api/v1/instances/<pk>/",
               "target_type": "instance", "target_name": "web-1", "before": {"name": "web"}, "after": {"name": "web-1"},
               "result": "ok", "operation": None, "on_behalf_of": None, "sequence": 1204,
               "hash": "a1cf5f2a4f3c1cd0c1a9a1a7ed1a5b0a3a0f9d1b6f9c9e1f5f0f9c1c5a4be7d1"}
    reads = {"hash": ("hash",)}
    organization = serializers.UUIDField(source="organization_id", read_only=True, allow_null=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    actor = serializers.UUIDField(source="actor_id", read_only=True, allow_null=True)
    on_behalf_of = serializers.UUIDField(source="on_behalf_of_id", read_only=True, allow_null=True)
    operation = serializers.UUIDField(source="operation_id", read_only=True, allow_null=True)
    hash = serializers.SerializerMethodField()
    before = serializers.DictField(read_only=True, allow_null=True)
    after = serializers.DictField(read_only=True, allow_null=True)

    class Meta:
        model = AuditEvent
        fields = ("id", "at", "organization", "project", "actor", "on_behalf_of", "api_key", "address", "request_id", "route",
                  "action", "target_type", "target_id", "target_name", "before", "after", "result", "operation", "sequence",
                  "hash")
        read_only_fields = fields

    def get_hash(self, event: Any) -> str | None:
        return bytes(event.hash).hex() if event.hash else None


class RegionViewSet(Listed, Fetched, RoomViewSet):
    """Catalogue: where resources can be made."""

    queryset = Region.objects.all()
    serializer_class = RegionSerializer
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN}
    filters = {"slug": "slug", "is_open": "is_open"}
    ordering, ordering_fields = "name", ("name", "slug")


class ZoneViewSet(Listed, Fetched, RoomViewSet):
    """Catalogue: the parts of a region that fail on their own."""

    queryset = Zone.objects.all()
    serializer_class = ZoneSerializer
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN}
    filters = {"slug": "slug", "is_open": "is_open"}
    ordering, ordering_fields = "name", ("name", "slug")


class OperationViewSet(Listed, Fetched, RoomViewSet):
    """Accepted work and how far it is."""

    queryset = Operation.objects.select_related("target")
    serializer_class = OperationSerializer
    permissions = {"list": "operation.view", "retrieve": "operation.view", "cancel": "operation.cancel", "retry": STAFF}
    filters = {"state": "state", "kind": "kind", "target": "target_id", "actor": "actor_id", "parent": "parent_id"}
    query_parameters = {"retrieve": ("wait",)}
    search_fields = ("kind",)

    def retrieve(self, request: Request, pk: str) -> Response:
        """The operation; `?wait=20` answers when it has finished, or after 20 seconds."""
        until = time.monotonic() + self._seconds(request)
        while self.target.is_live and (left := until - time.monotonic()) > 0:
            # Each look is one short query, and who only waits keeps no connection: a few hundred would be all there are.
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(min(LOOK_EVERY_S, left))
            self.target = self.fetch(pk)
        return self.shown(self.target)

    @action(detail=True, methods=["post"], url_path="actions/cancel")
    def cancel(self, request: Request, pk: str) -> Response:
        """Undo what was done so far; 409 once the operation can only go forward."""
        with transaction.atomic():
            request_cancel(self.target)
            audit.record("operation.cancel", self.target, actor=request.user, operation=self.target)
        return accepted(self.fetch(pk), request)

    @action(detail=True, methods=["post"], url_path="actions/retry")
    def retry(self, request: Request, pk: str) -> Response:
        """Try a waiting step again now instead of after its back-off (administrators)."""
        with transaction.atomic():
            retry_now(self.target)
            audit.record("operation.retry", self.target, actor=request.user, operation=self.target)
        return accepted(self.fetch(pk), request)

    def _seconds(self, request: Request) -> int:
        text: Any = request.query_params.get("wait", "0")
        if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= LONGEST_WAIT_S):
            raise InvalidInput.field("wait", _("A number from 0 to {most}.").format(most=LONGEST_WAIT_S))
        return int(text)


class AuditViewSet(Listed, Fetched, RoomViewSet):
    """The audit trail of the projects in which the caller may read it, and of organizations as a whole where they may there.

    `since` (included) and `until` (not included) are times; `search` is a part of the act or of the target's name, of less
    than three letters its beginning.
    """

    queryset = AuditEvent.objects.all()
    serializer_class = AuditEventSerializer
    permissions = {"list": "audit.view", "retrieve": "audit.view"}
    filters = {"action": "action", "actor": "actor_id", "target": "target_id", "kind": "target_type", "result": "result",
               "operation": "operation_id", "organization": "organization_id", "address": "address"}
    query_parameters = {"list": ("search", "since", "until")}
    ordering, ordering_fields = "-at", ("at",)

    def filter_queryset(self, queryset: QuerySet) -> QuerySet:
        rows = super().filter_queryset(queryset)
        if text := self.request.query_params.get("search", "").strip():
            if len(text) > LONGEST:
                raise InvalidInput.field("search", _("At most {most} characters.").format(most=LONGEST))
            rows = rows.filter(about(text))
        since, until = moment(self.request, "since"), moment(self.request, "until")
        rows = rows.filter(at__gte=since) if since else rows
        return rows.filter(at__lt=until) if until else rows
