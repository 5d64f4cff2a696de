"""Steps that copy a volume within its pool, and that make an image of one: a flat copy in the pool, which serves instances there
as the image's own, is fetched into the portal's image store, looked at and summed up.

Each is safe to repeat. What an operation that did not come through has written is gone after `discard`.
"""
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from compute.hosts.drivers import reasons
from portal.kernel import crash
from portal.kernel.alone import alone
from portal.kernel.errors import Cancelled, DeadlineExceeded, HostFault
from portal.kernel.models import Operation
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now
from storage.connections import volume_pool
from storage.models import GIB, Image, ImageCopy, Pool, Volume
from storage.steps import PART_OF_LEASE, ensure_image, image_file, volume_file

# What one turn reads before the lease is renewed; bytes. On a slow line it ends earlier, as sending does.
PORTION = 32 * 1024 * 1024
CHUNK = 4 * 1024 * 1024
MAGIC = b"QFI\xfb"
HEAD = 4 * 1024 * 1024
# How many of a region's workers may be at long copies and sums at once, so that others' creates and starts never wait for those.
COPIES_OF_A_REGION = 2
COPIES_OF_AN_ORGANIZATION = 1
LATER = Wait(5)


def still_wanted(run: Run) -> Callable[[], None]:
    """For what takes long within one turn: keeps the lease. Raises LeaseLost, Cancelled or DeadlineExceeded."""
    def still() -> None:
        run.extend(settings.ENGINE["lease_s"])
        rows = Operation.objects.filter(pk=run.operation.pk).values_list("cancel_requested_at", "deadline")
        cancelled_at, deadline = rows.get()
        if cancelled_at is not None and not run.operation.undoing:
            raise Cancelled
        if deadline is not None and deadline < database_now():
            raise DeadlineExceeded(last="")

    return still


@contextmanager
def turn(run: Run) -> Iterator[bool]:
    """Whether this worker may be long at it now. Locks of the database's session, so that one who is killed keeps no turn."""
    operation = run.operation
    owner = operation.project and operation.project.organization_id
    with ExitStack() as taken:
        yield (_one_of(taken, f"organization {owner}", COPIES_OF_AN_ORGANIZATION)
               and _one_of(taken, f"region {operation.region_id}", COPIES_OF_A_REGION))


def _one_of(taken: ExitStack, whose: str, places: int) -> bool:
    return any(taken.enter_context(alone(_key(f"copy {place} {whose}"))) for place in range(places))


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], signed=True)


def copy_volume(run: Run, source: Volume, made: Volume, pool: Pool) -> Done | Wait:
    """The volume `made` exists on the pool and reads as `source` does, which nobody writes meanwhile."""
    if isinstance(outcome := _copy(run, source, volume_file(made), pool), Wait):
        return outcome
    with volume_pool(pool, run) as driver:
        found = driver.volume(volume_file(made))
    if found is None:
        raise HostFault(reasons.NO_VOLUME)
    with run.guarded():
        Volume.objects.filter(pk=made.pk).update(pool=pool, locator=found.path)
    return Done()


def copy_for_image(run: Run, source: Volume, image: Image, pool: Pool) -> Done | Wait:
    """The image's disk is on the pool."""
    return _copy(run, source, image_file(image, "disk"), pool)


def _copy(run: Run, source: Volume, name: str, pool: Pool) -> Done | Wait:
    """Once: a file that is there may be half a copy, unless it is remembered that this operation has finished it."""
    if run.facts.get("copied") == name:
        return Done()
    with turn(run) as is_ours:
        if not is_ours:
            return LATER
        with volume_pool(pool, run) as driver:
            driver.copy_volume(name, volume_file(source), still=still_wanted(run))
        run.remember(copied=name)
    return Done()


# -- into the image store --

def store() -> Path:
    return Path(settings.STATE_DIR) / "images"


def stored_file(image: Image) -> str:
    """Named by the image, which alone has it: what the tenant deletes is nobody else's."""
    return f"image-{image.pk}.qcow2"


def _unfinished(image: Image) -> Path:
    return store() / f"image-{image.pk}.part"


