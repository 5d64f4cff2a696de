"""Another size for an instance: which way it gets there, and what that takes of quota, money and its host.

Its disk is on one host, so another host is never chosen. The disk itself stays as it is.
"""
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from billing import affording
from billing.prices import Estimate, NoPrice, price_of
from compute.hosts import placement
from compute.instances.errors import NeedsRestart, NoRoomOnHost
from compute.instances.headroom import BLOCK_MIB
from compute.instances.models import Instance, InstanceState, InstanceType
from portal.kernel.declarations import Reading
from portal.kernel.errors import InvalidInput, NoCapacity
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.models import Organization
from tenants.quotas import reserve


class Way(StrEnum):
    LIVE = "live"
    RESTART = "restart"
    OFF = "off"
    """It is stopped, and has its new size from its next start on."""


# Live, the definition comes first: once the guest has grown, nothing is left that could fail, since guests may refuse to shrink.
STEPS = {Way.LIVE: ("define", "grow"), Way.RESTART: ("shut_down", "power_off", "seed", "define", "boot"), Way.OFF: ("define",)}


@dataclass(frozen=True, kw_only=True)
class Resize:
    """What the type would mean for the instance, whose state is still the one that it had."""

    instance: Instance
    type: InstanceType

    @property
    def more(self) -> dict[str, int]:
        """By quota dimension, how much it takes beside what it has; less than nothing where it gives back."""
        return {"vcpus": self.type.vcpus - self.instance.vcpus, "memory_mib": self.type.memory_mib - self.instance.memory_mib}

    @property
    def larger(self) -> dict[str, int]:
        """By quota dimension, the larger of both sizes."""
        return {"vcpus": max(self.type.vcpus, self.instance.vcpus),
                "memory_mib": max(self.type.memory_mib, self.instance.memory_mib)}

    @property
    def is_smaller(self) -> bool:
        """It only gives back, which nobody has to make room for."""
        return all(amount <= 0 for amount in self.more.values()) and any(self.more.values())

    @property
    def of_host(self) -> dict[str, int]:
        """What it claims of its host in the end."""
        return {"vcpu": self.type.vcpus, "memory_mib": self.type.memory_mib}

    @property
    def obstacles(self) -> list[str]:
        """Codes of what its host has too little of now, for forecasts."""
        free, more = placement.left(self.instance.host), {"vcpu": self.more["vcpus"], "memory_mib": self.more["memory_mib"]}
        return sorted(f"no_{name}" for name, amount in more.items() if amount > max(0, free[name]))

    # -- which way --

    @property
    def way(self) -> Way:
        if self.instance.state == InstanceState.STOPPED:
            return Way.OFF
        return Way.RESTART if self.why_not_live else Way.LIVE

    @property
    def why_not_live(self) -> str:
        """A sentence; empty where it can grow while it runs."""
        instance, able = self.instance, self.instance.host.endpoint.capabilities
        if min(self.more.values()) < 0:
            return _("It gets less than it has.")
        if not (able.get("hot_adds_vcpus") and able.get("hot_adds_memory")):
            return _("The hypervisor of its host cannot do this while it runs.")
        if self.type.vcpus > max(instance.max_vcpus, instance.vcpus) or self.type.memory_mib > max(
                instance.max_memory_mib, instance.memory_mib):
            return _("It was started without room to grow so far.")
        if self.more["memory_mib"] % BLOCK_MIB:
            return _("Memory grows by multiples of %(size)s MiB while it runs.") % {"size": BLOCK_MIB}
        return ""

    @property
    def steps(self) -> tuple[str, ...]:
        return STEPS[self.way]

    @property
    def arguments(self) -> dict[str, Any]:
        """What its operation remembers: where to, and where back to."""
        return {"type": str(self.type.pk), "was": self.instance.state,
                "to": {"vcpus": self.type.vcpus, "memory_mib": self.type.memory_mib},
                "from": {"vcpus": self.instance.vcpus, "memory_mib": self.instance.memory_mib}}

    # -- what it takes --

    def price(self, at: datetime) -> Estimate:
        """What it will cost the organization in the state that it is in. Raises NoPrice, also where it could not be started."""
        organization, region = self.instance.project.organization, self.instance.region
        price_of(organization, region, self._readings(InstanceState.RUNNING), at)
        return price_of(organization, region, self._readings(self.instance.state), at)

    def is_cheaper(self, price: Estimate, at: datetime) -> bool:
        """Whether it costs no more than now; a smaller size may be the dearer one. What has no price now is free."""
        readings = Instance(type=self.instance.type).readings(self.instance.state)
        try:
            return price.hourly.amount <= price_of(
                self.instance.project.organization, self.instance.region, readings, at).hourly.amount
        except NoPrice:
            return False

    def is_affordable(self, price: Estimate, at: datetime) -> bool:
        return self.is_cheaper(price, at) or affording.is_affordable(
            self.instance.project, price, self.instance.tags, now=at, instead_of=self.instance.pk)

    def check(self, *, allow_restart: bool) -> None:
        """Raise InvalidInput for what can never work, or NeedsRestart."""
        wrong = ""
        if self.type.pk == self.instance.type_id:
            wrong = _("It has this size.")
        elif not self.type.is_offered_to(self.instance.project.organization_id):
            wrong = _("This type is not offered here, or not any more.")
        elif not placement.could_ever_fit(self.instance.region, self.of_host):
            wrong = _("No host of this region is large enough for this type.")
        if wrong:
            raise InvalidInput.field("type", str(wrong))
        if self.way is Way.RESTART and not allow_restart:
            raise NeedsRestart(name=self.instance.name, reason=str(self.why_not_live))

    def take(self, *, allow_restart: bool, actor: Any) -> None:
        """Reserve quota, see that it can be paid, and claim of its host what it takes until it is done. In the transaction of
        the verb. Raises what `check` does, and QuotaExceeded, NoPrice, PaymentRequired, BudgetReached or NoCapacity."""
        self.check(allow_restart=allow_restart)
        instance = self.instance
        if not self.is_smaller:
            reserve(instance.project, instance.region, {name: max(0, amount) for name, amount in self.more.items()})
        now = database_now()
        price = self.price(now)
        if not self.is_cheaper(price, now):
            affording.require(instance.project, price, instance.tags, now=now, instead_of=instance.pk, actor=actor)
        try:
            placement.change(instance, instance.host_id, {
                "vcpu": self.larger["vcpus"], "memory_mib": self.larger["memory_mib"]})
        except NoCapacity as error:
            raise NoRoomOnHost(name=instance.name, **error.facts) from error

    def _readings(self, state: str) -> Iterable[Reading]:
        return Instance(type=self.type).readings(state)


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: what is being resized costs in a moment what its new size does."""
    rows = Instance.objects.live().filter(
        project__organization=organization, state=InstanceState.RESIZING, hold__isnull=False).select_related(
        "region", "hold__operation")
    asked = {row: row.hold.operation.arguments for row in rows}
    types = InstanceType.objects.in_bulk([UUID(wish["type"]) for wish in asked.values()]) if asked else {}
    return [(row.pk, row.region, tuple(Instance(type=types[UUID(wish["type"])]).readings(wish["was"])))
            for row, wish in asked.items()]
