"""Bindings: django-guardian's direct-foreign-key rows on Organization and Project. One row gives one role."""
from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from .structure import Organization, Project


class OrganizationUserBinding(UserObjectPermissionBase):
    """A user has a role in a whole organization."""

    content_object = models.ForeignKey(Organization, models.CASCADE)


class OrganizationGroupBinding(GroupObjectPermissionBase):
    """A group has a role in a whole organization."""

    content_object = models.ForeignKey(Organization, models.CASCADE)


class ProjectUserBinding(UserObjectPermissionBase):
    """A user has a role in a project and all below it."""

    content_object = models.ForeignKey(Project, models.CASCADE)


class ProjectGroupBinding(GroupObjectPermissionBase):
    """A group has a role in a project and all below it."""

    content_object = models.ForeignKey(Project, models.CASCADE)
