"""Snapshots inside the volumes of a simulated host: with each, how large the volume was, what was written in it, and whether the
guest's memory is beside it.
"""
from collections.abc import Sequence
from typing import Any

from portal.kernel.errors import HostFault

from .. import reasons
from .store import State

Volume = dict[str, Any]
SHAPE = ("vcpus", "memory_mib", "opens", "nics")


def volume_at(state: State, path: str) -> Volume:
    folder, _, name = path.rpartition("/")
    found = state["pools"].get(folder, {"volumes": {}})["volumes"].get(name)
    if found is None:
        raise HostFault(reasons.NO_VOLUME)
    return found


def is_open(state: State, path: str) -> bool:
    return any(domain["running"] and path in domain["running"]["opens"] for domain in state["domains"].values())


def take(volume: Volume, name: str, *, memory: bool = False) -> None:
    """A second one of that name is another one, to QEMU; here it would be the same."""
    volume.setdefault("snapshots", {})[name] = {
        "capacity": volume["capacity"], "written": volume.get("written", ""), "memory": memory}


def apply(volume: Volume, name: str) -> None:
    kept = volume.get("snapshots", {}).get(name)
    if kept is None:
        raise HostFault(reasons.NO_SNAPSHOT)
    volume |= {"capacity": kept["capacity"], "written": kept["written"]}


def drop(volume: Volume, name: str) -> None:
    volume.get("snapshots", {}).pop(name, None)


def of_running(state: State, running: dict[str, Any], files: Sequence[str]) -> list[Volume]:
    if not running["opens"].keys() >= set(files):
        raise HostFault(reasons.NO_VOLUME)
    return [volume_at(state, file) for file in files]


def shape_of(running: dict[str, Any]) -> str:
    return repr([sorted(running[name]) if isinstance(running[name], dict) else running[name] for name in SHAPE])
