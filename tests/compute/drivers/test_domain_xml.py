"""The XML of domains, pools and volumes: golden files, libvirt's own schemas, and no location that no file shows.

After a wanted change: `make test ARGS="tests/compute/drivers/test_domain_xml.py --regenerate"`, then read the
difference.
"""
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from uuid import UUID

import libvirt
import pytest
from lxml import etree

from compute.hosts.drivers import elements as mapper
from compute.hosts.drivers import spec
from compute.hosts.drivers.libvirt import probe
from compute.hosts.drivers.spec import (
    Backing,
    Balloon,
    Cell,
    Channel,
    Console,
    Controller,
    Dimm,
    Disk,
    Domain,
    Element,
    GuestOffload,
    HostOffload,
    Input,
    Interface,
    Rng,
    Serial,
    Video,
    Vnc,
    Watchdog,
    domain_name,
)
from compute.instances.design import with_slots
from compute.instances.hardware import Hardware
from compute.instances.models import InstanceType
from storage.pools import elements as storage

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = Path("/usr/share/libvirt/schemas")
ONE, TWO = UUID("11111111-1111-4111-8111-111111111111"), UUID("22222222-2222-4222-8222-222222222222")

EXAMPLES: dict[str, Element] = {
    "instance": Domain(
        name=domain_name(ONE), uuid=ONE, generation=3, instance=TWO, title="one <of> \"ours\"", description="a & b",
        memory_mib=512, max_vcpus=4, vcpus=2, cpu_mode="host-passthrough",
        max_memory_kib=2 * 1024**2, memory_slots=16, cells=(Cell(cpus="0-3", memory_mib=384),),
        devices=(
            Disk(file="/pool/root", target="vda", cache="none", io="native", discard="unmap", error_policy="stop",
                 boot_order=1, serial="0001", backing=Backing(file="/pool/base")),
            Disk(file="/pool/seed", target="sda", bus="sata", device="cdrom", format="raw", readonly=True),
            Controller(type="pci", index=1, model="pcie-root-port"),
            Interface(mac="0a:4d:00:00:00:01", interface_id=ONE, mtu=1442, offload=(HostOffload(), GuestOffload())),
            Serial(log_file="/var/log/libvirt/one.log", log_append="on"), Console(), Channel(),
            Vnc(listen="10.0.0.1", password="geheim12", share_policy="ignore"), Video(vram_kib=16384), Input(),
            Rng(), Balloon(stats_period_s=10), Dimm(size_mib=128), Watchdog())),
    "direct-kernel": Domain(
        type="qemu", name=domain_name(TWO), uuid=TWO, generation=1, instance=TWO, memory_mib=256, max_vcpus=1, vcpus=1,
        machine="pc", kernel="/pool/vmlinuz", initrd="/pool/initrd", cmdline="console=ttyS0 quiet",
        cpu_mode="custom", cpu_model="qemu64", devices=(Serial(), Console())),
    "from-disk": Domain(
        type="qemu", name=domain_name(TWO), uuid=TWO, generation=1, instance=TWO, memory_mib=256, max_vcpus=1, vcpus=1,
        boot="hd", devices=(Disk(file="/pool/root", target="vda"),)),
    "rescued": Domain(
        type="qemu", name=domain_name(TWO), uuid=TWO, generation=2, instance=TWO, memory_mib=256, max_vcpus=1, vcpus=1,
        boot="hd", devices=(Disk(file="/pool/rescue", target="vda", serial="rescue", backing=Backing(file="/pool/helper")),
                            Disk(file="/pool/root", target="vdb", serial="0001", backing=Backing(file="/pool/base")),
                            Disk(file="/pool/rescue-seed", target="vdz", format="raw", readonly=True))),
    "probe": probe.ProbeDomain(),
    "pool": storage.DirPool(name="main", path="/pool"),
    "probe-pool": probe.ProbePool(),
    "volume": storage.Volume(name="clone", capacity=1024, format="qcow2", compat="1.1",
                             backing=storage.Backing(path="/pool/base")),
    "probe-volume": probe.ProbeVolume(),
}
CLASSES = {
    "uefi": InstanceType(firmware="uefi"), "secure": InstanceType(firmware="uefi-secure"),
    "i440fx": InstanceType(machine="i440fx"), "emulated": InstanceType(io_class="emulated"),
    "emulated-i440fx": InstanceType(io_class="emulated", machine="i440fx"), "multiqueue": InstanceType(io_class="multiqueue"),
    "host-model": InstanceType(cpu_mode="host-model"), "baseline": InstanceType(cpu_mode="baseline"),
    "numa": InstanceType(numa_nodes=2, has_hugepages=True),
}


def of_class(type: InstanceType) -> Domain:
    """A domain with a root disk, another one, the set-up drive and a card, of that class."""
    hardware = Hardware(type=type, vcpus=3, is_accelerated=True)
    cells = hardware.cells(vcpus=3, memory_mib=1000)
    disks = (Disk(file="/pool/root", target="vda", serial="0001"), Disk(file="/pool/data", target="vdf", serial="0002"),
             Disk(file="/pool/seed", target="vdz", format="raw", readonly=True))
    return with_slots(Domain(
        type="kvm", name=domain_name(ONE), uuid=ONE, generation=1, instance=TWO, memory_mib=1000, max_vcpus=3, vcpus=3, boot="hd",
        cells=cells if len(cells) > 1 else None, **hardware.of_domain, devices=(
            *map(hardware.disk, disks), hardware.card(Interface(mac="0a:4d:00:00:00:01", interface_id=ONE)),
            *hardware.devices, Serial(), Console(), Vnc(listen="10.0.0.1", password="geheim12"), Video(), Input(), Rng(),
            Balloon(stats_period_s=10))))


