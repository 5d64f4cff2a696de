"""VPCs: a tenant's private network with a router of its own, its subnets, and the ports in them."""
from ipaddress import IPv4Address

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.models import Resource

from .cidr import CidrField
from .fabric import AddressPool


class Vpc(Resource):
    """A private network. `revision` is raised by every change of what it is made of; `applied_revision` is what the fabric has.

    Its rows (subnets, ports, groups used in it, floating IPs of its ports) change only while this row is locked.
    """

    KIND = "vpc"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="as_vpc")
    cidr = CidrField(_("network"))
    is_default = models.BooleanField(_("default"), default=False)
    pool = models.ForeignKey(AddressPool, models.PROTECT, null=True, related_name="vpcs", verbose_name=_("public network"))
    revision = models.PositiveBigIntegerField(default=1, editable=False)
    applied_revision = models.PositiveBigIntegerField(default=0, editable=False)
    fault = models.CharField(max_length=60, blank=True, editable=False, help_text=_("Why the fabric does not have it yet."))

    class Meta:
        verbose_name, verbose_name_plural = _("VPC"), _("VPCs")
        indexes = [models.Index(fields=["revision"], name="vpc_due", condition=~Q(revision=F("applied_revision")))]

    @property
    def state(self) -> str:
        """active when the fabric has all of it, pending while it does not yet."""
        return "active" if self.applied_revision >= self.revision else "pending"

    @property
    def router_address(self) -> str | None:
        """Under which guests without a floating IP are seen outside. Wants `allocation` selected."""
        allocation = getattr(self, "allocation", None)
        return allocation.address if allocation else None


class Subnet(Resource):
    """A range of a VPC in which ports get addresses. The gateway is the VPC's router."""

    KIND = "subnet"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="as_subnet")
    vpc = models.ForeignKey(Vpc, models.PROTECT, related_name="subnets", verbose_name=_("VPC"))
    cidr = CidrField(_("network"))
    gateway = models.GenericIPAddressField(_("gateway"), protocol="IPv4")
    dhcp = models.BooleanField(_("DHCP"), default=True)
    dns = ArrayField(models.GenericIPAddressField(protocol="IPv4"), default=list, blank=True, verbose_name=_("name servers"))
    is_live = models.BooleanField(default=True, editable=False)

    class Meta:
        verbose_name, verbose_name_plural = _("subnet"), _("subnets")
        constraints = [ExclusionConstraint(
            name="subnets_do_not_overlap", condition=Q(is_live=True),
            expressions=[("vpc", "="), (OpClass(F("cidr"), name="inet_ops"), "&&")])]

    @property
    def size(self) -> int:
        """How many ports have room: all but the network's own, the broadcast and the gateway's address."""
        return self.cidr.num_addresses - 3

    def may_have(self, address: IPv4Address) -> bool:
        """Whether a port may have this address."""
        taken = {self.cidr.network_address, self.cidr.broadcast_address, IPv4Address(self.gateway)}
        return address in self.cidr and address not in taken


class Port(Resource):
    """A network card: MAC and address in a subnet. `domain` is the instance, opaque here.

    A deleted port has neither address nor groups, so that indexes count those that are there.
    """

    KIND = "port"

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True, related_name="as_port")
    subnet = models.ForeignKey(Subnet, models.PROTECT, related_name="ports", verbose_name=_("subnet"))
    mac = models.CharField(_("MAC address"), max_length=17, unique=True)
    ip = models.GenericIPAddressField(_("address"), protocol="IPv4", null=True)
    hostname = models.CharField(max_length=63, blank=True)
    domain = models.UUIDField(null=True, db_index=True)
    position = models.PositiveSmallIntegerField(default=0)
    goes_with_instance = models.BooleanField(default=False, help_text=_("Made with the instance and removed with it."))
    groups = models.ManyToManyField("network.SecurityGroup", related_name="ports", verbose_name=_("security groups"))
    is_up = models.BooleanField(null=True, editable=False)

    class Meta:
        verbose_name, verbose_name_plural = _("port"), _("ports")
        constraints = [models.UniqueConstraint(fields=["subnet", "ip"], name="address_once_per_subnet"),
                       models.UniqueConstraint(fields=["domain", "position"], name="card_once_per_place")]

    @property
    def state(self) -> str:
        """up, down, or idle while no instance has it; down also before the first look."""
        if self.domain is None:
            return "idle"
        return "up" if self.is_up else "down"
