"""Verbs on instances and SSH keys, and the operation kinds behind them. The caller has checked access.

Each verb is one transaction: prerequisites → quota → state → audit → operation row.
"""
from dataclasses import dataclass, field

from django.db import transaction
from django.utils.translation import gettext_lazy as _

from billing.prices import price_of
from compute.hosts import placement
from compute.instances import steps
from compute.instances.models import Instance, InstanceState, InstanceType, SshKey
from compute.instances.verbs import VERBS
from portal.kernel import audit, live
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput
from portal.kernel.models import Operation, Region, Zone
from portal.kernel.operations import Kind, Run, Step, register, submit
from portal.kernel.secrets import random_secret
from portal.kernel.states import database_now
from storage.models import GIB, Attachment, Image, Volume
from tenants.models import Project
from tenants.quotas import reserve


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a tenant asked for: already scoped rows and checked shapes."""

    project: Project
    region: Region
    type: InstanceType
    image: Image
    name: str
    zone: Zone | None = None
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    root_disk_gib: int | None = None
    ssh_keys: tuple[SshKey, ...] = ()
    user_data: str = ""

    @property
    def disk_gib(self) -> int:
        return self.root_disk_gib or max(self.type.root_disk_gib, self.image.min_disk_gib)

    @property
    def wanted(self) -> dict[str, int]:
        """By quota dimension."""
        return {"instances": 1, "vcpus": self.type.vcpus, "memory_mib": self.type.memory_mib,
                "volumes": 1, "volume_gib": self.disk_gib}

    @property
    def readings(self) -> list[Reading]:
        """What will be metered while it runs."""
        instance = Instance(type=self.type)
        volume = Volume(size_gib=self.disk_gib)
        return [*instance.readings(InstanceState.RUNNING), *volume.readings(Volume.State.IN_USE)]

    def check(self) -> None:
        """Raise InvalidInput naming the field for what can never work."""
        errors: dict[str, list[str]] = {}
        if self.image.state != Image.State.ACTIVE:
            errors["image"] = [str(_("This image is not ready."))]
        if self.image.region_id != self.region.pk:
            errors["image"] = [str(_("This image is in another region."))]
        if not self.region.is_open:
            errors["region"] = [str(_("This region takes no new resources."))]
        if self.zone is not None and self.zone.region_id != self.region.pk:
            errors["zone"] = [str(_("This zone is in another region."))]
        if not self.type.is_offered:
            errors["type"] = [str(_("This type is not offered any more."))]
        if self.disk_gib < self.image.min_disk_gib or self.disk_gib * GIB < self.image.virtual_size:
            errors["root_disk_gib"] = [str(_("The image needs a root disk of at least %(size)s GiB.") % {
                "size": max(self.image.min_disk_gib, -(-self.image.virtual_size // GIB))})]
        if any(key.project_id != self.project.pk for key in self.ssh_keys):
            errors["ssh_keys"] = [str(_("An SSH key belongs to another project."))]
        if not placement.could_ever_fit(self.region, {"vcpu": self.type.vcpus, "memory_mib": self.type.memory_mib}):
            errors["type"] = [str(_("No host of this region is large enough for this type."))]
        if errors:
            raise InvalidInput(errors=errors)


@transaction.atomic
def create_instance(order: Order, *, actor) -> Operation:
    """A new instance with its root volume; the operation settles it to running, or to error with nothing left behind."""
    order.check()
    price_of(order.region, order.readings, database_now())  # raises NoPrice: nothing starts that could never be billed
    reserve(order.project, order.region, order.wanted)
    instance = Instance.objects.create(
        project=order.project, region=order.region, zone=order.zone, name=order.name, description=order.description,
        tags=order.tags, type=order.type, vcpus=order.type.vcpus, memory_mib=order.type.memory_mib, image=order.image,
        user_data=order.user_data, public_keys=[key.public_key for key in order.ssh_keys], vnc_password=_vnc_password())
    volume = Volume.objects.create(project=order.project, region=order.region, name=f"{order.name} root"[:100],
                                   size_gib=order.disk_gib, image=order.image)
    Attachment.objects.create(volume=volume, domain=instance.pk, target="vda", is_boot=True)
    operation = submit("instance.create", region=order.region, project=order.project, target=instance, actor=actor,
                       holds=[volume.pk], arguments={"generation": instance.generation})
    audit.record("instance.create", instance, actor=actor, operation=operation, after={
        "name": order.name, "type": order.type.slug, "image": order.image.name, "root_disk_gib": order.disk_gib})
    return operation


def _vnc_password() -> str:
    """VNC knows 8 characters; a new one for every start."""
    return random_secret(64)[:8]


def act(instance: Instance, verb_name: str, *, actor, force: bool = False) -> Operation:
    """Begin a verb of the table on the instance. Raises StateConflict or Busy."""
    handler = {"start": _start, "stop": _stop, "reboot": _reboot, "delete": _delete}[verb_name]
    with transaction.atomic():
        fresh = Instance.objects.select_for_update(of=("self",), no_key=True).select_related("region", "project").get(
            pk=instance.pk)
        verb = VERBS[verb_name]
        verb.require(fresh)
        before = fresh.state
        operation = handler(fresh, actor, force)
        audit.record(verb.operation, fresh, actor=actor, operation=operation, before={"state": before},
                     after={"state": fresh.state, **({"force": True} if force else {})})
        return operation


def _submit(instance: Instance, kind: str, actor, **arguments: object) -> Operation:
    volumes = Attachment.objects.filter(domain=instance.pk).values_list("volume_id", flat=True)
    return submit(kind, region=instance.region, project=instance.project, target=instance, actor=actor, holds=volumes,
                  arguments=arguments)


def _start(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.start", actor, generation=instance.generation + 1)
    instance.move_to(InstanceState.STARTING, generation=instance.generation + 1, vnc_password=_vnc_password(), fault=None)
    return operation


def _stop(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.stop", actor, generation=instance.generation, force=force)
    instance.move_to(InstanceState.STOPPING)
    return operation


def _reboot(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.reboot", actor, generation=instance.generation, force=force)
    instance.move_to(InstanceState.REBOOTING, generation=instance.generation + 1, vnc_password=_vnc_password())
    return operation


def _delete(instance: Instance, actor, force: bool) -> Operation:
    operation = _submit(instance, "instance.delete", actor, generation=instance.generation)
    instance.move_to(InstanceState.DELETING)
    for row in Attachment.objects.filter(domain=instance.pk, is_boot=True).select_related("volume"):
        row.volume.move_to(Volume.State.DELETING)
    return operation


@transaction.atomic
def update_instance(instance: Instance, *, actor, **changes: object) -> Instance:
    """Change name, description, tags: what the tenant calls it. The guest's own host name stays."""
    before = {name: getattr(instance, name) for name in changes}
    Instance.objects.filter(pk=instance.pk).update(**changes)
    live.touch(instance)
    audit.record("instance.update", instance, actor=actor, before=before, after=dict(changes))
    instance.refresh_from_db()
    return instance


