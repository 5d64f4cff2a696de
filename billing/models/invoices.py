"""Who bills, who is billed, and what: invoices with their charges. Written by `billing.closing` and `billing.payments` alone.

What is issued never changes (PostgreSQL refuses); what was wrong is put right by further charges or a credit note.
"""
import uuid
from decimal import Decimal
from typing import Self

from django.conf import settings
from django.contrib.postgres.fields import DateTimeRangeField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import OfOrganizationQuerySet, billed_to
from billing.models.usage import UsageInterval
from portal.kernel.models import Region, Resource


class Issuer(models.Model):
    """The company that bills: one row. Its months are those of its time zone, which stays once something was invoiced."""

    name = models.CharField(_("name"), max_length=200)
    address = models.TextField(_("address"), max_length=500, blank=True)
    country = models.CharField(_("country"), max_length=2, default="CN", help_text=_("ISO 3166, two capitals."))
    tax_id = models.CharField(_("tax id"), max_length=50, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    bank = models.TextField(_("bank details"), max_length=500, blank=True)
    time_zone = models.CharField(_("time zone"), max_length=60, default="UTC")
    prefix = models.CharField(_("invoice numbers begin with"), max_length=10, default="INV-", blank=True)
    due_days = models.PositiveSmallIntegerField(_("days to pay"), default=14)
    reminder_days = models.PositiveSmallIntegerField(_("days overdue: reminder"), default=3, help_text=_(
        "Days since the oldest unpaid invoice was due. For organizations that pay in advance these are hours since all is used."))
    block_days = models.PositiveSmallIntegerField(_("days overdue: nothing new starts"), default=10)
    stop_days = models.PositiveSmallIntegerField(_("days overdue: instances are stopped"), default=20)
    recycle_days = models.PositiveSmallIntegerField(_("days overdue: instances go to the recycle bin"), default=40)

    class Meta:
        verbose_name, verbose_name_plural = _("issuer"), _("issuers")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="one_issuer"),
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="issuer_country_iso"),
            models.CheckConstraint(condition=Q(reminder_days__lt=F("block_days"), block_days__lt=F("stop_days"),
                                               stop_days__lt=F("recycle_days")), name="issuer_rungs_climb",
                                   violation_error_message=_("Each of these days is later than the one before.")),
        ]

    def __str__(self) -> str:
        return self.name


class Series(models.Model):
    """The last number given in a series of invoices, locked while one is issued, so that numbers have no gap; or of references of
    payments."""

    name = models.CharField(_("name"), max_length=40, unique=True)
    last = models.PositiveBigIntegerField(_("last number"), default=0)

    class Meta:
        verbose_name, verbose_name_plural = _("series of numbers"), _("series of numbers")

    def __str__(self) -> str:
        return self.name


