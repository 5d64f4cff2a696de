"""Each class of virtual hardware on a real QEMU: it is defined and starts, and what the truth table says of it is so."""

from uuid import UUID, uuid4

import libvirt
import pytest

from compute.hosts.drivers.contract import Power, Trait
from compute.hosts.drivers.libvirt.session import session_for
from compute.hosts.drivers.spec import Balloon, Disk, Domain, Input, Rng, Video, Vnc
from compute.instances.abilities import why_not
from compute.instances.design import with_slots
from compute.instances.hardware import Hardware
from compute.instances.models import InstanceType
from portal.kernel.errors import HostFault

from .stands import Stand
from .test_hypervisor_contract import power_of

pytestmark = pytest.mark.lab
MIB = 1024**2
CLASSES = {
    "uefi": {"firmware": "uefi"}, "secure": {"firmware": "uefi-secure"}, "i440fx": {"machine": "i440fx"},
    "emulated": {"io_class": "emulated"}, "multiqueue": {"io_class": "multiqueue"}, "host-model": {"cpu_mode": "host-model"},
    "baseline": {"cpu_mode": "baseline"}, "numa": {"numa_nodes": 2},
}


def started(stand: Stand, type: InstanceType) -> Domain:
    """Firmware before an empty disk, with room to grow where the class permits it, as `design` does it."""
    hardware = Hardware(type=type, vcpus=2, is_accelerated=False)
    grows = not why_not(type, "hot_add_vcpus")
    cells = hardware.cells(vcpus=4 if grows else 2, memory_mib=128)
    volume = stand.pool().ensure_volume(stand.new_name(), size=MIB)
    uuid = uuid4()
    stand.made.append(uuid)
    room = {"max_memory_kib": 512 * 1024, "memory_slots": 4} if grows else {}
    spec = Domain(type="qemu", name=f"mains-{uuid}", uuid=uuid, generation=1, instance=uuid, memory_mib=128, vcpus=2,
                  max_vcpus=4 if grows else 2, boot="hd", cells=cells if grows or len(cells) > 1 else None, **room,
                  **hardware.of_domain, devices=(
                      hardware.disk(Disk(file=volume.path, target="vda", serial="root")), *hardware.devices,
                      Vnc(listen="127.0.0.1", password="geheim12"), Video(), Input(), Rng(), Balloon()))
    spec = spec if why_not(type, "hot_add_devices") else with_slots(spec)
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_started(uuid, 1)
    return spec


def test_the_host_says_what_it_can_give(qemu: Stand) -> None:
    assert qemu.hypervisor().inventory().traits >= {Trait.UEFI, Trait.UEFI_SECURE, Trait.I440FX, Trait.HOST_MODEL}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_starts_and_what_its_table_says_is_so(name: str, qemu: Stand) -> None:
    type = InstanceType(**CLASSES[name])
    spec, hypervisor = started(qemu, type), qemu.hypervisor()
    assert power_of(qemu, spec.uuid) == Power.RUNNING
    _grows(qemu, type, spec.uuid)
    _takes_devices(qemu, type, spec.uuid)
    _keeps_memory_in_a_snapshot(qemu, type, spec.uuid)
    assert not why_not(type, "suspend")
    while not hypervisor.ensure_suspended(spec.uuid, 1):
        pass
    while not hypervisor.ensure_resumed(spec.uuid, 1):
        pass
    assert power_of(qemu, spec.uuid) == Power.RUNNING
    hypervisor.ensure_absent(spec.uuid, 1)
    assert hypervisor.domain(spec.uuid) is None


def _grows(stand: Stand, type: InstanceType, uuid: UUID) -> None:
    for ability, vcpus in (("hot_add_memory", 2), ("hot_add_vcpus", 3)):
        size = {"vcpus": vcpus, "memory_mib": 256}
        if why_not(type, ability):
            with pytest.raises(HostFault):
                stand.hypervisor().ensure_size(uuid, 1, **size)
        else:
            stand.hypervisor().ensure_size(uuid, 1, **size)
            assert stand.hand.size(uuid) == tuple(size.values())


def _takes_devices(stand: Stand, type: InstanceType, uuid: UUID) -> None:
    volume = stand.pool().ensure_volume(stand.new_name(), size=MIB)
    disk = Hardware(type=type, vcpus=2, is_accelerated=False).disk(Disk(file=volume.path, target="vdb", serial="data"))
    if why_not(type, "hot_add_devices"):
        with pytest.raises(HostFault):
            stand.hypervisor().ensure_plugged(uuid, 1, disk)
    else:
        stand.hypervisor().ensure_plugged(uuid, 1, disk)
    assert (disk.file in stand.hand.disks(uuid)) == (not why_not(type, "hot_add_devices"))


def _keeps_memory_in_a_snapshot(stand: Stand, type: InstanceType, uuid: UUID) -> None:
    domain = session_for(stand.address).connection().lookupByUUIDString(str(uuid))
    try:
        domain.snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>").delete()
        is_possible = True
    except libvirt.libvirtError:
        is_possible = False
    assert is_possible == (not why_not(type, "snapshot_memory"))
