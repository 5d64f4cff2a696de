"""The part of OVN's Northbound schema that Mains knows: tables, columns, kinds.

Drivers check every value against it before it leaves, since OVSDB's client library drops what it cannot encode with
no more than a line in its log. `requires` and constraints beyond the kind are the server's to check.
"""
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME = "OVN_Northbound"
MARKS = "external_ids"


@dataclass(frozen=True)
class Column:
    """`kind` is the type of a value (of each, when there are several), or the table that is referred to."""

    kind: type | str
    at_least: int = 1
    at_most: int | None = 1
    strength: str = ""

    @property
    def is_reference(self) -> bool:
        return isinstance(self.kind, str)

    @property
    def is_map(self) -> bool:
        return self.kind is dict

    @property
    def is_single(self) -> bool:
        """At most one value, so that a new one replaces the old."""
        return self.at_most == 1

    def plain(self, value: Any) -> Any:
        """The value in the one form that can be compared: a scalar, a sorted tuple or a dict of strings."""
        if self.is_map:
            if not isinstance(value, Mapping) or not all(isinstance(one, str) for pair in value.items() for one in pair):
                raise ValueError(f"not a map of strings: {value!r}")
            return dict(value)
        values = tuple(value) if isinstance(value, (tuple, list, set, frozenset)) else (value,)
        if not all(type(one) is self.kind for one in values):
            raise ValueError(f"not of {self.kind}: {value!r}")
        if len(values) < self.at_least or (self.at_most is not None and len(values) > self.at_most):
            raise ValueError(f"wrong number of values: {value!r}")
        return values[0] if self.at_least == self.at_most == 1 else tuple(sorted(set(values)))


@dataclass(frozen=True, kw_only=True)
class Table:
    """`is_root`: rows live without being referred to; others vanish with the last strong reference. `unique` is a
    column that no two rows may have the same value in."""

    columns: dict[str, Column]
    is_root: bool = False
    unique: str = ""

    @property
    def strong(self) -> list[str]:
        """Columns whose members live by being named there."""
        return [name for name, column in self.columns.items() if column.strength == "strong"]


STRING, INTEGER, BOOLEAN, MAP = Column(str), Column(int), Column(bool), Column(dict, 0, None)
MAYBE_STRING, MAYBE_BOOLEAN, STRINGS = Column(str, 0), Column(bool, 0), Column(str, 0, None)


def strong(table: str) -> Column:
    return Column(table, 0, None, "strong")


def weak(table: str, at_most: int | None = None) -> Column:
    return Column(table, 0, at_most, "weak")


TABLES = {
    "Logical_Switch": Table(is_root=True, columns={
        "name": STRING, "ports": strong("Logical_Switch_Port"), "acls": strong("ACL"), "dns_records": weak("DNS")}),
    "Logical_Switch_Port": Table(unique="name", columns={
        "name": STRING, "type": STRING, "options": MAP, "parent_name": MAYBE_STRING, "addresses": STRINGS,
        "port_security": STRINGS, "enabled": MAYBE_BOOLEAN, "up": MAYBE_BOOLEAN,
        "dhcpv4_options": weak("DHCP_Options", 1)}),
    "Logical_Router": Table(is_root=True, columns={
        "name": STRING, "enabled": MAYBE_BOOLEAN, "options": MAP, "ports": strong("Logical_Router_Port"),
        "static_routes": strong("Logical_Router_Static_Route"), "policies": strong("Logical_Router_Policy"),
        "nat": strong("NAT")}),
    "Logical_Router_Port": Table(unique="name", columns={
        "name": STRING, "mac": STRING, "networks": Column(str, 1, None), "enabled": MAYBE_BOOLEAN,
        "gateway_chassis": strong("Gateway_Chassis")}),
    "Gateway_Chassis": Table(unique="name", columns={
        "name": STRING, "chassis_name": STRING, "priority": INTEGER}),
    "Logical_Router_Static_Route": Table(columns={
        "ip_prefix": STRING, "nexthop": STRING, "output_port": MAYBE_STRING}),
    "Logical_Router_Policy": Table(columns={"priority": INTEGER, "match": STRING, "action": STRING}),
    "NAT": Table(columns={
        "type": STRING, "external_ip": STRING, "logical_ip": STRING, "external_mac": MAYBE_STRING,
        "logical_port": MAYBE_STRING}),
    "DHCP_Options": Table(is_root=True, columns={"cidr": STRING, "options": MAP}),
    "DNS": Table(is_root=True, columns={"records": MAP}),
    "Port_Group": Table(is_root=True, unique="name", columns={
        "name": STRING, "ports": weak("Logical_Switch_Port"), "acls": strong("ACL")}),
    "ACL": Table(columns={
        "name": MAYBE_STRING, "direction": STRING, "priority": INTEGER, "match": STRING, "action": STRING}),
}


def column(table: str, name: str) -> Column:
    """The declaration of a column that a document may set; ValueError for one that is not known here."""
    if table not in TABLES or name not in TABLES[table].columns:
        raise ValueError(f"no column {name!r} is known in table {table!r}")
    return TABLES[table].columns[name]


def as_json() -> dict[str, Any]:
    """The declarations in the form that OVSDB's client library reads."""
    return {"name": NAME, "version": "1.0.0", "tables": {
        name: {"isRoot": table.is_root, "columns": {
            title: {"type": _type(one)} for title, one in {**table.columns, MARKS: MAP}.items()}}
        for name, table in TABLES.items()}}


_ATOMS = {str: "string", int: "integer", bool: "boolean"}


def _type(one: Column) -> dict[str, Any]:
    many = {"min": one.at_least, "max": "unlimited" if one.at_most is None else one.at_most}
    if one.is_map:
        return {"key": "string", "value": "string", **many}
    if one.is_reference:
        return {"key": {"type": "uuid", "refTable": one.kind, "refType": one.strength}, **many}
    return {"key": _ATOMS[one.kind], **many}
