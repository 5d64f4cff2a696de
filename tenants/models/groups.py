"""Groups of people in an organization: what a group is bound to, its members hold."""
import uuid
from typing import Self

from django.contrib.auth.models import Group as DjangoGroup
from django.db import models
from django.utils.translation import gettext_lazy as _

from .structure import Organization


class OfMembers(models.QuerySet):
    """What an organization makes for its people: groups, and roles of its own."""

    def visible_to(self, user, permission: str = "member.view") -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(organization__in=grants.organizations(permission))


class Group(models.Model):
    """An organization's group. Who is in it, and what it is bound to, hangs on Django's group that it stands for."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="groups", verbose_name=_("organization"))
    name = models.CharField(_("name"), max_length=100)
    auth_group = models.OneToOneField(DjangoGroup, models.CASCADE, related_name="of_organization", editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OfMembers.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("member group"), _("member groups")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="group_once")]

    def __str__(self) -> str:
        return self.name
