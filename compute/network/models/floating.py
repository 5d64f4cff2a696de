"""Floating IPs: public addresses that a tenant keeps and points at one port or another."""
from collections.abc import Iterable
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.kernel.declarations import Reading
from portal.kernel.models import Resource
from portal.kernel.states import Stateful

from .fabric import AddressPool
from .vpc import Port


class FloatingIp(Resource, Stateful):
    """A public address in a project's hands. `port` is where it is (or is about to be) translated to."""

    KIND = "floating_ip"

    class State(models.TextChoices):
        ALLOCATING = "allocating", _("Allocating")
        IDLE = "idle", _("Idle")
        ASSOCIATING = "associating", _("Associating")
        ATTACHED = "attached", _("Attached")
        DISASSOCIATING = "disassociating", _("Disassociating")
        RELEASED = "released", _("Released")

    S = State
    MOVES = {
        S.ALLOCATING: {S.IDLE, S.ATTACHED, S.RELEASED},
        S.IDLE: {S.ASSOCIATING, S.RELEASED},
        S.ASSOCIATING: {S.ATTACHED, S.IDLE},
        S.ATTACHED: {S.DISASSOCIATING, S.IDLE},
        S.DISASSOCIATING: {S.IDLE},
        S.RELEASED: set(),
    }
    METERED = {S.IDLE: True, S.ATTACHED: True, S.RELEASED: False}
    TONES = {S.ALLOCATING: "busy", S.IDLE: "off", S.ASSOCIATING: "busy", S.ATTACHED: "ok", S.DISASSOCIATING: "busy",
             S.RELEASED: "off"}

    resource = models.OneToOneField(Resource, models.CASCADE, parent_link=True, primary_key=True,
                                    related_name="as_floating_ip")
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.ALLOCATING)
    pool = models.ForeignKey(AddressPool, models.PROTECT, related_name="floating_ips", verbose_name=_("public network"))
    port = models.OneToOneField(Port, models.PROTECT, null=True, related_name="floating_ip", verbose_name=_("port"))

    class Meta:
        verbose_name, verbose_name_plural = _("floating IP"), _("floating IPs")
        constraints = [models.CheckConstraint(
            condition=Q(state__in=["allocating", "idle", "associating", "attached", "disassociating", "released"]),
            name="floating_ip_state_known")]

    def readings(self, state: str) -> Iterable[Reading]:
        """An address costs more while nobody uses it, or less: the price book says."""
        meter = "floating_ip.attached" if state == self.State.ATTACHED else "floating_ip.idle"
        return [Reading(meter=meter, sku=self.pool.slug, quantity=Decimal(1))]

    @property
    def address(self) -> str | None:
        """None once released. Wants `allocation` selected."""
        allocation = getattr(self, "allocation", None)
        return allocation.address if allocation else None
