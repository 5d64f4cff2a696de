"""What organizations were given to spend, and the vouchers that give it. Written by `billing.operations` and
`billing.vouchers` alone; a credit and the use of a voucher are never changed at all."""
import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import OfOrganizationQuerySet
from tenants.models import Project


class CreditQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "usage.view") -> Self:
        """Credit belongs to an organization: whoever may see usage in one of its projects sees it."""
        grants = user.grants
        if grants.sees_everything:
            return self.all()
        projects = Project.objects.filter(pk__in=grants.projects(permission))
        return self.filter(organization_id__in=projects.values("organization_id"))

    def at(self, moment) -> Self:
        """Those that pay for something at the moment."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=moment))


class Scoped(models.Model):
    """What a credit pays for: usage of some meters, or of all, in one region, or in all of them."""

    meters = ArrayField(models.CharField(max_length=64), verbose_name=_("meters"), default=list, blank=True,
                        help_text=_("What it pays for; none: everything."))
    region = models.ForeignKey("kernel.Region", models.PROTECT, null=True, blank=True, related_name="+",
                               verbose_name=_("region"), help_text=_("Where it pays; none: everywhere."))

    class Meta:
        abstract = True

    @property
    def is_scoped(self) -> bool:
        return bool(self.meters) or self.region_id is not None

    def fits(self, region_id: uuid.UUID | None, meter: str) -> bool:
        """Whether it pays for usage of the meter in the region."""
        return (not self.meters or meter in self.meters) and self.region_id in (None, region_id)


class Credit(Scoped):
    """So much was given to an organization to spend on usage. Never changed: PostgreSQL refuses an update."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="credits",
                                     verbose_name=_("organization"))
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    reason = models.CharField(_("reason"), max_length=200)
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                   verbose_name=_("granted by"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, help_text=_("UTC; empty: never."))
    created_at = models.DateTimeField(_("created"))

    objects = CreditQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("credit"), _("credits")
        indexes = [models.Index(fields=["organization", "created_at"], name="credit_of_organization")]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_of_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="credit_currency_iso"),
            models.CheckConstraint(condition=Q(expires_at=None) | Q(expires_at__gt=models.F("created_at")),
                                   name="credit_expires_later"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class Voucher(Scoped):
    """A code that gives an organization credit. The code itself is kept by nobody: who makes the voucher sees it once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.BinaryField(unique=True, editable=False)
    hint = models.CharField(_("begins with"), max_length=4, editable=False)
    amount = models.DecimalField(_("amount"), max_digits=14, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    most_uses = models.PositiveIntegerField(_("uses"), default=1, help_text=_(
        "How many organizations may redeem it; each can once."))
    valid_from = models.DateTimeField(_("valid from"))
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True)
    lifetime_days = models.PositiveIntegerField(_("lifetime of the credit"), null=True, blank=True, help_text=_(
        "Days from redeeming on; empty: it never expires."))
    reason = models.CharField(_("reason"), max_length=200, help_text=_("The customer reads it."))
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                verbose_name=_("made by"))
    created_at = models.DateTimeField(_("created"))
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    class Meta:
        verbose_name, verbose_name_plural = _("voucher"), _("vouchers")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="voucher_of_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="voucher_currency_iso"),
            models.CheckConstraint(condition=Q(most_uses__gt=0), name="voucher_for_somebody"),
            models.CheckConstraint(condition=Q(valid_until=None) | Q(valid_until__gt=models.F("valid_from")),
                                   name="voucher_ends_later"),
        ]

    def __str__(self) -> str:
        return f"{self.hint}…"


class VoucherUse(models.Model):
    """An organization redeemed a voucher. Never changed: PostgreSQL refuses an update."""

    voucher = models.ForeignKey(Voucher, models.PROTECT, related_name="uses", verbose_name=_("voucher"))
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="+", verbose_name=_("organization"))
    credit = models.OneToOneField(Credit, models.PROTECT, related_name="voucher_use", verbose_name=_("credit"))
    used_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                verbose_name=_("redeemed by"))
    used_at = models.DateTimeField(_("redeemed"))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("use of a voucher"), _("uses of vouchers")
        constraints = [models.UniqueConstraint(fields=["voucher", "organization"], name="voucher_once_for_each")]

    def __str__(self) -> str:
        return f"{self.voucher}: {self.organization}"
