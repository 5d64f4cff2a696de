"""When those who run the site reach into what belongs to tenants: breaking the glass, and looking at pages as somebody."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .structure import Organization, Project


class Span(models.Model):
    """From a moment until a moment, unless it is ended before."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reason = models.CharField(_("reason"), max_length=300, help_text=_("Read by those whose it is."))
    started_at = models.DateTimeField(_("started"))
    expires_at = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_live(self) -> bool:
        return self.ended_at is None and self.expires_at > timezone.now()


class SpanQuerySet(models.QuerySet):
    def live(self) -> Self:
        """By the database's clock."""
        return self.filter(ended_at=None, expires_at__gt=Now())


class BreakGlassQuerySet(SpanQuerySet):
    def visible_to(self, user) -> Self:
        """Those of whole organizations and of projects whose audit trail the user sees."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        wide = [pk for pk, names in grants.organization_wide.items() if "audit.view" in names]
        return self.filter(Q(organization__in=wide) | Q(project__in=grants.projects("audit.view"))
                           | Q(project=None, organization__in=grants.organizations("audit.view")))


class BreakGlass(Span):
    """An operator may act in a tenant's organization, or in a project of it and all below, for some hours and a reason."""

    operator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("operator"))
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="+", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("project"),
                                help_text=_("With all below it; empty: the whole organization."))

    objects = BreakGlassQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("emergency access"), _("emergency accesses")
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["operator", "expires_at"], name="break_glass_live", condition=Q(ended_at=None)),
                   models.Index(fields=["organization", "-started_at", "-id"], name="break_glass_of_tenant")]
        constraints = [models.CheckConstraint(condition=Q(expires_at__gt=F("started_at")), name="break_glass_ends")]

    def __str__(self) -> str:
        return f"{self.operator} → {self.project or self.organization}"


class Impersonation(Span):
    """An operator looks at the portal as a user. It lives in the operator's own session (tenants.impersonation)."""

    operator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("operator"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("user"))

    objects = SpanQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("impersonation"), _("impersonations")
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["user", "-started_at"], name="impersonation_of_user")]
        constraints = [models.CheckConstraint(condition=Q(expires_at__gt=F("started_at")), name="impersonation_ends"),
                       models.CheckConstraint(condition=~Q(operator=F("user")), name="impersonation_of_another")]

    def __str__(self) -> str:
        return f"{self.operator} → {self.user}"
