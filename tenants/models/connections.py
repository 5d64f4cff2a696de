"""Single sign-on: OpenID Connect providers that operators trust, and for which e-mail domains each speaks."""
import uuid
from typing import Self

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.secrets import EncryptedTextField

from .structure import Organization

DOMAIN = RegexValidator(r"^(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+$", _("A domain in small letters, such as example.org."))


class ConnectionQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """Operators set them up; nobody else sees more of one than its button."""
        return self.all() if user.grants.sees_everything else self.none()

    def usable(self) -> Self:
        """In use, and of no organization that is gone."""
        return self.filter(is_enabled=True, organization__deleted_at=None)


class Connection(models.Model):
    """A provider that people sign in with, those of one organization or anybody whose address is of its domains."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(_("short name"), max_length=40, unique=True, help_text=_(
        "Part of the address to which the provider sends people back: /accounts/oidc/[short name]/login/callback/"))
    name = models.CharField(_("name"), max_length=40, help_text=_("What its button says: “Sign in with …”."))
    issuer = models.URLField(_("issuer"), max_length=300, help_text=_(
        "The provider's address, as it writes it into its tokens. It publishes /.well-known/openid-configuration below it."))
    client_id = models.CharField(_("client ID"), max_length=191)
    client_secret = EncryptedTextField(_("client secret"), blank=True)
    organization = models.ForeignKey(Organization, models.CASCADE, null=True, blank=True, related_name="connections",
                                     verbose_name=_("organization"), help_text=_(
                                         "Who signs in for the first time becomes a member of it; empty: of none."))
    role = models.CharField(_("role of new members"), max_length=20, blank=True, default="viewer",
                            help_text=_("In the whole organization. Empty: none."))
    is_only = models.BooleanField(_("only this way"), default=False, help_text=_(
        "People with addresses of its domains sign in with it and no other way, operators excepted."))
    proves_mfa = models.BooleanField(_("asks for a second factor itself"), default=False, help_text=_(
        "Who has no password here and signs in with it needs no second factor where an organization requires one."))
    is_listed = models.BooleanField(_("button on the sign-in page"), default=True, help_text=_(
        "Without one, people type their address and are led to the provider of its domain."))
    is_enabled = models.BooleanField(_("in use"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("single sign-on"), _("single sign-on")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["issuer", "client_id"], name="connection_once"),
            models.CheckConstraint(condition=Q(role__in=["", "admin", "operator", "viewer", "billing"]),
                                   name="connection_role_known", violation_error_message=_("Not an owner.")),
        ]

    def __str__(self) -> str:
        return self.name


class ConnectionDomain(models.Model):
    """An e-mail domain for whose addresses the provider speaks; each has one provider at most."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="domains", verbose_name=_("single sign-on"))
    name = models.CharField(_("domain"), max_length=253, unique=True, validators=[DOMAIN])

    class Meta:
        verbose_name, verbose_name_plural = _("e-mail domain"), _("e-mail domains")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
