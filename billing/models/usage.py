"""What was used, and when. PostgreSQL itself refuses overlaps.

Usage intervals are regional and written by `billing.metering` alone; outages by `billing.operations`.
"""
import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.contrib.postgres.indexes import GistIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Region, Resource
from tenants.access import projects_ever


class UsageIntervalQuerySet(models.QuerySet):
    """Reading usage; who sees it follows the project, also after its resource is gone."""

    def visible_to(self, user, permission: str = "usage.view") -> Self:
        """Of deleted projects too: what they cost stays on the bill."""
        return self.all() if user.grants.sees_everything else self.filter(project_id__in=projects_ever(user, permission))

    def running(self) -> Self:
        return self.filter(period__upper_inf=True)


class UsageInterval(models.Model):
    """From one moment to another (or until now, when open) a resource took so many units of a meter."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resource = models.ForeignKey(Resource, models.PROTECT, related_name="usage", verbose_name=_("resource"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, related_name="+", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", db_index=False, verbose_name=_("region"))
    meter = models.CharField(_("meter"), max_length=60)
    sku = models.CharField(_("SKU"), max_length=100)
    quantity = models.DecimalField(_("quantity"), max_digits=20, decimal_places=6)
    period = DateTimeRangeField(_("period"), help_text=_("UTC, half-open; without an end while it runs."))

    start = models.GeneratedField(expression=models.Func("period", function="lower"), db_persist=True,
                                  output_field=models.DateTimeField(_("start")))

    objects = UsageIntervalQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("usage interval"), _("usage intervals")
        constraints = [
            ExclusionConstraint(name="usage_never_twice", expressions=[
                ("resource", RangeOperators.EQUAL), ("meter", RangeOperators.EQUAL),
                ("period", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(name="usage_not_empty", condition=Q(period__isempty=False)),
            models.CheckConstraint(name="usage_half_open", condition=Q(
                period__lower_inf=False, period__lower_inc=True, period__upper_inc=False)),
            models.CheckConstraint(name="usage_of_something", condition=Q(quantity__gt=0)),
        ]
        indexes = [
            GistIndex(fields=["project", "period"], name="usage_of_projects"),
            models.Index(fields=["project", "-start", "-id"], name="usage_listing"),
            models.Index(fields=["-start", "-id"], name="usage_newest"),
            models.Index(fields=["region", "meter", "sku"], name="usage_kinds"),  # and by region alone
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.resource_id}"


class Outage(models.Model):
    """For this time a resource was down by the platform's own fault: none of its usage then is billed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resource = models.ForeignKey(Resource, models.PROTECT, related_name="outages", verbose_name=_("resource"))
    meters = models.JSONField(_("meters"), default=list, blank=True, help_text=_("Which are free then; empty: all."))
    period = DateTimeRangeField(_("period"), help_text=_("UTC, half-open."))
    reason = models.CharField(_("reason"), max_length=200)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                    verbose_name=_("recorded by"))
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name, verbose_name_plural = _("outage"), _("outages")
        constraints = [
            ExclusionConstraint(name="outage_never_twice", expressions=[
                ("resource", RangeOperators.EQUAL), ("period", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(name="outage_not_empty", condition=Q(period__isempty=False)),
            models.CheckConstraint(name="outage_bounded", condition=Q(
                period__lower_inf=False, period__upper_inf=False, period__lower_inc=True, period__upper_inc=False)),
        ]
        indexes = [GistIndex(fields=["period"], name="outage_when")]

    def __str__(self) -> str:
        return self.reason
