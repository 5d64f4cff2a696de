"""How an instance becomes a domain: every choice the portal makes about virtual hardware, and nothing else.

Reads rows, returns a `spec.Domain`; touches neither database state nor hosts.
"""
from dataclasses import replace
from typing import Any

from compute.hosts.commands.catalogue import console_log_path
from compute.hosts.drivers.spec import (
    Backing,
    Balloon,
    Channel,
    Console,
    Controller,
    Disk,
    Domain,
    Element,
    GuestOffload,
    HostOffload,
    Input,
    Interface,
    NoBacking,
    Rng,
    Serial,
    Video,
    Vnc,
    Watchdog,
    domain_name,
)
from compute.instances.abilities import why_not
from compute.instances.hardware import Hardware
from compute.instances.headroom import FREE_SLOTS, SLOTS, Headroom
from compute.instances.models import Instance, WatchdogAction
from compute.network.models import Port
from compute.network.steps import ports_of
from storage.models import Attachment, Image, ImageCopy, Volume

# A virtio disk rather than a CD-ROM: cloud-init finds it by its label, and Debian's cloud kernel has no SATA driver.
SEED_TARGET = "vdz"
RESCUE_SERIAL = "rescue"


def design_domain(instance: Instance, *, seed: str, listen: str, rescue: str = "") -> Domain:
    """The domain of `instance` at its current generation. `seed` is the NoCloud drive's path, `listen` the VNC address, `rescue`
    the path of the rescue disk of one that boots from its rescue image."""
    copies, image, most = _copies(instance), instance.rescue_image or instance.image, Headroom.of(instance)
    hardware = hardware_of(instance)
    copy = copies.get(image.pk)
    direct = image.boots_directly and copy is not None
    domain = Domain(
        type="kvm" if instance.host.is_accelerated else "qemu",
        name=domain_name(instance.pk), uuid=instance.pk, instance=instance.pk, generation=instance.generation,
        vcpus=instance.vcpus, max_vcpus=most.vcpus, memory_mib=instance.memory_mib, **_memory(instance, most, hardware),
        **hardware.of_domain,
        architecture=instance.host.architecture or "x86_64",
        kernel=copy.locators["kernel"] if direct else None, initrd=copy.locators["initrd"] if direct else None,
        cmdline=image.kernel_cmdline if direct else None, boot=None if direct else "hd",
        devices=(*map(hardware.disk, (*_rescue_disk(image, copies, rescue), *_disks(instance, copies, first=1 if rescue else 0),
                                      Disk(file=seed, target=SEED_TARGET, format="raw", readonly=True))),
                 *_cards(instance), *hardware.devices, *_people(instance, listen),
                 *_watchdog(instance)),
    )
    return domain if why_not(instance.type, "hot_add_devices") else with_slots(domain)


def hardware_of(instance: Instance) -> Hardware:
    return Hardware(type=instance.type, vcpus=instance.vcpus, is_accelerated=bool(instance.host.is_accelerated))


def with_slots(domain: Domain) -> Domain:
    """With free root ports, for volumes and cards that come while it runs. The older board has slots enough on its one bus."""
    if domain.machine != "q35":
        return domain
    ports = [Controller(type="pci", index=1 + number, model="pcie-root-port") for number in range(FREE_SLOTS - domain.free_slots)]
    return replace(domain, devices=(*domain.devices, *ports))


def _memory(instance: Instance, most: Headroom, hardware: Hardware) -> dict[str, Any]:
    """Growth later is live: free slots, and the one NUMA node that what is put into them belongs to."""
    cells = hardware.cells(vcpus=most.vcpus, memory_mib=instance.memory_mib)
    if most.memory_mib == instance.memory_mib:
        return {"cells": cells} if len(cells) > 1 else {}
    return {"max_memory_kib": most.memory_mib * 1024, "memory_slots": SLOTS,
            "cells": cells}


def _copies(instance: Instance) -> dict:
    pools = Attachment.objects.filter(domain=instance.pk).values("volume__pool")
    return {copy.image_id: copy for copy in ImageCopy.objects.filter(pool__in=pools, is_complete=True)}


def _rescue_disk(image: Image, copies: dict, path: str) -> list[Disk]:
    if not path:
        return []
    return [Disk(file=path, target="vda", serial=RESCUE_SERIAL, backing=Backing(file=copies[image.pk].locators["disk"]))]


def _disks(instance: Instance, copies: dict, first: int) -> list[Disk]:
    """Its volumes, the root first; beside a rescue disk each stands a place further down than it is attached."""
    attached = Attachment.objects.filter(domain=instance.pk).select_related("volume").order_by("-is_boot", "target")
    return [disk_of(row.volume, _further(row.target, first),
                    copies[row.volume.image_id].locators["disk"] if row.volume.image_id else "") for row in attached]


def disk_of(volume: Volume, target: str, base: str = "") -> Disk:
    """`base` is the path of its image's disk, where it is a clone of one. What runs is asked for it by its serial alone."""
    return Disk(file=volume.locator, target=target, serial=volume.pk.hex[:20],
                backing=Backing(file=base) if base else NoBacking())


def _further(target: str, places: int) -> str:
    """vda → vdb."""
    return target[:-1] + chr(ord(target[-1]) + places)


def _cards(instance: Instance) -> list[Interface]:
    return [card_of(instance, port) for port in ports_of(instance.pk)]


def card_of(instance: Instance, port: Port) -> Interface:
    """A port of it on the host's integration bridge. OVS in user space finishes no checksums, so they are made in software."""
    offload = (HostOffload(), GuestOffload()) if instance.host.datapath == "netdev" else ()
    return hardware_of(instance).card(Interface(mac=port.mac, interface_id=port.pk, offload=offload))


def _watchdog(instance: Instance) -> list[Element]:
    """Guests that do not know it do not start it: then it does nothing."""
    return [Watchdog(action=instance.watchdog)] if instance.watchdog != WatchdogAction.OFF else []


def _people(instance: Instance, listen: str) -> list[Element]:
    """What a person sits at: screen, pointer, serial port; the line to the guest agent; the small devices that all want."""
    return [_serial(instance), Console(), Channel(), Vnc(listen=listen, password=instance.vnc_password), Video(), Input(), Rng(),
            Balloon(stats_period_s=10)]


def _serial(instance: Instance) -> Serial:
    """The host keeps what the guest writes on it where the portal can read that, and remove it with the instance."""
    if not instance.host.endpoint.takes_commands:
        return Serial()
    return Serial(log_file=console_log_path(instance.pk), log_append="on")
