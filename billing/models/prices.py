"""What one unit costs an hour, for whom, from when to when. PostgreSQL itself refuses two prices at a time.

Hub rows, written by `billing.operations` alone; a price's past never changes, a new price is a new row.
"""
import uuid
from typing import Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import OfOrganizationQuerySet
from portal.kernel.declarations import registry
from portal.kernel.models import Region


class PriceBook(models.Model):
    """A list of prices in one currency. The default book prices everything that an organization's own book does not."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100, unique=True)
    currency = models.CharField(_("currency"), max_length=3, default="CNY", help_text=_("ISO 4217, three capitals."))
    is_default = models.BooleanField(_("default"), default=False)
    is_cost = models.BooleanField(_("what a unit costs us"), default=False, db_default=False, help_text=_(
        "For reports of the margin alone: nobody is billed by it, and what it does not price it does not know. One a currency."))

    class Meta:
        verbose_name, verbose_name_plural = _("price book"), _("price books")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(is_default=False) | Q(is_cost=False), name="default_book_is_for_customers",
                                   violation_error_message=_("The default book is what customers pay.")),
            models.UniqueConstraint(fields=["is_default"], condition=Q(is_default=True), name="one_default_book",
                                    violation_error_message=_("Another price book is the default already.")),
            models.UniqueConstraint(fields=["currency"], condition=Q(is_cost=True), name="one_cost_book_a_currency",
                                    violation_error_message=_("Another price book says already what units cost us in this "
                                                              "currency.")),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="book_currency_iso",
                                   violation_error_message=_("A currency is three capital letters.")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.currency})"

    def clean(self) -> None:
        if self.is_cost and self.terms.exists():
            raise ValidationError({"is_cost": _("Somebody pays by this book.")})


class PriceQuerySet(models.QuerySet):
    def visible_to(self, user, _permission: str | None = None) -> Self:
        """List prices are public to whoever is signed in, but for what they may not know of."""
        rows = self.filter(book__is_default=True)
        for rule in () if user.grants.sees_everything else registry.sku_rules.values():
            rows = rows.exclude(meter__in=rule.meters, sku__in=rule.hidden(user))
        return rows

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
    granularity_s = models.PositiveIntegerField(_("billed in steps of"), default=1, db_default=1, help_text=_(
        "Seconds: 1, 60 or 3600. A step that has begun is billed whole."))
    minimum_s = models.PositiveIntegerField(_("billed at least for"), default=0, db_default=0, help_text=_("Seconds."))
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
            models.CheckConstraint(name="price_steps_known", condition=Q(granularity_s__in=[1, 60, 3600])),
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.sku}: {self.price_per_hour}"


class PriceTier(models.Model):
    """From so many unit-hours on, a unit costs this instead. What counts is all that the organization used of the meter in
    the region and month, at any SKU; an allowance is a price of nothing with a tier behind it."""

    price = models.ForeignKey(Price, models.CASCADE, related_name="tiers", verbose_name=_("price"))
    from_quantity = models.DecimalField(_("from"), max_digits=20, decimal_places=6, help_text=_("Unit-hours a month."))
    price_per_hour = models.DecimalField(_("price per hour"), max_digits=20, decimal_places=10)

    class Meta:
        verbose_name, verbose_name_plural = _("tier"), _("tiers")
        ordering = ["from_quantity"]
        constraints = [
            models.UniqueConstraint(fields=["price", "from_quantity"], name="one_tier_from_there"),
            models.CheckConstraint(name="tier_from_something", condition=Q(from_quantity__gt=0)),
            models.CheckConstraint(name="tier_price_not_negative", condition=Q(price_per_hour__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.from_quantity}: {self.price_per_hour}"


class Terms(models.Model):
    """What an organization agreed on: its own book, a discount on everything, or both, from one moment to another."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey("tenants.Organization", models.PROTECT, related_name="terms",
                                     verbose_name=_("organization"))
    book = models.ForeignKey(PriceBook, models.PROTECT, null=True, blank=True, related_name="terms",
                             verbose_name=_("price book"), help_text=_("Empty: the list prices."))
    discount_percent = models.DecimalField(_("discount, percent"), max_digits=5, decimal_places=2, default=0)
    valid = DateTimeRangeField(_("valid"), help_text=_("UTC, half-open; without an end until further notice."))

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("terms"), _("terms")
        constraints = [
            ExclusionConstraint(name="one_terms_at_a_time", expressions=[
                ("organization", RangeOperators.EQUAL), ("valid", RangeOperators.OVERLAPS)]),
            models.CheckConstraint(name="terms_valid_sometime", condition=Q(valid__isempty=False)),
            models.CheckConstraint(name="terms_half_open", condition=Q(
                valid__lower_inf=False, valid__lower_inc=True, valid__upper_inc=False)),
            models.CheckConstraint(name="terms_discount_percent", condition=Q(
                discount_percent__gte=0, discount_percent__lte=100)),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id}"
