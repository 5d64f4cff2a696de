"""Images that tenants made of instances and deleted: their files go once nothing has them any more.

What operators brought and retired stays, and so does what an image shares with the one that its instance was of: only the disk in
the store, and what is named by the image on pools, is its own. Until that is gone it counts of its project's `image_gib`.
"""
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db.models import Exists, OuterRef, Q, QuerySet

from compute.hosts.models import Host
from compute.instances.models import Instance
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.models import Operation
from storage.copying import forget_stored
from storage.models import Image, ImageCopy, Pool, Volume
from storage.pools.contract import VolumePool

log = structlog.get_logger(__name__)
# Whoever took the image while it was deleted has committed by then.
GRACE = timedelta(minutes=5)


def unused(now: datetime) -> QuerySet[Image]:
    """Deleted images of tenants that nothing which is there or comes was made of, is rescued with, or is made from."""
    wanted = Operation.objects.unfinished().filter(arguments__has_key="image").values_list("arguments__image", flat=True)
    users = Instance.objects.live().filter(Q(image=OuterRef("pk")) | Q(rescue_image=OuterRef("pk")))
    rows = Image.objects.filter(state=Image.State.DELETED, visibility=Image.Visibility.PRIVATE, of_instance__isnull=False,
                                deleted_at__lt=now - GRACE, hold=None)
    return rows.exclude(pk__in=_ids(wanted)).exclude(Exists(users)).exclude(
        Exists(Volume.objects.live().filter(image=OuterRef("pk")))).exclude(
        Exists(ImageCopy.objects.filter(image=OuterRef("pk"), copier__in=Operation.objects.unfinished().values("pk"))))


def sweep_images(pool: Pool, driver: VolumePool, files: Collection[str], now: datetime) -> None:
    """Files of unused images are gone from the pool, as far as its host lets go of them, and then from the store."""
    named = _ids(image_of(file) for file in files)
    for image in unused(now).filter(Q(pk__in=named) | Q(copies__pool=pool)).distinct():
        removed = [_is_removed(driver, pool, file) for file in files if image_of(file) == str(image.pk)]
        if all(removed):
            ImageCopy.objects.filter(image=image, pool=pool).delete()
    sweep_store(pool.region_id, now)


def sweep_store(region: UUID, now: datetime) -> None:
    """What is on no pool of a host that is looked at has no file in the store either, and counts no more."""
    kept = ImageCopy.objects.filter(image=OuterRef("pk"), pool__host__in=Host.objects.followed())
    for image in unused(now).filter(region=region, store_gib__gt=0).exclude(Exists(kept)):
        log.warning("reconcile.removed_image", image=str(image.pk))
        forget_stored(image)


def image_of(file: str) -> str:
    """The id in the name that a part of an image has on pools; empty for other files."""
    return file[6:42] if file.startswith("image-") and file[42:43] == "-" else ""


def _is_removed(driver: VolumePool, pool: Pool, file: str) -> bool:
    try:
        driver.ensure_volume_absent(file)
    except HostUnreachable:
        raise
    except HostFault as error:  # a leftover is built on it still, or somebody copies just now: the next pass tries again
        log.warning("reconcile.image_stays", pool=str(pool.pk), file=file, error=str(error))
        return False
    log.warning("reconcile.removed_file", pool=str(pool.pk), file=file)
    return True


def _ids(texts: Iterable[str]) -> set[UUID]:
    found = set()
    for text in texts:
        try:
            found.add(UUID(text))
        except (ValueError, TypeError):
            continue
    return found
