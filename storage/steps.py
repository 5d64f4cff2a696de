"""Steps on pools, images and volumes, for the operations of storage and of the rooms to the right.

Each is safe to repeat. They take a `Run` and rows; they know no instance.
"""
from pathlib import Path

from django.conf import settings
from django.db.models import Max, Q

from compute.hosts.models import Host
from compute.hosts.obstacles import ImagesMissing, PoolUnusable
from compute.hosts.steps import told
from portal.kernel import crash
from portal.kernel.models import Operation
from portal.kernel.operations import Done, Run, Wait
from storage.connections import volume_pool
from storage.models import GIB, Image, ImageCopy, Pool, Volume
from storage.pools.contract import PoolFacts

# What one turn may write before the lease is renewed; bytes.
SLICE = 64 * 1024 * 1024
# A slow line takes longer for those than a lease lasts. A turn stops sending after this part of one: what lies in buffers by then
# has to arrive too.
PART_OF_LEASE = 1 / 3
# A copy is long, and a busy pool answers again: more tries than for what is over at once.
COPY_TRIES = 10


def volume_file(volume: Volume) -> str:
    return f"volume-{volume.pk}.qcow2"


def image_file(image: Image, part: str) -> str:
    return f"image-{image.pk}-{part}"


# -- a host's pools --

def pools_of(run: Run) -> list[Pool]:
    return list(Pool.objects.filter(host_id=run.arguments["host"]).select_related("host__endpoint", "host__region"))


def prepare_pools(run: Run) -> None:
    """Step of `host.prepare`: the host's pools are there, and what we believe of their images is true."""
    for pool in pools_of(run):
        with told(run, pool.host, lambda fault, path=pool.path: PoolUnusable(path=path, reason=fault.facts.get("reason", ""))):
            ensure_pool(run, pool)
            forget_lost_copies(run, pool)


def copy_images(run: Run) -> Done | Wait:
    """Step of `host.prepare`: public images are there ahead of the first instance, so that it starts at once."""
    images = Image.objects.live().filter(region=run.operation.region, state=Image.State.ACTIVE,
                                         visibility=Image.Visibility.PUBLIC)
    for pool in pools_of(run):
        with told(run, pool.host, lambda fault, path=pool.path: ImagesMissing(path=path, reason=fault.facts.get("reason", "")),
                  tries=COPY_TRIES):
            for image in images:
                outcome = ensure_image(run, image, pool)
                if isinstance(outcome, Wait):
                    return outcome
    return Done()


def ensure_pool(run: Run, pool: Pool) -> None:
    """Defined and active on the host; its figures read."""
    with volume_pool(pool, run) as driver:
        driver.ensure_pool()
        facts = driver.facts()
    with run.guarded():
        note_facts(pool, facts)


def note_facts(pool: Pool, facts: PoolFacts) -> None:
    """Write down what a pool says of itself, and what that means for placement on its host."""
    Pool.objects.filter(pk=pool.pk).update(capacity=facts.capacity, available=facts.available)
    free = Pool.objects.filter(host=pool.host_id).aggregate(most=Max("available"))["most"] or 0
    Host.objects.filter(pk=pool.host_id).update(disk_free_gib=free // GIB)


# -- images and volumes --


def ensure_image(run: Run, image: Image, pool: Pool) -> Done | Wait:
    """All files of the image are on the pool. One operation copies; others wait for it."""
    copy, _made = ImageCopy.objects.get_or_create(image=image, pool=pool)
    if copy.is_complete:
        return Done()
    if not _may_copy(run, copy):
        return Wait(1)
    copy.refresh_from_db()
    for part, described in image.files.items():
        size = described["size"]
        if copy.offsets.get(part, -1) >= size:
            continue
        return _copy_slice(run, copy, part, described)
    with volume_pool(pool, run) as driver:
        locators = {part: driver.volume(image_file(image, part)).path for part in image.files}
    with run.guarded():
        ImageCopy.objects.filter(pk=copy.pk).update(locators=locators, is_complete=True, copier=None)
    return Done()


def forget_lost_copies(run: Run, pool: Pool) -> None:
    """Copies whose files somebody removed from the pool are made again by the next `ensure_image`."""
    with volume_pool(pool, run) as driver:
        there = {file.name for file in driver.volumes()}
    for copy in ImageCopy.objects.filter(pool=pool, is_complete=True).select_related("image"):
        if any(image_file(copy.image, part) not in there for part in copy.image.files):
            with run.guarded():
                ImageCopy.objects.filter(pk=copy.pk).update(is_complete=False, offsets={}, locators={}, copier=None)


def _may_copy(run: Run, copy: ImageCopy) -> bool:
    """Take the copy over when nobody alive has it."""
    with run.guarded():
        alive = Operation.objects.unfinished().values("pk")
        rows = ImageCopy.objects.filter(Q(pk=copy.pk) & (Q(copier=None) | Q(copier=run.operation.pk)
                                                         | ~Q(copier__in=alive)))
        return rows.update(copier=run.operation.pk) == 1


def _copy_slice(run: Run, copy: ImageCopy, part: str, described: dict) -> Wait:
    source = str(Path(settings.STATE_DIR) / "images" / described["file"])
    crash.point(f"before read {described['file']}")
    with volume_pool(copy.pool, run) as driver:
        offset = driver.ensure_uploaded(image_file(copy.image, part), source, format=described["format"],
                                        offset=max(0, copy.offsets.get(part, 0)), limit=SLICE,
                                        seconds=settings.ENGINE["lease_s"] * PART_OF_LEASE)
    with run.guarded():
        ImageCopy.objects.filter(pk=copy.pk).update(offsets={**copy.offsets, part: offset})
    return Wait(0)


def ensure_clone(run: Run, volume: Volume, pool: Pool) -> None:
    """The volume exists on the pool, as a linked clone of its image when it has one."""
    with volume_pool(pool, run) as driver:
        backing = image_file(volume.image, "disk") if volume.image else None
        made = driver.ensure_volume(volume_file(volume), size=volume.size_gib * GIB, backing=backing)
    with run.guarded():
        Volume.objects.filter(pk=volume.pk).update(pool=pool, locator=made.path)


def remove_volume(run: Run, volume: Volume, pool: Pool | None) -> None:
    """The volume's file is gone; a volume that never reached a pool needs nothing."""
    if pool is not None:
        with volume_pool(pool, run) as driver:
            driver.ensure_volume_absent(volume_file(volume))
    with run.guarded():
        Volume.objects.filter(pk=volume.pk).update(pool=None, locator="")
