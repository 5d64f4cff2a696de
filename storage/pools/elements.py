# ruff: noqa: RUF009 — `at` and `always` are field specifiers
"""The XML of pools and volumes, one line per location; the mapper is that of domains. No policy, no libvirt."""
from dataclasses import dataclass

from compute.hosts.drivers.elements import Element, always, at


@dataclass(frozen=True, kw_only=True)
class DirPool(Element, tag="pool"):
    name: str = at("name")
    path: str = at("target/path")
    type: str = always("@type", "dir")


@dataclass(frozen=True, kw_only=True)
class Backing(Element, tag="backingStore"):
    """Its format is ours to say: one that libvirt or QEMU probes is one that a guest can choose."""

    path: str = at("path")
    format: str = always("format/@type", "qcow2")


@dataclass(frozen=True, kw_only=True)
class Volume(Element, tag="volume"):
    """`compat` 1.1 is what bitmaps of backups need; libvirt's default cannot hold them."""

    name: str = at("name")
    capacity: int = at("capacity")
    format: str = at("target/format/@type")
    compat: str | None = at("target/compat", default=None)
    backing: Backing | None = at("*", default=None)
