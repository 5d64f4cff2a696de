"""Where things run. Regions and zones are catalogue (hub) rows; everything regional points at them."""
import uuid
from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _


class CatalogueQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """The catalogue is for everybody who is signed in."""
        return self.all()


class Region(models.Model):
    """A site with its own hosts, queue and quotas."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(_("slug"), max_length=40, unique=True, help_text=_("Names the region's work queue; never changed."))
    name = models.CharField(_("name"), max_length=80)
    is_open = models.BooleanField(_("open for new resources"), default=True)

    objects = CatalogueQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("region"), _("regions")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        return f"region.{self.slug}"


class Zone(models.Model):
    """A part of a region that fails on its own: a room, a rack row."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="zones", verbose_name=_("region"))
    slug = models.SlugField(_("slug"), max_length=40)
    name = models.CharField(_("name"), max_length=80)
    is_open = models.BooleanField(_("open for new resources"), default=True)

    objects = CatalogueQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("zone"), _("zones")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["region", "slug"], name="zone_slug_once_per_region")]

    def __str__(self) -> str:
        return self.name
