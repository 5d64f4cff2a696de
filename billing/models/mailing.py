"""What goes out about bills: mails with the invoice in them; and what kept a month from being closed.

Mails are written by `billing.outbox`, failures by `billing.closing`, and both only say how it stands: the books know nothing
of them.
"""
import uuid
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.invoices import Invoice
from billing.models.ledger import billed_to


class InvoiceMailQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "invoice.view") -> Self:
        return self.all() if user.grants.sees_everything else self.filter(
            invoice__organization_id__in=billed_to(user, permission))


class InvoiceMail(models.Model):
    """One mail with an invoice or credit note. `lease_until` and `token` say who is sending it now; its Message-ID is the same
    however often it is tried."""

    class State(models.TextChoices):
        PENDING = "pending", _("Pending")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")

    TONES: ClassVar[dict[str, str]] = {"pending": "busy", "sent": "ok", "failed": "bad"}

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    invoice = models.ForeignKey(Invoice, models.CASCADE, related_name="mails", verbose_name=_("invoice"))
    address = models.EmailField(_("address"))
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                 verbose_name=_("asked for by"), help_text=_("Nobody: it was sent when it was issued."))
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PENDING)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    error = models.CharField(_("error"), max_length=200, blank=True)
    next_at = models.DateTimeField(_("next try"))
    token = models.BigIntegerField(default=0, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"))
    finished_at = models.DateTimeField(_("finished"), null=True)

    objects = InvoiceMailQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("mail of an invoice"), _("mails of invoices")
        indexes = [models.Index(fields=["next_at"], name="invoice_mail_due", condition=Q(state="pending")),
                   models.Index(fields=["invoice", "-created_at"], name="mails_of_invoice"),
                   models.Index(fields=["-created_at", "-id"], name="invoice_mails_newest")]
        constraints = [models.CheckConstraint(condition=Q(state="pending", finished_at=None) | Q(
            state__in=["sent", "failed"], finished_at__isnull=False), name="invoice_mail_finished_when_settled")]

    def __str__(self) -> str:
        return str(self.id)

    @property
    def tone(self) -> str:
        return self.TONES[self.state]


class ClosingFailureQuerySet(models.QuerySet):
    def visible_to(self, user, _permission: str | None = None) -> Self:
        """For operators to mend."""
        return self.all() if user.grants.sees_everything else self.none()


class ClosingFailure(models.Model):
    """A month that could not be closed, as of the last try; gone once it is."""

    organization = models.ForeignKey("tenants.Organization", models.CASCADE, related_name="+", verbose_name=_("organization"))
    month = models.CharField(_("month"), max_length=7)
    error = models.CharField(_("error"), max_length=500)
    tries = models.PositiveIntegerField(_("tries"), default=1)
    first_at = models.DateTimeField(_("first"))
    last_at = models.DateTimeField(_("last"))

    objects = ClosingFailureQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("month that was not closed"), _("months that were not closed")
        constraints = [models.UniqueConstraint(fields=["organization", "month"], name="one_failure_a_month")]

    def __str__(self) -> str:
        return f"{self.month} {self.organization_id}"
