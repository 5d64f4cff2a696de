"""What people want to be told, what they are to be told, and the mails that say it.

A notice is one thing for one person, written in the transaction of what happened. A letter is one mail with one or more of
them: outbox, queue and log in one row, as a webhook's delivery is.
"""
import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.timezones import time_zones
from tenants.models import Organization, Project


class How(models.TextChoices):
    NOW = "now", _("At once")
    DAILY = "daily", _("Once a day")
    NEVER = "never", _("Never")


def check_zone(name: str) -> None:
    """A name of the time zone database, and nothing that leads to another file."""
    if name not in time_zones():
        raise ValidationError(_("There is no such time zone."))


class OwnQuerySet(models.QuerySet):
    def visible_to(self, user: Any) -> Self:
        """Everybody's own; operators see all."""
        return self.all() if user.grants.sees_everything else self.filter(user=user.pk)


class Preferences(models.Model):
    """What somebody chose that is not as declared; no row: everything is as declared."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="notice_preferences",
                                verbose_name=_("user"))
    mails = models.JSONField(_("mails"), default=dict, help_text=_("Kind → now, daily or never."))
    silent = models.JSONField(_("silent"), default=list, help_text=_("Kinds that the bell does not ring for."))
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[check_zone])
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = OwnQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("notification preferences"), _("notification preferences")
        ordering = ["user"]
        indexes = [GinIndex(fields=["mails"], name="notice_mails")]

    def __str__(self) -> str:
        return str(self.user_id)


class Letter(models.Model):
    """One mail. `lease_until` and `token` say who is sending it now; its Message-ID is the same however often it is sent."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        DROPPED = "dropped", _("Dropped")
        FAILED = "failed", _("Given up")

    TONES: ClassVar[dict[str, str]] = {"pending": "busy", "sent": "ok", "dropped": "off", "failed": "bad"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="letters", verbose_name=_("user"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    error = models.CharField(_("error"), max_length=200, blank=True)
    next_at = models.DateTimeField(_("next try"))
    token = models.BigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = OwnQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("notification mail"), _("notification mails")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["next_at"], name="letter_due", condition=Q(state="pending")),
                   models.Index(fields=["user", "-created_at"], name="letter_of_user"),
                   models.Index(fields=["finished_at"], name="letter_finished", condition=Q(finished_at__isnull=False))]
        constraints = [models.CheckConstraint(condition=Q(state="pending", finished_at=None) | Q(
            state__in=["sent", "dropped", "failed"], finished_at__isnull=False), name="letter_finished_when_settled")]

    def __str__(self) -> str:
        return str(self.id)


class Notice(models.Model):
    """One thing that one person is told, once; what it names is looked up when it is told."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=60)
    act = models.CharField(_("act"), max_length=120, help_text=_("Of the audit trail, or how an operation ended."))
    event_id = models.UUIDField(_("event"))
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("actor"))
    organization = models.ForeignKey(Organization, models.CASCADE, null=True, related_name="+", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.CASCADE, null=True, related_name="+", verbose_name=_("project"))
    facts = models.JSONField(_("facts"), default=dict)
    at = models.DateTimeField(_("time"))
    due_at = models.DateTimeField(_("due"))
    letter = models.ForeignKey(Letter, models.CASCADE, null=True, related_name="notices", verbose_name=_("notification mail"))

    objects = OwnQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("notice"), _("notices")
        ordering = ["-at"]
        indexes = [models.Index(fields=["due_at"], name="notice_due", condition=Q(letter=None)),
                   models.Index(fields=["user", "due_at"], name="notice_of_user", condition=Q(letter=None))]
        constraints = [models.UniqueConstraint(fields=["user", "event_id"], name="notice_once_a_user")]

    def __str__(self) -> str:
        return f"{self.act} {self.id}"
