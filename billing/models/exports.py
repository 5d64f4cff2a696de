"""Files of the books that somebody asked for, and when which is made by itself and brought where. No file is in here: only what
is known of it. Written by `billing.exports` alone.

Hub tables: the operation that writes a file is named by its id alone, since operations are regional and forgotten in time.
"""
import uuid
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import OfOrganizationQuerySet
from portal.kernel.secrets import EncryptedTextField


class What(models.TextChoices):
    """Which rows a file has."""

    FOCUS = "focus", _("Charges (FOCUS 1.2)")
    USAGE = "usage", _("Usage")
    INVOICES = "invoices", _("Invoices")
    LEDGER = "ledger", _("Ledger")


class Format(models.TextChoices):
    CSV = "csv", "CSV"
    XLSX = "xlsx", _("Excel (XLSX)")
    JSON = "json", _("JSON, an object a line")


class ExportSchedule(models.Model):
    """A file that is made every day, week or month, and brought to an address or into a folder of the portal's."""

    class Every(models.TextChoices):
        DAY = "day", _("Day")
        WEEK = "week", _("Week")
        MONTH = "month", _("Month, after it was closed")

    class State(models.TextChoices):
        ENABLED = "enabled", _("Enabled")
        DISABLED = "disabled", _("Disabled")

    class Method(models.TextChoices):
        POST = "POST", "POST"
        PUT = "PUT", "PUT"

    TONES: ClassVar[dict[str, str]] = {"enabled": "ok", "disabled": "off"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="export_schedules",
                                     verbose_name=_("organization"))
    name = models.CharField(_("name"), max_length=100)
    what = models.CharField(_("what"), max_length=20, choices=What)
    format = models.CharField(_("format"), max_length=10, choices=Format)
    every = models.CharField(_("every"), max_length=10, choices=Every)
    url = models.CharField(_("address"), max_length=500, blank=True)
    method = models.CharField(_("method"), max_length=4, choices=Method, default=Method.POST)
    secret = EncryptedTextField(blank=True, help_text=_("Signs what is sent to the address."))
    folder = models.CharField(_("folder"), max_length=60, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.ENABLED)
    next_at = models.DateTimeField(_("next file"))
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("made by"))
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(auto_now=True)

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("export schedule"), _("export schedules")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["next_at"], condition=Q(state="enabled"), name="export_schedules_due"),
                   models.Index(fields=["-created_at", "-id"], name="export_schedules_newest")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["enabled", "disabled"]), name="export_schedule_state_known"),
            models.CheckConstraint(condition=(Q(url="") & ~Q(folder="")) | (Q(folder="") & ~Q(url="")),
                                   name="export_schedule_leads_somewhere"),
        ]

    @property
    def shown_url(self) -> str:
        """Without its path, which often carries a secret: whoever sees bills sees it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…" if self.url else ""

    def __str__(self) -> str:
        return self.name

    @property
    def is_enabled(self) -> bool:
        return self.state == self.State.ENABLED


class Export(models.Model):
    """A file: asked for, being written by an operation, ready, failed, or removed because it is old."""

    class State(models.TextChoices):
        WRITING = "writing", _("Being written")
        READY = "ready", _("Ready")
        FAILED = "failed", _("Failed")
        REMOVED = "removed", _("Removed")

    class Delivery(models.TextChoices):
        NONE = "none", _("Not delivered by itself")
        PENDING = "pending", _("Being delivered")
        DELIVERED = "delivered", _("Delivered")
        FAILED = "failed", _("Given up")

    TONES: ClassVar[dict[str, str]] = {"writing": "busy", "ready": "ok", "failed": "bad", "removed": "off"}
    DELIVERY_TONES: ClassVar[dict[str, str]] = {"none": "off", "pending": "busy", "delivered": "ok", "failed": "bad"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="exports",
                                     verbose_name=_("organization"))
    schedule = models.ForeignKey(ExportSchedule, models.SET_NULL, null=True, related_name="exports",
                                 verbose_name=_("export schedule"))
    what = models.CharField(_("what"), max_length=20, choices=What)
    format = models.CharField(_("format"), max_length=10, choices=Format)
    columns = models.JSONField(_("columns"), default=list)
    first_month = models.CharField(_("from month"), max_length=7)
    last_month = models.CharField(_("to month"), max_length=7)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.WRITING)
    operation = models.UUIDField(_("operation"), null=True, editable=False)
    progress = models.PositiveSmallIntegerField(_("progress"), default=0)
    rows = models.PositiveBigIntegerField(_("rows"), default=0)
    size = models.PositiveBigIntegerField(_("bytes"), default=0)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    error = models.JSONField(_("error"), null=True)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("made by"))
    created_at = models.DateTimeField(_("created"))
    finished_at = models.DateTimeField(_("finished"), null=True)
    # What became of it where a schedule made it.
    delivery = models.CharField(_("delivery"), max_length=16, choices=Delivery, default=Delivery.NONE)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    attempts = models.JSONField(_("attempts"), default=list, help_text=_("The newest last: at, status, ms, error, answer."))
    next_at = models.DateTimeField(_("next try"), null=True)
    token = models.BigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("export"), _("exports")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["organization", "-created_at", "-id"], name="exports_of_organization"),
            models.Index(fields=["-created_at", "-id"], name="exports_newest"),
            models.Index(fields=["next_at"], condition=Q(delivery="pending"), name="exports_to_deliver"),
            models.Index(fields=["finished_at"], condition=Q(state="ready"), name="exports_ready"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state="writing", finished_at=None)
                                   | Q(state__in=["ready", "failed", "removed"], finished_at__isnull=False),
                                   name="export_finished_when_settled"),
            models.CheckConstraint(condition=Q(delivery__in=["none", "pending", "delivered", "failed"]),
                                   name="export_delivery_known"),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.period}"

    @property
    def period(self) -> str:
        return self.first_month if self.first_month == self.last_month else f"{self.first_month} – {self.last_month}"

    @property
    def is_ready(self) -> bool:
        return self.state == self.State.READY

    @property
    def in_flight(self) -> bool:
        return self.state == self.State.WRITING or self.delivery == self.Delivery.PENDING

    @property
    def message_id(self) -> str:
        """What a receiver knows it by, however often it is sent."""
        return f"msg_{self.id.hex}"

    @property
    def last(self) -> dict[str, Any] | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def file_name(self) -> str:
        """As it is called where it is saved: nothing in it was typed by anybody."""
        extension = {Format.JSON: "jsonl"}.get(self.format, self.format)
        months = "-".join(dict.fromkeys((self.first_month, self.last_month)))
        return f"mains-{self.what}-{months}-{self.id.hex[:8]}.{extension}"
