"""REST of storage: images, volumes as they are (`compute.instances.volumes.api` changes them), pools, and adding a host, which
comes with its pool."""
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.hosts.api import HostViewSet as PreparedHostViewSet
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Zone
from portal.kernel.rest.serializers import NameField, RenameSerializer, ResourceSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import STAFF, Described, Fetched, Listed, RoomViewSet, accepted
from storage import operations
from storage.models import Image, Pool, Volume


class ImageSerializer(ResourceSerializer):
    example = {"name": "Debian 12", "state": "active", "min_disk_gib": 2, "virtual_size": 2147483648,
               "is_for_rescue": False, "store_gib": 1, "of_instance": None, "of_image": None}
    of_image = serializers.UUIDField(source="of_image_id", read_only=True, allow_null=True,
                                     help_text="The image that the instance had which it was made of.")

    class Meta(ResourceSerializer.Meta):
        model = Image
        fields = (*ResourceSerializer.Meta.fields, "state", "visibility", "os", "min_disk_gib", "virtual_size",
                  "is_for_rescue", "store_gib", "of_instance", "of_image")
        read_only_fields = fields


class VolumeSerializer(ResourceSerializer):
    example = {"name": "web-1 root", "state": "in_use", "size_gib": 10, "pool_class": "local", "target": "vda"}
    image = serializers.UUIDField(source="image_id", read_only=True, allow_null=True)
    instance = serializers.UUIDField(source="attachment.domain", read_only=True, allow_null=True, default=None,
                                     help_text="What it is a disk of.")

    target = serializers.CharField(source="attachment.target", read_only=True, allow_null=True, default=None,
                                   help_text="As which disk it is defined there; guests may name it otherwise.")

    class Meta(ResourceSerializer.Meta):
        model = Volume
        fields = (*ResourceSerializer.Meta.fields, "state", "size_gib", "pool_class", "image", "instance", "target")
        read_only_fields = fields



class PoolSerializer(serializers.ModelSerializer):
    example = {"name": "mains", "pool_class": "local", "path": "/var/lib/mains", "capacity": 107374182400,
               "available": 96636764160}
    host = serializers.UUIDField(source="host_id", read_only=True)
    region = serializers.UUIDField(source="region_id", read_only=True)

    class Meta:
        model = Pool
        fields = ("id", "name", "host", "region", "pool_class", "path", "capacity", "available")
        read_only_fields = fields


class AddHostSerializer(StrictSerializer):
    example = {"name": "rack-2", "address": "root@10.99.7.12"}
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


class ImageViewSet(Listed, Fetched, Described, RoomViewSet):
    """What instances can start from: public images and the project's own."""

    queryset = Image.objects.all()
    serializer_class = ImageSerializer
    permissions = {"list": "image.view", "retrieve": "image.view", "partial_update": "image.update",
                   "destroy": "image.delete"}
    bodies = {"partial_update": RenameSerializer}
    answers = {"partial_update": (200, ImageSerializer), "destroy": (204, None)}
    filters = {"state": "state", "visibility": "visibility", "os": "os"}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name")

    def destroy(self, request: Request, pk: str) -> Response:
        """Nothing starts from it any more; instances that were made from it keep their disks. Public ones are the operators'."""
        operations.delete_image(self.target, actor=request.user)
        return Response(status=204)


class VolumeViewSet(Listed, Fetched, Described, RoomViewSet):
    """Disks."""

    queryset = Volume.objects.select_related("attachment")
    serializer_class = VolumeSerializer
    permissions = {"list": "volume.view", "retrieve": "volume.view", "partial_update": "volume.update"}
    bodies, answers = {"partial_update": RenameSerializer}, {"partial_update": (200, VolumeSerializer)}
    filters = {"state": "state", "image": "image_id", "instance": "attachment__domain"}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name", "size_gib")


class PoolViewSet(Listed, Fetched, RoomViewSet):
    """Places for volumes; administrators only."""

    queryset = Pool.objects.all()
    serializer_class = PoolSerializer
    permissions = {"list": STAFF, "retrieve": STAFF}
    filters = {"host": "host_id", "pool_class": "pool_class"}
    ordering, ordering_fields = "name", ("name",)
