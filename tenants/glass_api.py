"""REST of emergency accesses: operators open and end them; tenants see those to what is theirs."""
from datetime import timedelta

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.rest.serializers import StrictSerializer, VisibleField
from portal.kernel.rest.views import STAFF, Fetched, Listed, RoomViewSet
from tenants import glass
from tenants.models import BreakGlass, Organization, Project

MOST_MINUTES = glass.LONGEST // timedelta(minutes=1)


class BreakGlassSerializer(serializers.ModelSerializer):
    """Which operator may act where, why and until when. Without a project: in the whole organization."""

    example = {"operator": "root", "reason": "Ticket 4711: the console stays black", "project": None, "ended_at": None}
    operator = serializers.CharField(source="operator.username", read_only=True)
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)

    class Meta:
        model = BreakGlass
        fields = ("id", "operator", "organization", "project", "reason", "started_at", "expires_at", "ended_at")
        read_only_fields = fields


class OpenSerializer(StrictSerializer):
    """`project` takes those below it in, too; the reason is read by the tenant."""

    example = {"reason": "Ticket 4711: the console stays black", "minutes": 60}
    organization = VisibleField(Organization)
    project = VisibleField(Project, required=False, allow_null=True)
    reason = serializers.CharField(max_length=300)
    minutes = serializers.IntegerField(min_value=1, max_value=MOST_MINUTES)


class BreakGlassViewSet(Listed, Fetched, RoomViewSet):
    """Emergency accesses of operators to what belongs to tenants."""

    queryset = BreakGlass.objects.select_related("operator")
    serializer_class = BreakGlassSerializer
    bodies = {"create": OpenSerializer}
    answers = {"create": (201, BreakGlassSerializer), "end": (200, BreakGlassSerializer)}
    permissions = {"list": "audit.view", "retrieve": "audit.view", "create": STAFF, "end": STAFF}
    filters = {"organization": "organization_id"}
    search_fields = ("reason",)
    ordering, ordering_fields = "-started_at", ("started_at",)

    def create(self, request: Request) -> Response:
        """Open one for the caller, for at most four hours (superusers). The tenant is told."""
        values = self.read_body()
        duration = timedelta(minutes=values.pop("minutes"))
        return self.shown(glass.break_glass(**values, duration=duration, actor=request.user), status=201)

    @action(detail=True, methods=["post"], url_path="actions/end")
    def end(self, request: Request, pk: str) -> Response:
        """Before its time (superusers)."""
        return self.shown(glass.end(self.target, actor=request.user))
