"""Console tickets: who may open which screen, once and soon; and, once used, the console session that it opened."""
import uuid
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance
from tenants.models import ApiKey

# The watch looks every two seconds, and ends its sessions when it has seen nothing for half a minute: what was not seen for
# longer is of a process that was killed.
UNSEEN = timedelta(seconds=45)


class OfInstance(models.QuerySet):
    """Rows that are of an instance: whoever sees that may be told of them."""

    def visible_to(self, user: Any) -> Self:
        return self.filter(instance__in=Instance.objects.visible_to(user).values("pk"))


class ConsoleLinkQuerySet(OfInstance):
    def live(self) -> Self:
        """Neither revoked nor expired; whether its maker still may, and the instance still runs, `links.why_dead` tells."""
        return self.filter(revoked_at=None, expires_at__gt=Now())


class ConsoleLink(models.Model):
    """Lets people who see the instance look at its screen for a while, in the name of its maker; only the hash is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="console_links", verbose_name=_("instance"))
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("made by"))
    api_key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="+", verbose_name=_("API key"))
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    generation = models.PositiveIntegerField()
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)

    objects = ConsoleLinkQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("console link"), _("console links")
        indexes = [models.Index(fields=["instance", "expires_at"], name="console_link_of_instance")]

    def __str__(self) -> str:
        return f"link to the console of {self.instance_id}"

    @property
    def project(self) -> Any:
        return self.instance.project


class ConsoleTicketQuerySet(OfInstance):
    def open(self) -> Self:
        """Sessions that have not ended. One whose process was killed is not seen any more: see `seen_at`."""
        return self.filter(used_at__isnull=False, closed_at=None)

    def alive(self) -> Self:
        """Open, and seen of late."""
        return self.open().filter(seen_at__gt=Now() - UNSEEN)


class ConsoleTicket(models.Model):
    """The right to a session, bound to a principal and to one start of the instance; only its hash is kept."""

    class Type(models.TextChoices):
        VNC = "vnc", _("Screen")
        SERIAL = "serial", _("Serial console")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="console_tickets", verbose_name=_("instance"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    session_hash = models.CharField(max_length=64, blank=True, editable=False)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="+", verbose_name=_("API key"))
    type = models.CharField(_("type"), max_length=10, choices=Type, default=Type.VNC)
    takes_over = models.BooleanField(_("takes over"), default=False, editable=False,
                                     help_text=_("The serial line is taken from whoever has it on the host."))
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    generation = models.PositiveIntegerField()
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("opened"), null=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False, help_text=_("When its session last proved to be open."))
    closed_at = models.DateTimeField(_("closed"), null=True, editable=False)
    address = models.GenericIPAddressField(_("address"), null=True, editable=False)
    link = models.ForeignKey(ConsoleLink, models.CASCADE, null=True, related_name="tickets", verbose_name=_("console link"),
                             help_text=_("By which it was opened: to look, not to type."))
    ended_at = models.DateTimeField(_("ended"), null=True, editable=False, help_text=_("When somebody ended its session."))
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+",
                                 verbose_name=_("ended by"))

    objects = ConsoleTicketQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("console ticket"), _("console tickets")
        indexes = [
            models.Index(fields=["user", "created_at"], name="console_ticket_of_user"),
            models.Index(fields=["seen_at"], name="console_open", condition=Q(used_at__isnull=False, closed_at=None)),
            models.Index(fields=["instance"], name="console_open_of_instance",
                         condition=Q(used_at__isnull=False, closed_at=None)),
        ]
        constraints = [models.CheckConstraint(condition=Q(api_key=None) ^ Q(session_hash=""),
                                              name="console_ticket_has_one_principal")]

    def __str__(self) -> str:
        return f"console of {self.instance_id}"

    @property
    def project(self) -> Any:
        return self.instance.project

    @property
    def is_view_only(self) -> bool:
        """Whoever came by a link looks and does not type; a row whose link is gone is gone with it."""
        return self.link_id is not None

    @property
    def permission(self) -> str:
        """What its user needs on the instance."""
        return "instance.view" if self.is_view_only else "instance.console"
