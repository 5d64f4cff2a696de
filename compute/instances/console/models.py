"""Console tickets: who may open which screen, once and soon; and, once used, the console session that it opened."""
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from compute.instances.models import Instance
from tenants.models import ApiKey


class ConsoleTicketQuerySet(models.QuerySet):
    def open(self) -> Self:
        """Sessions that have not ended. One whose process was killed is not seen any more: see `seen_at`."""
        return self.filter(used_at__isnull=False, closed_at=None)


class ConsoleTicket(models.Model):
    """The right to a session, bound to a principal and to one start of the instance; only its hash is kept."""

    class Type(models.TextChoices):
        VNC = "vnc", _("Screen")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="console_tickets", verbose_name=_("instance"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    session_hash = models.CharField(max_length=64, blank=True, editable=False)
    api_key = models.ForeignKey(ApiKey, models.CASCADE, null=True, related_name="+", verbose_name=_("API key"))
    type = models.CharField(_("type"), max_length=10, choices=Type, default=Type.VNC)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    generation = models.PositiveIntegerField()
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"))
    used_at = models.DateTimeField(_("opened"), null=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False, help_text=_("When its session last proved to be open."))
    closed_at = models.DateTimeField(_("closed"), null=True, editable=False)

    objects = ConsoleTicketQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("console ticket"), _("console tickets")
        indexes = [
            models.Index(fields=["user", "created_at"], name="console_ticket_of_user"),
            models.Index(fields=["seen_at"], name="console_open", condition=Q(used_at__isnull=False, closed_at=None)),
        ]
        constraints = [models.CheckConstraint(condition=Q(api_key=None) ^ Q(session_hash=""),
                                              name="console_ticket_has_one_principal")]

    def __str__(self) -> str:
        return f"console of {self.instance_id}"
