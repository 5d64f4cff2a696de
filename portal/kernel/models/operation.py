"""Operation: job, outbox and the user's progress bar in one row. Only `portal.kernel.operations` writes it."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .places import Region
from .resource import Resource


def step_of(state: str, plan: list[str], step: int) -> str | None:
    """The name of the step that an operation is in; None before and after."""
    return plan[step] if state in Operation.LIVE and 0 <= step < len(plan) else None


class OperationQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(project_id__in=grants.projects("operation.view"))

    def unfinished(self) -> Self:
        return self.filter(state__in=Operation.LIVE)


class Operation(models.Model):
    """One accepted intent, from 202 to its end. Arguments hold ids only; secrets never get here."""

    class State(models.TextChoices):
        QUEUED = "queued", _("Queued")
        RUNNING = "running", _("Running")
        SUCCEEDED = "succeeded", _("Succeeded")
        FAILED = "failed", _("Failed")
        CANCELLED = "cancelled", _("Cancelled")

    LIVE = (State.QUEUED, State.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=60)
    project = models.ForeignKey("tenants.Project", models.PROTECT, null=True, related_name="operations",
                                verbose_name=_("project"))
    # Work of the hub, such as writing a file of bills, is of no region.
    region = models.ForeignKey(Region, models.PROTECT, null=True, related_name="+", verbose_name=_("region"))
    target = models.ForeignKey(Resource, models.PROTECT, null=True, related_name="operations", verbose_name=_("target"))
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                              verbose_name=_("actor"))
    parent = models.ForeignKey("self", models.PROTECT, null=True, related_name="children")
    request_id = models.CharField(max_length=64, blank=True)
    arguments = models.JSONField(default=dict)
    facts = models.JSONField(default=dict, help_text=_("What the steps learned: handles of outside jobs, choices made."))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.QUEUED)
    undoing = models.BooleanField(default=False)
    plan = models.JSONField(default=list, help_text=_("Names of the steps, fixed when the operation was accepted."))
    step = models.IntegerField(default=0)
    step_since = models.DateTimeField(null=True)
    history = models.JSONField(default=list)
    progress = models.PositiveSmallIntegerField(default=0)
    token = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    run_after = models.DateTimeField()
    deadline = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)
    person_since = models.DateTimeField(null=True, help_text=_("Needs a person since then; still retried slowly."))
    cancel_requested_at = models.DateTimeField(null=True)
    error = models.JSONField(null=True)
    result = models.JSONField(null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("operation"), _("operations")
        indexes = [
            models.Index(fields=["run_after"], name="operation_due", condition=Q(state__in=["queued", "running"])),
            models.Index(fields=["project", "-created_at", "-id"], name="operation_listing"),
            models.Index(fields=["project", "updated_at"], name="operation_news"),
            models.Index(fields=["-created_at", "-id"], name="operation_newest"),
            models.Index(fields=["state", "-created_at", "-id"], name="operation_by_state"),
            models.Index(fields=["kind", "-created_at", "-id"], name="operation_by_kind"),
            # How long a kind takes (the newest that went well), what failed lately, what became of a person's own.
            models.Index(fields=["kind", "-finished_at"], name="operation_durations", condition=Q(state="succeeded")),
            models.Index(fields=["-finished_at"], name="operation_failures", condition=Q(state="failed")),
            models.Index(fields=["actor", "-finished_at"], name="operation_of_actor", condition=Q(finished_at__isnull=False)),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                                   name="operation_state_known"),
            models.CheckConstraint(condition=Q(state__in=["queued", "running"], finished_at=None)
                                   | Q(state__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False),
                                   name="operation_finished_when_settled"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def is_live(self) -> bool:
        return self.state in self.LIVE

    @property
    def queue(self) -> str:
        """Whose workers do it: the region's, or those of the hub."""
        return self.region.queue if self.region is not None else settings.CELERY_TASK_DEFAULT_QUEUE

    @property
    def step_name(self) -> str | None:
        """The step it is in; None before and after."""
        return step_of(self.state, self.plan, self.step)


class Hold(models.Model):
    """A live operation's claim on a resource that it changes; the unique resource is what makes others wait."""

    resource = models.OneToOneField(Resource, models.PROTECT, related_name="hold", primary_key=True)
    operation = models.ForeignKey(Operation, models.PROTECT, related_name="holds")

    class Meta:
        verbose_name, verbose_name_plural = _("hold"), _("holds")

    def __str__(self) -> str:
        return f"{self.operation_id} holds {self.resource_id}"
