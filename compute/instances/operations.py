"""Verbs on instances. The caller has checked access. How their operations are carried out is in `kinds`.

Each verb is one transaction: prerequisites → quota → state → audit → operation row.
"""
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing import affording, credit, ladder
from billing.models import Rung
from billing.prices import price_of
from compute.hosts import placement
from compute.instances import builds, guarding, keys
from compute.instances.copying import Capture, Clone, clone_name, record_clone
from compute.instances.hashing import hashed
from compute.instances.models import Instance, InstanceState, InstanceType, Snapshot, SshKey
from compute.instances.networks import Networks, has_fabric
from compute.instances.resizing import Resize, Way
from compute.instances.sizes import Size
from compute.instances.snapshots.reverting import Reverting
from compute.instances.snapshots.taking import Taking, require_none, volumes_with_snapshots
from compute.instances.verbs import VERBS
from compute.network import steps as network
from portal.kernel import audit
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, NoCapacity
from portal.kernel.models import Operation, Region, Zone
from portal.kernel.names import LONGEST
from portal.kernel.operations import submit
from portal.kernel.secrets import random_secret
from portal.kernel.states import database_now
from storage.models import Attachment, Image, Volume
from tenants.models import Organization, Project
from tenants.quotas import reserve

MOST_AT_ONCE = 20
NO_SUCH_HOST = _("No host of this region has the virtual hardware of this type.")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a tenant asked for: already scoped rows and checked shapes."""

    project: Project
    region: Region
    type: InstanceType
    image: Image
    name: str
    vcpus: int | None = None
    memory_mib: int | None = None
    """Of a custom type; else the least that it has."""
    zone: Zone | None = None
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    root_disk_gib: int | None = None
    ssh_keys: tuple[SshKey, ...] = ()
    public_keys: tuple[str, ...] = ()
    """Keys that the project may not have yet; they are added to it."""
    user_data: str = ""
    password: str = field(default="", repr=False)
    """For the image's own user; only its hash is kept."""
    networks: Networks = field(default_factory=Networks)
    count: int = 1

    @property
    def size(self) -> Size:
        return Size.chosen(self.type, self.vcpus, self.memory_mib)

    @property
    def disk_gib(self) -> int:
        return self.root_disk_gib or max(self.type.root_disk_gib, self.image.min_disk_gib)

    @property
    def wanted(self) -> dict[str, int]:
        """By quota dimension, for all that are ordered."""
        each = {"instances": 1, **self.size.quota, "volumes": 1, "volume_gib": self.disk_gib,
                **self.networks.wanted(self.region)}
        return {name: amount * self.count for name, amount in each.items()} | {"operations": 1}

    @property
    def of_host(self) -> dict[str, int]:
        """What one of them claims of a host."""
        return self.size.of_host

    @property
    def obstacles(self) -> list[str]:
        """Codes of why not all of them would fit now, for forecasts; empty when they would."""
        reasons = placement.forecast(self.region, self.zone, self.of_host, count=self.count, traits=self.type.traits,
                                     needs_network=has_fabric(self.region), disk_gib=self.disk_gib)
        return sorted({*reasons, *self.networks.obstacles(self.region, self.count)})

    @property
    def readings(self) -> list[Reading]:
        """What will be metered while they run."""
        each = [*self.size.readings(InstanceState.RUNNING),
                *Volume(size_gib=self.disk_gib).readings(Volume.State.IN_USE), *self.networks.readings(self.region)]
        return [replace(reading, quantity=reading.quantity * self.count) for reading in each]

    @property
    def names(self) -> list[str]:
        """One is called as asked, several are numbered."""
        if self.count == 1:
            return [self.name]
        return [f"{self.name[:LONGEST - 3]}-{number}" for number in range(1, self.count + 1)]

    def check(self) -> None:
        """Raise InvalidInput naming the field for what can never work."""
        errors: dict[str, list[str]] = {}
        if not self.region.is_open:
            errors["region"] = [str(_("This region takes no new resources."))]
        if self.zone is not None and self.zone.region_id != self.region.pk:
            errors["zone"] = [str(_("This zone is in another region."))]
        if not self.type.is_offered_to(self.project.organization_id):
            errors["type"] = [str(_("This type is not offered here, or not any more."))]
        errors |= builds.image_errors(self.image, self.project, self.region)
        errors |= builds.size_errors(self.image, self.disk_gib, "root_disk_gib")
        errors |= builds.key_errors(self.ssh_keys, self.project) | builds.user_data_errors(self.user_data)
        if wrong := keys.errors(self.public_keys):
            errors["public_keys"] = wrong
        if not placement.could_ever_fit(self.region, self.of_host):
            errors["type"] = [str(_("No host of this region is large enough for this type."))]
        elif not placement.could_ever_give(self.region, self.type.traits):
            errors["type"] = [str(NO_SUCH_HOST)]
        errors |= self.size.errors
        if not 1 <= self.count <= MOST_AT_ONCE:
            errors["count"] = [str(_("From 1 to %(most)s at once.") % {"most": MOST_AT_ONCE})]
        errors |= self.networks.errors(self.project, self.region, self.count)
        if errors:
            raise InvalidInput(errors=errors)


