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
from compute.instances.abilities import why_not as class_forbids
from compute.instances.errors import NeedsRestart, NoRoomOnHost
from compute.instances.headroom import BLOCK_MIB
from compute.instances.models import Instance, InstanceState, InstanceType
from compute.instances.sizes import Size
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
OTHER_CLASS = _("This size has other virtual hardware, from which its system may not start.")
STEPS = {Way.LIVE: ("define", "grow"), Way.RESTART: ("shut_down", "power_off", "seed", "define", "boot"), Way.OFF: ("define",)}


@dataclass(frozen=True, kw_only=True)
class Resize:
    """What the type would mean for the instance, whose state is still the one that it had."""

    instance: Instance
    type: InstanceType
    vcpus: int | None = None
    memory_mib: int | None = None
    """Of a custom type; what is not said stays, or is the least of another type."""

    @property
    def size(self) -> Size:
        has = self.instance if self.type.is_custom and self.type.pk == self.instance.type_id else self.type
        return Size.chosen(self.type, self._or(self.vcpus, has.vcpus), self._or(self.memory_mib, has.memory_mib))

    @staticmethod
    def _or(value: int | None, other: int) -> int:
        return other if value is None else value

    @property
    def more(self) -> dict[str, int]:
        """By quota dimension, how much it takes beside what it has; less than nothing where it gives back."""
        return {name: amount - getattr(self.instance, name) for name, amount in self.size.quota.items()}

    @property
    def larger(self) -> dict[str, int]:
        """By quota dimension, the larger of both sizes."""
        return {name: max(amount, getattr(self.instance, name)) for name, amount in self.size.quota.items()}

    @property
    def is_smaller(self) -> bool:
        """It only gives back, which nobody has to make room for."""
        return all(amount <= 0 for amount in self.more.values()) and any(self.more.values())

    @property
    def of_host(self) -> dict[str, int]:
        """What it claims of its host in the end."""
        return self.size.of_host

    @property
    def is_other_class(self) -> bool:
        """Another firmware or board, or other disks: a system that was set up on one may not start on another."""
        has = self.instance.type
        return any(getattr(self.type, name) != getattr(has, name) for name in ("firmware", "machine", "io_class"))

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
        if self.type.marks != instance.type.marks:
            return _("It gets other virtual hardware.")
        for ability, name in (("hot_add_vcpus", "vcpus"), ("hot_add_memory", "memory_mib")):
            if self.more[name] and (forbidden := class_forbids(instance.type, ability)):
                return forbidden
        size = self.size
        if size.vcpus > max(instance.max_vcpus, instance.vcpus) or size.memory_mib > max(
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
                "to": self.size.quota,
                "from": {"vcpus": self.instance.vcpus, "memory_mib": self.instance.memory_mib}}

    # -- what it takes --

    def price(self, at: datetime) -> Estimate:
        """What it will cost the organization in the state that it is in. Raises NoPrice, also where it could not be started."""
        organization, region = self.instance.project.organization, self.instance.region
        price_of(organization, region, self._readings(InstanceState.RUNNING), at)
        return price_of(organization, region, self._readings(self.instance.state), at)

    def is_cheaper(self, price: Estimate, at: datetime) -> bool:
        """Whether it costs no more than now; a smaller size may be the dearer one. What has no price now is free."""
        readings = Size.of(self.instance).readings(self.instance.state)
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
        if errors := self.size.errors:
            raise InvalidInput(errors=errors)
        wrong = ""
        if self.type.pk == self.instance.type_id and not any(self.more.values()):
            wrong = _("It has this size.")
        elif not self.type.is_offered_to(self.instance.project.organization_id):
            wrong = _("This type is not offered here, or not any more.")
        elif not placement.could_ever_fit(self.instance.region, self.of_host):
            wrong = _("No host of this region is large enough for this type.")
        elif self.is_other_class:
            wrong = OTHER_CLASS
        elif not self.type.traits <= set(self.instance.host.traits):
            wrong = _("Its host has not the virtual hardware of this type, and its disk is on that host.")
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
        return self.size.readings(state)


def coming(organization: Organization) -> list[tuple[UUID, Region, tuple[Reading, ...]]]:
    """A coming hook: what is being resized costs in a moment what its new size does."""
    rows = Instance.objects.live().filter(
        project__organization=organization, state=InstanceState.RESIZING, hold__isnull=False).select_related(
        "region", "hold__operation")
    asked = {row: row.hold.operation.arguments for row in rows}
    types = InstanceType.objects.in_bulk([UUID(wish["type"]) for wish in asked.values()]) if asked else {}
    return [(row.pk, row.region, tuple(Size.chosen(types[UUID(wish["type"])], **wish["to"]).readings(wish["was"])))
            for row, wish in asked.items()]
