"""REST of quotas: usage and limits of projects and organizations, setting them, asking for more."""
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from portal.kernel.errors import QuotaExceeded, StateConflict
from portal.kernel.models import Region
from portal.kernel.rest.serializers import QuotaLineSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import Fetched, Listed, RoomViewSet
from tenants import quota_requests
from tenants.errors import AlreadyAsked
from tenants.limits import LARGEST, Limit, own_lines, set_limits
from tenants.models import Organization, Project, QuotaRequest
from tenants.people_api import one_of
from tenants.quotas import lines


class LimitSerializer(StrictSerializer):
    """One limit; null is unlimited. `default` true: none of its own, and of an organization what its plan says."""

    example = {"resource": "instances", "limit": 20}
    region = VisibleField(Region, required=False, allow_null=True)
    resource = serializers.CharField(max_length=60)
    limit = serializers.IntegerField(min_value=0, max_value=LARGEST, allow_null=True, required=False)
    default = serializers.BooleanField(required=False)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if not values.get("default") and "limit" not in values:
            raise serializers.ValidationError({"limit": self.fields["limit"].error_messages["required"]})
        return values


class ChangeQuotasSerializer(StrictSerializer):
    limits = LimitSerializer(many=True, max_length=200)


class RegionQuotasSerializer(serializers.Serializer):
    """Without a region: what is counted once for all of them."""

    region = serializers.UUIDField(allow_null=True)
    lines = QuotaLineSerializer(many=True)


class QuotasSerializer(serializers.Serializer):
    results = RegionQuotasSerializer(many=True)


class HasQuotas:
    """GET and PUT of `quotas/`, for a viewset of projects or organizations."""

    @action(detail=True, methods=["get"], url_path="quotas")
    def quotas(self, request: Request, pk: str) -> Response:
        """Usage and limits in every region; of a project also of what stands above it."""
        return Response(self._quotas())

    @quotas.mapping.put
    def change_quotas(self, request: Request, pk: str) -> Response:
        """Set its own limits: a project's by whoever manages what stands above it, an organization's by superusers. One below
        what is used is taken: nothing new is made until there is room."""
        wanted = [Limit(resource=one["resource"], region=one.get("region"), limit=one.get("limit"),
                        is_default=one.get("default", False)) for one in self.read_body()["limits"]]
        set_limits(self.target, wanted, actor=request.user)
        return Response(self._quotas())

    def _quotas(self) -> dict[str, Any]:
        read = lines if isinstance(self.target, Project) else own_lines
        found = [(region, read(self.target, region)) for region in (*Region.objects.order_by("name"), None)]
        return QuotasSerializer({"results": [{"region": region and region.pk, "lines": of} for region, of in found]}).data


class QuotaRequestSerializer(serializers.ModelSerializer):
    """Somebody asks that the limit of a project, or (without one) of the organization be `wanted`."""

    example = {"resource": "instances", "wanted": 40, "reason": "The winter sale", "state": "open", "granted": None,
               "decided_by": None, "decided_at": None, "answer": ""}
    organization = serializers.UUIDField(source="organization_id", read_only=True)
    project = serializers.UUIDField(source="project_id", read_only=True, allow_null=True)
    region = serializers.UUIDField(source="region_id", read_only=True, allow_null=True)
    resource = serializers.CharField(source="dimension", read_only=True)
    requested_by = serializers.UUIDField(source="requested_by_id", read_only=True)
    decided_by = serializers.UUIDField(source="decided_by_id", read_only=True, allow_null=True)

    class Meta:
        model = QuotaRequest
        fields = ("id", "organization", "project", "region", "resource", "wanted", "reason", "state", "requested_by",
                  "decided_by", "granted", "answer", "created_at", "decided_at")
        read_only_fields = fields


class CreateQuotaRequestSerializer(StrictSerializer):
    """For one of `project` and `organization`."""

    example = {"resource": "instances", "wanted": 40, "reason": "The winter sale"}
    project = VisibleField(Project, required=False, allow_null=True)
    organization = VisibleField(Organization, required=False, allow_null=True)
    region = VisibleField(Region, required=False, allow_null=True)
    resource = serializers.CharField(max_length=60)
    wanted = serializers.IntegerField(min_value=1, max_value=LARGEST)
    reason = serializers.CharField(max_length=500)


class GrantSerializer(StrictSerializer):
    """`granted`: another limit than is wanted."""

    example = {"granted": 30, "answer": "30 for now"}
    granted = serializers.IntegerField(min_value=1, max_value=LARGEST, required=False)
    answer = serializers.CharField(max_length=500, required=False, allow_blank=True)


class RefuseSerializer(StrictSerializer):
    example = {"answer": "The winter sale is over."}
    answer = serializers.CharField(max_length=500)


class QuotaRequestViewSet(Listed, Fetched, RoomViewSet):
    """Requests for higher limits, of the projects and organizations that the caller sees."""

    queryset = QuotaRequest.objects.select_related("organization", "project__organization", "project__parent", "region")
    serializer_class = QuotaRequestSerializer
    bodies = {"create": CreateQuotaRequestSerializer, "grant": GrantSerializer, "refuse": RefuseSerializer}
    answers = {"create": (201, QuotaRequestSerializer), "grant": (200, QuotaRequestSerializer),
               "refuse": (200, QuotaRequestSerializer), "withdraw": (200, QuotaRequestSerializer)}
    errors = {"create": (AlreadyAsked, QuotaExceeded), "grant": (StateConflict,), "refuse": (StateConflict,),
              "withdraw": (StateConflict,)}
    permissions = {"list": "project.view", "retrieve": "project.view", "create": quota_requests.ASK, "grant": "project.manage",
                   "refuse": "project.manage", "withdraw": quota_requests.ASK}
    filters = {"organization": "organization_id", "state": "state", "resource": "dimension"}
    ordering_fields = ("created_at",)

    def create(self, request: Request) -> Response:
        """Ask for more than the limit of now. One request for each limit may be open."""
        values = self.read_body()
        scope = one_of(values, "project", "organization")
        return self.shown(quota_requests.ask(
            scope, values["resource"], region=values.get("region"), wanted=values["wanted"], reason=values["reason"],
            actor=request.user), status=201)

    @action(detail=True, methods=["post"], url_path="actions/grant")
    def grant(self, request: Request, pk: str) -> Response:
        """Set the limit: for a project by whoever manages what stands above it, for an organization by superusers."""
        return self.shown(quota_requests.grant(self.target, **self.read_body(), actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/refuse")
    def refuse(self, request: Request, pk: str) -> Response:
        """Leave the limit as it is, and say why."""
        return self.shown(quota_requests.refuse(self.target, **self.read_body(), actor=request.user))

    @action(detail=True, methods=["post"], url_path="actions/withdraw")
    def withdraw(self, request: Request, pk: str) -> Response:
        """Not wanted any more, says whoever may ask there."""
        return self.shown(quota_requests.withdraw(self.target, actor=request.user))