class TaxRate(models.Model):
    """What is added for customers of a country, from one day on until a later row."""

    country = models.CharField(_("country"), max_length=2, help_text=_("ISO 3166, two capitals."))
    name = models.CharField(_("name"), max_length=40, help_text=_("As on the invoice, such as VAT."))
    percent = models.DecimalField(_("percent"), max_digits=5, decimal_places=2,
                                  validators=[MinValueValidator(0), MaxValueValidator(100)])
    since = models.DateField(_("since"))

    class Meta:
        verbose_name, verbose_name_plural = _("tax rate"), _("tax rates")
        ordering = ["country", "-since"]
        constraints = [
            models.UniqueConstraint(fields=["country", "since"], name="one_tax_rate_a_day"),
            models.CheckConstraint(condition=Q(percent__gte=0, percent__lte=100), name="tax_percent"),
            models.CheckConstraint(condition=Q(country__regex=r"^[A-Z]{2}$"), name="tax_country_iso"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percent} %"


class BillingProfile(models.Model):
    """How an organization is billed; without a row as the defaults say."""

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        CHINESE = "zh-hans", "简体中文"

    organization = models.OneToOneField("tenants.Organization", models.PROTECT, primary_key=True, related_name="billing_profile",
                                        verbose_name=_("organization"))
    name = models.CharField(_("name on the invoice"), max_length=200, blank=True, help_text=_("Empty: the organization's."))
    address = models.TextField(_("address"), max_length=500, blank=True)
    country = models.CharField(_("country"), max_length=2, blank=True,
                               help_text=_("ISO 3166, two capitals; empty: the issuer's."))
    tax_id = models.CharField(_("tax id"), max_length=50, blank=True)
    email = models.EmailField(_("e-mail on the invoice"), blank=True)
    sends_mail = models.BooleanField(_("mail bills to it"), default=True, db_default=True, help_text=_(
        "Every invoice and credit note as PDF."))
    language = models.CharField(_("language"), max_length=10, choices=Language, default=Language.ENGLISH)
    is_tax_exempt = models.BooleanField(_("without tax"), default=False)
    is_prepaid = models.BooleanField(_("pays in advance"), default=False, help_text=_(
        "Nothing starts without money or credit, and what is used up is followed within hours."))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("billing profile"), _("billing profiles")
        constraints = [models.CheckConstraint(condition=Q(country="") | Q(country__regex=r"^[A-Z]{2}$"),
                                              name="profile_country_iso")]

    def __str__(self) -> str:
        return self.name or str(self.organization_id)


class Invoice(models.Model):
    """A month of an organization in one currency, or a credit note that takes back part of one. Never changed."""

    class Kind(models.TextChoices):
        INVOICE = "invoice", _("Invoice")
        CREDIT_NOTE = "credit_note", _("Credit note")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="invoices",
                                     verbose_name=_("organization"))
    kind = models.CharField(_("kind"), max_length=20, choices=Kind, default=Kind.INVOICE)
    number = models.CharField(_("number"), max_length=40, unique=True)
    month = models.CharField(_("month"), max_length=7, help_text=_("Such as 2026-11, in the issuer's time zone."))
    period = DateTimeRangeField(_("period"), help_text=_("UTC, half-open."))
    currency = models.CharField(_("currency"), max_length=3)
    subtotal = models.DecimalField(_("subtotal"), max_digits=20, decimal_places=2)
    credit = models.DecimalField(_("paid by credit"), max_digits=20, decimal_places=2, default=0)
    tax_name = models.CharField(_("tax"), max_length=40, blank=True)
    tax_percent = models.DecimalField(_("tax, percent"), max_digits=5, decimal_places=2, default=0)
    tax = models.DecimalField(_("tax amount"), max_digits=20, decimal_places=2, default=0)
    total = models.DecimalField(_("total"), max_digits=20, decimal_places=2)
    seller = models.JSONField(_("seller"), help_text=_("As it was when issued."))
    buyer = models.JSONField(_("buyer"), help_text=_("As it was when issued."))
    corrects = models.ForeignKey("self", models.PROTECT, null=True, related_name="credit_notes",
                                 limit_choices_to={"kind": "invoice"}, verbose_name=_("takes back part of"))
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    issued_at = models.DateTimeField(_("issued"))
    due_at = models.DateTimeField(_("due"))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("invoice"), _("invoices")
        indexes = [models.Index(fields=["organization", "-issued_at", "-id"], name="invoices_of_organization"),
                   models.Index(fields=["-issued_at", "-id"], name="invoices_newest")]
        constraints = [
            models.UniqueConstraint(fields=["organization", "month", "currency"], condition=Q(kind="invoice"),
                                    name="one_invoice_a_month"),
            models.CheckConstraint(condition=Q(total=models.F("subtotal") - models.F("credit") + models.F("tax")),
                                   name="invoice_adds_up"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="invoice_currency_iso"),
        ]

    def __str__(self) -> str:
        return self.number


class InvoiceLineQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "invoice.view") -> Self:
        return self.all() if user.grants.sees_everything else self.filter(
            invoice__organization_id__in=billed_to(user, permission))


class InvoiceLine(models.Model):
    """What one project used of one SKU at one price: the sum of its charges, rounded half up to a cent. Names are those of the
    day of issue: what is renamed later is not renamed on bills."""

    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="lines", verbose_name=_("invoice"))
    position = models.PositiveIntegerField(_("position"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, null=True, related_name="+", verbose_name=_("region"))
    project_name = models.CharField(_("name of the project"), max_length=100, blank=True, db_default="")
    region_name = models.CharField(_("name of the region"), max_length=80, blank=True, db_default="")
    kind = models.CharField(_("kind"), max_length=20)
    meter = models.CharField(_("meter"), max_length=60, blank=True)
    sku = models.CharField(_("SKU"), max_length=100, blank=True)
    text = models.CharField(_("text"), max_length=200, blank=True)
    quantity = models.DecimalField(_("quantity"), max_digits=40, decimal_places=12, default=0, help_text=_("Unit-seconds."))
    unit_price = models.DecimalField(_("price"), max_digits=20, decimal_places=10, null=True)
    tier = models.DecimalField(_("from"), max_digits=20, decimal_places=6, default=0)
    discount_percent = models.DecimalField(_("discount, percent"), max_digits=5, decimal_places=2, default=0)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2)

    objects = InvoiceLineQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("invoice line"), _("invoice lines")
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="one_line_a_position")]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.position}"


