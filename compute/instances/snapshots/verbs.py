"""What people do with a snapshot itself. The caller has checked access. Taking one, or going back, is a verb of instances."""
from typing import Any

from django.db import transaction

from compute.instances import guarding
from compute.instances.models import Instance, Snapshot
from portal.kernel import audit
from portal.kernel.errors import StateConflict
from portal.kernel.models import Operation
from portal.kernel.operations import submit

VIEW, CREATE, REVERT, UPDATE, DELETE = (f"snapshot.{what}" for what in ("view", "create", "revert", "update", "delete"))


@transaction.atomic
def delete_snapshot(snapshot: Snapshot, *, actor: Any) -> Operation:
    """It is taken out of the volumes; those that were taken after it stay. Raises StateConflict, Busy or InstanceLocked."""
    rows = Instance.objects.select_for_update(of=("self",), no_key=True).select_related("region", "project")
    instance = rows.get(pk=snapshot.of_instance_id)
    fresh = Snapshot.objects.select_for_update(of=("self",), no_key=True).get(pk=snapshot.pk)
    if fresh.state != Snapshot.State.ACTIVE:
        raise StateConflict(state=fresh.get_state_display())
    if actor is not None:
        guarding.require(instance, "snapshot")
    operation = submit("snapshot.delete", region=instance.region, project=instance.project, target=fresh, actor=actor,
                       holds=[instance.pk, *fresh.parts.filter(volume__deleted_at=None).values_list("volume_id", flat=True)],
                       arguments={"snapshot": str(fresh.pk), "instance": str(instance.pk)})
    fresh.move_to(Snapshot.State.DELETING)
    audit.record("snapshot.delete", fresh, actor=actor, operation=operation, before={
        "name": fresh.name, "instance": instance.name})
    return operation


def why_not_delete(snapshot: Snapshot, instance: Instance) -> str:
    """A sentence; empty when it can be asked for."""
    if snapshot.state != Snapshot.State.ACTIVE:
        return StateConflict(state=snapshot.get_state_display()).detail
    refusal = guarding.refusal(instance, "snapshot")
    return refusal.detail if refusal else ""
