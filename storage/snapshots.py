"""Snapshots inside volumes (internal ones of qcow2), where no domain has the volume open; of what runs its hypervisor takes them.

A name is the snapshot's UUID, the same in all its volumes. Each function is safe to repeat: the file is asked first.
"""
from collections.abc import Iterable
from uuid import UUID

from compute.hosts.commands import HostCommands, catalogue
from compute.hosts.connections import host_commands
from compute.hosts.drivers import reasons
from compute.hosts.models import Host
from portal.kernel.errors import HostFault, HostUnreachable
from portal.kernel.operations import Done, Run, Wait
from storage.connections import volume_pool
from storage.copying import LATER, still_wanted, turn
from storage.models import GIB, Image, Pool, Volume
from storage.steps import image_file, volume_file


def take(run: Run, host: Host, volumes: Iterable[Volume], name: UUID) -> None:
    """Each of the volumes has it."""
    with host_commands(host, run) as commands:
        for volume in volumes:
            if str(name) not in _kept(commands, volume).names:
                commands.run(catalogue.TAKE_SNAPSHOT, still=still_wanted(run), name=name, path=volume.locator)


def apply(run: Run, host: Host, volume: Volume, name: UUID) -> int:
    """The volume reads as it did then; what was written since is lost. Its size (GiB), which is that of then too."""
    with host_commands(host, run) as commands:
        if str(name) not in _kept(commands, volume).names:
            raise HostFault(reasons.NO_SNAPSHOT)
        commands.run(catalogue.APPLY_SNAPSHOT, still=still_wanted(run), name=name, path=volume.locator)
        return -(-_kept(commands, volume).size // GIB)


def drop(run: Run, host: Host, volumes: Iterable[Volume], name: UUID) -> None:
    """None of the volumes has it; where somebody took the file of one away, that is so."""
    with host_commands(host, run) as commands:
        for volume in volumes:
            if _is_there(run, volume) and str(name) in _kept(commands, volume).names:
                commands.run(catalogue.DROP_SNAPSHOT, still=still_wanted(run), name=name, path=volume.locator)


def _kept(commands: HostCommands, volume: Volume) -> catalogue.KeptSnapshots:
    return commands.run(catalogue.KEPT_SNAPSHOTS, path=volume.locator)


def _is_there(run: Run, volume: Volume) -> bool:
    with volume_pool(volume.pool, run) as driver:
        return driver.volume(volume_file(volume)) is not None


def copy_for_image(run: Run, source: Volume, name: UUID, image: Image, pool: Pool) -> Done | Wait:
    """The image's disk is on the pool, and reads as the volume did at the snapshot; as `copying.copy_for_image`. What an earlier
    try still writes refuses the next one, which is tried again."""
    file = image_file(image, "disk")
    if run.facts.get("copied") == file:
        return Done()
    with turn(run) as is_ours:
        if not is_ours:
            return LATER
        try:
            with host_commands(pool.host, run) as commands:
                commands.run(catalogue.COPY_SNAPSHOT, still=still_wanted(run), name=name, path=source.locator,
                             target=f"{pool.path.rstrip('/')}/{file}")
        except HostUnreachable:
            raise
        except HostFault as error:
            raise HostFault(str(error.facts["reason"]), transient=True) from error
        with volume_pool(pool, run) as driver:
            if driver.volume(file) is None:
                raise HostFault(reasons.NO_VOLUME)
        run.remember(copied=file)
    return Done()
