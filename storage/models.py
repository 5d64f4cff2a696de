"""Pools, images, volumes and attachments. Volumes know no instance: an attachment carries an opaque domain id."""
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from compute.hosts.models import Host
from portal.kernel.declarations import Reading
from portal.kernel.models import Region, Resource, ResourceQuerySet
from portal.kernel.states import Stateful

GIB = 1024**3
IMAGE_STORE = "standard"  # the SKU of the portal's one image store


class PoolQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Pools are the operators' alone."""
        return self.all() if user.grants.sees_everything else self.none()


class Pool(models.Model):
    """A place for volumes on one host (later: shared by many). Figures in bytes are what it last said."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"))
    host = models.ForeignKey(Host, models.PROTECT, related_name="pools", verbose_name=_("host"))
    name = models.CharField(_("name"), max_length=60, default="mains")
    path = models.CharField(_("path"), max_length=300, help_text=_("A directory on the host."))
    pool_class = models.CharField(_("class"), max_length=20, default="local")
    capacity = models.BigIntegerField(_("capacity"), default=0, editable=False)
    available = models.BigIntegerField(_("available"), default=0, editable=False)

    objects = PoolQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("pool"), _("pools")
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="pool_once_per_host")]

    def __str__(self) -> str:
        return f"{self.name} ({self.host_id})"


class ImageQuerySet(ResourceQuerySet):
    def visibility(self, project_ids: set) -> Q:
        return Q(project_id__in=project_ids) | Q(visibility=Image.Visibility.PUBLIC)

    def stored(self) -> Self:
        """Private ones whose files take room: also deleted ones of instances until those are swept."""
        return self.filter(Q(deleted_at=None) | Q(of_instance__isnull=False, store_gib__gt=0),
                           visibility=Image.Visibility.PRIVATE)


class Image(Resource, Stateful):
    """A disk to start from, kept in the portal's image store and copied to pools when first wanted.

    One that was made of an instance says so: `of_instance` is opaque here, as an attachment's domain is.

    `files` names its parts in the store: {"disk": {"file", "sha256", "size", "format"}, "kernel": …, "initrd": …}; the last
    two are there when the image carries its own kernel and is booted directly.
    """

    KIND = "image"

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        IMPORTING = "importing", _("Importing")
        ACTIVE = "active", _("Active")
        ERROR = "error", _("Error")
        DELETED = "deleted", _("Deleted")

    class Visibility(models.TextChoices):
        PUBLIC = "public", _("Public")
        PRIVATE = "private", _("Private")

    MOVES = {
        State.QUEUED: {State.IMPORTING, State.ERROR},
        # What an instance was to become, and did not, leaves nothing.
        State.IMPORTING: {State.ACTIVE, State.ERROR, State.DELETED},
        State.ACTIVE: {State.DELETED},
        State.ERROR: {State.DELETED},
        State.DELETED: set(),
    }
    METERED = {State.ACTIVE: True, State.ERROR: False, State.DELETED: False}
    TONES = {"queued": "busy", "importing": "busy", "active": "ok", "error": "bad", "deleted": "off"}

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True,
                                    related_name="as_image")  # "image" would clash with the field of volumes
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.QUEUED)
    visibility = models.CharField(_("visibility"), max_length=10, choices=Visibility, default=Visibility.PRIVATE)
    os = models.CharField(_("operating system"), max_length=60, blank=True)
    min_disk_gib = models.PositiveIntegerField(_("smallest disk (GiB)"), default=1)
    virtual_size = models.BigIntegerField(_("virtual size (bytes)"), default=0)
    files = models.JSONField(default=dict)
    kernel_cmdline = models.CharField(max_length=300, blank=True)
    is_for_rescue = models.BooleanField(_("for rescue"), default=False, help_text=_(
        "Offered first when somebody boots an instance from another image."))

    store_gib = models.PositiveIntegerField(default=0, help_text=_("What counts of its project's quota: its files, rounded up."))
    of_instance = models.UUIDField(_("made of instance"), null=True, editable=False)
    of_image = models.ForeignKey("self", models.PROTECT, null=True, related_name="+", editable=False,
                                 verbose_name=_("image of that instance"))

    objects = ImageQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("image"), _("images")
        constraints = [models.CheckConstraint(
            condition=Q(state__in=["queued", "importing", "active", "error", "deleted"]), name="image_state_known")]

    def readings(self, state: str) -> Iterable[Reading]:
        """What its files take in the store; a public image is the platform's offer, and free."""
        if self.is_public:
            return []
        size = sum(part["size"] for part in self.files.values())
        return [Reading(meter="image", sku=IMAGE_STORE, quantity=Decimal(size) / GIB)]

    @property
    def is_public(self) -> bool:
        """Whether everybody may look at it (tenants.access) and start from it."""
        return self.visibility == self.Visibility.PUBLIC

    @property
    def is_retirable(self) -> bool:
        """What is being made is cancelled instead."""
        return self.state in (self.State.ACTIVE, self.State.ERROR)

    @property
    def boots_directly(self) -> bool:
        return "kernel" in self.files


