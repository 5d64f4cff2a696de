"""Webhooks: where an organization wants to hear of its events, and what was sent there.

A delivery is one event for one webhook: outbox, queue and log in one row, as an operation is for changes. It is no
operation, because it has no region, holds nothing that others wait for, is never undone, lives for three days of back-off,
and would drown the operations that people started in their own lists and notifications.
"""
import uuid
from datetime import datetime
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.secrets import EncryptedTextField
from tenants.models import Organization, Project


def reachable(user: Any, permission: str, prefix: str = "") -> Q:
    """Webhooks of organizations and projects where the user holds the permission; `prefix` is the way to the webhook."""
    grants = user.grants
    wide = [pk for pk, names in grants.organization_wide.items() if permission in names]
    return (Q(**{f"{prefix}project": None, f"{prefix}organization__in": wide})
            | Q(**{f"{prefix}project__in": grants.projects(permission)}))


class WebhookQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "webhook.view") -> Self:
        rows = self.filter(deleted_at=None)
        return rows if user.grants.sees_everything else rows.filter(reachable(user, permission))

    def sending(self) -> Self:
        """Those that are told of events."""
        return self.filter(state__in=Webhook.SENDING, deleted_at=None)


class Webhook(models.Model):
    """A receiver of events: of the whole organization, or of one project and those below it."""

    class State(models.TextChoices):
        ENABLED = "enabled", _("Enabled")
        FAILING = "failing", _("Failing")
        DISABLED = "disabled", _("Disabled")

    SENDING = (State.ENABLED, State.FAILING)
    TONES: ClassVar[dict[str, str]] = {"enabled": "ok", "failing": "bad", "disabled": "off"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="webhooks", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="webhooks",
                                verbose_name=_("project"), help_text=_("Empty: all of the organization."))
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    url = models.CharField(_("address"), max_length=500)
    events = models.JSONField(_("events"), default=list, help_text=_("Patterns such as instance.* or *.failed."))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.ENABLED)
    is_gone = models.BooleanField(_("gone"), default=False, help_text=_("Disabled because the receiver answered 410."))
    secret = EncryptedTextField()
    previous_secret = EncryptedTextField(blank=True, default="", help_text=_("Signs too until the date below."))
    previous_until = models.DateTimeField(null=True)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("made by"))
    told_at = models.DateTimeField(null=True, help_text=_("When its maker was told that it fails."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    # Marked first and removed a day later (retention): an event that is being written may still point at it.
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = WebhookQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("webhook"), _("webhooks")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["organization"], name="webhook_sending",
                                condition=Q(deleted_at=None, state__in=["enabled", "failing"]))]
        constraints = [models.CheckConstraint(condition=Q(state__in=["enabled", "failing", "disabled"]),
                                              name="webhook_state_known")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_sending(self) -> bool:
        return self.state in self.SENDING and self.deleted_at is None

    def secrets_at(self, now: datetime) -> list[str]:
        """What signs now: the newest first, and the one before it while both are good."""
        overlaps = bool(self.previous_secret) and self.previous_until is not None and now < self.previous_until
        return [self.secret, *([self.previous_secret] if overlaps else [])]


class DeliveryQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "webhook.view") -> Self:
        rows = self.filter(webhook__deleted_at=None)
        return rows if user.grants.sees_everything else rows.filter(reachable(user, permission, "webhook__"))


class Delivery(models.Model):
    """One event for one webhook, until it is delivered or given up. `lease_until` and `token` say who is sending it now."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SUCCEEDED = "succeeded", _("Delivered")
        FAILED = "failed", _("Given up")

    TONES: ClassVar[dict[str, str]] = {"pending": "busy", "succeeded": "ok", "failed": "bad"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries", verbose_name=_("webhook"))
    event_id = models.UUIDField(_("event"))
    type = models.CharField(_("type"), max_length=120)
    payload = models.JSONField(_("payload"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0, help_text=_("Since it was made or last sent again."))
    attempts = models.JSONField(_("attempts"), default=list, help_text=_("The newest last: at, status, ms, error, answer."))
    next_at = models.DateTimeField(_("next try"))
    token = models.BigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("delivery"), _("deliveries")
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["webhook", "next_at"], name="delivery_due", condition=Q(state="pending")),
            models.Index(fields=["webhook", "-created_at", "-id"], name="delivery_listing"),
            models.Index(fields=["-created_at", "-id"], name="delivery_newest"),
            models.Index(fields=["finished_at"], name="delivery_finished", condition=Q(finished_at__isnull=False)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["webhook", "event_id"], name="delivery_once_a_webhook"),
            models.CheckConstraint(condition=Q(state="pending", finished_at=None)
                                   | Q(state__in=["succeeded", "failed"], finished_at__isnull=False),
                                   name="delivery_finished_when_settled"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"

    @property
    def message_id(self) -> str:
        """What the receiver knows it by, however often it is sent."""
        return f"msg_{self.id.hex}"

    @property
    def last(self) -> dict[str, Any] | None:
        return self.attempts[-1] if self.attempts else None

    # Where it is, for access and audit.

    @property
    def project(self) -> Project | None:
        return self.webhook.project

    @property
    def project_id(self) -> uuid.UUID | None:
        return self.webhook.project_id

    @property
    def organization_id(self) -> uuid.UUID:
        return self.webhook.organization_id
