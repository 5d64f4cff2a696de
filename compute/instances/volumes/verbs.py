"""Verbs on volumes. The caller has checked access; how their operations are carried out is in `kinds`.

Each is one transaction, and locks the instance before the volume.
"""
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing import affording, ladder
from billing.prices import Estimate, price_of
from compute.hosts import placement
from compute.instances.models import Instance, InstanceState
from compute.instances.volumes.errors import IsRootVolume, NoRoomForVolume, VolumeElsewhere
from compute.instances.volumes.places import free_target, pool_for, require_open
from portal.kernel import audit
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, StateConflict
from portal.kernel.models import Operation, Region, Zone
from portal.kernel.operations import submit
from portal.kernel.states import database_now
from storage.models import Attachment, Volume
from tenants.models import Organization, Project
from tenants.quotas import reserve

S = Volume.State
LARGEST_GIB = 64 * 1024
REVERT = "instance.revert"


@dataclass(frozen=True, kw_only=True)
class NewVolume:
    """What a tenant asked for. With an instance it is made on that one's host, and attached."""

    project: Project
    region: Region
    name: str
    size_gib: int
    zone: Zone | None = None
    instance: Instance | None = None
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def wanted(self) -> dict[str, int]:
        """By quota dimension."""
        return {"volumes": 1, "volume_gib": self.size_gib, "operations": 1}

    def check(self) -> None:
        """Raise InvalidInput naming the field for what can never work."""
        errors: dict[str, list[str]] = {}
        if not self.region.is_open:
            errors["region"] = [str(_("This region takes no new resources."))]
        if self.zone is not None and self.zone.region_id != self.region.pk:
            errors["zone"] = [str(_("This zone is in another region."))]
        if not 1 <= self.size_gib <= LARGEST_GIB:
            errors["size_gib"] = [str(_("From 1 to %(most)s GiB.") % {"most": LARGEST_GIB})]
        if self.instance is not None:
            errors |= _instance_errors(self.instance, self.project.pk, self.region.pk)
            if self.zone is not None and self.instance.zone_id != self.zone.pk:
                errors.setdefault("zone", [str(_("The instance is in another zone."))])
        if errors:
            raise InvalidInput(errors=errors)


def _instance_errors(instance: Instance, project: UUID, region: UUID) -> dict[str, list[str]]:
    if (instance.project_id, instance.region_id) == (project, region):
        return {}
    return {"instance": [str(_("This instance belongs to another project or region."))]}


def readings(size_gib: int, pool_class: str) -> list[Reading]:
    """What a volume of that size is metered as."""
    return list(Volume(size_gib=size_gib, pool_class=pool_class).readings(S.IN_USE))


@transaction.atomic
def create_volume(wanted: NewVolume, *, actor: Any) -> Operation:
    """Raises InvalidInput, NoPrice, QuotaExceeded, what `affording` does, NoRoomForVolume; with an instance also what `attach`
    does."""
    wanted.check()
    project, region, now = wanted.project, wanted.region, database_now()
    instance = _locked_instance(wanted.instance.pk) if wanted.instance else None
    if instance is not None:
        require_open(instance)
    pool = pool_for(region, wanted.zone, instance, wanted.size_gib)
    price = price_of(project.organization, region, readings(wanted.size_gib, pool.pool_class), now)
    reserve(project, region, wanted.wanted)
    affording.require(project, price, wanted.tags, now=now, actor=actor)
    volume = Volume.objects.create(project=project, region=region, name=wanted.name, description=wanted.description,
                                   tags=wanted.tags, size_gib=wanted.size_gib, pool=pool, pool_class=pool.pool_class)
    operation = _submit("volume.create", volume, instance, actor, steps=("make", *(_ways_in(instance) if instance else ())),
                        **(_place(volume, instance) if instance else {}))
    audit.record("volume.create", volume, actor=actor, operation=operation, after={
        "name": volume.name, "size_gib": volume.size_gib, **({"instance": instance.name} if instance else {})})
    return operation


@transaction.atomic
def attach(volume: Volume, instance: Instance, *, actor: Any) -> Operation:
    """Put it into an instance of its host, running or off. Raises InvalidInput, StateConflict, Busy, InstanceLocked,
    NotWhileRunning, VolumeElsewhere, TooManyVolumes or Unpaid."""
    if errors := _instance_errors(instance, volume.project_id, volume.region_id):
        raise InvalidInput(errors=errors)
    instance, fresh = _locked_instance(instance.pk), _locked(volume)
    _require_state(fresh, S.AVAILABLE)
    require_open(instance)
    if fresh.pool is None or fresh.pool.host_id != instance.host_id:
        raise VolumeElsewhere(volume=fresh.name, instance=instance.name)
    _require_paid(fresh, actor)
    operation = _submit("volume.attach", fresh, instance, actor, steps=_ways_in(instance), **_place(fresh, instance))
    fresh.move_to(S.ATTACHING)
    audit.record("volume.attach", fresh, actor=actor, operation=operation, after={"instance": instance.name})
    return operation


