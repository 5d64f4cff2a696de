"""API keys: shown once, stored as SHA-256, narrower than their owner. And service users: owners of keys that are no person."""
import uuid
from ipaddress import ip_address, ip_network
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower, Now
from django.utils.translation import gettext_lazy as _

from .structure import Project


class ApiKeyQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Everybody sees their own, and those of service users of projects whose members they manage."""
        services = ServiceUser.objects.visible_to(user, "member.manage")
        return self.filter(models.Q(owner_id=user.pk) | models.Q(owner__service__in=services))

    def within(self, key: "ApiKey") -> Self:
        """Those that reach no further than the key: it sees and ends no others. It is one of them."""
        found = self if key.project_id is None else self.filter(project__path__contains=[str(key.project_id)]) if (
            key.includes_below) else self.filter(project=key.project_id, includes_below=False)
        if key.scopes:
            found = found.filter(scopes__contained_by=key.scopes).exclude(scopes=[])
        if key.networks:
            found = found.filter(networks__contained_by=key.networks).exclude(networks=[])
        return found.filter(expires_at__lte=key.expires_at) if key.expires_at else found

    def usable(self) -> Self:
        """Neither revoked nor expired: what counts against limits."""
        return self.filter(models.Q(expires_at=None) | models.Q(expires_at__gt=Now()), revoked_at=None)


class ApiKey(models.Model):
    """A program's credential: its owner's current rights ∩ actions (scopes) × areas (a project, or all below it too).

    While it is rotated it has two secrets: the new one, and until `previous_until` the one before.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_keys", verbose_name=_("owner"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="api_keys",
                                verbose_name=_("project"), help_text=_("Empty: all projects of the owner."))
    includes_below = models.BooleanField(_("projects below it too"), default=False, db_default=False)
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("prefix"), max_length=20, unique=True)
    secret_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(_("scopes"), default=list, blank=True, help_text=_("Permission names; empty: all of the owner's."))
    networks = models.JSONField(_("allowed addresses"), default=list, blank=True, db_default=models.Value([], models.JSONField()),
                                help_text=_("Networks from which it is accepted; empty: from anywhere."))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    expiry_told_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    last_used_from = models.GenericIPAddressField(_("last used from"), null=True, editable=False)
    refused_at = models.DateTimeField(_("last refused"), null=True, editable=False,
                                      help_text=_("When it came from an address that is not allowed."))
    rotated_at = models.DateTimeField(_("rotated"), null=True, editable=False)
    previous_hash = models.CharField(max_length=64, blank=True, db_default="", editable=False)
    previous_until = models.DateTimeField(_("old secret valid until"), null=True, editable=False)
    previous_used_at = models.DateTimeField(_("old secret last used"), null=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    is_previous = False
    """Whether it was the secret from before a rotation that was just shown."""

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("API key"), _("API keys")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["expires_at"], name="api_key_expiring",
                                condition=models.Q(revoked_at=None, expiry_told_at=None))]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def trail_project(self) -> Project | None:
        """Whose trail tells of the key: of the project that it is for, or else of its service user's. None for a person's key for
        all projects, which is told in the site's."""
        if self.project_id is not None or not self.owner.is_service:
            return self.project
        return Project.objects.get(service_users=self.owner_id)

    def allows_address(self, address: str | None) -> bool:
        """Whether the key is accepted from there. An IPv4 address that is written as IPv6 is the same."""
        if not self.networks:
            return True
        try:
            found = ip_address(address or "")
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in ip_network(one) for one in self.networks)


class ServiceUserQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "member.view") -> Self:
        """Of projects in which the user holds the permission: sees their members, unless another is named."""
        grants, living = user.grants, self.filter(deleted_at=None)
        return living if grants.sees_everything else living.filter(project__in=grants.projects(permission))


class ServiceUser(models.Model):
    """A program's identity: belongs to a project instead of a person, has roles by bindings, uses keys, and cannot sign in.

    Its id is that of the user that bindings, keys and the audit trail point at.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT, related_name="service", editable=False,
                                verbose_name=_("user"))
    project = models.ForeignKey(Project, models.PROTECT, related_name="service_users", verbose_name=_("project"))
    name = models.CharField(_("name"), max_length=100)
    description = models.CharField(_("description"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    objects = ServiceUserQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("service user"), _("service users")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(id=models.F("user")), name="service_user_has_the_users_id"),
            models.UniqueConstraint("project", Lower("name"), name="service_user_name_once",
                                    condition=models.Q(deleted_at=None),
                                    violation_error_message=_("There is a service user of this name here already.")),
        ]

    def __str__(self) -> str:
        return self.name
