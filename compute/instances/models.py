"""Instance types, SSH keys and instances. What an instance may do is in `verbs`, how it becomes a domain in `design`."""
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from compute.hosts.drivers.contract import Trait
from compute.hosts.models import Host
from compute.instances.classes import MOST_NODES, CpuMode, Firmware, IoClass, Machine
from compute.instances.launch_templates.models import LaunchTemplate, LaunchTemplateVersion  # noqa: F401  (tables of this app)
from compute.instances.schedules.models import InstanceSchedule, ScheduleRun  # noqa: F401  (tables of this app)
from compute.instances.snapshots.models import Snapshot, SnapshotVolume  # noqa: F401  (tables of this app)
from portal.kernel.declarations import Reading
from portal.kernel.models import Resource, Zone
from portal.kernel.secrets import EncryptedTextField
from portal.kernel.states import Stateful
from storage.models import Image
from tenants.models import Project


class InstanceTypeQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """What is offered to everybody, or to an organization of the user's."""
        return self.filter(is_offered=True) if user.grants.sees_everything else self.filter(self._offered(user), is_offered=True)

    def hidden_from(self, user) -> Self:
        """What is restricted to others, whether it is still offered or not: even its name is not told."""
        return self.none() if user.grants.sees_everything else self.exclude(self._offered(user))

    def offered_to(self, *organization_ids: object) -> Self:
        """What is offered to everybody, or to one of these."""
        return self.filter(self._chosen(Q(organization__in=organization_ids)), is_offered=True)

    def _offered(self, user) -> Q:
        """A key that is bound to a project is in no organization, and has what is offered to that of its project."""
        grants = user.grants
        if grants.organization_ids:
            return self._chosen(Q(organization__in=grants.organization_ids))
        return self._chosen(Q(organization__in=Project.objects.filter(pk__in=list(grants.by_project)).values("organization")))

    def _chosen(self, which: Q) -> Q:
        chosen = self.model.organizations.through.objects.filter(which).values("instancetype")
        return Q(is_restricted=False) | Q(pk__in=chosen)


