"""The contract kept on a store. A port is up as soon as it is on a switch, unless a hand has unplugged it."""
from collections.abc import Callable, Iterable
from uuid import UUID

from compute.hosts.drivers.simulated.verbs import Simulated

from ..contract import FabricAddress, FabricFault, FabricUnreachable, Fence, Unfenced, Verb
from ..document import Document
from ..reconcile import OWNER, make_so, only_ids, remove_all, revision_of
from ..schema import TABLES
from .replica import SimulatedReplica
from .store import open_store


class SimulatedFabric(Simulated):
    Fault, Unreachable = FabricFault, FabricUnreachable

    def __init__(self, address: FabricAddress, fence: Fence | None = None) -> None:
        self._store = open_store(address.uri)
        self._fence, self._deployment = fence or Unfenced(), address.deployment

    def apply(self, document: Document) -> bool:
        return self._change(Verb.APPLY, lambda replica: make_so(replica, document))

    def remove(self, owner: UUID, revision: int) -> bool:
        return self._change(Verb.REMOVE, lambda replica: remove_all(replica, owner, revision))

    def owners(self) -> dict[UUID, int]:
        replica, found = self._rows(Verb.OWNERS), {}
        for table in TABLES:
            for record in replica.ours(table):
                owner = record.marks().get(OWNER, "")
                found[owner] = max(found.get(owner, 0), revision_of(record.marks()))
        return only_ids(found)

    def ports_up(self, names: Iterable[str]) -> set[str]:
        replica, wanted = self._rows(Verb.PORTS_UP), set(names)
        present = {record.value("name") for record in replica.ours("Logical_Switch_Port")}
        return (wanted & present) - set(replica.state["unplugged"])

    def census(self) -> dict[str, int]:
        replica = self._rows(Verb.CENSUS)
        return {table: count for table in TABLES if (count := sum(1 for _ in replica.ours(table)))}

    def _change(self, verb: str, work: Callable[[SimulatedReplica], None]) -> bool:
        with self._verb(verb) as state:
            replica = SimulatedReplica(state, self._deployment)
            work(replica)
            if replica.changed:
                replica.close()
        return replica.changed

    def _rows(self, verb: str) -> SimulatedReplica:
        return SimulatedReplica(self._look(verb), self._deployment)
