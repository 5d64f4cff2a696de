"""Invitations: a role somewhere for whoever has the token of a mail."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .structure import Organization, Project


class InvitationQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "member.manage") -> Self:
        """Only those who invite see whom others invited."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        wide = [pk for pk, names in grants.organization_wide.items() if permission in names]
        return self.filter(Q(organization__in=wide) | Q(project__in=grants.projects(permission)))

    def pending(self) -> Self:
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())


class Invitation(models.Model):
    """Single use; the token stands in the mail alone, its SHA-256 here."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.CASCADE, related_name="invitations", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.CASCADE, null=True, blank=True, related_name="invitations",
                                verbose_name=_("project"), help_text=_("Empty: the whole organization."))
    role = models.CharField(_("role"), max_length=60)
    email = models.EmailField(_("e-mail address"), blank=True)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("invited by"))
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                    verbose_name=_("accepted by"))
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    sent_at = models.DateTimeField(_("sent"))
    mails = models.PositiveSmallIntegerField(_("mails"), default=1)
    expires_at = models.DateTimeField(_("expires"))
    accepted_at = models.DateTimeField(_("accepted"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("invitation"), _("invitations")
        ordering = ["-created_at"]
        constraints = [models.CheckConstraint(condition=Q(accepted_at=None) | Q(revoked_at=None), name="invitation_one_end")]
        indexes = [models.Index(fields=["organization", "-created_at", "-id"], name="invitation_listing")]

    def __str__(self) -> str:
        """Without the address: what names this in the audit trail outlives the person."""
        return str(self.pk)

    @property
    def state(self) -> str:
        """pending, accepted, revoked or expired."""
        if self.accepted_at or self.revoked_at:
            return "accepted" if self.accepted_at else "revoked"
        return "pending" if self.expires_at > timezone.now() else "expired"
