"""The agent in a simulated guest: there when a hand has installed it, and heard while the guest runs.

What was done to the guest is kept in its record: the hashes of passwords by user, whether its file systems are frozen, and how
often its clock was set.
"""
from typing import Any
from uuid import UUID

from portal.kernel.errors import HostFault

from .. import reasons
from ..contract import GuestCard, Power
from .records import Record, ours, require_running
from .store import State
from .verbs import Simulated


class Agent(Simulated):
    """The part of the hypervisor that speaks with guests."""

    def guest_cards(self, uuid: UUID) -> tuple[GuestCard, ...] | None:
        record = self._look("guest_cards")["domains"].get(str(uuid))
        if record is None or not _answers(record):
            return None
        return tuple(GuestCard(name=name, mac=mac, addresses=tuple(addresses))
                     for name, mac, addresses in record["agent"]["cards"])

    def set_guest_password(self, uuid: UUID, generation: int, *, user: str, hashed: str) -> None:
        with self._verb("set_guest_password") as state:
            agent = _agent(state, uuid, generation)
            if user not in agent["users"]:
                raise HostFault(reasons.GUEST_REFUSES)
            agent["users"] = agent["users"] | {user: hashed}

    def set_guest_clock(self, uuid: UUID, generation: int) -> None:
        with self._verb("set_guest_clock") as state:
            agent = _agent(state, uuid, generation)
            agent["clock_set"] += 1

    def ensure_frozen(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_frozen") as state:
            _agent(state, uuid, generation)["frozen"] = True

    def ensure_thawed(self, uuid: UUID, generation: int) -> None:
        with self._verb("ensure_thawed") as state:
            record = ours(state, uuid, generation)
            if record and record["running"]:
                _agent(state, uuid, generation)["frozen"] = False


def _answers(record: Record) -> bool:
    return bool(record.get("agent")) and record["running"] is not None and record["power"] == Power.RUNNING


def _agent(state: State, uuid: UUID, generation: int) -> dict[str, Any]:
    record = require_running(state, uuid, generation)
    if not _answers(record):
        raise HostFault(reasons.NO_AGENT)
    return record["agent"]
