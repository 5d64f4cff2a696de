"""The books: double entry, append-only. Written by `billing.ledger` alone; PostgreSQL refuses every change, and entries whose
legs do not sum to zero in each currency."""
import uuid
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Account(models.TextChoices):
    """What a leg is booked on. Debits are positive, credits negative, as they are added up."""

    CASH = "cash", _("Money received")
    RECEIVABLE = "receivable", _("Receivable")
    PREPAID = "prepaid", _("Paid in advance")
    REVENUE = "revenue", _("Revenue")
    TAX = "tax", _("Tax owed")
    CREDITS = "credits", _("Credit given")
    WRITE_OFF = "write_off", _("Written off")


def billed_to(user, permission: str) -> list[uuid.UUID]:
    """Organizations in which the user holds the permission as a whole: bills are not divided among projects."""
    return [pk for pk, names in user.grants.organization_wide.items() if permission in names]


def sees_costs(user: Any, place: Any) -> bool:
    """Whether the user (None: nobody) may see what is used and left in a whole organization, or in a project with what is below
    it: figures are told to no others."""
    return user is not None and user.grants.allows("usage.view", place)


class OfOrganizationQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "invoice.view") -> Self:
        """Bills belong to the organization as a whole: whoever may see them there sees them all."""
        return self.all() if user.grants.sees_everything else self.filter(organization_id__in=billed_to(user, permission))


class Entry(models.Model):
    """Something that happened to money of one organization, once: `key` says what, so that repeating it books nothing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="entries",
                                     verbose_name=_("organization"))
    key = models.CharField(_("key"), max_length=200, unique=True)
    kind = models.CharField(_("kind"), max_length=40)
    invoice = models.ForeignKey("billing.Invoice", models.PROTECT, null=True, related_name="entries", verbose_name=_("invoice"))
    text = models.CharField(_("text"), max_length=200, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("actor"))
    at = models.DateTimeField(_("booked"))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("ledger entry"), _("ledger entries")
        indexes = [models.Index(fields=["organization", "-at", "-id"], name="entries_of_organization"),
                   models.Index(fields=["-at", "-id"], name="entries_newest")]

    def __str__(self) -> str:
        return self.key


class Leg(models.Model):
    """One side of an entry."""

    entry = models.ForeignKey(Entry, models.PROTECT, related_name="legs", verbose_name=_("ledger entry"))
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="+", verbose_name=_("organization"))
    account = models.CharField(_("account"), max_length=20, choices=Account)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2, help_text=_("Debit above, credit below zero."))
    currency = models.CharField(_("currency"), max_length=3)

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("leg"), _("legs")
        indexes = [models.Index(fields=["organization", "account", "currency"], include=["amount"], name="legs_balance")]
        constraints = [
            models.UniqueConstraint(fields=["entry", "account", "currency"], name="one_leg_an_account"),
            models.CheckConstraint(condition=~Q(amount=Decimal(0)), name="leg_of_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="leg_currency_iso"),
            models.CheckConstraint(condition=Q(account__in=Account.values), name="leg_account_known"),
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount}"
