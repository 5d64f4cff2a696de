"""Which flows on the hosts' bridges count public traffic, for whom, and what they showed last."""
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from compute.hosts.models import Host

from .fabric import OperatorsQuerySet
from .floating import FloatingIp


class TrafficCount(models.Model):
    """What a floating IP sends out from one host, counted from `began_at` on by the flow that has this row's number.

    Each is an epoch of the address's counter: a number is never used again, wherever the address goes.
    """

    id = models.BigAutoField(primary_key=True)
    host = models.ForeignKey(Host, models.PROTECT, related_name="traffic_counts", verbose_name=_("host"))
    floating_ip = models.ForeignKey(FloatingIp, models.PROTECT, related_name="traffic_counts", verbose_name=_("floating IP"))
    address = models.GenericIPAddressField(_("address"), protocol="IPv4")
    sku = models.CharField(_("SKU"), max_length=100)
    bytes_out = models.BigIntegerField(_("bytes sent out"), default=0)
    began_at = models.DateTimeField(_("since"))
    seen_at = models.DateTimeField(_("last seen"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = OperatorsQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("traffic counter"), _("traffic counters")
        constraints = [models.UniqueConstraint(fields=["host", "floating_ip"], condition=Q(ended_at=None),
                                               name="address_counted_once_a_host")]

    def __str__(self) -> str:
        return self.address
