"""API keys: shown once, stored as SHA-256, narrower than their owner."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .structure import Project


class ApiKeyQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Everybody sees their own keys only."""
        return self.filter(owner_id=user.pk)


class ApiKey(models.Model):
    """A program's credential: its owner's current rights ∩ scopes ∩ project."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys", verbose_name=_("owner"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="api_keys",
                                verbose_name=_("project"), help_text=_("Empty: all projects of the owner."))
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("prefix"), max_length=20, unique=True)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list, blank=True, help_text=_("Permission names; empty: all of the owner's."))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("API key"), _("API keys")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
