"""Steps into rescue and out of it: booted from a temporary disk made of another image, with the own disk as the second one.

`Instance.rescue_image` says that it is so; what is designed, and which set-up drive is written, follow it (`steps`, `design`).
Rescue may fail at any step: what ran before then runs again from its own disk. Leaving it is forward-only.
"""
from typing import Any

from django.db.models import Q

from compute.instances import steps
from compute.instances.builds import least_disk_gib
from compute.instances.models import Instance
from portal.kernel.operations import Done, Run, Wait
from storage import steps as storage
from storage.connections import volume_pool
from storage.models import GIB, Image


def default_image(user: Any, instance: Instance) -> Image | None:
    """What it is rescued with when nobody chose: the newest that operators offer for that, else the image that it has. Never a
    private one of somebody else, whatever the user may see."""
    rows = Image.objects.visible_to(user).filter(Q(visibility=Image.Visibility.PUBLIC) | Q(project=instance.project_id),
                                                 state=Image.State.ACTIVE, region=instance.region_id)
    offered = rows.filter(is_for_rescue=True).order_by("-created_at", "-pk").first()
    return offered or rows.filter(pk=instance.image_id).first()


def bring_image(run: Run, instance: Instance) -> Done | Wait:
    return storage.ensure_image(run, instance.rescue_image, steps.pool_of(instance))


def make_disk(run: Run, instance: Instance) -> None:
    image = instance.rescue_image
    with volume_pool(steps.pool_of(instance), run) as pool:
        pool.ensure_volume(steps.rescue_disk(instance), size=least_disk_gib(image) * GIB,
                           backing=storage.image_file(image, "disk"))


def remove_files(run: Run, instance: Instance) -> None:
    """The rescue disk and its set-up drive; gone already is success."""
    with volume_pool(steps.pool_of(instance), run) as pool:
        pool.ensure_volume_absent(steps.rescue_disk(instance))
        pool.ensure_volume_absent(steps.rescue_seed(instance))


def leave(run: Run, instance: Instance) -> None:
    """Off, it has its own disk alone again; nothing to do for what is not rescued."""
    if instance.rescue_image_id is None:
        return
    instance.rescue_image = None
    steps.make_seed(run, instance)
    steps.define(run, instance)
    remove_files(run, instance)
    with run.guarded():
        Instance.objects.filter(pk=instance.pk).update(rescue_image=None)
