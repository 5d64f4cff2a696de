"""Launch templates and their versions."""
import uuid
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Resource
from portal.kernel.secrets import EncryptedTextField

CALLED = {"instance_name": "name", "instance_description": "description", "instance_tags": "tags"}
"""Fields of a template that are called otherwise than in the request for an instance: it has a name of its own."""


class LaunchTemplate(Resource):
    """What instances of the project in the region are made from. Each save is a new version; one of them is the default."""

    KIND = "launch_template"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="launch_template")
    default_version = models.PositiveIntegerField(_("default version"), default=1)
    latest_version = models.PositiveIntegerField(_("latest version"), default=1)

    class Meta:
        verbose_name, verbose_name_plural = _("launch template"), _("launch templates")


class LaunchTemplateVersionQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "launch_template.view") -> Self:
        return self.filter(template__in=LaunchTemplate.objects.visible_to(user, permission))


class LaunchTemplateVersion(models.Model):
    """What was saved at once; it never changes. `values` are fields of a request for an instance, rows as their ids: what they
    name may be gone by now."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template = models.ForeignKey(LaunchTemplate, models.CASCADE, related_name="versions", verbose_name=_("launch template"))
    number = models.PositiveIntegerField(_("version"))
    values = models.JSONField(_("values"), default=dict)
    user_data = EncryptedTextField(_("user data"), blank=True)
    created_at = models.DateTimeField(_("created"))
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+",
                                   verbose_name=_("saved by"))

    objects = LaunchTemplateVersionQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("version of a launch template"), _("versions of launch templates")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["template", "-created_at", "-id"], name="template_versions_newest")]
        constraints = [
            models.UniqueConstraint(fields=["template", "number"], name="launch_template_version_once"),
            models.CheckConstraint(condition=Q(number__gt=0), name="launch_template_version_counted"),
        ]

    def __str__(self) -> str:
        return f"{self.template_id} {self.number}"

    @property
    def wishes(self) -> dict[str, Any]:
        """All that was saved, as it was sent."""
        return self.values | ({"user_data": self.user_data} if self.user_data else {})

    @property
    def body(self) -> dict[str, Any]:
        """What it says of a request for instances, as that is written."""
        return {CALLED.get(name, name): value for name, value in self.wishes.items()}
