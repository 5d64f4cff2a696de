"""REST of floating IPs and of what the operators set up for them: address pools and fabrics."""
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import affording
from billing.periods import Month
from compute.network import operations
from compute.network import traffic as counted
from compute.network.errors import AlreadyAssociated, NoPublicNetwork, PoolFull
from compute.network.models import AddressPool, Fabric, FloatingIp, Port
from portal.kernel.errors import InvalidInput, Locked
from portal.kernel.models import Region
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import DescribedSerializer, NameField, ResourceSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import SIGNED_IN, STAFF, Fetched, Listed, RoomViewSet, accepted
from portal.kernel.states import database_now
from tenants.api import VisibleProject
from tenants.quotas import REFUSALS

from .base import NetworkViewSet
from .fields import InstanceField


class FloatingIpSerializer(ResourceSerializer):
    example = {"name": "shop"}
    address = serializers.IPAddressField(read_only=True, allow_null=True, protocol="ipv4")
    pool = serializers.UUIDField(source="pool_id", read_only=True)
    port = serializers.UUIDField(source="port_id", read_only=True, allow_null=True)
    instance = serializers.UUIDField(source="port.domain", read_only=True, allow_null=True, default=None)

    class Meta(ResourceSerializer.Meta):
        model = FloatingIp
        fields = (*ResourceSerializer.Meta.fields, "state", "address", "pool", "port", "instance")
        read_only_fields = fields


class CreateFloatingIpSerializer(DescribedSerializer):
    example = {"name": "shop"}
    project = VisibleProject("floatingip.manage")
    region = VisibleField(Region)
    pool = VisibleField(AddressPool, required=False, allow_null=True)
    name = NameField(required=False)


class AssociateSerializer(StrictSerializer):
    example = {"instance": id_of("instance")}
    port = VisibleField(Port, "floatingip.associate", required=False)
    instance = InstanceField("floatingip.associate", required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len(attrs) != 1:
            raise serializers.ValidationError({"port": [_("Give either a port or an instance.")]})
        return attrs


class TrafficDaySerializer(serializers.Serializer):
    day = serializers.DateField()
    bytes_out = serializers.IntegerField()


class TrafficSerializer(serializers.Serializer):
    """What was sent to the outside in a month of UTC, in whole Ethernet frames; days without any are left out."""

    example = {"month": "2026-11", "bytes_out": 5_492_104}
    month = serializers.CharField()
    bytes_out = serializers.IntegerField()
    days = TrafficDaySerializer(many=True)


class AddressPoolSerializer(serializers.ModelSerializer):
    example = {"name": "Public", "slug": "public"}
    region = serializers.UUIDField(source="region_id", read_only=True)

    class Meta:
        model = AddressPool
        fields = ("id", "name", "slug", "region")
        read_only_fields = fields


class FabricSerializer(serializers.ModelSerializer):
    example = {"driver": "ovn", "uri": "tcp:10.99.7.2:6641", "health_reason": ""}
    id = serializers.UUIDField(source="pk", read_only=True)
    region = serializers.UUIDField(source="region_id", read_only=True)

    class Meta:
        model = Fabric
        fields = ("id", "region", "driver", "uri", "health", "health_reason", "last_seen_at")
        read_only_fields = fields


class FloatingIpViewSet(NetworkViewSet):
    """Public addresses of the project's own, pointed at one port or another."""

    queryset = FloatingIp.objects.select_related("allocation", "port")
    serializer_class = FloatingIpSerializer
    permissions = {"list": "floatingip.view", "retrieve": "floatingip.view", "create": "floatingip.manage",
                   "partial_update": "floatingip.manage", "destroy": "floatingip.manage",
                   "traffic": "floatingip.view", "associate": "floatingip.associate",
                   "disassociate": "floatingip.associate"}
    bodies = {**NetworkViewSet.bodies, "create": CreateFloatingIpSerializer, "associate": AssociateSerializer}
    answers = {"create": (201, FloatingIpSerializer), "destroy": (204, None), "traffic": (200, TrafficSerializer)}
    query_parameters = {"traffic": ("month",)}
    errors = {"create": (*REFUSALS, *affording.REFUSALS, NoPublicNetwork, PoolFull), "associate": (AlreadyAssociated, Locked),
              "disassociate": (Locked,)}
    filters = {"state": "state", "pool": "pool", "port": "port", "instance": "port__domain", "address": "allocation__address"}
    search_fields = ("name", "description", "allocation__address")

    def domain_of(self, row: FloatingIp) -> UUID | None:
        return row.port.domain if row.port else None

    def create(self, request: Request) -> Response:
        """Take a public address; called by its address unless named. Billed until it is deleted."""
        return self.created(operations.allocate_floating_ip(**self.read_body(), actor=request.user))

    def destroy(self, request: Request, pk: str) -> Response:
        """Give the address back; refused while it is associated."""
        operations.release(self.target, actor=request.user)
        return Response(status=204)

    @action(detail=True, methods=["get"])
    def traffic(self, request: Request, pk: str) -> Response:
        """What left as the address, by day. In a `month` like 2026-11, or in this one; counted every minute."""
        try:
            month = Month.named(request.query_params.get("month", str(Month.of(database_now()))))
        except ValueError as error:
            raise InvalidInput.field("month", _("A month like 2026-11.")) from error
        days = counted.by_day(self.target, month)
        return Response({"month": str(month), "bytes_out": sum(size for _day, size in days),
                         "days": [{"day": day, "bytes_out": size} for day, size in days]})

    @action(detail=True, methods=["post"], url_path="actions/associate")
    def associate(self, request: Request, pk: str) -> Response:
        """Point the address at a port, or at an instance's first port without one; instances may be running."""
        body = self.read_body()
        port = body.get("port") or body["instance"]
        return accepted(operations.associate(self.target, port, actor=request.user), request)

    @action(detail=True, methods=["post"], url_path="actions/disassociate")
    def disassociate(self, request: Request, pk: str) -> Response:
        """Take the address off its port; connections through it end."""
        self.read_body()
        return accepted(operations.disassociate(self.target, actor=request.user), request)


class AddressPoolViewSet(Listed, Fetched, RoomViewSet):
    """Public networks that floating IPs are taken from."""

    queryset = AddressPool.objects.all()
    serializer_class = AddressPoolSerializer
    permissions = {"list": SIGNED_IN, "retrieve": SIGNED_IN}
    filters = {"slug": "slug"}
    ordering, ordering_fields = "name", ("name", "slug")


class FabricViewSet(Listed, Fetched, RoomViewSet):
    """The network engines of the regions and whether they answer; administrators only."""

    queryset = Fabric.objects.all()
    serializer_class = FabricSerializer
    permissions = {"list": STAFF, "retrieve": STAFF}
    filters = {"driver": "driver", "health": "health"}
    ordering, ordering_fields = "uri", ("uri",)
