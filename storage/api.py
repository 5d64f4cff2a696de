"""REST of storage: images and volumes (read-only so far; root volumes come and go with their instances), pools, and adding
a host, which comes with its pool."""
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.hosts.api import HostViewSet as PreparedHostViewSet
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Zone
from portal.kernel.rest.serializers import NameField, ResourceSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import STAFF, Fetched, Listed, RoomViewSet, accepted
from storage import operations
from storage.models import Image, Pool, Volume


class ImageSerializer(ResourceSerializer):
    class Meta(ResourceSerializer.Meta):
        model = Image
        fields = (*ResourceSerializer.Meta.fields, "state", "visibility", "os", "min_disk_gib", "virtual_size")
        read_only_fields = fields


class VolumeSerializer(ResourceSerializer):
    image = serializers.UUIDField(source="image_id", read_only=True, allow_null=True)
    instance = serializers.SerializerMethodField()

    class Meta(ResourceSerializer.Meta):
        model = Volume
        fields = (*ResourceSerializer.Meta.fields, "state", "size_gib", "pool_class", "image", "instance")
        read_only_fields = fields

    def get_instance(self, volume: Volume) -> str | None:
        """What it is a disk of."""
        attachment = getattr(volume, "attachment", None)
        return str(attachment.domain) if attachment else None


class PoolSerializer(serializers.ModelSerializer):
    host = serializers.UUIDField(source="host_id", read_only=True)
    region = serializers.UUIDField(source="region_id", read_only=True)

    class Meta:
        model = Pool
        fields = ("id", "name", "host", "region", "pool_class", "path", "capacity", "available")
        read_only_fields = fields


class AddHostSerializer(StrictSerializer):
    name = NameField(max_length=80)
    address = serializers.CharField(max_length=300)
    zone = VisibleField(Zone, required=False)
    pool_path = serializers.CharField(max_length=300, required=False)
    host_key = serializers.CharField(max_length=4000, required=False)
    reserved_memory_mib = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)


class HostViewSet(PreparedHostViewSet):
    """Machines that run instances."""

    permissions = {**PreparedHostViewSet.permissions, "create": STAFF}
    bodies = {**PreparedHostViewSet.bodies, "create": AddHostSerializer}

    def create(self, request: Request) -> Response:
        """Add a host by its name and SSH address and prepare it. The zone may be left out where there is only one."""
        body = self.read_body()
        body["zone"] = body.get("zone") or operations.only_zone()
        if body["zone"] is None:
            raise InvalidInput.field("zone", str(_("Choose a zone.")))
        return accepted(operations.add_host(**body, actor=request.user), request)


class ImageViewSet(Listed, Fetched, RoomViewSet):
    """What instances can start from: public images and the project's own."""

    queryset = Image.objects.all()
    serializer_class = ImageSerializer
    permissions = {"list": "image.view", "retrieve": "image.view"}
    filters = {"state": "state", "visibility": "visibility", "os": "os"}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name")


class VolumeViewSet(Listed, Fetched, RoomViewSet):
    """Disks."""

    queryset = Volume.objects.select_related("attachment")
    serializer_class = VolumeSerializer
    permissions = {"list": "volume.view", "retrieve": "volume.view"}
    filters = {"state": "state", "image": "image_id", "instance": "attachment__domain"}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name", "size_gib")


class PoolViewSet(Listed, Fetched, RoomViewSet):
    """Places for volumes; administrators only."""

    queryset = Pool.objects.all()
    serializer_class = PoolSerializer
    permissions = {"list": STAFF, "retrieve": STAFF}
    filters = {"host": "host_id", "pool_class": "pool_class"}
    ordering, ordering_fields = "name", ("name",)
