"""Steps of the instance operations. Each is "make it so" and safe to repeat; composed in `operations`."""
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from urllib.parse import urlsplit

from django.conf import settings

from compute.hosts import placement
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.instances.design import design_domain
from compute.instances.models import Instance
from compute.instances.seed import build_seed, hostname_of
from portal.kernel import crash
from portal.kernel.errors import HostFault, NoCapacity
from portal.kernel.operations import Done, Run, Wait
from portal.kernel.states import database_now
from storage import steps as storage
from storage.connections import volume_pool
from storage.models import Attachment, Pool, Volume

# How long a guest may take to obey the power button before its power is cut; seconds.
SHUTDOWN_LIMIT_S = 30


def instance_of(run: Run) -> Instance:
    # Every step asks; what only one needs is not joined (nine tables take 15 ms to plan and read, these three).
    return Instance.objects.select_related("host__endpoint").get(pk=run.operation.target_id)


def pool_of(instance: Instance) -> Pool:
    pool = Pool.objects.filter(host=instance.host).first()
    if pool is None:
        raise HostFault("the host has no pool")
    pool.host = instance.host
    return pool


def root_volume(instance: Instance) -> Volume | None:
    row = Attachment.objects.filter(domain=instance.pk, is_boot=True).select_related("volume").first()
    return row.volume if row else None


def seed_file(instance: Instance) -> str:
    return f"seed-{instance.pk}.iso"


# -- create --

def place(run: Run) -> None:
    """A host with room is claimed and written down, with the verdict on every host."""
    instance = instance_of(run)
    refused: NoCapacity | None = None
    with run.guarded():
        try:
            host = placement.claim(instance, region=instance.region, zone=instance.zone, wanted=instance.wanted)
            Instance.objects.filter(pk=instance.pk).update(host=host, zone=host.zone_id)
        except NoCapacity as error:  # the verdicts are kept: they explain the failure
            refused = error
    if refused:
        raise refused


def unplace(run: Run) -> None:
    instance = instance_of(run)
    with run.guarded():
        placement.release(instance)
        Instance.objects.filter(pk=instance.pk).update(host=None)


def bring_image(run: Run) -> Done | Wait:
    instance = instance_of(run)
    return storage.ensure_image(run, instance.image, pool_of(instance))


def make_volume(run: Run) -> None:
    instance = instance_of(run)
    storage.ensure_clone(run, root_volume(instance), pool_of(instance))


def unmake_volume(run: Run) -> None:
    """Also after a kill between the pool's creation and our note of it: the file's name is the volume's id."""
    instance = instance_of(run)
    volume = root_volume(instance)
    if volume is not None and instance.host is not None:
        storage.remove_volume(run, volume, pool_of(instance))


def make_seed(run: Run) -> None:
    instance = instance_of(run)
    content = build_seed(instance_id=str(instance.pk), hostname=hostname_of(instance.name, f"i-{instance.pk.hex[:8]}"),
                         public_keys=instance.public_keys, user_data=instance.user_data)
    crash.point("before write seed")
    folder = Path(settings.STATE_DIR) / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    # Holds user data: only in a private file, and only for the upload.
    with NamedTemporaryFile(dir=folder) as file, volume_pool(pool_of(instance), run) as pool:
        file.write(content)
        file.flush()
        pool.ensure_uploaded(seed_file(instance), file.name, format="raw")
    crash.point("after write seed")


def unmake_seed(run: Run) -> None:
    instance = instance_of(run)
    if instance.host is not None:
        with volume_pool(pool_of(instance), run) as pool:
            pool.ensure_volume_absent(seed_file(instance))


def define(run: Run) -> None:
    """The host knows the domain, at the generation that this operation raised."""
    instance = instance_of(run)
    with volume_pool(pool_of(instance), run) as pool:
        seed = pool.volume(seed_file(instance))
    if seed is None:
        raise HostFault("the NoCloud drive is missing", transient=True)
    with hypervisor(instance.host, run) as driver:
        driver.ensure_defined(design_domain(instance, seed=seed.path, listen=listen_address(instance)))


def listen_address(instance: Instance) -> str:
    """Consoles listen on the address by which the portal reaches the host, never on a tenant's network."""
    return urlsplit(instance.host.endpoint.uri).hostname or "127.0.0.1"


def undefine(run: Run) -> None:
    instance = instance_of(run)
    if instance.host is not None:
        with hypervisor(instance.host, run) as driver:
            driver.ensure_absent(instance.pk, instance.generation)


def boot(run: Run) -> Done | Wait:
    """Started, and proved running by what the host says."""
    instance = instance_of(run)
    with hypervisor(instance.host, run) as driver:
        driver.ensure_started(instance.pk, instance.generation)
        seen = driver.domain(instance.pk)
    return Done() if seen is not None and seen.power is Power.RUNNING else Wait(1)


def shut_down(run: Run) -> Done | Wait:
    """The guest is asked (ACPI), again every few seconds, for at most SHUTDOWN_LIMIT_S; `power_off` follows."""
    if run.arguments.get("force"):
        return Done()
    instance, now = instance_of(run), database_now()
    if "asked_at" not in run.facts:
        run.remember(asked_at=now.isoformat())
    waited = (now - datetime.fromisoformat(run.facts["asked_at"])).total_seconds()
    with hypervisor(instance.host, run) as driver:
        seen = driver.domain(instance.pk)
        if seen is None or seen.power in (Power.OFF, Power.CRASHED) or waited > SHUTDOWN_LIMIT_S:
            return Done()
        driver.request_shutdown(instance.pk, run.arguments["generation"])
    return Wait(1, progress=min(45, round(45 * waited / SHUTDOWN_LIMIT_S)))


def power_off(run: Run) -> None:
    """The power of the generation that was meant is cut; off already is success."""
    instance = instance_of(run)
    with hypervisor(instance.host, run) as driver:
        driver.ensure_stopped(instance.pk, run.arguments["generation"])
