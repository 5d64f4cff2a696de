"""REST of hosts: administrators only; for everybody else these routes do not exist. Adding one is storage's."""
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from compute.hosts import operations
from compute.hosts.models import CLAIMED, Host
from portal.kernel.rest.serializers import StrictSerializer
from portal.kernel.rest.views import STAFF, Fetched, Listed, RoomViewSet, accepted


class AmountsSerializer(serializers.Serializer):
    """Of each class that can be claimed."""

    example = {"vcpu": 64, "memory_mib": 253952}

    vcpu = serializers.IntegerField()
    memory_mib = serializers.IntegerField()


class HostSerializer(serializers.ModelSerializer):
    """Needs `with_claims()`."""

    example = {"name": "rack-1", "address": "qemu+ssh://root@10.99.7.11/system", "state_reason": "", "health_reason": "",
               "advice": [], "versions": {"libvirt": "9.0.0"}, "traits": ["uefi", "uefi-secure"],
               "is_in_maintenance": False, "vcpus": 64, "memory_mib": 262144,
               "vcpu_ratio": "4.00"}

    region = serializers.UUIDField(source="region_id", read_only=True)
    zone = serializers.UUIDField(source="zone_id", read_only=True)
    id = serializers.UUIDField(source="pk", read_only=True)
    address = serializers.CharField(source="endpoint.uri", read_only=True)
    host_key = serializers.CharField(source="endpoint.host_key_fingerprint", read_only=True)
    state_reason = serializers.CharField(read_only=True)
    health_reason = serializers.CharField(source="health_text", read_only=True)
    advice = serializers.ListField(source="advice_texts", child=serializers.CharField(), read_only=True)
    versions = serializers.DictField(child=serializers.CharField(), read_only=True)
    traits = serializers.ListField(child=serializers.CharField(), read_only=True, help_text=(
        "Which classes of virtual hardware it can give, beside what every host can."))
    capacity = AmountsSerializer(read_only=True)
    claimed = serializers.SerializerMethodField()

    class Meta:
        model = Host
        fields = ("id", "name", "region", "zone", "address", "host_key", "state", "state_reason", "advice", "health",
                  "health_reason", "last_seen_at", "is_in_maintenance", "hostname", "architecture", "hypervisor", "versions",
                  "traits", "is_accelerated", "vcpus", "memory_mib", "reserved_memory_mib", "vcpu_ratio", "capacity", "claimed",
                  "chassis", "is_gateway", "created_at")
        read_only_fields = fields

    @extend_schema_field(AmountsSerializer)
    def get_claimed(self, host: Host) -> dict[str, int]:
        return {name: getattr(host, f"claimed_{name}") for name in CLAIMED}


class MaintenanceSerializer(StrictSerializer):
    """Whether the host is in maintenance from now on."""

    enabled = serializers.BooleanField()


class HostViewSet(Listed, Fetched, RoomViewSet):
    """Machines that run instances."""

    queryset = Host.objects.select_related("endpoint")
    serializer_class = HostSerializer
    permissions = {"list": STAFF, "retrieve": STAFF, "maintenance": STAFF, "prepare": STAFF}
    bodies = {"maintenance": MaintenanceSerializer}
    answers = {"maintenance": (200, HostSerializer)}
    filters = {"state": "state", "health": "health", "zone": "zone_id"}
    ordering, ordering_fields = "name", ("name", "created_at")

    def get_queryset(self) -> QuerySet[Host]:
        return super().get_queryset().with_claims()

    @action(detail=True, methods=["post"])
    def maintenance(self, request: Request, pk: str) -> Response:
        """Whether the host takes new instances."""
        operations.set_maintenance(self.target, self.read_body()["enabled"], actor=request.user)
        return self.shown(self.fetch(pk))

    @action(detail=True, methods=["post"], url_path="actions/prepare")
    def prepare(self, request: Request, pk: str) -> Response:
        """Find out again what the host is, and make it ready."""
        return accepted(operations.prepare_host(self.target, actor=request.user), request)
