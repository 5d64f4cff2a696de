"""How an instance becomes a domain: every choice the portal makes about virtual hardware, and nothing else.

Reads rows, returns a `spec.Domain`; touches neither database state nor hosts.
"""
from compute.hosts.drivers.spec import (
    Backing,
    Balloon,
    Console,
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
    domain_name,
)
from compute.instances.models import Instance
from compute.network.steps import ports_of
from storage.models import Attachment, ImageCopy

# Growth later is live (hot upgrade): the domain knows more vCPUs than it is given.
VCPU_HEADROOM = 4
# A virtio disk rather than a CD-ROM: cloud-init finds it by its label, and Debian's cloud kernel has no SATA driver.
SEED_TARGET = "vdz"


def design_domain(instance: Instance, *, seed: str, listen: str) -> Domain:
    """The domain of `instance` at its current generation. `seed` is the NoCloud drive's path, `listen` the VNC address."""
    copies = _copies(instance)
    copy = copies.get(instance.image_id)
    direct = instance.image.boots_directly and copy is not None
    return Domain(
        type="kvm" if instance.host.is_accelerated else "qemu",
        name=domain_name(instance.pk), uuid=instance.pk, instance=instance.pk, generation=instance.generation,
        memory_mib=instance.memory_mib, vcpus=instance.vcpus,
        max_vcpus=max(instance.vcpus, min(instance.vcpus * 2, VCPU_HEADROOM)),
        cpu_mode="host-passthrough" if instance.host.is_accelerated else None,
        architecture=instance.host.architecture or "x86_64",
        kernel=copy.locators["kernel"] if direct else None, initrd=copy.locators["initrd"] if direct else None,
        cmdline=instance.image.kernel_cmdline if direct else None, boot=None if direct else "hd",
        devices=(*_disks(instance, copies), Disk(file=seed, target=SEED_TARGET, format="raw", readonly=True),
                 *_cards(instance), *_people(instance, listen)),
    )


def _copies(instance: Instance) -> dict:
    pools = Attachment.objects.filter(domain=instance.pk).values("volume__pool")
    return {copy.image_id: copy for copy in ImageCopy.objects.filter(pool__in=pools, is_complete=True)}


def _disks(instance: Instance, copies: dict) -> list[Disk]:
    attached = Attachment.objects.filter(domain=instance.pk).select_related("volume").order_by("-is_boot", "target")
    return [Disk(file=row.volume.locator, target=row.target, serial=row.volume_id.hex[:20],
                 backing=Backing(file=copies[row.volume.image_id].locators["disk"]) if row.volume.image_id else NoBacking())
            for row in attached]


def _cards(instance: Instance) -> list[Element]:
    """Its ports on the host's integration bridge. OVS in user space finishes no checksums, so they are made in software."""
    offload = (HostOffload(), GuestOffload()) if instance.host.datapath == "netdev" else ()
    return [Interface(mac=port.mac, interface_id=port.pk, offload=offload) for port in ports_of(instance.pk)]


def _people(instance: Instance, listen: str) -> list[Element]:
    """What a person sits at: screen, pointer, serial port; and the small devices that every guest wants."""
    return [Serial(), Console(), Vnc(listen=listen, password=instance.vnc_password), Video(), Input(), Rng(),
            Balloon(stats_period_s=10)]
