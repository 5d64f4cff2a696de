"""Limits. What is used is never stored: it is summed from live rows (tenants.quotas)."""
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Region

from .structure import Organization, Project


class Quota(models.Model):
    """A limit of one dimension in one region, on an organization or a project. NULL unlimited, 0 none."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="quotas",
                                     verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="quotas",
                                verbose_name=_("project"))
    region = models.ForeignKey(Region, models.CASCADE, related_name="+", verbose_name=_("region"))
    dimension = models.CharField(_("dimension"), max_length=60)
    limit = models.BigIntegerField(_("limit"), null=True, blank=True, help_text=_("Empty: unlimited."))

    class Meta:
        verbose_name, verbose_name_plural = _("quota"), _("quotas")
        constraints = [
            models.CheckConstraint(condition=Q(organization=None) ^ Q(project=None), name="quota_has_one_scope"),
            models.CheckConstraint(condition=Q(limit=None) | Q(limit__gte=0), name="quota_not_negative"),
            models.UniqueConstraint(fields=["organization", "project", "region", "dimension"], nulls_distinct=False,
                                    name="quota_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dimension}: {self.limit}"
