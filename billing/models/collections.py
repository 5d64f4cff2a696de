"""How far an organization that does not pay has come, and what it was told. Written by `billing.ladder` and `billing.prepaid`."""
from itertools import pairwise

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from billing.models.ledger import OfOrganizationQuerySet


class Rung(models.TextChoices):
    """Of the ladder, from the ground up."""

    NONE = "none", _("Nothing is due")
    REMINDER = "reminder", _("Reminded")
    BLOCKED = "blocked", _("Nothing new starts")
    STOPPED = "stopped", _("Instances are stopped")
    RECYCLED = "recycled", _("To be deleted")

    @property
    def next(self) -> "Rung | None":
        """The one above."""
        return dict(pairwise(Rung)).get(self)


class Dunning(models.Model):
    """Where on the ladder an organization stands; without a row on the ground."""

    class Cause(models.TextChoices):
        OVERDUE = "overdue", _("An invoice is overdue")
        EMPTY = "empty", _("What was paid in advance is used up")

    organization = models.OneToOneField("tenants.Organization", models.PROTECT, primary_key=True, related_name="dunning",
                                        verbose_name=_("organization"))
    rung = models.CharField(_("rung"), max_length=20, choices=Rung, default=Rung.NONE)
    cause = models.CharField(_("cause"), max_length=20, choices=Cause, blank=True)
    began_at = models.DateTimeField(_("since when it is due"), null=True, blank=True)
    since = models.DateTimeField(_("on this rung since"), null=True, blank=True)
    next_at = models.DateTimeField(_("next rung"), null=True, blank=True, help_text=_("Unless it is paid before."))
    warned_hours = models.PositiveSmallIntegerField(_("warned of the end, hours"), null=True, blank=True)
    held_until = models.DateTimeField(_("held until"), null=True, blank=True, help_text=_("Until then it climbs no further."))
    hold_reason = models.CharField(_("reason"), max_length=200, blank=True)

    objects = OfOrganizationQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("dunning"), _("dunning")
        indexes = [models.Index(fields=["rung"], name="dunning_of_rung", condition=~Q(rung="none"))]
        constraints = [
            models.CheckConstraint(condition=Q(rung__in=Rung.values), name="dunning_rung_known"),
            models.CheckConstraint(condition=Q(rung="none") | Q(since__isnull=False, began_at__isnull=False),
                                   name="dunning_rung_since"),
        ]

    def __str__(self) -> str:
        return f"{self.organization_id} {self.rung}"

    @property
    def next_rung(self) -> Rung | None:
        return Rung(self.rung).next
