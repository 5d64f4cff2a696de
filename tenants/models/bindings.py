"""Bindings: django-guardian's direct-foreign-key rows on Organization and Project. One row gives one role.

`Binding` reads the four tables as one, for lists and for whoever asks who has which role where.
"""
from typing import Self

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from .groups import Group
from .structure import Organization, Project


def public_id() -> models.UUIDField:
    """What programs call the binding; guardian's own numbers are of one table each."""
    return models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)


class OrganizationUserBinding(UserObjectPermissionBase):
    """A user has a role in a whole organization."""

    content_object = models.ForeignKey(Organization, models.CASCADE)
    uid = public_id()


class OrganizationGroupBinding(GroupObjectPermissionBase):
    """A group has a role in a whole organization."""

    content_object = models.ForeignKey(Organization, models.CASCADE)
    uid = public_id()


class ProjectUserBinding(UserObjectPermissionBase):
    """A user has a role in a project and all below it."""

    content_object = models.ForeignKey(Project, models.CASCADE)
    uid = public_id()


class ProjectGroupBinding(GroupObjectPermissionBase):
    """A group has a role in a project and all below it."""

    content_object = models.ForeignKey(Project, models.CASCADE)
    uid = public_id()


class BindingQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "member.view") -> Self:
        """Those of projects in which the permission is held, and those of whole organizations, which such projects inherit."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        return self.filter(Q(project=None, organization__in=grants.organizations(permission))
                           | Q(project__in=grants.projects(permission)))


class Binding(models.Model):
    """Who (a user or a group) has which role where (a whole organization, or a project and all below). A view: read only."""

    id = models.UUIDField(primary_key=True)
    role = models.CharField(_("role"), max_length=60)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, related_name="bindings",
                             verbose_name=_("user"))
    group = models.ForeignKey(Group, models.DO_NOTHING, null=True, related_name="bindings", verbose_name=_("member group"))
    organization = models.ForeignKey(Organization, models.DO_NOTHING, related_name="bindings", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.DO_NOTHING, null=True, related_name="bindings", verbose_name=_("project"))

    objects = BindingQuerySet.as_manager()

    class Meta:
        managed, db_table = False, "tenants_binding"
        verbose_name, verbose_name_plural = _("binding"), _("bindings")

    def __str__(self) -> str:
        return f"{self.role} {self.user_id or self.group_id}"

    @property
    def scope(self) -> Organization | Project:
        """Where the role holds."""
        return self.project or self.organization