EXAMPLES |= {f"class-{name}": of_class(type) for name, type in CLASSES.items()}
SCHEMA_OF = {"domain": "domain.rng", "pool": "storagepool.rng", "volume": "storagevol.rng"}


def parts_of(element: Element) -> Iterator[Element]:
    yield element
    for one in fields(element):
        value = getattr(element, one.name)
        for child in value if isinstance(value, tuple) else (value,):
            if isinstance(child, Element):
                yield from parts_of(child)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_xml_is_as_last_agreed(name: str, request: pytest.FixtureRequest) -> None:
    file = GOLDEN / f"{name}.xml"
    if request.config.getoption("--regenerate"):
        file.write_text(EXAMPLES[name].to_xml())
    assert EXAMPLES[name].to_xml() == file.read_text()


def test_every_golden_file_has_its_example() -> None:
    assert {file.stem for file in GOLDEN.glob("*.xml")} == set(EXAMPLES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_libvirts_schema_accepts_it(name: str) -> None:
    schema = etree.RelaxNG(etree.parse(SCHEMAS / SCHEMA_OF[EXAMPLES[name].tag]))
    assert schema.validate(etree.fromstring(EXAMPLES[name].to_xml())), schema.error_log


@pytest.mark.parametrize("module", [spec, probe, storage], ids=lambda module: module.__name__)
def test_every_location_is_written_by_some_example(module: object) -> None:
    kinds = {kind for kind in vars(module).values()
             if isinstance(kind, type) and issubclass(kind, Element) and kind.__module__ == module.__name__}
    declared = {(kind, one.name) for kind in kinds for one in fields(kind) if "at" in one.metadata}
    written = {(type(part), one.name) for example in EXAMPLES.values() for part in parts_of(example)
               for one in fields(part) if (value := getattr(part, one.name)) or (value == 0 and value is not False)}
    assert declared and declared - written == set()


def test_a_clone_is_opened_with_its_whole_chain_and_nothing_is_probed() -> None:
    disks = etree.fromstring(EXAMPLES["instance"].to_xml()).findall("devices/disk")
    for disk in disks:
        assert disk.find("driver").get("type")
        layer = disk.find("backingStore")
        while layer.find("source") is not None:
            assert layer.find("format").get("type")
            layer = layer.find("backingStore")
        assert len(layer) == 0


def test_the_password_of_the_screen_is_in_the_xml_only() -> None:
    assert "geheim12" in EXAMPLES["instance"].to_xml()
    assert "geheim12" not in repr(EXAMPLES["instance"]) + str(EXAMPLES["instance"])


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb"])
def test_text_that_xml_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        storage.DirPool(name=text, path="/pool").to_xml()


def test_text_cannot_become_markup() -> None:
    hostile = "</name><devices/>&\"'"
    element = storage.DirPool(name=hostile, path=hostile).to_element()
    again = etree.fromstring(etree.tostring(element))
    assert (again.findtext("name"), len(again)) == (hostile, 2)


def test_metadata_is_found_by_libvirt_under_our_namespace() -> None:
    host = libvirt.open("test:///default")
    domain = host.defineXML(replace(EXAMPLES["from-disk"], type="test", architecture="i686", machine=None).to_xml())
    found = etree.fromstring(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, mapper.NAMESPACE))
    assert (found.get("generation"), found.get("instance")) == ("1", str(TWO))
    domain.undefine()


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_libvirts_test_driver_defines_each_class(name: str) -> None:
    host = libvirt.open("test:///default")
    spec = replace(EXAMPLES[f"class-{name}"], type="test", architecture="i686", machine=None)
    domain = host.defineXML(spec.to_xml())
    try:
        again = etree.fromstring(domain.XMLDesc())
        assert [disk.get("bus") for disk in again.iterfind("devices/disk/target")] == [disk.bus for disk in spec.disks]
        assert again.find("os").get("firmware") == spec.firmware
        assert len(again.findall("devices/tpm")) == (name == "secure")
    finally:
        domain.undefineFlags(0)


def test_no_two_disks_of_a_class_are_in_one_place() -> None:
    """Of as many volumes as there are letters before the set-up drive's."""
    hardware = Hardware(type=CLASSES["emulated"], vcpus=1, is_accelerated=False)
    targets = [hardware.disk(Disk(file="/f", target=f"vd{letter}")).target for letter in "abcdefghijklmnopqrstuvwxz"]
    assert len(set(targets)) == len(targets) and targets[0] == "sda" and targets[-1] == "sdf"


def test_memory_and_processors_are_divided_among_all_nodes() -> None:
    cells = Hardware(type=InstanceType(numa_nodes=3), vcpus=4, is_accelerated=False).cells(vcpus=4, memory_mib=1000)
    assert [cell.cpus for cell in cells] == ["0-0", "1-1", "2-3"]
    assert sum(cell.memory_mib for cell in cells) == 1000
