"""Schedules of instances, and what became of each of their runs."""
import uuid
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class InstanceScheduleQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "instance.view") -> Self:
        rows = self.filter(project__deleted_at=None)
        return rows if user.grants.sees_everything else rows.filter(project__in=user.grants.projects(permission))


class InstanceSchedule(models.Model):
    """At these moments the verb is done to the instance, or to all of the project with the tag, in the name of the owner: whoever
    saved the schedule last, with the rights that they have then."""

    class Verb(models.TextChoices):
        START = "start", _("Start")
        STOP = "stop", _("Stop")
        REBOOT = "reboot", _("Reboot")

    class State(models.TextChoices):
        ENABLED = "enabled", _("Enabled")
        DISABLED = "disabled", _("Disabled")

    TONES: ClassVar[dict[str, str]] = {"enabled": "ok", "disabled": "off"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("tenants.Project", models.PROTECT, related_name="instance_schedules", verbose_name=_("project"))
    name = models.CharField(_("name"), max_length=100)
    verb = models.CharField(_("what is done"), max_length=16, choices=Verb)
    instance = models.ForeignKey("instances.Instance", models.PROTECT, null=True, blank=True, related_name="schedules",
                                 verbose_name=_("instance"))
    tag_key = models.CharField(_("tag"), max_length=60, blank=True)
    tag_value = models.CharField(_("value of the tag"), max_length=200, blank=True)
    cron = models.CharField(_("cron expression"), max_length=100)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.ENABLED)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+",
                              verbose_name=_("in whose name"))
    next_at = models.DateTimeField(_("next run"))
    refusals = models.PositiveSmallIntegerField(_("refused in a row"), default=0)
    created_at = models.DateTimeField(_("created"))
    updated_at = models.DateTimeField(auto_now=True)

    objects = InstanceScheduleQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("instance schedule"), _("instance schedules")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["next_at"], condition=Q(state="enabled"), name="instance_schedules_due"),
                   models.Index(fields=["-created_at", "-id"], name="instance_schedules_newest")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["enabled", "disabled"]), name="instance_schedule_state_known"),
            models.CheckConstraint(condition=Q(verb__in=["start", "stop", "reboot"]), name="instance_schedule_verb_known"),
            models.CheckConstraint(
                condition=Q(instance__isnull=False, tag_key="", tag_value="") | Q(instance=None) & ~Q(tag_key=""),
                name="instance_schedule_of_something"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_enabled(self) -> bool:
        return self.state == self.State.ENABLED

    @property
    def tag(self) -> str:
        """As people write it: `env:prod`, or the key alone; empty where it is about one instance."""
        return f"{self.tag_key}:{self.tag_value}" if self.tag_value else self.tag_key


class ScheduleRunQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "instance.view") -> Self:
        return self.filter(schedule__in=InstanceSchedule.objects.visible_to(user, permission))


class ScheduleRun(models.Model):
    """A moment of a schedule: there is one row for it, whoever looks at the clock. `pending` are ids of instances to which the
    verb is still to be done, `results` what became of the others."""

    class State(models.TextChoices):
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        REFUSED = "refused", _("Refused")
        MISSED = "missed", _("Missed")

    TONES: ClassVar[dict[str, str]] = {"running": "busy", "done": "ok", "refused": "bad", "missed": "warn"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    schedule = models.ForeignKey(InstanceSchedule, models.CASCADE, related_name="runs", verbose_name=_("instance schedule"))
    due_at = models.DateTimeField(_("due"))
    created_at = models.DateTimeField(_("begun"))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.RUNNING)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    pending = models.JSONField(default=list)
    results = models.JSONField(_("results"), default=list, help_text=_(
        "Of each instance: instance, name, outcome (accepted, unchanged, refused), operation, error."))

    objects = ScheduleRunQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("run of a schedule"), _("runs of schedules")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["schedule", "-created_at", "-id"], name="schedule_runs_newest"),
                   models.Index(fields=["due_at"], name="schedule_runs_by_age"),
                   models.Index(fields=["id"], condition=Q(state="running"), name="schedule_runs_open")]
        constraints = [
            models.UniqueConstraint(fields=["schedule", "due_at"], name="schedule_run_once"),
            models.CheckConstraint(condition=Q(state__in=["running", "done", "refused", "missed"]),
                                   name="schedule_run_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.due_at:%Y-%m-%d %H:%M}"

    @property
    def in_flight(self) -> bool:
        return self.state == self.State.RUNNING
