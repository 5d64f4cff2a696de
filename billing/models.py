"""What was used, when, and what one unit costs an hour. PostgreSQL itself refuses overlaps.

Usage intervals are regional and written by `billing.metering` alone. Price books, prices and credits are hub rows, written
by `billing.operations` alone; a price's past never changes, a new price is a new row, and a credit is never changed at
all. No arithmetic lives here.
"""
import uuid
from typing import Self

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.contrib.postgres.indexes import GistIndex
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Region, Resource
from tenants.access import projects_ever
from tenants.models import Project


class UsageIntervalQuerySet(models.QuerySet):
    """Reading usage; who sees it follows the project, also after its resource is gone."""

    def visible_to(self, user, permission: str = "usage.view") -> Self:
        """Of deleted projects too: what they cost stays on the bill."""
        return self.all() if user.grants.sees_everything else self.filter(project_id__in=projects_ever(user, permission))

    def running(self) -> Self:
        return self.filter(period__upper_inf=True)


class UsageInterval(models.Model):
    """From one moment to another (or until now, when open) a resource took so many units of a meter."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    resource = models.ForeignKey(Resource, models.PROTECT, related_name="usage", verbose_name=_("resource"))
    project = models.ForeignKey("tenants.Project", models.PROTECT, related_name="+", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"))
    meter = models.CharField(_("meter"), max_length=60)
    sku = models.CharField(_("SKU"), max_length=100)
    quantity = models.DecimalField(_("quantity"), max_digits=20, decimal_places=6)
    period = DateTimeRangeField(_("period"), help_text=_("UTC, half-open; without an end while it runs."))

    start = models.GeneratedField(expression=models.Func("period", function="lower"), db_persist=True,
                                  output_field=models.DateTimeField(_("start")))

    objects = UsageIntervalQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("usage interval"), _("usage intervals")
        constraints = [
            ExclusionConstraint(name="usage_never_twice", expressions=[
                ("resource", RangeOperators.EQUAL), ("meter", RangeOperators.EQUAL),
                ("period", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(name="usage_not_empty", condition=Q(period__isempty=False)),
            models.CheckConstraint(name="usage_half_open", condition=Q(
                period__lower_inf=False, period__lower_inc=True, period__upper_inc=False)),
            models.CheckConstraint(name="usage_of_something", condition=Q(quantity__gt=0)),
        ]
        indexes = [
            GistIndex(fields=["project", "period"], name="usage_of_projects"),
            models.Index(fields=["project", "-start", "-id"], name="usage_listing"),
            models.Index(fields=["-start", "-id"], name="usage_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.resource_id}"


class PriceBook(models.Model):
    """A list of prices in one currency; the default book prices everything (books of organizations come later)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY", help_text=_("ISO 4217, three capitals."))
    is_default = models.BooleanField(_("default"), default=False)

    class Meta:
        verbose_name, verbose_name_plural = _("price book"), _("price books")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_book",
                                    violation_error_message=_("Another price book is the default already.")),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="book_currency_iso",
                                   violation_error_message=_("A currency is three capital letters.")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"


class PriceQuerySet(models.QuerySet):
    def visible_to(self, _user, _permission: str | None = None) -> Self:
        """List prices are public to whoever is signed in."""
        return self.filter(book__is_default=True)

    def at(self, moment) -> Self:
        return self.filter(valid__contains=moment)


class Price(models.Model):
    """What one unit of a meter costs an hour in a region, from one moment to another (or until further notice)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    book = models.ForeignKey(PriceBook, models.PROTECT, related_name="prices", verbose_name=_("price book"))
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"))
    meter = models.CharField(_("meter"), max_length=60)
    sku = models.CharField(_("SKU"), max_length=100)
    price_per_hour = models.DecimalField(_("price per hour"), max_digits=20, decimal_places=10,
                                         help_text=_("For one unit of the meter."))
    valid = DateTimeRangeField(_("valid"), help_text=_("UTC, half-open; without an end until further notice."))

    objects = PriceQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("price"), _("prices")
        constraints = [
            ExclusionConstraint(name="one_price_at_a_time", expressions=[
                ("book", RangeOperators.EQUAL), ("region", RangeOperators.EQUAL), ("meter", RangeOperators.EQUAL),
                ("sku", RangeOperators.EQUAL), ("valid", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(name="price_valid_sometime", condition=Q(valid__isempty=False)),
            models.CheckConstraint(name="price_half_open", condition=Q(
                valid__lower_inf=False, valid__lower_inc=True, valid__upper_inc=False)),
            models.CheckConstraint(name="price_not_negative", condition=Q(price_per_hour__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.sku}: {self.price_per_hour}"


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


class Credit(models.Model):
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
