"""Snapshots and the volumes that are in them."""
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import Reading
from portal.kernel.models import Resource
from portal.kernel.states import Stateful
from storage.models import Volume

METER, SKU = "snapshot", "local"


class Snapshot(Resource, Stateful):
    """An instance as it was. `parent` is where it stood before, so that they are a tree; inside the volumes they are independent
    of each other. What counts and costs is what the volumes had room for, and the memory."""

    KIND = "snapshot"

    class State(models.TextChoices):
        CREATING = "creating", _("Creating")
        ACTIVE = "active", _("Active")
        DELETING = "deleting", _("Deleting")
        DELETED = "deleted", _("Deleted")

    MOVES = {
        State.CREATING: {State.ACTIVE, State.DELETED},
        # Who deletes the instance for good deletes its volumes, and these with them.
        State.ACTIVE: {State.DELETING, State.DELETED},
        State.DELETING: {State.DELETED},
        State.DELETED: set(),
    }
    METERED = {State.ACTIVE: True, State.DELETING: False, State.DELETED: False}
    TONES = {State.CREATING: "busy", State.ACTIVE: "ok", State.DELETING: "busy", State.DELETED: "off"}

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="snapshot")
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.CREATING)
    of_instance = models.ForeignKey("instances.Instance", models.PROTECT, related_name="snapshots", verbose_name=_("instance"))
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children", verbose_name=_("taken after"))
    has_memory = models.BooleanField(_("with memory"), default=False)
    disk_gib = models.PositiveIntegerField(_("size of its volumes (GiB)"))
    vcpus = models.PositiveIntegerField(_("vCPUs"))
    memory_mib = models.PositiveIntegerField(_("memory (MiB)"))
    cards = models.JSONField(default=list, help_text=_("The hardware addresses of its network cards."))
    shape = models.CharField(max_length=1000, blank=True, editable=False, help_text=_(
        "What of its virtual hardware has to be the same for its memory to fit."))

    class Meta:
        verbose_name, verbose_name_plural = _("snapshot"), _("snapshots")
        indexes = [models.Index(fields=["of_instance"], name="snapshot_of_instance", condition=~Q(state="deleted"))]
        constraints = [models.CheckConstraint(condition=Q(state__in=["creating", "active", "deleting", "deleted"]),
                                              name="snapshot_state_known")]

    def readings(self, state: str) -> Iterable[Reading]:
        return [Reading(meter=METER, sku=SKU, quantity=self.size_gib)]

    @property
    def size_gib(self) -> Decimal:
        """What it counts for."""
        return Decimal(self.disk_gib) + (Decimal(self.memory_mib) / 1024 if self.has_memory else 0)

    @property
    def in_flight(self) -> bool:
        return self.state in (self.State.CREATING, self.State.DELETING)

    @property
    def tone(self) -> Any:
        return self.TONES[self.state]


class SnapshotVolume(models.Model):
    """A volume that is in it, and how large it was."""

    snapshot = models.ForeignKey(Snapshot, models.CASCADE, related_name="parts", verbose_name=_("snapshot"))
    volume = models.ForeignKey(Volume, models.PROTECT, related_name="+", verbose_name=_("volume"))
    size_gib = models.PositiveIntegerField(_("size (GiB)"))
    is_boot = models.BooleanField(_("root volume"), default=False)

    class Meta:
        verbose_name, verbose_name_plural = _("volume of a snapshot"), _("volumes of snapshots")
        constraints = [models.UniqueConstraint(fields=["snapshot", "volume"], name="snapshot_volume_once")]

    def __str__(self) -> str:
        return f"{self.volume_id} in {self.snapshot_id}"