@transaction.atomic
def create_instance(order: Order, *, actor) -> Operation:
    """New instances with their root volumes and ports: all of them or none is accepted, as one operation, which settles them
    to running, or to error with nothing left behind."""
    order.check()
    now = database_now()
    # Raises NoPrice: nothing starts that could never be billed.
    price = price_of(order.project.organization, order.region, order.readings, now)
    networks = order.networks.settled(order.project, order.region, actor=actor)
    reserve(order.project, order.region, order.wanted)
    affording.require(order.project, price, order.tags, now=now, actor=actor)
    given = [*order.ssh_keys, *(keys.take_key(order.project, order.region, text, actor=actor) for text in order.public_keys)]
    networks.lock()
    made = [_add_instance(order, name, given) for name in order.names]
    held = [pk for instance in made for pk in networks.add_to(instance)]
    held += Attachment.objects.filter(domain__in=[instance.pk for instance in made]).values_list("volume_id", flat=True)
    first, *others = made
    ids = [str(instance.pk) for instance in made]
    operation = submit("instance.create", region=order.region, project=order.project, target=first, actor=actor,
                       holds=[*held, *(other.pk for other in others)], arguments={"generation": 1, "instances": ids})
    for instance in made:
        audit.record("instance.create", instance, actor=actor, operation=operation, after={
            "name": instance.name, "type": order.size.words, "image": order.image.name, "root_disk_gib": order.disk_gib})
    return operation


def _add_instance(order: Order, name: str, given: list[SshKey]) -> Instance:
    instance = Instance.objects.create(
        project=order.project, region=order.region, zone=order.zone, name=name, description=order.description,
        tags=order.tags, type=order.type, **order.size.quota, image=order.image,
        user_data=order.user_data, public_keys=list(dict.fromkeys(key.public_key for key in given)), vnc_password=vnc_password(),
        password_hash=hashed(order.password) if order.password else "")
    volume = Volume.objects.create(project=order.project, region=order.region, name=f"{name} root"[:100],
                                   size_gib=order.disk_gib, image=order.image)
    Attachment.objects.create(volume=volume, domain=instance.pk, target="vda", is_boot=True)
    return instance


def vnc_password() -> str:
    """VNC knows 8 characters; a new one for every start."""
    return random_secret(64)[:8]