class Charge(models.Model):
    """A rated line that was invoiced (or waits for the next invoice): an interval at one price version, tier and discount. The
    resource's name and tags are those of the moment it was written."""

    class Kind(models.TextChoices):
        USAGE = "usage", _("Usage")
        CORRECTION = "correction", _("Correction")
        ADJUSTMENT = "adjustment", _("Adjustment")
        ROUNDING = "rounding", _("Rounding")

    id = models.BigAutoField(primary_key=True)
    line = models.ForeignKey(InvoiceLine, models.PROTECT, null=True, related_name="charges", verbose_name=_("invoice line"))
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="+", verbose_name=_("organization"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, null=True, related_name="+", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, null=True, related_name="+", verbose_name=_("region"))
    resource = models.ForeignKey(Resource, models.PROTECT, null=True, related_name="+", verbose_name=_("resource"))
    resource_name = models.CharField(_("name of the resource"), max_length=100, blank=True, db_default="")
    resource_tags = models.JSONField(_("tags of the resource"), null=True)
    interval = models.ForeignKey(UsageInterval, models.PROTECT, null=True, related_name="charges", verbose_name=_("interval"))
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    meter = models.CharField(_("meter"), max_length=60, blank=True)
    sku = models.CharField(_("SKU"), max_length=100, blank=True)
    text = models.CharField(_("text"), max_length=200, blank=True)
    span = DateTimeRangeField(_("period"), help_text=_("UTC, half-open."))
    units = models.DecimalField(_("units"), max_digits=20, decimal_places=6, default=0)
    quantity = models.DecimalField(_("quantity"), max_digits=40, decimal_places=12, default=0,
                                   help_text=_("Unit-seconds billed."))
    price = models.ForeignKey("billing.Price", models.PROTECT, null=True, related_name="+", verbose_name=_("price"))
    unit_price = models.DecimalField(_("price per hour"), max_digits=20, decimal_places=10, null=True)
    tier = models.DecimalField(_("from"), max_digits=20, decimal_places=6, default=0)
    discount_percent = models.DecimalField(_("discount, percent"), max_digits=5, decimal_places=2, default=0)
    list_amount = models.DecimalField(_("before discount"), max_digits=30, decimal_places=10, default=0)
    amount = models.DecimalField(_("amount"), max_digits=30, decimal_places=10)
    currency = models.CharField(_("currency"), max_length=3)
    created_at = models.DateTimeField(_("created"))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("charge"), _("charges")
        indexes = [
            models.Index(fields=["line"], name="charges_of_line"),
            models.Index(fields=["organization"], condition=Q(line=None), name="charges_that_wait"),
            models.Index(fields=["interval"], name="charges_of_interval"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["interval", "span", "price", "tier"], name="charged_once", nulls_distinct=False,
                                    condition=Q(kind="usage", interval__isnull=False)),
            models.UniqueConstraint(fields=["resource", "meter", "sku", "span", "price", "tier"], name="counted_once",
                                    nulls_distinct=False, condition=Q(kind="usage", interval__isnull=True)),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="charge_currency_iso"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class Payment(models.Model):
    """Money that came from an organization, or went back (below zero). Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="payments",
                                     verbose_name=_("organization"))
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    provider = models.CharField(_("provider"), max_length=40, help_text=_("Who moved the money; manual: an operator saw it."))
    reference = models.CharField(_("reference"), max_length=100, help_text=_("The provider's own name of it, used once."))
    received_at = models.DateTimeField(_("received"))
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+",
                                    verbose_name=_("recorded by"))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("payment"), _("payments")
        indexes = [models.Index(fields=["organization", "-received_at", "-id"], name="payments_of_organization"),
                   models.Index(fields=["-received_at", "-id"], name="payments_newest")]
        constraints = [
            models.UniqueConstraint(fields=["provider", "reference"], name="paid_once"),
            models.CheckConstraint(condition=~Q(amount=Decimal(0)), name="payment_of_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="payment_currency_iso"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.reference}"


class CreditUse(models.Model):
    """So much of a credit paid for part of an invoice. Never changed."""

    credit = models.ForeignKey("billing.Credit", models.PROTECT, related_name="uses", verbose_name=_("credit"))
    invoice = models.ForeignKey(Invoice, models.PROTECT, related_name="credit_uses", verbose_name=_("invoice"))
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2)

    class Meta:
        verbose_name, verbose_name_plural = _("use of credit"), _("uses of credit")
        constraints = [
            models.UniqueConstraint(fields=["credit", "invoice"], name="credit_used_once_an_invoice"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_use_of_something"),
        ]

    def __str__(self) -> str:
        return f"{self.amount}"
