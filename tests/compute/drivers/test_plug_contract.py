"""What the hypervisor contract says of disks and cards that come and go while a domain runs, on every driver."""
from dataclasses import replace
from uuid import uuid4

import pytest

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.spec import Controller, Disk, Domain, Interface
from portal.kernel.errors import HostFault

from .stands import Stand
from .test_hypervisor_contract import power_of, started

MIB = 1024 ** 2
PORTS = tuple(Controller(type="pci", index=1 + number, model="pcie-root-port") for number in range(3))


def on_q35(stand: Stand) -> Domain:
    """A running domain with three root ports, one of which its disk takes."""
    plain = stand.new_domain()
    spec = replace(plain, machine="q35", devices=(*plain.devices, *PORTS)) if stand.domain_type == "qemu" else plain
    stand.hypervisor().ensure_defined(spec)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    return spec


def new_disk(stand: Stand, target: str, **more: object) -> Disk:
    volume = stand.pool().ensure_volume(stand.new_name(), size=MIB)
    return Disk(file=volume.path, target=target, serial=uuid4().hex[:20], **more)


@pytest.mark.needs("hot plug")
def test_a_disk_is_plugged_in_once_and_is_not_in_the_definition(stand: Stand) -> None:
    spec, disk = on_q35(stand), new_disk(stand, "vdb")
    assert stand.hypervisor().capabilities.hot_plugs
    for _again in range(2):
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, disk)
    assert stand.hand.disks(spec.uuid) == {spec.disks[0].file, disk.file}
    assert power_of(stand, spec.uuid) == Power.RUNNING
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert stand.hand.disks(spec.uuid) == {spec.disks[0].file}


@pytest.mark.needs("hot plug", "cards")
def test_a_card_is_plugged_in_once_is_a_device_of_the_host_and_is_not_in_the_definition(stand: Stand) -> None:
    spec, card = on_q35(stand), Interface(mac="0a:4d:00:00:01:01", interface_id=uuid4())
    for _again in range(2):
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, card)
    [(port, tap)] = stand.hypervisor().taps(spec.uuid).items()
    assert port == card.interface_id and 0 < len(tap) <= 15
    other = replace(card, mac="0a:4d:00:00:01:02", interface_id=uuid4())
    stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, other)
    assert stand.hypervisor().taps(spec.uuid).keys() == {card.interface_id, other.interface_id}
    with pytest.raises(HostFault) as refused:
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, replace(card, interface_id=uuid4()))
    assert str(reasons.NO_SLOT) in refused.value.detail
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert stand.hypervisor().ensure_unplugged(spec.uuid, spec.generation, card)
    stand.hypervisor().ensure_started(spec.uuid, spec.generation)
    assert stand.hypervisor().taps(spec.uuid) == {}


@pytest.mark.needs("hot plug", "cards")
def test_a_card_that_the_guest_does_not_let_go_of_stays_a_device_of_the_host(stand: Stand) -> None:
    spec, card = on_q35(stand), Interface(mac="0a:4d:00:00:01:03", interface_id=uuid4())
    stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, card)
    stand.hand.keep_devices(spec.uuid)
    for _again in range(2):
        assert not stand.hypervisor().ensure_unplugged(spec.uuid, spec.generation, card)
    assert stand.hypervisor().taps(spec.uuid).keys() == {card.interface_id}


@pytest.mark.needs("hot plug")
def test_as_many_as_there_are_free_slots(stand: Stand) -> None:
    spec = on_q35(stand)
    assert spec.free_slots == 2
    for target in ("vdb", "vdc"):
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, new_disk(stand, target))
    with pytest.raises(HostFault) as refused:
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, new_disk(stand, "vdd"))
    assert str(reasons.NO_SLOT) in refused.value.detail
    assert len(stand.hand.disks(spec.uuid)) == 3


@pytest.mark.needs("hot plug", "image locks")
def test_a_disk_that_another_has_open_is_refused(stand: Stand) -> None:
    spec, other = on_q35(stand), started(stand)
    with pytest.raises(HostFault) as refused:
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, replace(other.disks[0], target="vdb", serial="other"))
    assert str(reasons.IMAGE_LOCKED) in refused.value.detail and refused.value.transient
    assert stand.hand.disks(spec.uuid) == {spec.disks[0].file}


@pytest.mark.needs("hot plug")
def test_a_disk_grows_while_it_runs_and_never_shrinks(stand: Stand) -> None:
    spec, disk = on_q35(stand), new_disk(stand, "vdb")
    stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, disk)
    for _again in range(2):
        stand.hypervisor().ensure_disk_size(spec.uuid, spec.generation, disk, size=3 * MIB)
    with pytest.raises(HostFault) as refused:
        stand.hypervisor().ensure_disk_size(spec.uuid, spec.generation, disk, size=2 * MIB)
    assert str(reasons.SHRINKS) in refused.value.detail
    stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    assert stand.pool().volume(disk.file.rpartition("/")[2]).capacity == 3 * MIB


def test_what_is_not_there_or_off_has_let_go_and_takes_nothing(stand: Stand) -> None:
    spec, disk = stand.new_domain(), Disk(file="/nowhere", target="vdb", serial="x")
    stand.hypervisor().ensure_defined(spec)
    if stand.hypervisor().capabilities.hot_plugs:
        for uuid in (spec.uuid, uuid4()):
            assert stand.hypervisor().ensure_unplugged(uuid, spec.generation, disk)
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
        assert stand.hypervisor().ensure_unplugged(spec.uuid, spec.generation, disk)
        stand.hypervisor().ensure_stopped(spec.uuid, spec.generation)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, disk)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_disk_size(spec.uuid, spec.generation, disk, size=MIB)


@pytest.mark.needs("hot plug")
def test_what_the_guest_does_not_let_go_of_stays(stand: Stand) -> None:
    """SeaBIOS, which is all that runs there, never answers the button of a slot."""
    spec, disk = on_q35(stand), new_disk(stand, "vdb")
    stand.hypervisor().ensure_plugged(spec.uuid, spec.generation, disk)
    stand.hand.keep_devices(spec.uuid)
    for _again in range(2):
        assert not stand.hypervisor().ensure_unplugged(spec.uuid, spec.generation, disk)
    assert disk.file in stand.hand.disks(spec.uuid)
