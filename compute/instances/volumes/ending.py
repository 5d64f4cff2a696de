"""What becomes of the volumes of an instance that is deleted for good: the root volume goes with it; others are detached and
stay, unless they were to go too. The verb has said which: those that go are being deleted, the others detached."""
from compute.instances import steps
from compute.instances.models import Instance
from compute.instances.snapshots import steps as snapshots
from portal.kernel.operations import Run
from portal.kernel.states import database_now
from storage import steps as storage
from storage.models import Attachment, Volume

S = Volume.State


def remove(run: Run, instance: Instance) -> None:
    """Step: the files of those that go are gone."""
    if instance.host is None:
        return
    for row in _attached(instance):
        if row.volume.state == S.DELETING:
            storage.remove_volume(run, row.volume, steps.pool_of(instance))


def settle(instance: Instance) -> None:
    """Nothing is attached to it any more."""
    for row in _attached(instance):
        volume, is_over = row.volume, row.volume.state == S.DELETING
        row.delete()
        if is_over:
            snapshots.forget_volume(volume)
            volume.move_to(S.DELETED, deleted_at=database_now())
        else:
            volume.move_to(S.AVAILABLE)


def _attached(instance: Instance) -> list[Attachment]:
    return list(Attachment.objects.filter(domain=instance.pk).select_related("volume").order_by("volume"))
