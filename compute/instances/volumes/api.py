"""REST of volumes: made, attached, detached, grown, deleted. How one is told is in `storage.api`."""
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import affording
from compute.instances.errors import InstanceLocked, NotSupported
from compute.instances.models import Instance
from compute.instances.volumes import verbs
from compute.instances.volumes.errors import IsRootVolume, TooManyVolumes, VolumeElsewhere
from compute.instances.volumes.verbs import LARGEST_GIB, NewVolume
from portal.kernel.errors import Busy, NoCapacity, StateConflict, Unpaid
from portal.kernel.models import Region, Zone
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import DescribedSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import accepted
from storage.api import VolumeViewSet as ReadVolumeViewSet
from tenants.api import VisibleProject
from tenants.quotas import REFUSALS

OF_AN_INSTANCE = (Busy, StateConflict, InstanceLocked, NotSupported)


class CreateVolumeSerializer(DescribedSerializer):
    """A disk of a project. With an instance it is made on that one's host and attached; else where there is most room."""

    example = {"name": "data", "size_gib": 20, "instance": id_of("instance")}
    project = VisibleProject("volume.create")
    region = VisibleField(Region)
    zone = VisibleField(Zone, required=False, help_text="Any when left out.")
    instance = VisibleField(Instance, "volume.attach", required=False)
    size_gib = serializers.IntegerField(min_value=1, max_value=LARGEST_GIB)


class AttachVolumeSerializer(StrictSerializer):
    example = {"instance": id_of("instance")}
    instance = VisibleField(Instance, "volume.attach", help_text="One of the host on which the volume lies.")


class GrowVolumeSerializer(StrictSerializer):
    example = {"size_gib": 40}
    size_gib = serializers.IntegerField(min_value=1, max_value=LARGEST_GIB, help_text="More than it has: volumes only grow.")


class VolumeViewSet(ReadVolumeViewSet):
    """Disks."""

    permissions = {**ReadVolumeViewSet.permissions, "create": "volume.create", "grow": "volume.create",
                   "attach": "volume.attach", "detach": "volume.attach", "destroy": "volume.delete"}
    bodies = {**ReadVolumeViewSet.bodies, "create": CreateVolumeSerializer, "attach": AttachVolumeSerializer,
              "grow": GrowVolumeSerializer}
    errors = {"create": (*REFUSALS, *affording.REFUSALS, *OF_AN_INSTANCE, NoCapacity, TooManyVolumes),
              "attach": (*OF_AN_INSTANCE, VolumeElsewhere, TooManyVolumes, Unpaid),
              "detach": (*OF_AN_INSTANCE, IsRootVolume, Unpaid),
              "grow": (*REFUSALS, *affording.REFUSALS, *OF_AN_INSTANCE, NoCapacity)}

    def create(self, request: Request) -> Response:
        """A new volume, and with an `instance` attached to it: both or nothing."""
        body: dict[str, Any] = self.read_body()
        return accepted(verbs.create_volume(NewVolume(**body), actor=request.user), request)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it at once, with all that is on it. Detach it first."""
        return accepted(verbs.delete_volume(self.target, actor=request.user), request)

    @action(detail=True, methods=["post"], url_path="actions/attach")
    def attach(self, request: Request, pk: str) -> Response:
        """Put it into an instance of its host, running or off."""
        return accepted(verbs.attach(self.target, self.read_body()["instance"], actor=request.user), request)

    @action(detail=True, methods=["post"], url_path="actions/detach")
    def detach(self, request: Request, pk: str) -> Response:
        """Take it out of its instance. A guest that does not let go of it within a minute keeps it. What is on it stays."""
        self.read_body()
        return accepted(verbs.detach(self.target, actor=request.user), request)

    @action(detail=True, methods=["post"], url_path="actions/grow")
    def grow(self, request: Request, pk: str) -> Response:
        """Make it larger, while its instance runs too; costs by its new size from then on. The guest makes use of the room by
        growing its file system."""
        return accepted(verbs.grow(self.target, self.read_body()["size_gib"], actor=request.user), request)
