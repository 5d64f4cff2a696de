"""What every verb of a simulated host has in common: the fence, the faults that were asked for, one transaction.

A fault is `{"verb", "kind", "times", "seconds"}`: kinds are `error`, `transient`, `unreachable`, `hang` (no answer
for so many seconds, then unreachable; nothing done) and `lost` (done, but the answer never came).
"""
import time
from collections.abc import Iterator
from contextlib import contextmanager

from portal.kernel.errors import HostFault, HostUnreachable

from .. import reasons
from ..contract import Address, Fence, Unfenced
from .store import State, open_store

EVERY_VERB = "*"


class Simulated:
    """Base of the simulated hypervisor, the simulated pool and the simulated fabric, which has errors of its own."""

    Fault, Unreachable = HostFault, HostUnreachable

    def __init__(self, address: Address, fence: Fence | None = None) -> None:
        self._store = open_store(address.uri)
        self._fence = fence or Unfenced()

    @contextmanager
    def _verb(self, name: str) -> Iterator[State]:
        """One outside call that changes the host: all of the block happens, or nothing."""
        self._fence.before(name)
        lost = self._meet_faults(name)
        with self._store.change() as state:
            yield state
        if lost:
            raise self.Unreachable(reasons.BROKEN_CONNECTION)
        self._fence.after(name)

    def _look(self, name: str) -> State:
        """One outside call that only reads."""
        self._fence.before(name)
        if self._meet_faults(name):
            raise self.Unreachable(reasons.BROKEN_CONNECTION)
        state = self._store.read()
        self._fence.after(name)
        return state

    def _meet_faults(self, name: str) -> bool:
        """Fail as planned; True when the verb shall be done and its answer lost."""
        state = self._store.read()
        if state["unreachable"]:
            raise self.Unreachable(reasons.NOT_CONNECTED)
        fault = self._take_fault(name) if state["faults"] else None
        if fault is None:
            return False
        if fault["kind"] == "hang":
            time.sleep(fault["seconds"])
        if fault["kind"] in ("hang", "unreachable"):
            raise self.Unreachable(reasons.NO_ANSWER)
        if fault["kind"] in ("error", "transient"):
            raise self.Fault(reasons.INJECTED, transient=fault["kind"] == "transient")
        return True

    def _take_fault(self, name: str) -> dict | None:
        with self._store.change() as state:
            for fault in state["faults"]:
                if fault["verb"] in (name, EVERY_VERB):
                    fault["times"] -= 1
                    state["faults"] = [one for one in state["faults"] if one["times"] > 0]
                    return fault
        return None

    def close(self) -> None:
        """Nothing is kept open."""