class InstanceType(models.Model):
    """A size that tenants choose and the price book prices (sku = slug). Catalogue; never changed once used. To who is not
    offered it, it is absent; what runs goes on."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(_("slug"), max_length=40, unique=True)
    name = models.CharField(_("name"), max_length=80)
    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory (MiB)"))
    root_disk_gib = models.PositiveIntegerField(_("root disk (GiB)"), default=10)
    max_vcpus = models.PositiveIntegerField(_("up to so many vCPUs"), null=True, blank=True, help_text=_(
        "Of a custom type, whose size is chosen when it is used: from the vCPUs and memory above up to these."))
    max_memory_mib = models.PositiveIntegerField(_("up to so much memory (MiB)"), null=True, blank=True)
    vcpus_step = models.PositiveIntegerField(_("vCPUs in steps of"), default=1, db_default=1)
    memory_step_mib = models.PositiveIntegerField(_("memory in steps of (MiB)"), default=1024, db_default=1024)
    firmware = models.CharField(_("firmware"), max_length=16, choices=Firmware, default=Firmware.BIOS, db_default=Firmware.BIOS)
    machine = models.CharField(_("board"), max_length=16, choices=Machine, default=Machine.Q35, db_default=Machine.Q35)
    cpu_mode = models.CharField(_("processor"), max_length=16, choices=CpuMode, default=CpuMode.HOST, db_default=CpuMode.HOST)
    io_class = models.CharField(_("disks and cards"), max_length=16, choices=IoClass, default=IoClass.VIRTIO,
                                db_default=IoClass.VIRTIO)
    numa_nodes = models.PositiveIntegerField(_("NUMA nodes"), default=1, db_default=1, help_text=_(
        "Among which vCPUs and memory are divided evenly, as the guest sees it."))
    has_hugepages = models.BooleanField(_("in huge pages"), default=False, db_default=False, help_text=_(
        "Its memory is in pages of 2 MiB, which its host keeps free for that."))
    is_offered = models.BooleanField(_("offered"), default=True)
    is_restricted = models.BooleanField(_("only for chosen organizations"), default=False, db_default=False)
    organizations = models.ManyToManyField("tenants.Organization", related_name="+", blank=True, verbose_name=_("organizations"),
                                           help_text=_("To whom it is offered, where it is only for chosen ones."))

    objects = InstanceTypeQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("instance type"), _("instance types")
        ordering = ["memory_mib", "vcpus", "slug"]
        constraints = [
            models.CheckConstraint(condition=Q(vcpus__gt=0, memory_mib__gt=0, root_disk_gib__gt=0),
                                   name="instance_type_positive"),
            models.CheckConstraint(
                condition=Q(max_vcpus__isnull=True, max_memory_mib__isnull=True) | Q(
                    max_vcpus__isnull=False, max_memory_mib__isnull=False, max_vcpus__gte=F("vcpus"),
                    max_memory_mib__gte=F("memory_mib"), vcpus_step__gt=0, memory_step_mib__gt=0),
                name="instance_type_range", violation_error_message=_(
                    "A custom type has both upper limits, no less than what it has at least, and steps above zero.")),
            models.CheckConstraint(
                condition=Q(numa_nodes__gte=1, numa_nodes__lte=MOST_NODES) & Q(numa_nodes__lte=F("vcpus")),
                name="instance_type_nodes", violation_error_message=_(
                    "From 1 to 8 NUMA nodes, and no more than it has vCPUs.")),
            models.CheckConstraint(
                condition=~Q(firmware=Firmware.UEFI_SECURE) | Q(machine=Machine.Q35), name="instance_type_secure_on_q35",
                violation_error_message=_("Secure boot is for the board q35 alone.")),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_custom(self) -> bool:
        """Its size is chosen when it is used."""
        return self.max_vcpus is not None

    @property
    def marks(self) -> frozenset[str]:
        """What its class is, in the words of `abilities`."""
        more = {"numa": self.numa_nodes > 1, "hugepages": self.has_hugepages}
        return frozenset({self.firmware, self.machine, self.cpu_mode, self.io_class, *(name for name in more if more[name])})

    @property
    def traits(self) -> frozenset[str]:
        """What a host must be able to give for it."""
        return self.marks & frozenset(Trait)

    def readings(self, state: str, *, vcpus: int, memory_mib: int) -> list[Reading]:
        """What is metered of one of that size: the type as a whole, or, of a custom one, its vCPUs and GiB of memory."""
        if not self.is_custom:
            return [Reading(meter=f"instance.{state}", sku=self.slug, quantity=Decimal(1))]
        return [Reading(meter=f"instance.{state}.vcpu", sku=self.slug, quantity=Decimal(vcpus)),
                Reading(meter=f"instance.{state}.memory", sku=self.slug, quantity=Decimal(memory_mib) / 1024)]

    def is_offered_to(self, organization_id: object) -> bool:
        """By a statement where it is for chosen ones."""
        return self.is_offered and (not self.is_restricted or self.organizations.filter(pk=organization_id).exists())


class SshKey(Resource):
    """A public key that new instances of the project may be given."""

    KIND = "ssh_key"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="ssh_key")
    public_key = models.TextField(_("public key"))
    fingerprint = models.CharField(_("fingerprint"), max_length=80)

    class Meta:
        verbose_name, verbose_name_plural = _("SSH key"), _("SSH keys")


class InstanceState(models.TextChoices):
    BUILDING = "building", _("Building")
    STARTING = "starting", _("Starting")
    RUNNING = "running", _("Running")
    STOPPING = "stopping", _("Stopping")
    STOPPED = "stopped", _("Stopped")
    REBOOTING = "rebooting", _("Rebooting")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
    SUSPENDING = "suspending", _("Suspending")
    SUSPENDED = "suspended", _("Suspended")
    RESUMING = "resuming", _("Resuming")
    RESCUING = "rescuing", _("Rescuing")
    RESCUED = "rescued", _("Rescued")
    UNRESCUING = "unrescuing", _("Leaving rescue")
    REBUILDING = "rebuilding", _("Rebuilding")
    RESIZING = "resizing", _("Resizing")
    COPYING = "copying", _("Copying")
    SNAPSHOTTING = "snapshotting", _("Taking a snapshot")
    REVERTING = "reverting", _("Reverting")
    RECYCLING = "recycling", _("Recycling")
    RECYCLED = "recycled", _("Recycled")
    RESTORING = "restoring", _("Restoring")
    ERROR = "error", _("Error")
    DELETING = "deleting", _("Deleting")
    DELETED = "deleted", _("Deleted")


class PowerCause(models.TextChoices):
    """The words for what hosts say (`Cause`) of changes that nobody asked us for."""

    GUEST = "guest", _("The guest did it itself.")
    HAND = "hand", _("Somebody did it on the host.")
    CRASH = "crash", _("The guest, or the process that ran it, died.")
    STORAGE = "storage", _("The storage of its host is full or faulty. Its operators have to mend it; until then it is not "
                           "billed.")
    WATCHDOG = "watchdog", _("The guest did not feed its watchdog.")


class WatchdogAction(models.TextChoices):
    """What is done to an instance whose guest has begun to feed its watchdog and stops, because it hangs."""

    OFF = "off", _("it has none")
    NONE = "none", _("only tell")
    RESET = "reset", _("restart it")
    POWEROFF = "poweroff", _("switch it off")
    PAUSE = "pause", _("pause it")


S = InstanceState
# What a host can have an instance be; people and guests change it behind our back, from any to any.
ON_A_HOST = frozenset({S.RUNNING, S.PAUSED, S.SUSPENDED, S.STOPPED})
# In these the guest is on and has a screen.
ON_SCREEN = frozenset({S.RUNNING, S.RESCUED})
# Nothing is done to these but to restore or to delete them.
IN_BIN = frozenset({S.RECYCLING, S.RECYCLED, S.RESTORING})
# These may be without a host: not placed yet, failed, or going and gone.
WITHOUT_A_HOST = (S.BUILDING.value, S.ERROR.value, S.DELETING.value, S.DELETED.value)

# Not read where many are: secrets would be decrypted for nothing.
HEAVY = ("user_data", "next_user_data", "vnc_password", "public_keys", "password_hash", "next_password_hash")


def purge_time(state: str, recycled_at: datetime | None) -> datetime | None:
    """When what is in this state since then is deleted for good; None outside the recycle bin."""
    is_there = state == S.RECYCLED and recycled_at is not None
    return recycled_at + timedelta(days=settings.RECYCLE_DAYS) if is_there else None


class Agent(models.TextChoices):
    """Whether the guest agent answered when it was last asked."""

    ANSWERS = "answers", _("answers")
    SILENT = "silent", _("not there")


class Instance(Resource, Stateful):
    """A tenant's computer. `state` is ours; `observed_state` is what its host last said (reconciler only).

    `vcpus` and `memory_mib` are what it counts for: while it is resized, the larger of both sizes.

    `generation` is raised at every start: the host refuses actors that still think of an older one.
    """

    KIND = "instance"
    State = InstanceState

    MOVES = {
        S.BUILDING: {S.RUNNING, S.ERROR},
        S.STARTING: {S.RUNNING, S.STOPPED},
        S.RUNNING: {S.STOPPING, S.REBOOTING, S.PAUSING, S.SUSPENDING, S.RESCUING, S.REBUILDING, S.RESIZING, S.RECYCLING,
                    S.SNAPSHOTTING, S.REVERTING, S.DELETING, *ON_A_HOST - {S.RUNNING}},
        S.STOPPING: {S.STOPPED},
        S.STOPPED: {S.STARTING, S.RESCUING, S.REBUILDING, S.RESIZING, S.COPYING, S.RECYCLING, S.DELETING,
                    S.SNAPSHOTTING, S.REVERTING, *ON_A_HOST - {S.STOPPED}},
        S.REBOOTING: {S.RUNNING, S.STOPPED},
        S.PAUSING: {S.PAUSED, S.RUNNING},
        S.PAUSED: {S.RESUMING, S.STOPPING, S.RECYCLING, S.DELETING, *ON_A_HOST - {S.PAUSED}},
        S.SUSPENDING: {S.SUSPENDED, S.RUNNING},
        S.SUSPENDED: {S.RESUMING, S.STOPPING, S.RECYCLING, S.DELETING, *ON_A_HOST - {S.SUSPENDED}},
        S.RESUMING: {S.RUNNING, S.PAUSED, S.SUSPENDED},
        S.RESCUING: {S.RESCUED, S.RUNNING, S.STOPPED},
        S.RESCUED: {S.UNRESCUING, S.STOPPING, S.RECYCLING, S.DELETING},
        S.UNRESCUING: {S.RUNNING, S.RESCUED, S.STOPPED},
        S.REBUILDING: {S.RUNNING, S.STOPPED, S.ERROR},
        S.RESIZING: {S.RUNNING, S.STOPPED},
        S.COPYING: {S.STOPPED},
        S.SNAPSHOTTING: {S.RUNNING, S.STOPPED},
        S.REVERTING: {S.RUNNING, S.STOPPED},
        S.RECYCLING: {S.RECYCLED},
        S.RECYCLED: {S.RESTORING, S.DELETING, S.RUNNING},
        S.RESTORING: {S.STOPPED, S.RECYCLED},
        S.ERROR: {S.REBUILDING, S.DELETING},
        S.DELETING: {S.DELETED},
        S.DELETED: set(),
    }
    IN_FLIGHT = frozenset({S.BUILDING, S.STARTING, S.STOPPING, S.REBOOTING, S.PAUSING, S.SUSPENDING, S.RESUMING, S.RESCUING,
                           S.UNRESCUING, S.REBUILDING, S.RESIZING, S.COPYING, S.SNAPSHOTTING, S.REVERTING, S.RECYCLING,
                           S.RESTORING, S.DELETING})
    # Absent states keep the price of the state before; building and failed creates never had one.
    METERED = {**dict.fromkeys((*ON_A_HOST, S.RESCUED, S.RECYCLED), True),
               **dict.fromkeys((S.ERROR, S.DELETING, S.DELETED), False)}
    TONES = {S.BUILDING: "busy", S.STARTING: "busy", S.RUNNING: "ok", S.STOPPING: "busy", S.STOPPED: "off",
             S.REBOOTING: "busy", S.PAUSING: "busy", S.PAUSED: "warn", S.SUSPENDING: "busy", S.SUSPENDED: "off",
             S.RESUMING: "busy", S.RESCUING: "busy", S.RESCUED: "warn", S.UNRESCUING: "busy", S.REBUILDING: "busy",
             S.RESIZING: "busy", S.COPYING: "busy", S.RECYCLING: "busy", S.RECYCLED: "off", S.RESTORING: "busy",
             S.SNAPSHOTTING: "busy", S.REVERTING: "busy", S.ERROR: "bad", S.DELETING: "busy", S.DELETED: "off"}

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="instance")
    state = models.CharField(_("state"), max_length=16, choices=S, default=S.BUILDING)
    observed_state = models.CharField(_("on the host"), max_length=16, blank=True)
    observed_at = models.DateTimeField(null=True)
    power_cause = models.CharField(_("why it is so"), max_length=16, blank=True, db_default="", choices=PowerCause, help_text=_(
        "Why it stopped, paused or started without being asked by us, as far as its host says."))
    rebooted_at = models.DateTimeField(_("restarted by itself"), null=True)
    watchdog = models.CharField(_("watchdog"), max_length=16, choices=WatchdogAction, default=WatchdogAction.OFF,
                                db_default=WatchdogAction.OFF.value, help_text=_("What is done when its guest hangs."))
    watchdog_fired_at = models.DateTimeField(_("its watchdog was not fed"), null=True)
    type = models.ForeignKey(InstanceType, models.PROTECT, related_name="instances", verbose_name=_("type"))
    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory (MiB)"))
    max_vcpus = models.PositiveIntegerField(default=0, help_text=_("How far it can grow while it runs; 0: not at all."))
    max_memory_mib = models.PositiveIntegerField(default=0, help_text=_("How far it can grow while it runs; 0: not at all."))
    image = models.ForeignKey(Image, models.PROTECT, related_name="instances", verbose_name=_("image"))
    zone = models.ForeignKey(Zone, models.PROTECT, null=True, related_name="+", verbose_name=_("zone"))
    host = models.ForeignKey(Host, models.PROTECT, null=True, related_name="instances", verbose_name=_("host"))
    generation = models.PositiveIntegerField(default=1)
    vnc_password = EncryptedTextField(blank=True)
    user_data = EncryptedTextField(_("user data"), blank=True)
    public_keys = models.JSONField(default=list)
    rescue_image = models.ForeignKey(Image, models.PROTECT, null=True, related_name="+", verbose_name=_("rescue image"),
                                     help_text=_("What it boots from instead of its own disk."))
    rebuilt_by = models.UUIDField(null=True, editable=False, help_text=_("The operation that last wrote its root disk anew."))
    current_snapshot = models.ForeignKey(Snapshot, models.SET_NULL, null=True, editable=False, related_name="+", help_text=_(
        "Where it stands among its snapshots: which one it was last taken as, or reverted to."))
    next_user_data = EncryptedTextField(blank=True, editable=False, help_text=_("What a rebuild under way will bring."))
    fault = models.JSONField(null=True, help_text=_("Why it is in error, or what failed last."))
    recycled_at = models.DateTimeField(_("in the recycle bin since"), null=True)
    # Written by `guests` alone.
    agent = models.CharField(_("guest agent"), max_length=8, blank=True, db_default="", choices=Agent)
    agent_asked_at = models.DateTimeField(_("guest agent asked at"), null=True, editable=False)
    guest_cards = models.JSONField(default=list, db_default=[], editable=False, help_text=_(
        "Its network cards and their addresses, as the guest itself tells of them."))
    # Written by `freezing` alone.
    frozen_until = models.DateTimeField(null=True, editable=False, help_text=_(
        "Its file systems are frozen, and are thawed at this time at the latest."))
    # Written by `passwords` alone; what is in them is hashed.
    password_hash = EncryptedTextField(blank=True, db_default="", editable=False)
    next_password_hash = EncryptedTextField(blank=True, db_default="", editable=False, help_text=_(
        "What a reset of a password under way will bring."))
    # Written by `guarding` alone.
    locked_at = models.DateTimeField(_("locked since"), null=True)
    locked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+",
                                  verbose_name=_("locked by"))
    lock_reason = models.CharField(_("why it is locked"), max_length=200, blank=True)
    is_locked_by_operator = models.BooleanField(_("locked by an operator"), default=False, db_default=False)
    is_protected = models.BooleanField(_("protected against deletion"), default=False, db_default=False)

    class Meta:
        verbose_name, verbose_name_plural = _("instance"), _("instances")
        indexes = [models.Index(fields=["host"], name="instance_of_host", condition=~Q(state="deleted")),
                   models.Index(fields=["state"], name="instance_in_state", condition=~Q(state="deleted"))]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=InstanceState.values), name="instance_state_known"),
            models.CheckConstraint(condition=Q(state__in=WITHOUT_A_HOST) | Q(host__isnull=False),
                                   name="instance_has_a_host_when_it_exists"),
            models.CheckConstraint(
                condition=Q(locked_at__isnull=False) | Q(locked_by=None, lock_reason="", is_locked_by_operator=False),
                name="instance_lock_has_a_time"),
        ]

    def move_to(self, target: str, **fields: object) -> None:
        """What was done behind our back explains only the state that it led to."""
        super().move_to(target, **{"power_cause": ""} | fields)

    def readings(self, state: str) -> Iterable[Reading]:
        """What is rescued costs what it does running. What the hypervisor paused because of its storage is not billed: that
        is the platform's own fault."""
        if state == InstanceState.PAUSED and self.power_cause == PowerCause.STORAGE:
            return []
        billed = InstanceState.RUNNING if state == InstanceState.RESCUED else state
        return self.type.readings(billed, vcpus=self.vcpus, memory_mib=self.memory_mib)

    @property
    def purge_at(self) -> datetime | None:
        """When it is deleted for good; None outside the recycle bin."""
        return purge_time(self.state, self.recycled_at)

    @property
    def in_flight(self) -> bool:
        return self.state in self.IN_FLIGHT

    @property
    def wanted(self) -> dict[str, int]:
        """What it claims of a host."""
        return {"vcpu": self.vcpus, "memory_mib": self.memory_mib}