def act(instance: Instance, verb_name: str, *, actor, force: bool = False, **wishes: object) -> Operation:
    """Begin a verb of the table on the instance; `wishes` are what its form asks. Raises StateConflict, Busy, InstanceLocked or
    InstanceProtected, and what the verb's handler raises. Without an actor it is the platform's own doing."""
    with transaction.atomic():
        fresh = Instance.objects.select_for_update(of=("self",), no_key=True).select_related(
            "region", "project__organization", "host__endpoint").get(pk=instance.pk)
        verb = VERBS[verb_name].on(fresh)
        verb.require(fresh)
        if actor is not None:
            guarding.require(fresh, verb.name)
            ladder.require_paid(fresh.project.organization_id, UNPAID.get(verb.name, ladder.STOPPING))
        told = [name for name in verb.tells if wishes.get(name) is not None]
        before = {name: str(getattr(fresh, name)) for name in ("state", *told) if hasattr(fresh, name)}
        operation = HANDLERS[verb.name](fresh, actor, force, **wishes)
        audit.record(verb.operation, fresh, actor=actor, operation=operation, before=before,
                     after={"state": fresh.state, **({"force": True} if force else {}),
                            **{name: str(wishes[name]) for name in told}})
        return operation


# On which rungs of the ladder a person may not do it. What is to be stopped and recycled is not kept busy with anything else, and
# comes back from the bin when somebody has paid.
UNPAID: dict[str, tuple[Rung, ...]] = {
    "stop": (), "delete": (), "purge": (), "restore": (Rung.RECYCLED,), "start": ladder.REFUSING, "resume": ladder.REFUSING,
    "resize": ladder.REFUSING, "capture": ladder.REFUSING, "clone": ladder.REFUSING,
    "snapshot": ladder.REFUSING}


def _submit(instance: Instance, kind: str, actor, *, steps: Sequence[str] | None = None, also: Iterable[UUID] = (),
            **arguments: object) -> Operation:
    """Holds its volumes, ports and their floating IPs too: nobody takes them away meanwhile; and what is `also` to be held.
    `steps` as with `submit`."""
    held = [*also, *Attachment.objects.filter(domain=instance.pk).values_list("volume_id", flat=True)]
    for port in network.ports_of(instance.pk):
        held += [port.pk, *([port.floating_ip.pk] if hasattr(port, "floating_ip") else [])]
    return submit(kind, region=instance.region, project=instance.project, target=instance, actor=actor, holds=held,
                  arguments=arguments, steps=steps)


def _start(instance: Instance, actor, force: bool) -> Operation:
    _require_credit(instance, actor)
    operation = _submit(instance, "instance.start", actor, generation=instance.generation + 1)
    instance.move_to(InstanceState.STARTING, generation=instance.generation + 1, vnc_password=vnc_password(), fault=None)
    return operation


def _require_credit(instance: Instance, actor) -> None:
    """What lives on credit does not start without, and nothing of who does not pay; what runs is not asked."""
    organization = instance.project.organization
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)  # as `reserve` does
    ladder.require_paid(organization.pk)
    if credit.pays_by_credit(organization):
        now = database_now()
        price = price_of(organization, instance.region, instance.readings(InstanceState.RUNNING), now)
        credit.require(organization, price, now=now, instead_of=instance.pk, actor=actor)


def _require_price(instance: Instance, state: InstanceState) -> None:
    """Raise NoPrice: nothing keeps a host's memory or disk that could never be billed."""
    price_of(instance.project.organization, instance.region, instance.readings(state), database_now())


