"""Who did what to what, from where: one row in the transaction of the change."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from .operation import Operation
from .resource import Resource


class AuditQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        grants = user.grants
        return self.all() if grants.sees_everything else self.filter(project_id__in=grants.projects("audit.view"))


class AuditEvent(models.Model):
    """One act or refused attempt. Never updated, never deleted (the application's role may not)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, null=True, related_name="+",
                                     verbose_name=_("organization"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                              verbose_name=_("actor"))
    api_key = models.UUIDField(null=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    request_id = models.CharField(_("request"), max_length=64, blank=True)
    action = models.CharField(_("action"), max_length=80)
    resource = models.ForeignKey(Resource, models.PROTECT, null=True, related_name="audit_events",
                                 verbose_name=_("resource"))
    target_type = models.CharField(max_length=60, blank=True)
    target_id = models.CharField(max_length=64, blank=True)
    target_name = models.CharField(max_length=200, blank=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    result = models.CharField(_("result"), max_length=16, default="ok")
    # Not held to exist: an audit row stays as it was written when the operation that it names is forgotten (retention).
    operation = models.ForeignKey(Operation, models.DO_NOTHING, null=True, related_name="audit_events", db_constraint=False)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("audit event"), _("audit events")
        indexes = [models.Index(fields=["project", "-at", "-id"], name="audit_listing")]

    def __str__(self) -> str:
        return f"{self.action} {self.target_name}"
