"""REST of snapshots. They are taken, and gone back to, by actions of their instance."""
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from compute.instances.errors import InstanceLocked
from compute.instances.models import Instance, Snapshot
from compute.instances.snapshots import verbs
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import RenameSerializer, ResourceSerializer
from portal.kernel.rest.views import Described, Fetched, Listed, RoomViewSet, accepted

CURRENT = "where instances stand"


class SnapshotSerializer(ResourceSerializer):
    """`parent` is the snapshot where its instance stood when it was taken; `is_current`: the instance stands there now."""

    example = {"name": "before the upgrade", "state": "active", "instance": id_of("instance"), "parent": None, "is_current": True,
               "has_memory": False, "disk_gib": 10, "vcpus": 1, "memory_mib": 1024}
    reads = {"is_current": ("of_instance_id", "pk")}
    instance = serializers.UUIDField(source="of_instance_id", read_only=True)
    parent = serializers.UUIDField(source="parent_id", read_only=True, allow_null=True)
    is_current = serializers.SerializerMethodField()

    class Meta(ResourceSerializer.Meta):
        model = Snapshot
        fields = (*ResourceSerializer.Meta.fields, "state", "instance", "parent", "is_current", "has_memory", "disk_gib", "vcpus",
                  "memory_mib")
        read_only_fields = fields

    def prepare(self, rows: list[Any]) -> None:
        """Where the instances of a whole page stand, at once."""
        found = Instance.objects.filter(pk__in={row.of_instance_id for row in rows}).values_list("current_snapshot", flat=True)
        self.context[CURRENT] = set(found)

    @extend_schema_field(serializers.BooleanField())
    def get_is_current(self, snapshot: Any) -> bool:
        return snapshot.pk in self.context[CURRENT]


class SnapshotViewSet(Listed, Fetched, Described, RoomViewSet):
    """Instances as they were: POST /api/v1/instances/{id}/actions/snapshot/ takes one, `actions/revert` goes back to it, and
    `actions/capture` with `snapshot` makes an image of it."""

    queryset = Snapshot.objects.all()
    serializer_class = SnapshotSerializer
    permissions = {"list": verbs.VIEW, "retrieve": verbs.VIEW, "partial_update": verbs.UPDATE, "destroy": verbs.DELETE}
    bodies = {"partial_update": RenameSerializer}
    answers = {"partial_update": (200, SnapshotSerializer)}
    errors = {"destroy": (InstanceLocked,)}
    filters = {"state": "state", "instance": "of_instance_id", "has_memory": "has_memory"}
    search_fields, ordering_fields = ("name", "description"), ("created_at", "name", "disk_gib")

    def destroy(self, request: Request, pk: str) -> Response:
        """Take it out of the volumes. Snapshots that were taken after it stay, and come after what it came after."""
        return accepted(verbs.delete_snapshot(self.target, actor=request.user), request)
