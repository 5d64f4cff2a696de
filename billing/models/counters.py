"""What counters said. Only traffic and I/O are sampled; everything else billed is an interval.

Regional rows, written by `billing.counters` alone and never changed.
"""
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Region, Resource
from tenants.access import projects_ever


class CounterQuerySet(models.QuerySet):
    def visible_to(self, user, permission: str = "usage.view") -> Self:
        """Of deleted projects too: what they cost stays on the bill."""
        return self.all() if user.grants.sees_everything else self.filter(project_id__in=projects_ever(user, permission))


class Counter(models.Model):
    """Something of a resource that is counted from 0 on, as long as its epoch lasts: a device made anew, or a host that
    booted, begins another, which has any number that none before had. It is billed as `sku` for all of the epoch."""

    id = models.BigAutoField(primary_key=True)
    resource = models.ForeignKey(Resource, models.PROTECT, related_name="counters", verbose_name=_("resource"), db_index=False)
    project = models.ForeignKey("tenants.Project", models.PROTECT, related_name="+", verbose_name=_("project"))
    region = models.ForeignKey(Region, models.PROTECT, related_name="+", verbose_name=_("region"), db_index=False)
    meter = models.CharField(_("meter"), max_length=60)
    epoch = models.BigIntegerField(_("epoch"))
    sku = models.CharField(_("SKU"), max_length=100)

    objects = CounterQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("counter"), _("counters")
        constraints = [models.UniqueConstraint(fields=["resource", "meter", "epoch"], name="counter_once_an_epoch")]

    def __str__(self) -> str:
        return f"{self.meter} {self.resource_id}"


class CounterSample(models.Model):
    """At one moment a counter stood at `value`, in whole units of its meter.

    There are many, so they are narrow, and the database does not look for each one's counter again: it is made, and never
    deleted, by the statements that put samples in.
    """

    pk = models.CompositePrimaryKey("counter", "at")
    counter = models.ForeignKey(Counter, models.PROTECT, related_name="samples", verbose_name=_("counter"), db_index=False,
                                db_constraint=False)
    at = models.DateTimeField(_("at"))
    value = models.BigIntegerField(_("value"))

    class Meta:
        verbose_name, verbose_name_plural = _("counter sample"), _("counter samples")
        constraints = [models.CheckConstraint(name="sample_not_negative", condition=Q(value__gte=0))]

    def __str__(self) -> str:
        return f"{self.counter_id}: {self.value}"
