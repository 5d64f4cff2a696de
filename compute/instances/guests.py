"""What guests tell of themselves through their agent: whether it answers, and which addresses they have.

The reconciler asks: some guests of a host in each of its passes, each once a minute, and never for longer than `PATIENCE_S`
together, for an agent may hang. No request of anybody waits for a guest. Whatever is kept is a claim of the tenant's own
machine: it is shown to them as text, and decides nothing but what is offered.
"""
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import F, Q

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import GuestCard, Hypervisor
from compute.hosts.models import Host
from compute.instances.models import ON_SCREEN, Agent, Instance
from portal.kernel import live
from portal.kernel.errors import HostFault, HostUnreachable, StaleGeneration
from portal.kernel.operations import Run

log = structlog.get_logger(__name__)
EVERY = timedelta(minutes=1)
MOST_A_PASS, PATIENCE_S = 50, 5
FIELDS = ("state", "state_changed_at", "agent", "agent_asked_at", "guest_cards")


@dataclass(frozen=True, kw_only=True)
class Guest:
    """What is known of the guest that runs now."""

    agent: str
    asked_at: datetime
    cards: Sequence[dict[str, Any]]

    @classmethod
    def of(cls, instance: Instance) -> "Guest | None":
        """None while it does not run, and until it has been asked since it came to its state."""
        is_known = instance.agent_asked_at is not None and instance.agent_asked_at > instance.state_changed_at
        if instance.state not in ON_SCREEN or not is_known:
            return None
        return cls(agent=instance.agent, asked_at=instance.agent_asked_at, cards=instance.guest_cards)

    @property
    def answers(self) -> bool:
        return self.agent == Agent.ANSWERS


def ask_guests(host: Host, driver: Hypervisor, now: datetime) -> None:
    """Of the host's guests those who were not asked for longest. Raises HostUnreachable."""
    if not driver.capabilities.has_agent:
        return
    begun = time.monotonic()
    for instance in _due(host, now):
        if time.monotonic() - begun > PATIENCE_S:
            log.info("guests.slow", host=str(host.pk))
            return
        _note(instance, _cards(driver, instance), now)


def _due(host: Host, now: datetime) -> Sequence[Instance]:
    rows = Instance.objects.filter(host=host, hold=None, state__in=ON_SCREEN)
    rows = rows.filter(Q(agent_asked_at=None) | Q(agent_asked_at__lt=now - EVERY) | Q(agent_asked_at__lt=F("state_changed_at")))
    return list(rows.only("project", "kind", *FIELDS).order_by(F("agent_asked_at").asc(nulls_first=True), "pk")[:MOST_A_PASS])


def _cards(driver: Hypervisor, instance: Instance) -> Sequence[GuestCard] | None:
    try:
        return driver.guest_cards(instance.pk)
    except HostUnreachable:
        raise
    except HostFault as error:
        log.info("guests.silent", instance=str(instance.pk), error=str(error))
        return None


def _note(instance: Instance, cards: Sequence[GuestCard] | None, now: datetime) -> None:
    """Keep what was told. It is news only where it differs: the page need not be drawn anew every minute."""
    told = [asdict(card) | {"addresses": list(card.addresses)} for card in cards or ()]
    agent = Agent.SILENT if cards is None else Agent.ANSWERS
    is_first = instance.agent_asked_at is None or instance.agent_asked_at < instance.state_changed_at
    with transaction.atomic():
        Instance.objects.filter(pk=instance.pk).update(agent=agent, agent_asked_at=now, guest_cards=told)
        if is_first or (agent, told) != (instance.agent, instance.guest_cards):
            live.touch(instance)


def set_clock(run: Run, instance: Instance) -> None:
    """What stood still does not know how late it is; its agent, if one answers, sets its clock. It goes on in any case."""
    try:
        with hypervisor(instance.host, run) as driver:
            if driver.capabilities.has_agent:
                driver.set_guest_clock(instance.pk, instance.generation)
    except (HostUnreachable, StaleGeneration):
        raise
    except HostFault as error:
        log.info("guests.clock_not_set", instance=str(instance.pk), error=str(error))
