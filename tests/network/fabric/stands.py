"""Where the contract suite runs: a *stand* is a fabric to open through a driver, with a hand for what happens to it."""
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ovs.jsonrpc import Connection, Message
from ovs.stream import Stream

from compute.network.fabric import open_fabric
from compute.network.fabric.contract import Fabric, FabricAddress, Fence
from compute.network.fabric.reconcile import KEY
from compute.network.fabric.schema import MARKS, TABLES

from .central import Central


class Hand(Protocol):
    """What happens to a fabric from outside."""

    def census(self) -> dict[str, int]: ...

    def plug(self, name: str) -> None: ...

    def unplug(self, name: str) -> None: ...

    def row(self, key: str) -> dict[str, Any]: ...

    def remove_row(self, key: str) -> None: ...

    def change_row(self, key: str, column: str, value: Any) -> None: ...

    def wipe_marks(self, key: str) -> None: ...

    def copy_row(self, key: str) -> None: ...

    def add_foreign_switch(self, name: str) -> None: ...

    def add_foreign_port(self, switch: str, name: str) -> None: ...

    def has_port(self, name: str) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class Stand:
    driver: str
    address: FabricAddress
    hand: Hand

    def fabric(self, fence: Fence | None = None, **address: str) -> Fabric:
        return open_fabric(self.driver, replace(self.address, **address), fence=fence)


class OvnHand:
    """The administrator with a client of OVSDB's own, talking JSON."""

    def __init__(self, central: Central) -> None:
        self._central = central

    def census(self) -> dict[str, int]:
        counts = {table: len(self._select(table, [], "_uuid")) for table in TABLES}
        return {table: count for table, count in counts.items() if count}

    def clear(self) -> None:
        self._transact(*({"op": "delete", "table": name, "where": []} for name, table in TABLES.items() if table.is_root))

    def plug(self, name: str) -> None:
        self._update("Logical_Switch_Port", [["name", "==", name]], {"up": True})

    def unplug(self, name: str) -> None:
        self._update("Logical_Switch_Port", [["name", "==", name]], {"up": False})

    def row(self, key: str) -> dict[str, Any]:
        table, id = self._find(key)
        [row] = self._select(table, [["_uuid", "==", ["uuid", id]]], *TABLES[table].columns)
        return {name: _plain(value) for name, value in row.items()}

    def remove_row(self, key: str) -> None:
        table, id = self._find(key)
        unlink = [{"op": "mutate", "table": name, "where": [], "mutations": [[column, "delete", ["uuid", id]]]}
                  for name, other in TABLES.items() for column in other.strong if other.columns[column].kind == table]
        self._transact(*unlink, {"op": "delete", "table": table, "where": [["_uuid", "==", ["uuid", id]]]})

    def change_row(self, key: str, column: str, value: Any) -> None:
        table, id = self._find(key)
        self._update(table, [["_uuid", "==", ["uuid", id]]], {column: _json(value)})

    def wipe_marks(self, key: str) -> None:
        self.change_row(key, MARKS, {})

    def copy_row(self, key: str) -> None:
        table, id = self._find(key)
        own = [name for name, column in TABLES[table].columns.items() if not column.is_reference]
        [row] = self._select(table, [["_uuid", "==", ["uuid", id]]], MARKS, *own)
        self._transact({"op": "insert", "table": table, "row": row})

    def add_foreign_switch(self, name: str) -> None:
        self._transact({"op": "insert", "table": "Logical_Switch", "row": {"name": name}})

    def add_foreign_port(self, switch: str, name: str) -> None:
        _, id = self._find(switch)
        self._transact(
            {"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "made", "row": {"name": name}},
            {"op": "mutate", "table": "Logical_Switch", "where": [["_uuid", "==", ["uuid", id]]],
             "mutations": [["ports", "insert", ["named-uuid", "made"]]]})

    def has_port(self, name: str) -> bool:
        return bool(self._select("Logical_Switch_Port", [["name", "==", name]], "name"))

    def _find(self, key: str) -> tuple[str, str]:
        where = [[MARKS, "includes", ["map", [[KEY, key]]]]]
        return next((table, row["_uuid"][1]) for table in TABLES for row in self._select(table, where, "_uuid"))

    def _select(self, table: str, where: list, *columns: str) -> list[dict]:
        [answer] = self._transact({"op": "select", "table": table, "where": where, "columns": list(columns)})
        return answer["rows"]

    def _update(self, table: str, where: list, row: dict) -> None:
        self._transact({"op": "update", "table": table, "where": where, "row": row})

    def _transact(self, *operations: dict) -> list[dict]:
        error, stream = Stream.open_block(Stream.open(f"unix:{self._central.folder}/nb.sock"), timeout=5_000)
        assert not error
        connection = Connection(stream)
        request = Message.create_request("transact", ["OVN_Northbound", *operations])
        error, reply = connection.transact_block(request)
        connection.close()
        assert not error
        answers = reply.result
        assert not [answer for answer in answers if answer and "error" in answer], answers
        return answers


class Recorder:
    """A fence that remembers what it was told, and may forbid."""

    def __init__(self, *, forbids: bool = False) -> None:
        self.heard: list[str] = []
        self._forbids = forbids

    def before(self, verb: str) -> None:
        self.heard.append(f"before {verb}")
        if self._forbids:
            raise PermissionError(verb)

    def after(self, verb: str) -> None:
        self.heard.append(f"after {verb}")



def _plain(value: Any) -> Any:
    if isinstance(value, list) and value[0] == "map":
        return dict(value[1])
    if isinstance(value, list) and value[0] == "set":
        return value[1]
    return value


def _json(value: Any) -> Any:
    if isinstance(value, dict):
        return ["map", [list(pair) for pair in value.items()]]
    return ["set", list(value)] if isinstance(value, (list, tuple)) else value
