"""What REST asks of an instance's snapshots, and the actions on an instance that do; what `api` of instances is composed of."""
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing import affording
from compute.instances import operations
from compute.instances.errors import NotSupported
from compute.instances.models import Snapshot
from compute.instances.snapshots.errors import OtherHardware, OtherVolumes, TooManySnapshots
from portal.kernel.errors import NoCapacity
from portal.kernel.rest.examples import id_of
from portal.kernel.rest.serializers import DescribedSerializer, StrictSerializer, VisibleField
from portal.kernel.rest.views import accepted
from tenants.quotas import REFUSALS


class TakeSnapshotSerializer(DescribedSerializer):
    """How it is called, and whether the guest's memory is kept too."""

    example = {"name": "before the upgrade", "memory": False}
    memory = serializers.BooleanField(required=False, default=False)


class RevertSerializer(StrictSerializer):
    """`memory` is left out: with it, where the snapshot has it."""

    example = {"snapshot": id_of("snapshot")}
    snapshot = VisibleField(Snapshot)
    memory = serializers.BooleanField(required=False)


BODIES = {"snapshot": TakeSnapshotSerializer, "revert": RevertSerializer}
REFUSED = {"snapshot": (*REFUSALS, *affording.REFUSALS, NoCapacity, NotSupported, TooManySnapshots),
           "revert": (*REFUSALS, *affording.REFUSALS, NotSupported, OtherVolumes, OtherHardware)}


class HasSnapshots:
    """Of the viewset of instances."""

    @action(detail=True, methods=["post"], url_path="actions/snapshot", url_name="snapshot")
    def snapshot(self, request: Request, pk: str) -> Response:
        """Keep what is on all its volumes now, at one moment; of one that runs with `memory` also what is in its memory, for
        which it stands still as long as writing takes. The snapshot is in the operation's result."""
        return accepted(operations.act(self.target, "snapshot", actor=request.user, **self.read_body()), request)

    @action(detail=True, methods=["post"], url_path="actions/revert", url_name="revert")
    def revert(self, request: Request, pk: str) -> Response:
        """All its volumes become what they were at the snapshot: what was written since is lost. What runs loses its power for
        that, and is started again; with `memory` it runs on from where it was, also where it is stopped now."""
        return accepted(operations.act(self.target, "revert", actor=request.user, **self.read_body()), request)
