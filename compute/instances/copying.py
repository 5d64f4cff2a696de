"""What copies the disk of an instance that is off: into an image of its project, or for another instance like it.

Here is what that takes of quota, money and the host; the steps are in `copy_steps`. Until it is done the instance is held, and is
not started or deleted. The disk is on one host, and so is the copy for another instance.
"""
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import affording
from billing.prices import price_of
from compute.hosts import placement
from compute.hosts.models import Host
from compute.instances.errors import NoRoomForCopy, NoRoomForImage, NotOffered
from compute.instances.models import Instance, InstanceState, Snapshot
from compute.instances.seed import hostname_of
from compute.instances.sizes import Size
from compute.network.apply import changing
from compute.network.models import Port
from compute.network.operations.vpcs import add_port, own_groups, refuse_gone
from portal.kernel import audit
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, NoCapacity, StateConflict
from portal.kernel.models import Region
from portal.kernel.states import database_now
from storage import copying
from storage.models import GIB, IMAGE_STORE, Attachment, Image, Volume
from tenants.models import Organization
from tenants.quotas import reserve

CLONE_ENDING = "-clone"


# -- an image of it --

@dataclass(frozen=True, kw_only=True)
class Capture:
    """The image that its root volume would become. Until it is there it counts for as much as its files could take."""

    instance: Instance
    volume: Volume
    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    """What was on the volume then."""

    @property
    def size_gib(self) -> int:
        if self.snapshot is None:
            return self.volume.size_gib
        return self.snapshot.parts.values_list("size_gib", flat=True).get(volume=self.volume)

    def check(self) -> None:
        """Raise InvalidInput or StateConflict for a snapshot that it cannot be made of."""
        if self.snapshot is None:
            return
        if not self.snapshot.parts.filter(volume=self.volume).exists():
            raise InvalidInput.field("snapshot", str(_("This is a snapshot of another instance.")))
        self.snapshot.refresh_from_db(fields=["state"])  # whoever deletes it has the instance, too
        if self.snapshot.state != Snapshot.State.ACTIVE:
            raise StateConflict(state=self.snapshot.get_state_display())

    @property
    def others(self) -> dict[str, Any]:
        """What belongs to its image beside the disk."""
        return {part: described for part, described in self.instance.image.files.items() if part != "disk"}

    @property
    def most_gib(self) -> int:
        return copying.most_gib(self.size_gib, self.others)

    @property
    def wanted(self) -> dict[str, int]:
        return {"images": 1, "image_gib": self.most_gib, "operations": 1}

    @property
    def readings(self) -> list[Reading]:
        return [Reading(meter="image", sku=IMAGE_STORE, quantity=Decimal(self.most_gib))]

    def take(self, *, actor: Any) -> Image:
        """Reserve, see that it can be paid, and make the row. In the transaction of the verb."""
        self.check()
        instance, now = self.instance, database_now()
        project, region = instance.project, instance.region
        price = price_of(project.organization, region, self.readings, now)
        reserve(project, region, self.wanted)
        affording.require(project, price, self.tags, now=now, actor=actor)
        self._require_room()
        return Image.objects.create(
            project=project, region=region, name=self.name, description=self.description, tags=self.tags,
            state=Image.State.IMPORTING, visibility=Image.Visibility.PRIVATE, os=instance.image.os,
            min_disk_gib=self.size_gib, virtual_size=self.size_gib * GIB, store_gib=self.most_gib,
            files=self.others, kernel_cmdline=instance.image.kernel_cmdline, of_instance=instance.pk, of_image=instance.image)

    def _require_room(self) -> None:
        """By what is free in fact: the copy is whole, and others do not take less of it as clones do."""
        on_host, in_store = self.instance.host.disk_free_gib, copying.free_gib()
        if any(free is not None and free < self.size_gib for free in (on_host, in_store)):
            raise NoRoomForImage(name=self.instance.name, reasons="no_disk")


# -- another one like it --

