"""How much an organization, a project or a tag may cost a month, and what was done when it came near. Written by
`billing.budgets`; an alarm is never changed: PostgreSQL refuses an update."""
import uuid
from decimal import Decimal
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from billing.money import Money
from tenants.models import Organization, Project


def reachable(user: Any, permission: str, prefix: str = "") -> Q:
    """Budgets of organizations in all of which, and of projects in which, the user holds the permission."""
    grants = user.grants
    wide = [pk for pk, names in grants.organization_wide.items() if permission in names]
    return (Q(**{f"{prefix}project": None, f"{prefix}organization__in": wide})
            | Q(**{f"{prefix}project__in": grants.projects(permission)}))


class BudgetQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "usage.view") -> Self:
        rows = self.living()
        return rows if user.grants.sees_everything else rows.filter(reachable(user, permission))

    def living(self) -> Self:
        """Not deleted. Deleted ones stay, because alarms tell of them."""
        return self.filter(deleted_at=None)


class Budget(models.Model):
    """So much a month of the issuer for an organization, for a project with what stands below it, or for what bears a tag.

    `thresholds` are [{"percent": 80, "basis": "actual", "actions": ["notify"]}, …]: one row, so one version, and no threshold
    of a budget that another one changes. `spent` and `forecast` are what `billing.watch_budgets` counted last, for pages.
    """

    class Basis(models.TextChoices):
        ACTUAL = "actual", _("spent")
        FORECAST = "forecast", _("forecast")

    class Action(models.TextChoices):
        NOTIFY = "notify", _("tell those who manage it")
        BLOCK = "block", _("refuse what is new")
        STOP = "stop", _("stop what runs")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(Organization, models.PROTECT, related_name="budgets", verbose_name=_("organization"))
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="budgets",
                                verbose_name=_("project"))
    tag_key = models.CharField(_("tag"), max_length=60, blank=True)
    tag_value = models.CharField(_("value of the tag"), max_length=200, blank=True)
    name = models.CharField(_("name"), max_length=100)
    amount = models.DecimalField(_("amount a month"), max_digits=14, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    thresholds = models.JSONField(_("thresholds"), default=list)
    spent = models.DecimalField(_("spent"), max_digits=30, decimal_places=10, default=Decimal(0))
    forecast = models.DecimalField(_("forecast"), max_digits=30, decimal_places=10, default=Decimal(0))
    month = models.CharField(_("month"), max_length=7, blank=True, help_text=_("Of what was spent."))
    counted_at = models.DateTimeField(_("counted"), null=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("budget"), _("budgets")
        ordering = ["name"]
        indexes = [models.Index(fields=["organization"], name="budget_living", condition=Q(deleted_at=None))]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="budget_of_something"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="budget_currency_iso"),
            models.CheckConstraint(condition=Q(project=None) | Q(tag_key=""), name="budget_of_project_or_tag"),
            models.CheckConstraint(condition=~Q(tag_key="") | Q(tag_value=""), name="budget_value_of_tag"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def limit(self) -> Money:
        return Money(self.amount, self.currency)


class BudgetAlarmQuerySet(models.QuerySet):
    def visible_to(self, user: Any, permission: str = "usage.view") -> Self:
        rows = self.filter(budget__deleted_at=None)
        return rows if user.grants.sees_everything else rows.filter(reachable(user, permission, "budget__"))

    def in_force(self, at: Any) -> Self:
        """Of the month that the moment is in, with the amount that the budget still has."""
        return self.filter(budget__deleted_at=None, amount=F("budget__amount"), currency=F("budget__currency"),
                           since__lte=at, until__gt=at)


class BudgetAlarm(models.Model):
    """A threshold was reached: once a month, and once more when the budget was given another amount meanwhile."""

    budget = models.ForeignKey(Budget, models.PROTECT, related_name="alarms", verbose_name=_("budget"))
    since, until = models.DateTimeField(_("month begins")), models.DateTimeField(_("month ends"))
    percent = models.PositiveIntegerField(_("percent"))
    basis = models.CharField(_("of what"), max_length=8, choices=Budget.Basis.choices)
    actions = models.JSONField(_("actions"), default=list)
    amount = models.DecimalField(_("amount a month"), max_digits=14, decimal_places=2)
    currency = models.CharField(_("currency"), max_length=3)
    spent = models.DecimalField(_("spent"), max_digits=30, decimal_places=10)
    forecast = models.DecimalField(_("forecast"), max_digits=30, decimal_places=10)
    at = models.DateTimeField(_("when"))

    objects = BudgetAlarmQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("budget alarm"), _("budget alarms")
        ordering = ["-at", "-pk"]
        constraints = [models.UniqueConstraint(fields=["budget", "since", "amount", "currency", "basis", "percent"],
                                               name="budget_alarm_once")]

    def __str__(self) -> str:
        return f"{self.percent} % {self.get_basis_display()}"
