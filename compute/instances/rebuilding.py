"""Steps of a rebuild: the root volume is written anew from an image; the volume's row, its size and its price stay.

Until `erase` a failure leaves everything as it was. From then on what was on the disk is lost (`Instance.rebuilt_by` is this
operation): a failure leaves the instance in error, from where it is rebuilt.
"""
from compute.instances import steps
from compute.instances.models import Instance, InstanceState
from portal.kernel.operations import Done, Run, Wait
from storage import steps as storage
from storage.connections import volume_pool
from storage.models import Image, Volume


def bring_image(run: Run, instance: Instance) -> Done | Wait:
    return storage.ensure_image(run, Image.objects.get(pk=run.arguments["image"]), steps.pool_of(instance))


def is_lost(run: Run, instance: Instance) -> bool:
    """Whether this rebuild has begun to erase the disk."""
    return instance.rebuilt_by == run.operation.pk


def mend_cut(run: Run, instance: Instance) -> Done | Wait:
    """Undo of the cut: what still has its disk, and was no ruin before, goes on."""
    if is_lost(run, instance) or run.arguments["was"] == InstanceState.ERROR:
        return Done()
    return steps.mend_cut(run, instance)


def erase(run: Run, instance: Instance) -> None:
    """The row first: whoever goes on must not take a disk that is half gone for the old one."""
    volume, wishes = steps.root_volume(instance), run.arguments
    fields: dict[str, object] = {"image_id": wishes["image"], "rebuilt_by": run.operation.pk}
    if wishes["public_keys"] is not None:
        fields["public_keys"] = wishes["public_keys"]
    if wishes["has_user_data"]:
        fields["user_data"] = instance.next_user_data
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(**fields)
        Volume.objects.filter(pk=volume.pk).update(image_id=wishes["image"])
    with volume_pool(steps.pool_of(instance), run) as pool:
        pool.ensure_volume_absent(storage.volume_file(volume))
