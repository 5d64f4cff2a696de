"""Back to a snapshot: which way an instance gets there, whether it can, and what its volumes take then.

Volumes alone: what runs loses its power, the volumes go back, and it is started anew. With memory: it runs on from where it was,
in the process that it has, or in a new one where it is off.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import affording
from billing.prices import price_of
from compute.instances.models import Instance, InstanceState, Snapshot
from compute.instances.snapshots.errors import OtherHardware, OtherVolumes
from compute.instances.snapshots.taking import cards_of, volumes_of
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.models import Region
from portal.kernel.states import database_now
from storage.models import Volume
from tenants.models import Organization
from tenants.quotas import reserve


class Way(StrEnum):
    OFF = "off"
    """It is stopped, and stays so."""
    RESTART = "restart"
    LOAD = "load"
    """It runs, and does so with the memory of then."""
    WAKE = "wake"
    """It is stopped, and runs then."""


STEPS = {Way.OFF: ("apply",), Way.LOAD: ("load", "clock"),
         Way.RESTART: ("connect", "power_off", "apply", "seed", "define", "boot", "link"),
         Way.WAKE: ("connect", "seed", "define", "load", "clock", "link")}


@dataclass(frozen=True, kw_only=True)
class Reverting:
    """The instance's state is still the one that it had. `memory` is None where nobody chose: with it where there is some."""

    instance: Instance
    snapshot: Snapshot
    memory: bool | None = None

    @property
    def with_memory(self) -> bool:
        return self.snapshot.has_memory if self.memory is None else self.memory

    @property
    def way(self) -> Way:
        if self.instance.state == InstanceState.RUNNING:
            return Way.LOAD if self.with_memory else Way.RESTART
        return Way.WAKE if self.with_memory else Way.OFF

    @property
    def steps(self) -> tuple[str, ...]:
        return STEPS[self.way]

    @property
    def starts(self) -> bool:
        """Whether what is off runs afterwards."""
        return self.way is Way.WAKE

    def check(self) -> None:
        """Raise InvalidInput, StateConflict, OtherVolumes or OtherHardware."""
        if self.snapshot.of_instance_id != self.instance.pk:
            raise InvalidInput.field("snapshot", str(_("This is a snapshot of another instance.")))
        if self.memory and not self.snapshot.has_memory:
            raise InvalidInput.field("memory", str(_("This snapshot was taken without memory.")))
        self.snapshot.refresh_from_db(fields=["state"])  # whoever deletes it has the instance, too
        if self.snapshot.state != Snapshot.State.ACTIVE:
            raise StateConflict(state=self.snapshot.get_state_display())
        self._require_volumes()
        if self.with_memory:
            self._require_hardware()

    def _require_volumes(self) -> None:
        now = {volume.pk: volume.name for volume in volumes_of(self.instance)}
        then = {part.volume_id: part.volume.name for part in self.snapshot.parts.select_related("volume")}
        if now.keys() != then.keys():
            raise OtherVolumes(name=self.instance.name, gone=_listed(then[pk] for pk in then.keys() - now.keys()),
                               new=_listed(now[pk] for pk in now.keys() - then.keys()))

    def _require_hardware(self) -> None:
        """As far as it is known here; the host looks at all of it before it loads."""
        instance, then = self.instance, self.snapshot
        for what, was, is_now in (
                (_("vCPUs"), then.vcpus, instance.vcpus), (_("memory (MiB)"), then.memory_mib, instance.memory_mib),
                (_("network cards"), _listed(then.cards), _listed(cards_of(instance)))):
            if was != is_now:
                raise OtherHardware(name=instance.name, what=str(what), then=was, now=is_now)

    def take(self, *, actor: Any) -> dict[str, list[int]]:
        """See that it can be done, and take quota for volumes that are larger then. Until it is done each counts for the larger
        of both sizes. Returns volume → (its size now, its size then). In the transaction of the verb."""
        self.check()
        parts = list(self.snapshot.parts.select_related("volume"))
        sizes = {str(part.volume_id): [part.volume.size_gib, part.size_gib] for part in parts}
        if more := sum(max(0, then - now) for now, then in sizes.values()):
            instance, now = self.instance, database_now()
            price = price_of(instance.project.organization, instance.region,
                             list(Volume(size_gib=more).readings(Volume.State.IN_USE)), now)
            reserve(instance.project, instance.region, {"volume_gib": more})
            affording.require(instance.project, price, instance.tags, now=now, actor=actor)
            for part in parts:
                Volume.objects.filter(pk=part.volume_id, size_gib__lt=part.size_gib).update(size_gib=part.size_gib)
        return sizes


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: what is off, and gets its memory back, costs in a moment what it does running."""
    rows = Instance.objects.live().filter(project__organization=organization, state=InstanceState.REVERTING,
                                          hold__operation__arguments__starts=True)
    return [(row.pk, row.region, tuple(row.readings(InstanceState.RUNNING))) for row in rows.select_related("region", "type")]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "–"
