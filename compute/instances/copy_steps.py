"""Steps of what copies an instance's disk (`copying`), and how it ends: the image or the new instance is there, or nothing of it
is left. The instance itself is off before, meanwhile and afterwards.
"""
from typing import Any
from uuid import UUID

from compute.instances import steps
from compute.instances.models import Instance, InstanceState
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now
from storage import copying, snapshots
from storage import steps as storage
from storage.models import Image

# -- an image of it --

def image_of(run: Run) -> Image:
    return Image.objects.get(pk=run.arguments["image"])


def copy_into_image(run: Run, instance: Instance) -> Done | Wait:
    source, image, pool = steps.root_volume(instance), image_of(run), steps.pool_of(instance)
    if name := run.arguments.get("snapshot"):
        return snapshots.copy_for_image(run, source, UUID(name), image, pool)
    return copying.copy_for_image(run, source, image, pool)


def fetch(run: Run, instance: Instance) -> Done | Wait:
    return copying.fetch(run, image_of(run), steps.pool_of(instance))


def seal(run: Run, instance: Instance) -> Done | Wait:
    return copying.seal(run, image_of(run), steps.pool_of(instance))


def keep_copy(run: Run, instance: Instance) -> Done | Wait:
    return copying.keep_copy(run, image_of(run), steps.pool_of(instance))


def discard(run: Run, instance: Instance) -> None:
    copying.discard(run, image_of(run), steps.pool_of(instance))


def is_captured(run: Run) -> dict[str, Any]:
    image, instance = image_of(run), steps.target_of(run)
    image.move_to(Image.State.ACTIVE, **copying.arrived(image))
    instance.move_to(InstanceState.STOPPED, fault=None)
    return {"images": [str(image.pk)]}


def not_captured(run: Run, error: dict[str, Any]) -> None:
    image_of(run).move_to(Image.State.DELETED, deleted_at=database_now(), files={}, store_gib=0)
    steps.target_of(run).move_to(InstanceState.STOPPED, fault=error)


# -- another one like it --

def source_of(run: Run) -> Instance:
    return Instance.objects.select_related("host__endpoint").get(pk=run.operation.target_id)


def bring_parts(run: Run, instance: Instance) -> Done | Wait:
    """One that is booted with a kernel of its image needs that beside its disk."""
    if not instance.image.boots_directly:
        return Done()
    return storage.ensure_image(run, instance.image, steps.pool_of(instance))


def copy_disk(run: Run, instance: Instance) -> Done | Wait:
    return copying.copy_volume(run, steps.root_volume(source_of(run)), steps.root_volume(instance), steps.pool_of(instance))


def release_source(run: Run, error: dict[str, Any] | None = None) -> None:
    source_of(run).move_to(InstanceState.STOPPED, fault=error)
