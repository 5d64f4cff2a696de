"""What the hypervisor contract says of snapshots of what runs, on every driver; bytes are looked at on real hosts."""
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.spec import Disk, Domain, Rng
from portal.kernel.errors import HostFault

from .conftest import wait_until
from .stands import Stand
from .test_hypervisor_contract import power_of

MIB = 1024 ** 2


def with_two_disks(stand: Stand, **more: object) -> Domain:
    """Defined; off."""
    plain, second = stand.new_domain(), stand.pool().ensure_volume(stand.new_name(), size=MIB)
    spec = stand.domain_on(plain.disks[0].file, devices=(
        *plain.devices, Disk(file=second.path, target="vdb"), *more.pop("further", ())), **more)
    stand.hypervisor().ensure_defined(spec)
    return spec


def running(stand: Stand) -> Domain:
    spec = with_two_disks(stand)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    return spec


def files_of(spec: Domain) -> list[str]:
    return [disk.file for disk in spec.disks]


def until(does: Callable[[], bool]) -> None:
    wait_until(does, 30)


def take(stand: Stand, spec: Domain, name: UUID, *, memory: bool = False) -> None:
    until(lambda: stand.hypervisor().ensure_snapshot(spec.uuid, spec.generation, name, files_of(spec), memory=memory))


def load(stand: Stand, spec: Domain, name: UUID, shape: str, attempt: UUID) -> None:
    until(lambda: stand.hypervisor().ensure_loaded(spec.uuid, spec.generation, name, files_of(spec), shape=shape,
                                                   attempt=attempt))


def shape_of(stand: Stand, spec: Domain) -> str:
    return stand.hypervisor().shape(spec.uuid, spec.generation)


@pytest.mark.needs("snapshots")
@pytest.mark.parametrize("memory", [False, True])
def test_all_disks_have_it_once_and_it_runs_on(stand: Stand, memory: bool) -> None:
    spec, name = running(stand), uuid4()
    assert stand.hypervisor().capabilities.takes_snapshots
    for _again in range(2):
        take(stand, spec, name, memory=memory)
    assert power_of(stand, spec.uuid) == Power.RUNNING
    assert [stand.hand.snapshots(file) for file in files_of(spec)] == [[str(name)], [str(name)]]
    for _again in range(2):
        stand.hypervisor().ensure_snapshot_absent(spec.uuid, spec.generation, name, files_of(spec))
    assert [stand.hand.snapshots(file) for file in files_of(spec)] == [[], []]
    other = f"{spec.disks[0].file}-x"
    assert stand.hypervisor().ensure_snapshot_absent(spec.uuid, spec.generation, name, [*files_of(spec), other]) == [other]


@pytest.mark.needs("snapshots")
def test_what_is_off_or_of_no_such_disk_is_refused(stand: Stand) -> None:
    spec = with_two_disks(stand)
    for memory in (False, True):
        with pytest.raises(HostFault) as refused:
            stand.hypervisor().ensure_snapshot(spec.uuid, spec.generation, uuid4(), files_of(spec), memory=memory)
        assert str(reasons.NOT_RUNNING) in refused.value.detail
    with pytest.raises(HostFault):
        shape_of(stand, spec)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    with pytest.raises(HostFault) as refused:
        stand.hypervisor().ensure_snapshot(spec.uuid, spec.generation, uuid4(), [f"{spec.disks[0].file}-x"], memory=False)
    assert str(reasons.NO_VOLUME) in refused.value.detail


@pytest.mark.needs("snapshots")
def test_it_runs_on_from_its_memory_once_for_each_attempt(stand: Stand) -> None:
    spec, name = running(stand), uuid4()
    take(stand, spec, name, memory=True)
    shape, first = shape_of(stand, spec), uuid4()
    for attempt in (first, first, uuid4()):
        load(stand, spec, name, shape, attempt)
        assert power_of(stand, spec.uuid) == Power.RUNNING
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    load(stand, spec, name, shape, uuid4())
    assert power_of(stand, spec.uuid) == Power.RUNNING and shape_of(stand, spec) == shape


@pytest.mark.needs("snapshots")
def test_memory_of_other_hardware_is_refused_before_anything_changes(stand: Stand) -> None:
    spec, name = running(stand), uuid4()
    take(stand, spec, name, memory=True)
    shape = shape_of(stand, spec)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    other = stand.domain_on(spec.disks[0].file, uuid=spec.uuid, memory_mib=48, devices=(*spec.devices, Rng()))
    stand.hypervisor().ensure_defined(other)
    with pytest.raises(HostFault) as refused:
        load(stand, other, name, shape, uuid4())
    assert str(reasons.OTHER_DEVICES) in refused.value.detail
    with pytest.raises(HostFault):
        load(stand, other, uuid4(), shape, uuid4())


@pytest.mark.needs("snapshots", "uploaded bytes")
@pytest.mark.parametrize("memory", [False, True])
def test_the_bytes_of_both_disks_are_those_of_then(stand: Stand, memory: bool) -> None:
    spec, name = with_two_disks(stand), uuid4()

    def write(pattern: int) -> None:
        for file in files_of(spec):
            subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} 0 64k", file], check=True, capture_output=True)

    def reads(pattern: int) -> bool:
        return all(subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"read -P {pattern} 0 64k", file],
                                  capture_output=True).returncode == 0 for file in files_of(spec))

    write(0x11)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    take(stand, spec, name, memory=memory)
    shape = shape_of(stand, spec)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    write(0x22)
    assert reads(0x22) and not reads(0x11)
    if memory:
        load(stand, spec, name, shape, uuid4())
        stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    else:
        for file in files_of(spec):
            subprocess.run(["qemu-img", "snapshot", "-a", str(name), str(Path(file))], check=True)
    assert reads(0x11)


@pytest.mark.needs("snapshots")
def test_they_are_not_in_the_way_of_what_comes_after(stand: Stand) -> None:
    """No books of libvirt's own: it is defined anew, and undefined."""
    spec = running(stand)
    take(stand, spec, uuid4(), memory=True)
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    stand.hypervisor().ensure_absent(spec.uuid, spec.generation)
    assert stand.hypervisor().domain(spec.uuid) is None
