"""Limits, and requests for higher ones. What is used is never stored: it is summed from live rows (tenants.quotas)."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Region
from portal.kernel.states import Stateful

from .structure import Organization, Project

MANAGE = "project.manage"


class Quota(models.Model):
    """A limit of one dimension in one region, or in all of them, on an organization or a project. NULL unlimited, 0 none."""

    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="quotas",
                                     verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="quotas",
                                verbose_name=_("project"))
    region = models.ForeignKey(Region, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("region"),
                               help_text=_("Empty for what is counted once for all regions."))
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


class QuotaRequestQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Whoever sees the project that it is for, or all of the organization."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        wide = [pk for pk, names in grants.organization_wide.items() if "project.view" in names]
        return self.filter(Q(project__in=grants.projects("project.view")) | Q(project=None, organization__in=wide))

    def open(self) -> Self:
        """Those that wait for an answer, for what is still there."""
        return self.filter(state=QuotaRequest.State.OPEN, organization__deleted_at=None, project__deleted_at=None)

    def decided_by(self, user) -> Self:
        """Those that `user` may answer: for projects by who manages what is above them, for organizations by operators."""
        return self.all() if user.grants.sees_everything else self.decided_in(**managed(user))

    def decided_in(self, parents: list[uuid.UUID], organizations: list[uuid.UUID]) -> Self:
        """Those for projects right below these projects, or at the top of these organizations."""
        return self.filter(Q(project__parent__any_of=parents)
                           | Q(project__isnull=False, project__parent=None, organization__any_of=organizations))


def managed(user) -> dict[str, list[uuid.UUID]]:
    """Ids of the projects, and of the organizations as a whole, below which the user sets limits; operators do everywhere."""
    wide = [pk for pk, names in user.grants.organization_wide.items() if MANAGE in names]
    return {"parents": list(user.grants.projects(MANAGE)), "organizations": wide}


class QuotaRequest(Stateful):
    """Somebody needs more of one dimension than an organization or a project is allowed; whoever sets that limit answers."""

    class State(models.TextChoices):
        OPEN = "open", _("Undecided")
        GRANTED = "granted", _("Granted")
        PARTLY = "partly", _("Partly granted")
        REFUSED = "refused", _("Refused")
        WITHDRAWN = "withdrawn", _("Withdrawn")

    MOVES = {State.OPEN: {State.GRANTED, State.PARTLY, State.REFUSED, State.WITHDRAWN}, State.GRANTED: set(),
             State.PARTLY: set(), State.REFUSED: set(), State.WITHDRAWN: set()}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="quota_requests", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="quota_requests",
                                verbose_name=_("project"), help_text=_("Empty: the whole organization."))
    region = models.ForeignKey(Region, models.CASCADE, null=True, blank=True, related_name="+", verbose_name=_("region"))
    dimension = models.CharField(_("resource"), max_length=60)
    wanted = models.BigIntegerField(_("wanted limit"))
    reason = models.CharField(_("reason"), max_length=500)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.OPEN)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("requested by"))
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", editable=False,
                                   verbose_name=_("decided by"))
    granted = models.BigIntegerField(_("granted limit"), null=True, editable=False)
    answer = models.CharField(_("answer"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    decided_at = models.DateTimeField(_("decided"), null=True, editable=False)

    objects = QuotaRequestQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("quota request"), _("quota requests")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="quota_request_listing"),
                   models.Index(fields=["created_at"], name="quota_request_open", condition=Q(state="open"))]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["open", "granted", "partly", "refused", "withdrawn"]),
                                   name="quota_request_state_known"),
            models.CheckConstraint(condition=Q(wanted__gt=0), name="quota_request_wants_something"),
            models.CheckConstraint(condition=Q(state__in=["granted", "partly"], granted__isnull=False)
                                   | Q(state__in=["open", "refused", "withdrawn"], granted=None),
                                   name="quota_request_granted_when_so"),
            models.UniqueConstraint(fields=["organization", "project", "region", "dimension"], condition=Q(state="open"),
                                    nulls_distinct=False, name="quota_request_open_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dimension}: {self.wanted}"

    @property
    def scope(self) -> Organization | Project:
        return self.project or self.organization