# -- how operations end --

def _is_running(run: Run) -> dict:
    instance = steps.instance_of(run)
    instance.move_to(InstanceState.RUNNING, observed_state="running", observed_at=database_now(), fault=None)
    volume = steps.root_volume(instance)
    if volume is not None and volume.state == Volume.State.CREATING:
        volume.move_to(Volume.State.IN_USE)
    return {"instances": [str(instance.pk)]}


def _create_failed(run: Run, error: dict) -> None:
    instance = steps.instance_of(run)
    volume = steps.root_volume(instance)
    if volume is not None:
        Attachment.objects.filter(volume=volume).delete()
        volume.move_to(Volume.State.DELETED, deleted_at=database_now())
    instance.move_to(InstanceState.ERROR, fault=error)


def _start_failed(run: Run, error: dict) -> None:
    steps.instance_of(run).move_to(InstanceState.STOPPED, fault=error)


def _is_stopped(run: Run) -> dict:
    instance = steps.instance_of(run)
    instance.move_to(InstanceState.STOPPED, observed_state="off", observed_at=database_now())
    return {"instances": [str(instance.pk)]}


def _is_deleted(run: Run) -> dict:
    instance = steps.instance_of(run)
    now = database_now()
    for row in Attachment.objects.filter(domain=instance.pk).select_related("volume"):
        volume = row.volume
        row.delete()
        volume.move_to(Volume.State.DELETED, deleted_at=now)
    instance.move_to(InstanceState.DELETED, deleted_at=now)
    return {"instances": [str(instance.pk)]}


def _cannot_fail(run: Run, error: dict) -> None:
    """Forward-only kinds never get here: their pivot is their first step."""
    raise RuntimeError(f"{run.operation.kind} has no way back")


LABELS = {"place": _("Find a host"), "image": _("Bring the image"), "volume": _("Make the root volume"),
          "seed": _("Write the set-up drive"), "define": _("Define"), "boot": _("Boot"), "shut_down": _("Shut down"),
          "power_off": _("Cut the power"), "remove": _("Remove from the host"), "remove_seed": _("Remove the set-up drive"),
          "remove_volume": _("Delete the root volume"), "give_back": _("Give back capacity")}

register(Kind(
    name="instance.create", label=_("Create instance"), deadline_s=600, step_labels=LABELS,
    steps=(Step("place", steps.place, steps.unplace), Step("image", steps.bring_image, limit_s=600),
           Step("volume", steps.make_volume, steps.unmake_volume), Step("seed", steps.make_seed, steps.unmake_seed),
           Step("define", steps.define, steps.undefine), Step("boot", steps.boot, steps.undefine)),
    succeeded=_is_running, failed=_create_failed))
register(Kind(
    name="instance.start", label=_("Start instance"), deadline_s=300, step_labels=LABELS,
    steps=(Step("seed", steps.make_seed), Step("define", steps.define), Step("boot", steps.boot, steps.power_off)),
    succeeded=_is_running, failed=_start_failed))
register(Kind(
    name="instance.stop", label=_("Stop instance"), pivot="shut_down", step_labels=LABELS,
    steps=(Step("shut_down", steps.shut_down), Step("power_off", steps.power_off)),
    succeeded=_is_stopped, failed=_cannot_fail))
register(Kind(
    name="instance.reboot", label=_("Reboot instance"), pivot="shut_down", step_labels=LABELS,
    steps=(Step("shut_down", steps.shut_down), Step("power_off", steps.power_off), Step("define", steps.define),
           Step("boot", steps.boot)),
    succeeded=_is_running, failed=_cannot_fail))
register(Kind(
    name="instance.delete", label=_("Delete instance"), pivot="remove", step_labels=LABELS,
    steps=(Step("remove", steps.undefine), Step("remove_seed", steps.unmake_seed),
           Step("remove_volume", steps.unmake_volume), Step("give_back", steps.unplace)),
    succeeded=_is_deleted, failed=_cannot_fail))
