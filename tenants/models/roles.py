"""Roles that an organization makes for itself. The built-in ones are declarations (tenants.roles)."""
import uuid

from django.db import models
from django.utils.translation import gettext_lazy as _

from .groups import OfMembers
from .structure import Organization


class Role(models.Model):
    """A named set of permissions of one organization. Bindings name it by its id; what it holds is read at every request."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="roles", verbose_name=_("organization"))
    name = models.CharField(_("name"), max_length=100)
    permissions = models.JSONField(_("permissions"), default=list)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OfMembers.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("role"), _("roles")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="role_once")]

    def __str__(self) -> str:
        return self.name
