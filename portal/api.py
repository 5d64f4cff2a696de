"""REST of what joins all rooms: search, and the notifications of the caller."""
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from portal import notifications
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Operation, Resource
from portal.kernel.rest.serializers import OperationSerializer
from portal.kernel.rest.views import SIGNED_IN, RoomViewSet
from portal.search import LIMIT, MOST, Found, find

NEWEST = 100


class FoundSerializer(serializers.Serializer):
    """One resource that fits: `address` says which one was asked for when it fits by that."""

    example = {"kind": "instance", "name": "web-1", "project_name": "shop", "address": "",
               "url": "/instances/5f0c2c1e-5f4e-4f0e-9a43-3f8d6a1b2c3d/",
               "api": "/api/v1/instances/5f0c2c1e-5f4e-4f0e-9a43-3f8d6a1b2c3d/"}
    kind = serializers.CharField(source="kind.name")
    id = serializers.UUIDField()
    name = serializers.CharField()
    project = serializers.UUIDField(source="project_id")
    project_name = serializers.CharField()
    address = serializers.CharField()
    url = serializers.CharField()
    api = serializers.CharField()


class FindingsSerializer(serializers.Serializer):
    """The best matches first."""

    results = FoundSerializer(many=True)


class SearchViewSet(RoomViewSet):
    """Every kind of resource at once: by parts of its name, the beginning of its id, or an address."""

    queryset = Resource.objects.none()
    serializer_class = FindingsSerializer
    permissions = {"find": SIGNED_IN}
    answers = {"find": (200, FindingsSerializer)}
    query_parameters = {"find": ("q", "limit")}

    def find(self, request: Request) -> Response:
        """What the caller may see of the kinds whose permission they hold; `?q=`, `?limit=` (12; at most 50)."""
        found: list[Found] = find(request.user, request.query_params.get("q", ""), self._limit(request))
        return Response(FindingsSerializer({"results": found}).data)

    def _limit(self, request: Request) -> int:
        text: str = request.query_params.get("limit", str(LIMIT))
        if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MOST):
            raise InvalidInput.field("limit", _("A number from 1 to {most}.").format(most=MOST))
        return int(text)


class NotificationSerializer(serializers.Serializer):
    """An operation that ended or needs somebody, when, and whether it came after the caller last read them."""

    at = serializers.DateTimeField()
    unread = serializers.BooleanField()
    operation = OperationSerializer()


class NotificationsSerializer(serializers.Serializer):
    """How many are new, and the newest first."""

    unread = serializers.IntegerField()
    results = NotificationSerializer(many=True)


class NotificationViewSet(RoomViewSet):
    """What became of the caller's operations and what failed in their projects, of the last 30 days."""

    queryset = Operation.objects.none()
    serializer_class = NotificationsSerializer
    bodies: Any = {}
    # Their own, of what they may see: a key without `operation.view` is told of nothing.
    permissions = {"newest": SIGNED_IN, "read": SIGNED_IN}
    answers = {"newest": (200, NotificationsSerializer), "read": (200, NotificationsSerializer)}

    def newest(self, request: Request) -> Response:
        """The newest 100."""
        return self._shown(request)

    def read(self, request: Request) -> Response:
        """Mark all of them as read."""
        notifications.mark_seen(request.user)
        return self._shown(request)

    def _shown(self, request: Request) -> Response:
        seen = notifications.seen_until(request.user)
        rows = notifications.notifications(request.user).select_related("target")[:NEWEST]
        return Response(NotificationsSerializer({
            "unread": notifications.activity(request.user).unread,
            "results": [{"at": row.at, "unread": row.at > seen, "operation": row} for row in rows]},
            context=self.get_serializer_context()).data)