@dataclass(frozen=True, kw_only=True)
class Clone:
    """The instance that would be made of it."""

    instance: Instance
    volume: Volume
    ports: list[Port]
    name: str

    @property
    def wanted(self) -> dict[str, int]:
        ports = {"ports": len(self.ports)} if self.ports else {}
        return {"instances": 1, **Size.of(self.instance).quota, "volumes": 1, "volume_gib": self.volume.size_gib,
                **ports, "operations": 1}

    @property
    def of_host(self) -> dict[str, int]:
        return Size.of(self.instance).of_host

    @property
    def readings(self) -> list[Reading]:
        """What will be metered while it runs."""
        return [*Size.of(self.instance).readings(InstanceState.RUNNING),
                *Volume(size_gib=self.volume.size_gib).readings(Volume.State.IN_USE)]

    def check(self) -> None:
        if not self.instance.region.is_open:
            raise InvalidInput.field("region", str(_("This region takes no new resources.")))
        if not self.instance.type.is_offered_to(self.instance.project.organization_id):
            raise NotOffered(type=self.instance.type.name)

    def take(self, *, password: str, actor: Any) -> tuple[Instance, list[UUID]]:
        """Reserve, see that it can be paid, make the rows, and claim its place. In the transaction of the verb, as a create does
        it. Returns it, and what its operation must hold of it."""
        self.check()
        source, now = self.instance, database_now()
        project, region = source.project, source.region
        price = price_of(project.organization, region, self.readings, now)
        own_groups(project.pk, region.pk, {group for port in self.ports for group in port.groups.all()})
        reserve(project, region, self.wanted)
        affording.require(project, price, source.tags, now=now, actor=actor)
        changing(*{port.subnet.vpc_id for port in self.ports})
        refuse_gone(*{port.subnet for port in self.ports})
        made = Instance.objects.create(
            project=project, region=region, zone=source.zone, name=self.name, description=source.description, tags=source.tags,
            type=source.type, vcpus=source.vcpus, memory_mib=source.memory_mib, image=source.image,
            user_data=source.user_data, public_keys=source.public_keys, vnc_password=password,
            password_hash=source.password_hash, watchdog=source.watchdog)
        self._place(made)
        volume = Volume.objects.create(project=project, region=region, name=f"{self.name} root"[:100],
                                       size_gib=self.volume.size_gib)
        Attachment.objects.create(volume=volume, domain=made.pk, target="vda", is_boot=True)
        hostname = hostname_of(made.name, f"i-{made.pk.hex[:8]}")
        cards = [add_port(port.subnet, port.groups.all(), name=f"{made.name} {position}", hostname=hostname, domain=made.pk,
                          position=position, goes_with_instance=True) for position, port in enumerate(self.ports)]
        return made, [made.pk, volume.pk, *(card.pk for card in cards)]

    def _place(self, made: Instance) -> None:
        """On the host of the disk that is copied, or nowhere."""
        host = self.instance.host
        try:
            placement.change(made, host.pk, self.of_host)
        except NoCapacity as error:
            raise NoRoomForCopy(name=self.instance.name, **error.facts) from error
        host = Host.objects.get(pk=host.pk)  # as it is under the lock of the claim
        closed = "in_maintenance" if host.is_in_maintenance else "not_ready" if host.state != Host.State.READY else ""
        if closed or not placement.has_disk(host, self.volume.size_gib):
            raise NoRoomForCopy(name=self.instance.name, reasons=closed or "no_disk")
        Instance.objects.filter(pk=made.pk).update(host=host, zone=host.zone_id)


def clone_name(instance: Instance, longest: int) -> str:
    return instance.name[:longest - len(CLONE_ENDING)] + CLONE_ENDING


def record_clone(made: Instance, source: Instance, *, actor: Any, operation: Any) -> None:
    audit.record("instance.create", made, actor=actor, operation=operation, after={
        "name": made.name, "type": Size.of(made).words, "image": made.image.name, "clone of": source.name})


# -- what comes --

def coming(organization: Organization) -> Iterable[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: an image that is being made costs in a moment what it counts for. (Clones are being built, like others.)"""
    rows = Image.objects.live().filter(project__organization=organization, state=Image.State.IMPORTING).select_related("region")
    return [(row.pk, row.region, (Reading(meter="image", sku=IMAGE_STORE, quantity=Decimal(row.store_gib)),)) for row in rows]
