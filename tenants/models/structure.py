"""Organizations (who pays) and their projects (a tree that resources live in)."""
import uuid
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class OrganizationQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(pk__in=grants.organization_ids)


class Organization(models.Model):
    """The tenant: pays, owns projects. Its plan says what it may take where no limit of its own is set."""

    class Plan(models.TextChoices):
        STANDARD = "standard", _("Standard")
        TRIAL = "trial", _("Trial")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    plan = models.CharField(_("plan"), max_length=20, choices=Plan, default=Plan.STANDARD, db_default=Plan.STANDARD,
                            help_text=_("On trial, its credit pays: without any left, nothing new is started."))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("organization"), _("organizations")
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=Q(plan__in=["standard", "trial"]), name="organization_plan_known")]

    def __str__(self) -> str:
        return self.name


class ProjectQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "project.view") -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(pk__in=grants.projects(permission))


class Project(models.Model):
    """A folder for resources. `path` lists the ids from the root project to this one, itself included."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="projects", verbose_name=_("organization"))
    parent = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="children",
                               verbose_name=_("parent project"))
    path = models.JSONField(default=list, editable=False)
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("project"), _("projects")
        ordering = ["name"]
        constraints = [models.CheckConstraint(condition=~Q(parent=models.F("id")), name="project_not_its_own_parent")]

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
