"""The contract kept on OVN's Northbound database."""
from collections.abc import Callable, Iterable
from uuid import UUID

from ..contract import FabricAddress, Fence, Unfenced, Verb
from ..document import Document
from ..reconcile import OWNER, make_so, only_ids, remove_all, revision_of
from ..schema import TABLES
from .replica import OvnReplica
from .session import Answer, Compose, session_for


class OvnFabric:
    def __init__(self, address: FabricAddress, fence: Fence | None = None) -> None:
        self._address, self._fence = address, fence or Unfenced()
        self._session = session_for(address)

    def apply(self, document: Document) -> bool:
        return self._change(Verb.APPLY, lambda idl, transaction: make_so(
            OvnReplica(idl, self._address.deployment, transaction), document))

    def remove(self, owner: UUID, revision: int) -> bool:
        return self._change(Verb.REMOVE, lambda idl, transaction: remove_all(
            OvnReplica(idl, self._address.deployment, transaction), owner, revision))

    def owners(self) -> dict[UUID, int]:
        return self._look(Verb.OWNERS, self._owners)

    def ports_up(self, names: Iterable[str]) -> set[str]:
        wanted = set(names)
        return self._look(Verb.PORTS_UP, lambda replica: {
            name for name in wanted
            if (port := replica.keyed("Logical_Switch_Port", name)) and port.value("up") == (True,)})

    def census(self) -> dict[str, int]:
        return self._look(Verb.CENSUS, lambda replica: {
            table: count for table in TABLES if (count := sum(1 for _ in replica.marks_of_ours(table)))})

    def close(self) -> None:
        """The connection stays open for the next user in this process."""

    def _change(self, verb: str, compose: Compose) -> bool:
        """The fence is asked when the connection stands, so that nothing but the transaction comes after it."""
        self._session.ensure_connected()
        self._fence.before(verb)
        changed = self._session.transact(compose)
        self._fence.after(verb)
        return changed

    def _look(self, verb: str, read: Callable[[OvnReplica], Answer]) -> Answer:
        self._fence.before(verb)
        answer = self._session.look(lambda idl: read(OvnReplica(idl, self._address.deployment)))
        self._fence.after(verb)
        return answer

    @staticmethod
    def _owners(replica: OvnReplica) -> dict[UUID, int]:
        found: dict[str, int] = {}
        for table in TABLES:
            for marks in replica.marks_of_ours(table):
                owner = marks.get(OWNER, "")
                found[owner] = max(found.get(owner, 0), revision_of(marks))
        return only_ids(found)