def _stop(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.stop", actor, generation=instance.generation, force=force)
    instance.move_to(InstanceState.STOPPING)
    return operation


def _reboot(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.reboot", actor, generation=instance.generation, force=force)
    instance.move_to(InstanceState.REBOOTING, generation=instance.generation + 1)
    return operation


def _pause(instance: Instance, actor, force: bool) -> Operation:
    _require_price(instance, InstanceState.PAUSED)
    operation = _submit(instance, "instance.pause", actor, generation=instance.generation)
    instance.move_to(InstanceState.PAUSING)
    return operation


def _suspend(instance: Instance, actor, force: bool) -> Operation:
    _require_price(instance, InstanceState.SUSPENDED)
    operation = _submit(instance, "instance.suspend", actor, generation=instance.generation)
    instance.move_to(InstanceState.SUSPENDING)
    return operation


def _resume(instance: Instance, actor, force: bool) -> Operation:
    """A start: who has suspended it before, and comes late, is of an older generation."""
    _require_credit(instance, actor)
    operation = _submit(instance, "instance.resume", actor, generation=instance.generation + 1, was=instance.state)
    instance.move_to(InstanceState.RESUMING, generation=instance.generation + 1, fault=None)
    return operation


def _rescue(instance: Instance, actor, force: bool, *, image: Image | None) -> Operation:
    """From stopped it is a start."""
    if image is None:
        raise InvalidInput.field("image", str(_("Choose an image: none is offered for rescue.")))
    if errors := builds.image_errors(image, instance.project, instance.region):
        raise InvalidInput(errors=errors)
    if not placement.has_disk(instance.host, builds.least_disk_gib(image)):
        raise NoCapacity(reasons="no_disk")
    if instance.state != InstanceState.RUNNING:
        _require_credit(instance, actor)
    operation = _submit(instance, "instance.rescue", actor, generation=instance.generation, was=instance.state, force=force)
    instance.move_to(InstanceState.RESCUING, rescue_image=image)
    return operation


def _unrescue(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.unrescue", actor, generation=instance.generation, force=force)
    instance.move_to(InstanceState.UNRESCUING)
    return operation


def _rebuild(instance: Instance, actor, force: bool, *, image: Image, ssh_keys: Iterable[SshKey] | None = None,
             user_data: str | None = None) -> Operation:
    """Without `ssh_keys` or `user_data` it keeps those that it has. Not running, it is a start."""
    require_none(instance)
    volume = _root_volume(instance)
    errors = builds.image_errors(image, instance.project, instance.region, is_kept=image.pk == instance.image_id)
    errors |= builds.size_errors(image, volume.size_gib, "image")
    errors |= builds.key_errors(ssh_keys or (), instance.project) | builds.user_data_errors(user_data or "")
    if errors:
        raise InvalidInput(errors=errors)
    if instance.state != InstanceState.RUNNING:
        _require_credit(instance, actor)
    given = None if ssh_keys is None else list(dict.fromkeys(key.public_key for key in ssh_keys))
    operation = _submit(instance, "instance.rebuild", actor, generation=instance.generation, was=instance.state,
                        image=str(image.pk), public_keys=given, has_user_data=user_data is not None)
    instance.move_to(InstanceState.REBUILDING, next_user_data=user_data or "")
    return operation


def _resize(instance: Instance, actor, force: bool, *, type: InstanceType, vcpus: int | None = None,
            memory_mib: int | None = None, allow_restart: bool = False) -> Operation:
    """Quota, money and the host's room are asked at once, as for something new; until it is done it counts for the larger of
    both sizes, and costs what it cost."""
    wanted = Resize(instance=instance, type=type, vcpus=vcpus, memory_mib=memory_mib)
    wanted.take(allow_restart=allow_restart, actor=actor)
    # What grows while it runs is not started anew: its consoles stay open.
    generation = instance.generation + (wanted.way is not Way.LIVE)
    operation = _submit(instance, "instance.resize", actor, steps=wanted.steps, generation=generation, **wanted.arguments)
    instance.move_to(InstanceState.RESIZING, generation=generation, fault=None, **wanted.larger)
    return operation


def _capture(instance: Instance, actor, force: bool, *, name: str, description: str = "",
             tags: dict[str, str] | None = None, snapshot: Snapshot | None = None) -> Operation:
    """What it takes is asked at once, for the whole disk; what the image turns out to be counts and costs from then on. With a
    `snapshot`, of what was on it then."""
    image = Capture(instance=instance, volume=_root_volume(instance), name=name, description=description,
                    tags=tags or {}, snapshot=snapshot).take(actor=actor)
    operation = _submit(instance, "instance.capture", actor, also=[image.pk, *([snapshot.pk] if snapshot else [])],
                        image=str(image.pk), snapshot=str(snapshot.pk) if snapshot else None)
    audit.record("image.create", image, actor=actor, operation=operation, after={"name": image.name, "made of": instance.name})
    instance.move_to(InstanceState.COPYING)
    return operation


def _clone(instance: Instance, actor, force: bool, *, name: str = "") -> Operation:
    """Asked for as a create is."""
    wanted = Clone(instance=instance, volume=_root_volume(instance), ports=list(network.ports_of(instance.pk)),
                   name=name or clone_name(instance, LONGEST))
    made, held = wanted.take(password=vnc_password(), actor=actor)
    operation = _submit(instance, "instance.clone", actor, also=held, generation=1, instances=[str(made.pk)])
    record_clone(made, instance, actor=actor, operation=operation)
    instance.move_to(InstanceState.COPYING)
    return operation


def _snapshot(instance: Instance, actor, force: bool, *, name: str, description: str = "", tags: dict[str, str] | None = None,
              memory: bool = False) -> Operation:
    made = Taking(instance=instance, name=name, description=description, tags=tags or {}, memory=memory).take(actor=actor)
    operation = _submit(instance, "instance.snapshot", actor, also=[made.pk], generation=instance.generation, was=instance.state,
                        snapshot=str(made.pk))
    audit.record("snapshot.create", made, actor=actor, operation=operation, after={
        "name": made.name, "instance": instance.name, "memory": memory})
    instance.move_to(InstanceState.SNAPSHOTTING)
    return operation


def _revert(instance: Instance, actor, force: bool, *, snapshot: Snapshot, memory: bool | None = None) -> Operation:
    """What is off and gets its memory back runs then: that is a start."""
    wanted = Reverting(instance=instance, snapshot=snapshot, memory=memory)
    sizes = wanted.take(actor=actor)
    again: dict[str, object] = {}
    if wanted.starts:
        _require_credit(instance, actor)
        again = {"generation": instance.generation + 1, "vnc_password": vnc_password()}
    operation = _submit(instance, "instance.revert", actor, steps=wanted.steps, also=[snapshot.pk], starts=wanted.starts,
                        generation=again.get("generation", instance.generation), was=instance.state, snapshot=str(snapshot.pk),
                        sizes=sizes)
    audit.record("snapshot.revert", snapshot, actor=actor, operation=operation, after={
        "instance": instance.name, "memory": wanted.with_memory})
    instance.move_to(InstanceState.REVERTING, fault=None, **again)
    return operation


def _root_volume(instance: Instance) -> Volume:
    return Volume.objects.get(attachment__domain=instance.pk, attachment__is_boot=True)


def _recycle(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.recycle", actor, generation=instance.generation)
    instance.move_to(InstanceState.RECYCLING)
    return operation


def _restore(instance: Instance, actor, force: bool) -> Operation:
    """Costs no quota, which it has kept, and starts nothing: also who gets nothing new may keep it."""
    operation = _submit(instance, "instance.restore", actor, generation=instance.generation)
    instance.move_to(InstanceState.RESTORING)
    return operation


def _purge(instance: Instance, actor, force: bool, *, volumes: bool = False) -> Operation:
    """With `volumes` all of its volumes go with it, else the root volume alone. Its snapshots go in any case, also from volumes
    that it had once, and that nobody takes into use meanwhile."""
    operation = _submit(instance, "instance.delete", actor, also=volumes_with_snapshots(instance), generation=instance.generation)
    instance.move_to(InstanceState.DELETING)
    for row in Attachment.objects.filter(domain=instance.pk).select_related("volume").order_by("volume"):
        row.volume.move_to(Volume.State.DELETING if row.is_boot or volumes else Volume.State.DETACHING)
    return operation


HANDLERS: dict[str, Callable[..., Operation]] = {
    "start": _start, "stop": _stop, "reboot": _reboot, "pause": _pause, "suspend": _suspend, "resume": _resume,
    "rescue": _rescue, "unrescue": _unrescue, "rebuild": _rebuild, "resize": _resize, "delete": _recycle, "restore": _restore,
    "purge": _purge, "capture": _capture, "clone": _clone, "snapshot": _snapshot, "revert": _revert}
