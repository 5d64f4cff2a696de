"""Organizations (who pays) and their projects (a tree that resources live in)."""
import uuid
from typing import Self

from django.contrib.postgres.indexes import GinIndex, OpClass
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


class OrganizationQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants, living = user.grants, self.filter(deleted_at=None)
        return living if grants.sees_everything else living.filter(pk__in=grants.organization_ids)


class Organization(models.Model):
    """The tenant: pays, owns projects. Its plan says what it may take where no limit of its own is set."""

    class Plan(models.TextChoices):
        STANDARD = "standard", _("Standard")
        TRIAL = "trial", _("Trial")

    class WhileSuspended(models.TextChoices):
        KEEP = "keep", _("Instances go on running")
        STOP = "stop", _("Instances are stopped")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    plan = models.CharField(_("plan"), max_length=20, choices=Plan, default=Plan.STANDARD, db_default=Plan.STANDARD,
                            help_text=_("On trial, its credit pays: without any left, nothing new is started."))
    suspended_at = models.DateTimeField(_("suspended"), null=True, editable=False,
                                        help_text=_("Since then its members only look; nothing is made, changed or deleted."))
    suspension_reason = models.CharField(_("reason of the suspension"), max_length=300, blank=True,
                                         help_text=_("Its members read it while it is suspended."))
    while_suspended = models.CharField(_("while suspended"), max_length=10, choices=WhileSuspended, editable=False,
                                       default=WhileSuspended.KEEP, db_default=WhileSuspended.KEEP)
    requires_mfa = models.BooleanField(_("requires two-step sign-in"), default=False, db_default=False, help_text=_(
        "Its members, and their API keys, get to nothing in it until they have set up an authenticator app or a passkey."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("organization"), _("organizations")
        ordering = ["name"]
        # Every request asks which of the caller's are suspended, or want a second factor; nearly always none does.
        indexes = [models.Index(fields=["id"], name="organization_suspended", condition=Q(suspended_at__isnull=False)),
                   models.Index(fields=["id"], name="organization_wants_mfa", condition=Q(requires_mfa=True))]
        constraints = [
            models.CheckConstraint(condition=Q(plan__in=["standard", "trial"]), name="organization_plan_known"),
            models.CheckConstraint(condition=Q(while_suspended__in=["keep", "stop"]), name="organization_policy_known"),
        ]

    def __str__(self) -> str:
        return self.name


class ProjectQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "project.view") -> Self:
        grants = user.grants
        return self.living() if grants.sees_everything else self.living().filter(pk__in=grants.projects(permission))

    def living(self) -> Self:
        return self.filter(deleted_at=None)

    def below(self, project: "Project") -> Self:
        """The project itself and all that stands below it, whether they live or not."""
        return self.filter(organization_id=project.organization_id, path__contains=[str(project.pk)])


class Project(models.Model):
    """A folder for resources. `path` lists the ids from the root project to this one, itself included.

    Archived: nothing new is made in it or below it. Deleted: only history names it; a project of its name may be made again.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="projects", verbose_name=_("organization"))
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children",
                               verbose_name=_("parent project"))
    path = models.JSONField(default=list, editable=False)
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(_("archived"), null=True, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("project"), _("projects")
        ordering = ["name"]
        indexes = [models.Index(fields=["organization"], name="project_deleted", condition=Q(deleted_at__isnull=False))]
        constraints = [
            models.CheckConstraint(condition=~Q(parent=models.F("id")), name="project_not_its_own_parent"),
            models.UniqueConstraint("organization", "parent", Lower("name"), name="project_name_once",
                                    condition=Q(deleted_at=None), nulls_distinct=False,
                                    violation_error_message=_("There is a project of this name here already.")),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """For admin's form; rights are inherited down the tree, so it never leaves its organization."""
        if self.parent is not None and self.parent.organization_id != self.organization_id:
            raise ValidationError({"parent": _("The parent belongs to another organization.")})

    @property
    def ancestor_ids(self) -> list[uuid.UUID]:
        """From the root project to this one."""
        return [uuid.UUID(pk) for pk in self.path]


class FormerPlaceQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(project_id__in=grants.projects("project.view"))


class FormerPlace(models.Model):
    """Where a project stood until it, or what is above it, was moved: what it cost until then belongs to what was above it."""

    project = models.ForeignKey(Project, models.PROTECT, related_name="former_places", verbose_name=_("project"))
    path = models.JSONField(_("path"), help_text=_("Ids from the root project to this one."))
    until = models.DateTimeField(_("until"))

    objects = FormerPlaceQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("former place"), _("former places")
        ordering = ["until", "pk"]
        indexes = [models.Index(fields=["project", "until"], name="former_place_of_project"),
                   GinIndex(OpClass("path", name="jsonb_path_ops"), name="former_place_path")]

    def __str__(self) -> str:
        return f"{self.project_id} until {self.until}"
