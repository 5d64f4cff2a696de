"""What happens to a fabric from outside the portal, for tests, demonstrations and the crash harness.

Nothing here goes through a fence or meets a fault, and nothing outside tests and tools may use it.
"""
from typing import Any
from uuid import uuid4

from compute.hosts.drivers.simulated.verbs import EVERY_VERB

from ..reconcile import DEPLOYMENT, KEY
from ..schema import TABLES
from .replica import SimulatedRecord, SimulatedReplica
from .store import open_store


class SimulatedHand:
    """The person who has the key to the database."""

    def __init__(self, uri: str) -> None:
        self._store = open_store(uri)

    def census(self) -> dict[str, int]:
        """How many rows each table has, whoever's they are."""
        rows = self._store.read()["rows"]
        return {table: len(rows[table]) for table in TABLES if rows.get(table)}

    def plug(self, name: str) -> None:
        with self._store.change() as state:
            state["unplugged"] = [one for one in state["unplugged"] if one != name]

    def unplug(self, name: str) -> None:
        with self._store.change() as state:
            state["unplugged"].append(name)

    def fail(self, verb: str = EVERY_VERB, *, kind: str = "error", times: int = 1, seconds: float = 0) -> None:
        """Let the next `times` calls of `verb` fail; the kinds are the simulated hosts'."""
        with self._store.change() as state:
            state["faults"].append({"verb": verb, "kind": kind, "times": times, "seconds": seconds})

    def heal(self) -> None:
        """Forget all faults that were asked for."""
        with self._store.change() as state:
            state |= {"faults": [], "unreachable": False}

    def set_unreachable(self, unreachable: bool = True) -> None:
        with self._store.change() as state:
            state["unreachable"] = unreachable

    def row(self, key: str) -> dict[str, Any]:
        """Columns of the row with that key."""
        return self._find(SimulatedReplica(self._store.read(), ""), key).row["columns"]

    def remove_row(self, key: str) -> None:
        """Somebody destroys a row of ours."""
        with self._store.change() as state:
            replica = SimulatedReplica(state, "")
            record = self._find(replica, key)
            for parent, column in list(replica.parents(record)):
                parent.drop(column, record)
            if TABLES[record.table].is_root:
                replica.delete(record)
            replica.close()

    def change_row(self, key: str, column: str, value: Any) -> None:
        with self._store.change() as state:
            self._find(SimulatedReplica(state, ""), key).write(column, value)

    def wipe_marks(self, key: str) -> None:
        """Somebody clears `external_ids`."""
        with self._store.change() as state:
            self._find(SimulatedReplica(state, ""), key).row["marks"] = {}

    def copy_row(self, key: str) -> None:
        """Somebody makes a second row with the same marks; of a table whose rows are roots."""
        with self._store.change() as state:
            record = self._find(SimulatedReplica(state, ""), key)
            copy = {part: dict(record.row[part]) for part in ("columns", "marks")}
            state["rows"][record.table][str(uuid4())] = copy | {"refs": {}}

    def add_foreign_switch(self, name: str) -> None:
        self._add("Logical_Switch", {"name": name})

    def add_foreign_port(self, switch: str, name: str) -> None:
        """A port that is not ours, in the switch of ours with that key."""
        id = self._add("Logical_Switch_Port", {"name": name})
        with self._store.change() as state:
            self._find(SimulatedReplica(state, ""), switch).row["refs"].setdefault("ports", []).append(id)

    def has_port(self, name: str) -> bool:
        rows = self._store.read()["rows"].get("Logical_Switch_Port", {})
        return any(row["columns"].get("name") == name for row in rows.values())

    def _add(self, table: str, columns: dict[str, Any]) -> str:
        id = str(uuid4())
        with self._store.change() as state:
            state["rows"].setdefault(table, {})[id] = {"columns": columns, "refs": {}, "marks": {}}
        return id

    @staticmethod
    def _find(replica: SimulatedReplica, key: str) -> SimulatedRecord:
        return next(record for table in TABLES for record in replica.all(table)
                    if record.marks().get(KEY) == key and DEPLOYMENT in record.marks())