class ImageCopy(models.Model):
    """An image's files on a pool. `locators` are what domains name; empty until complete.

    `offsets` is how far each file has been written, so that a copy cut short goes on (or starts anew at 0).
    """

    image = models.ForeignKey(Image, models.PROTECT, related_name="copies")
    pool = models.ForeignKey(Pool, models.PROTECT, related_name="copies")
    locators = models.JSONField(default=dict)
    offsets = models.JSONField(default=dict)
    is_complete = models.BooleanField(default=False)
    copier = models.UUIDField(null=True, help_text=_("The operation that is copying now."))

    class Meta:
        verbose_name, verbose_name_plural = _("image copy"), _("image copies")
        constraints = [models.UniqueConstraint(fields=["image", "pool"], name="image_copy_once")]

    def __str__(self) -> str:
        return f"{self.image_id} on {self.pool_id}"


class Volume(Resource, Stateful):
    """A disk of a tenant. `locator` is its path in the pool once it exists."""

    KIND = "volume"

    class State(models.TextChoices):
        CREATING = "creating", _("Creating")
        AVAILABLE = "available", _("Available")
        ATTACHING = "attaching", _("Attaching")
        IN_USE = "in_use", _("In use")
        DETACHING = "detaching", _("Detaching")
        RESIZING = "resizing", _("Resizing")
        ERROR = "error", _("Error")
        DELETING = "deleting", _("Deleting")
        DELETED = "deleted", _("Deleted")

    S = State
    MOVES = {
        S.CREATING: {S.AVAILABLE, S.IN_USE, S.ERROR, S.DELETED},
        S.AVAILABLE: {S.ATTACHING, S.RESIZING, S.DELETING},
        S.ATTACHING: {S.IN_USE, S.AVAILABLE},
        S.IN_USE: {S.DETACHING, S.RESIZING, S.DELETING},
        S.DETACHING: {S.AVAILABLE, S.IN_USE},
        S.RESIZING: {S.AVAILABLE, S.IN_USE},
        S.ERROR: {S.DELETING},
        S.DELETING: {S.DELETED},
        S.DELETED: set(),
    }
    METERED = {S.AVAILABLE: True, S.IN_USE: True, S.ERROR: False, S.DELETING: False, S.DELETED: False}
    TONES = {S.CREATING: "busy", S.AVAILABLE: "ok", S.ATTACHING: "busy", S.IN_USE: "ok", S.DETACHING: "busy",
             S.RESIZING: "busy", S.ERROR: "bad", S.DELETING: "busy", S.DELETED: "off"}

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="volume")
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.CREATING)
    size_gib = models.PositiveIntegerField(_("size (GiB)"))
    pool_class = models.CharField(_("pool class"), max_length=20, default="local")
    image = models.ForeignKey(Image, models.PROTECT, null=True, related_name="volumes", verbose_name=_("image"))
    pool = models.ForeignKey(Pool, models.PROTECT, null=True, related_name="volumes", verbose_name=_("pool"))
    locator = models.CharField(max_length=500, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("volume"), _("volumes")
        constraints = [
            models.CheckConstraint(condition=Q(size_gib__gt=0), name="volume_size_positive"),
            models.CheckConstraint(condition=Q(state__in=["creating", "available", "attaching", "in_use", "detaching",
                                                          "resizing", "error", "deleting", "deleted"]),
                                   name="volume_state_known"),
        ]

    def readings(self, state: str) -> Iterable[Reading]:
        return [Reading(meter="volume", sku=self.pool_class, quantity=Decimal(self.size_gib))]


class Attachment(models.Model):
    """A volume is a disk of a domain. `domain` is opaque here."""

    volume = models.OneToOneField(Volume, models.CASCADE, related_name="attachment", primary_key=True)
    domain = models.UUIDField(db_index=True)
    target = models.CharField(max_length=10, default="vda")
    is_boot = models.BooleanField(default=False)

    class Meta:
        verbose_name, verbose_name_plural = _("attachment"), _("attachments")
        constraints = [models.UniqueConstraint(fields=["domain", "target"], name="attachment_target_once")]

    def __str__(self) -> str:
        return f"{self.target} of {self.domain}"