@transaction.atomic
def detach(volume: Volume, *, actor: Any) -> Operation:
    """Take it out of its instance; what is on it stays. Raises IsRootVolume, StateConflict, Busy, InstanceLocked,
    NotWhileRunning or Unpaid."""
    row = Attachment.objects.filter(volume=volume.pk).first()
    instance = _locked_instance(row.domain) if row else None
    fresh = _locked(volume)
    row = Attachment.objects.filter(volume=volume.pk).first()  # as it is under the locks
    _require_state(fresh, S.IN_USE)
    if row is None or instance is None or row.domain != instance.pk:
        raise StateConflict(state=fresh.get_state_display())
    if row.is_boot:
        raise IsRootVolume(name=fresh.name)
    require_open(instance)
    if instance.state == InstanceState.RUNNING:  # from what is off they may be taken, to be deleted
        _require_paid(fresh, actor)
    steps = ("unplug", "define") if instance.state == InstanceState.RUNNING else ("define",)
    operation = _submit("volume.detach", fresh, instance, actor, steps=steps, target_name=row.target)
    fresh.move_to(S.DETACHING)
    audit.record("volume.detach", fresh, actor=actor, operation=operation, before={"instance": instance.name})
    return operation


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A larger size for a volume, root or not."""

    volume: Volume
    size_gib: int

    @property
    def wanted(self) -> dict[str, int]:
        return {"volume_gib": self.size_gib - self.volume.size_gib}

    def price(self, at: Any) -> Estimate:
        """Of all of it, afterwards."""
        volume = self.volume
        return price_of(volume.project.organization, volume.region, readings(self.size_gib, volume.pool_class), at)

    def check(self) -> None:
        if self.size_gib <= self.volume.size_gib:
            raise InvalidInput.field("size_gib", str(
                _("It has %(size)s GiB, and volumes only grow.") % {"size": self.volume.size_gib}))
        if self.size_gib > LARGEST_GIB:
            raise InvalidInput.field("size_gib", str(_("From 1 to %(most)s GiB.") % {"most": LARGEST_GIB}))


@transaction.atomic
def grow(volume: Volume, size_gib: int, *, actor: Any) -> Operation:
    """Quota and money are asked for at once; it costs more from when it is larger. Raises InvalidInput, StateConflict, Busy,
    InstanceLocked, NotWhileRunning, what `reserve` and `affording` do, or NoRoomForVolume."""
    row = Attachment.objects.filter(volume=volume.pk).first()
    instance = _locked_instance(row.domain) if row else None
    fresh = _locked(volume)
    was, size = fresh.state, fresh.size_gib
    _require_state(fresh, S.AVAILABLE, S.IN_USE)
    if (was == S.IN_USE) != (instance is not None):  # it came or went before we had the locks
        raise StateConflict(state=fresh.get_state_display())
    wanted, now = Growth(volume=fresh, size_gib=size_gib), database_now()
    wanted.check()
    if instance is not None:
        require_open(instance, plugs=False)
    price = wanted.price(now)
    reserve(fresh.project, fresh.region, wanted.wanted)
    affording.require(fresh.project, price, fresh.tags, now=now, instead_of=fresh.pk, actor=actor)
    if fresh.pool is None or not placement.has_disk(fresh.pool.host, size_gib - size):
        raise NoRoomForVolume(reasons="no_disk")
    operation = _submit("volume.grow", fresh, instance, actor, was=was, to=size_gib, **{"from": size})
    fresh.move_to(S.RESIZING, size_gib=size_gib)
    audit.record("volume.grow", fresh, actor=actor, operation=operation, before={"size_gib": size}, after={"size_gib": size_gib})
    return operation


@transaction.atomic
def delete_volume(volume: Volume, *, actor: Any) -> Operation:
    """At once, with all that is on it. Raises StateConflict while an instance has it."""
    fresh = _locked(volume)
    _require_state(fresh, S.AVAILABLE, S.ERROR)
    operation = _submit("volume.delete", fresh, None, actor)
    fresh.move_to(S.DELETING)
    audit.record("volume.delete", fresh, actor=actor, operation=operation, before={
        "name": fresh.name, "size_gib": fresh.size_gib})
    return operation


# -- parts --

def _ways_in(instance: Instance) -> tuple[str, ...]:
    """The definition first: where that fails, nothing was plugged in."""
    return ("define", "plug") if instance.state == InstanceState.RUNNING else ("define",)


def _place(volume: Volume, instance: Instance) -> dict[str, str]:
    """Its place among the instance's disks is taken at once."""
    target = free_target(instance)
    Attachment.objects.create(volume=volume, domain=instance.pk, target=target)
    return {"target_name": target}


def _submit(kind: str, volume: Volume, instance: Instance | None, actor: Any, *, steps: tuple[str, ...] | None = None,
            **arguments: object) -> Operation:
    """Holds both: neither is changed or deleted meanwhile."""
    return submit(kind, region=volume.region, project=volume.project, target=volume, actor=actor, steps=steps,
                  holds=[instance.pk] if instance else [],
                  arguments=arguments | ({"instance": str(instance.pk)} if instance else {}))


def _require_paid(volume: Volume, actor: Any) -> None:
    """Raise Unpaid: what is to be stopped and recycled is not kept busy with anything else, as with the verbs of instances."""
    if actor is not None:
        ladder.require_paid(volume.project.organization_id, ladder.STOPPING)


def _require_state(volume: Volume, *legal: str) -> None:
    if volume.state not in legal:
        raise StateConflict(state=volume.get_state_display(), legal=",".join(legal))


def _locked(volume: Volume) -> Volume:
    rows = Volume.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("region", "project__organization", "pool__host").get(pk=volume.pk)


def _locked_instance(pk: UUID) -> Instance:
    rows = Instance.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("host__endpoint").get(pk=pk)


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: what is being made or grown, or goes back to a snapshot where it was larger, costs in a moment what its row
    says. Root volumes come with their instances."""
    rows = Volume.objects.live().filter(
        Q(state=S.RESIZING) | Q(hold__operation__kind=REVERT) | Q(state=S.CREATING) & ~Q(attachment__is_boot=True),
        project__organization=organization).select_related("region")
    return [(row.pk, row.region, tuple(row.readings(S.IN_USE))) for row in rows]
