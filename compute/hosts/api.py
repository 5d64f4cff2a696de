"""REST of hosts: administrators only; for everybody else these routes do not exist."""
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.hosts import operations
from compute.hosts.models import Host
from portal.kernel.rest.serializers import StrictSerializer
from portal.kernel.rest.views import STAFF, Fetched, Listed, RoomViewSet


class HostSerializer(serializers.ModelSerializer):
    region = serializers.UUIDField(source="region_id", read_only=True)
    zone = serializers.UUIDField(source="zone_id", read_only=True)
    id = serializers.UUIDField(source="pk", read_only=True)

    class Meta:
        model = Host
        fields = ("id", "name", "region", "zone", "state", "state_reason", "health", "health_reason", "last_seen_at",
                  "is_in_maintenance", "hostname", "architecture", "hypervisor", "is_accelerated", "vcpus", "memory_mib",
                  "created_at")
        read_only_fields = fields


class MaintenanceSerializer(StrictSerializer):
    enabled = serializers.BooleanField()


class HostViewSet(Listed, Fetched, RoomViewSet):
    """Machines that run instances."""

    queryset = Host.objects.select_related("endpoint")
    serializer_class = HostSerializer
    permissions = {"list": STAFF, "retrieve": STAFF, "maintenance": STAFF}
    bodies = {"maintenance": MaintenanceSerializer}
    answers = {"maintenance": (200, HostSerializer)}
    filters = {"state": "state", "health": "health", "zone": "zone_id"}
    ordering, ordering_fields = "name", ("name", "created_at")

    @action(detail=True, methods=["post"])
    def maintenance(self, request: Request, pk: str) -> Response:
        """Whether the host takes new instances."""
        operations.set_maintenance(self.target, self.read_body()["enabled"], actor=request.user)
        return self.shown(self.fetch(pk))
