"""What the operators set up: how a region's SDN is reached, and the public addresses that it may give out."""
import uuid
from ipaddress import IPv4Address
from typing import Self

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from compute.network.fabric.registry import DRIVERS
from portal.kernel.models import Region, Resource
from portal.kernel.models.places import CatalogueQuerySet
from portal.kernel.secrets import EncryptedTextField

from .cidr import CidrField


class OperatorsQuerySet(models.QuerySet):
    def visible_to(self, user) -> Self:
        """The operators' alone."""
        return self.all() if user.grants.sees_everything else self.none()


class Fabric(models.Model):
    """The SDN of a region: one OVN Northbound database. A region without one has instances without networks."""

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        UP = "up", _("Up")
        UNREACHABLE = "unreachable", _("Unreachable")

    region = models.OneToOneField(Region, models.PROTECT, related_name="fabric", primary_key=True, verbose_name=_("region"))
    driver = models.CharField(_("driver"), max_length=20, choices=[(name, name) for name in DRIVERS])
    uri = models.CharField(_("address"), max_length=300, help_text=_("For example ssl:10.99.7.2:6641"))
    ca_certificate = models.TextField(_("CA certificate"), blank=True)
    certificate = models.TextField(_("client certificate"), blank=True)
    private_key = EncryptedTextField(_("private key"), blank=True)
    deployment = models.UUIDField(default=uuid.uuid4, editable=False,
                                  help_text=_("Marks our rows, so that rows of others are never touched."))
    health = models.CharField(_("health"), max_length=16, choices=Health, default=Health.UNKNOWN, editable=False)
    health_reason = models.CharField(max_length=500, blank=True, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True, editable=False)
    changes = models.PositiveBigIntegerField(default=0, db_default=0, editable=False, help_text=_(
        "How often what all of its VPCs stand on has changed: whoever compares them now sees that more came meanwhile."))

    objects = OperatorsQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("network fabric"), _("network fabrics")

    def __str__(self) -> str:
        return self.uri


class AddressPoolQuerySet(CatalogueQuerySet):
    def with_use(self) -> Self:
        """Each row knows how many of its addresses are in use: `used`."""
        return self.annotate(used=models.Count("allocations"))


class AddressPool(models.Model):
    """A public network and the range of its addresses that tenants and VPC routers may have."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    region = models.ForeignKey(Region, models.PROTECT, related_name="address_pools", verbose_name=_("region"))
    slug = models.SlugField(_("slug"), max_length=40, help_text=_("The price book's SKU of its addresses."))
    name = models.CharField(_("name"), max_length=80)
    physical_network = models.CharField(_("physical network"), max_length=60, default="public",
                                        help_text=_("As the hosts' bridge mappings name it."))
    cidr = CidrField(_("network"))
    gateway = models.GenericIPAddressField(_("gateway"), protocol="IPv4")
    first = models.GenericIPAddressField(_("first address"), protocol="IPv4")
    last = models.GenericIPAddressField(_("last address"), protocol="IPv4")
    is_open = models.BooleanField(_("gives out addresses"), default=True)
    revision = models.PositiveBigIntegerField(default=1, editable=False)
    applied_revision = models.PositiveBigIntegerField(default=0, editable=False)

    objects = AddressPoolQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("address pool"), _("address pools")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["region", "slug"], name="pool_slug_once_per_region")]

    def __str__(self) -> str:
        return self.name

    @property
    def size(self) -> int:
        """How many addresses it may give out."""
        return int(IPv4Address(self.last)) - int(IPv4Address(self.first)) + 1

    def clean(self) -> None:
        """For admin's form: the range lies in the network and spares the gateway."""
        if not (self.cidr and self.gateway and self.first and self.last):
            return
        first, last, gateway = map(IPv4Address, (self.first, self.last, self.gateway))
        if not (first in self.cidr and last in self.cidr and gateway in self.cidr and first <= last):
            raise ValidationError({"first": _("Gateway and range lie in the network, the first address before the last.")})
        if first <= gateway <= last:
            raise ValidationError({"gateway": _("The gateway lies in the range that is given out.")})


class Allocation(models.Model):
    """One public address in use; the row is the address's lock and goes when it is given back."""

    resource = models.OneToOneField(Resource, models.PROTECT, related_name="allocation", primary_key=True)
    pool = models.ForeignKey(AddressPool, models.PROTECT, related_name="allocations")
    address = models.GenericIPAddressField(_("address"), protocol="IPv4")

    objects = OperatorsQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("address in use"), _("addresses in use")
        constraints = [models.UniqueConstraint(fields=["pool", "address"], name="public_address_once")]

    def __str__(self) -> str:
        return self.address


def physical_networks(region: Region) -> frozenset[str] | None:
    """By which the region's VPCs go out; None when the region has no fabric."""
    if not Fabric.objects.filter(region=region).exists():
        return None
    return frozenset(AddressPool.objects.filter(region=region).values_list("physical_network", flat=True))
