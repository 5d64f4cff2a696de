"""What a snapshot of an instance takes of quota, money and its host; and which volumes are in it."""
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import affording
from billing.prices import price_of
from compute.hosts import placement
from compute.instances import abilities
from compute.instances.errors import ClassForbids, NotSupported
from compute.instances.models import Instance, InstanceState, Snapshot, SnapshotVolume
from compute.instances.snapshots.errors import HasSnapshots, NoRoomForSnapshot, TooManySnapshots
from compute.network.models import Port
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Region
from portal.kernel.states import database_now
from storage.models import Volume
from tenants.models import Organization
from tenants.quotas import reserve

DIMENSION = "snapshots"
MOST = 20
"""Of one instance: each makes the tables of its volumes longer."""


def volumes_of(instance: Instance) -> list[Volume]:
    """All that are attached, the root first."""
    rows = Volume.objects.filter(attachment__domain=instance.pk).select_related("attachment")
    return list(rows.order_by("-attachment__is_boot", "attachment__target"))


def cards_of(instance: Instance) -> list[str]:
    return list(Port.objects.live().filter(domain=instance.pk).order_by("position", "pk").values_list("mac", flat=True))


@dataclass(frozen=True, kw_only=True)
class Taking:
    """The snapshot that is asked for. The instance's state is still the one that it had."""

    instance: Instance
    name: str
    memory: bool = False
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, int]:
        return {DIMENSION: 1, "operations": 1}

    def row(self, volumes: Iterable[Volume]) -> Snapshot:
        """As it will be; not saved."""
        instance = self.instance
        return Snapshot(
            project=instance.project, region=instance.region, name=self.name, description=self.description, tags=self.tags,
            of_instance=instance, parent_id=instance.current_snapshot_id, has_memory=self.memory,
            disk_gib=sum(volume.size_gib for volume in volumes), vcpus=instance.vcpus, memory_mib=instance.memory_mib)

    def readings(self, volumes: Iterable[Volume]) -> list[Reading]:
        return list(self.row(volumes).readings(Snapshot.State.ACTIVE))

    def check(self) -> None:
        if not self.instance.host.endpoint.takes_commands:  # of what is off nobody could take one, nor delete one
            raise NotSupported(name=self.instance.name)
        if self.memory and self.instance.state != InstanceState.RUNNING:
            raise InvalidInput.field("memory", str(_("What does not run has nothing in its memory.")))
        if self.memory and (reason := abilities.why_not(self.instance.type, "snapshot_memory")):
            raise ClassForbids(name=self.instance.name, reason=reason)

    def take(self, *, actor: Any) -> Snapshot:
        """Reserve, see that it can be paid, and make the row. In the transaction of the verb, which has the instance locked."""
        self.check()
        instance, volumes, now = self.instance, volumes_of(self.instance), database_now()
        if Snapshot.objects.live().filter(of_instance=instance).count() >= MOST:
            raise TooManySnapshots(name=instance.name, most=MOST)
        price = price_of(instance.project.organization, instance.region, self.readings(volumes), now)
        reserve(instance.project, instance.region, self.wanted)
        affording.require(instance.project, price, self.tags, now=now, actor=actor)
        if self.memory and not placement.has_disk(instance.host, -(-instance.memory_mib // 1024)):
            raise NoRoomForSnapshot(name=instance.name, reasons="no_disk")
        made = self.row(volumes)
        made.cards = cards_of(instance)
        made.save(force_insert=True)
        SnapshotVolume.objects.bulk_create([
            SnapshotVolume(snapshot=made, volume=volume, size_gib=volume.size_gib, is_boot=volume.attachment.is_boot)
            for volume in volumes])
        return made


def volumes_with_snapshots(instance: Instance) -> list[UUID]:
    """Those that have snapshots of it inside, whichever instance has them by now."""
    parts = SnapshotVolume.objects.filter(snapshot__of_instance=instance, snapshot__deleted_at=None, volume__deleted_at=None)
    return list(parts.values_list("volume_id", flat=True).distinct())


def require_none(instance: Instance) -> None:
    """Raise HasSnapshots: for what would destroy them beside what it is about."""
    if count := Snapshot.objects.live().filter(of_instance=instance).count():
        raise HasSnapshots(name=instance.name, count=count)


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: one that is being taken costs in a moment."""
    rows = Snapshot.objects.live().filter(project__organization=organization, state=Snapshot.State.CREATING)
    return [(row.pk, row.region, tuple(row.readings(Snapshot.State.ACTIVE))) for row in rows.select_related("region")]