def fetch(run: Run, image: Image, pool: Pool) -> Done | Wait:
    """The disk's file is in the store, under its unfinished name."""
    target = _unfinished(image)
    if (store() / stored_file(image)).exists():
        return Done()
    target.parent.mkdir(parents=True, exist_ok=True)
    offset = run.facts.get("fetched", 0)
    if not target.exists() or target.stat().st_size < offset:
        offset = 0
    crash.point(f"before write {target.name}")
    with volume_pool(pool, run) as driver:
        portion = driver.ensure_downloaded(image_file(image, "disk"), str(target), offset=offset, limit=PORTION,
                                           seconds=settings.ENGINE["lease_s"] * PART_OF_LEASE)
    crash.point(f"after write {target.name}")
    run.facts["fetched"] = portion.reached
    if portion.is_last:
        return Done()
    return Wait(0, progress=round(30 + 40 * portion.reached / portion.total))


def seal(run: Run, image: Image, pool: Pool) -> Done | Wait:
    """The file has its final name, is what it should be, and the row says so; the pool's own copy counts as the image's."""
    final, unfinished = store() / stored_file(image), _unfinished(image)
    if not final.exists():
        crash.point(f"before write {final.name}")
        with open(unfinished, "rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(final)
        crash.point(f"after write {final.name}")
    _require_flat(final, image.virtual_size)
    with turn(run) as is_ours:
        if not is_ours:
            return LATER
        digest = _sum(final, still_wanted(run))
    described = {"file": final.name, "sha256": digest, "size": final.stat().st_size, "format": "qcow2"}
    with run.guarded():
        Image.objects.filter(pk=image.pk).update(files={**image.files, "disk": described})
        ImageCopy.objects.update_or_create(image=image, pool=pool, defaults={
            "offsets": {"disk": described["size"]}, "locators": {}, "is_complete": False, "copier": None})
    return Done()


def keep_copy(run: Run, image: Image, pool: Pool) -> Done | Wait:
    """What else belongs to the image is on the pool too: it serves instances there at once."""
    return ensure_image(run, image, pool)


def _require_flat(file: Path, size: int) -> None:
    """A qcow2 of that size that stands on no other file: a base would be read from wherever it is opened."""
    with open(file, "rb") as opened:
        header = opened.read(32)
    if header[:4] != MAGIC or any(header[8:16]) or int.from_bytes(header[24:32]) != size:
        raise HostFault(reasons.DIFFERENT_VOLUME)


def _sum(file: Path, still: Callable[[], None]) -> str:
    digest, read = hashlib.sha256(), 0
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
            read += len(chunk)
            if read % (64 * CHUNK) == 0:
                still()
    return digest.hexdigest()


def discard(run: Run, image: Image, pool: Pool) -> None:
    """Nothing of the image is left, in the store or on the pool."""
    for file in (_unfinished(image), store() / stored_file(image)):
        crash.point(f"before remove {file.name}")
        with suppress(FileNotFoundError):
            file.unlink()
    with volume_pool(pool, run) as driver:
        for part in ("disk", *image.files):
            driver.ensure_volume_absent(image_file(image, part))
    with run.guarded():
        ImageCopy.objects.filter(image=image, pool=pool).delete()


def forget_stored(image: Image) -> None:
    """The image's own file is gone from the store, and it counts no more. Those of its kernel are its source's too, and stay."""
    for file in (_unfinished(image), store() / stored_file(image)):
        file.unlink(missing_ok=True)
    Image.objects.filter(pk=image.pk, state=Image.State.DELETED).update(store_gib=0)


def free_gib() -> int | None:
    """What is free where the store is; None where it never was."""
    return shutil.disk_usage(store()).free // GIB if store().exists() else None


def most_gib(size_gib: int, others: dict[str, Any]) -> int:
    """What the files of an image of a disk of that size can take at most: beside its data a qcow2 has tables, which are far less
    than one part in 4096 of it, and a head."""
    size = size_gib * GIB
    return -(-(size + size // 4096 + HEAD + sum(part["size"] for part in others.values())) // GIB)


def arrived(image: Image) -> dict[str, Any]:
    """The columns of an image whose files are all there."""
    size = sum(part["size"] for part in image.files.values())
    return {"store_gib": -(-size // GIB)}
