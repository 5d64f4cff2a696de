"""The simulated pool: volumes of a simulated host, in the same state as its domains, so that a domain starts only
when the files of its disks are there. What is uploaded is counted, not kept; what is downloaded has a true header."""
import os
from collections.abc import Callable
from typing import Any

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence
from compute.hosts.drivers.simulated.store import State
from compute.hosts.drivers.simulated.verbs import Simulated
from portal.kernel.errors import HostFault

from .contract import PoolFacts, Portion, VolumeFacts

_GIB = 1024 ** 3
_EMPTY = 196_608
"""What an empty qcow2 takes."""


class SimulatedPool(Simulated):
    def __init__(self, address: Address, *, name: str, path: str, fence: Fence | None = None) -> None:
        super().__init__(address, fence)
        self._name, self._path = name, path.rstrip("/")

    def ensure_pool(self) -> None:
        with self._verb("ensure_pool") as state:
            state["pools"].setdefault(self._path, {"name": self._name, "volumes": {}})

    def facts(self) -> PoolFacts:
        state = self._look("pool_facts")
        capacity = state["host"]["disk_gib"] * _GIB
        used = sum(volume["allocation"] for volume in self._volumes(state).values())
        return PoolFacts(capacity=capacity, allocation=used, available=max(0, capacity - used))

    def volumes(self) -> list[VolumeFacts]:
        return [self._facts_of(name, volume) for name, volume in self._volumes(self._look("volumes")).items()]

    def volume(self, name: str) -> VolumeFacts | None:
        volume = self._volumes(self._look("volume")).get(name)
        return self._facts_of(name, volume) if volume else None

    def ensure_volume(self, name: str, *, size: int, backing: str | None = None) -> VolumeFacts:
        with self._verb("ensure_volume") as state:
            volumes = self._volumes(state)
            if backing is not None:
                _require_base(volumes, backing, size)
            wanted = {"capacity": size, "allocation": _EMPTY, "format": "qcow2", "backing": backing}
            found = volumes.setdefault(name, wanted)
            if any(found[key] != wanted[key] for key in ("capacity", "format", "backing")):
                raise HostFault(reasons.DIFFERENT_VOLUME)
            return self._facts_of(name, found)

    def ensure_uploaded(self, name: str, source: str, *, format: str, offset: int = 0, limit: int | None = None,
                        seconds: float | None = None) -> int:
        total, capacity = _sizes(source, format)
        with self._verb("ensure_uploaded") as state:
            volumes = self._volumes(state)
            if offset == 0:
                _require_unused(volumes, name)
                volumes[name] = {"capacity": capacity, "allocation": 0, "format": format, "backing": None}
            if name not in volumes:
                raise HostFault(reasons.NO_VOLUME)
            reached = total if limit is None else min(total, offset + limit)
            volumes[name] |= {"allocation": reached}
            if sum(volume["allocation"] for volume in volumes.values()) > state["host"]["disk_gib"] * _GIB:
                raise HostFault(reasons.NO_SPACE)
            return reached

    def copy_volume(self, name: str, source: str, *, still: Callable[[], None]) -> VolumeFacts:
        with self._verb("copy_volume") as state:
            volumes = self._volumes(state)
            if source not in volumes:
                raise HostFault(reasons.NO_VOLUME)
            if _is_written(state, f"{self._path}/{source}"):
                raise HostFault(reasons.IMAGE_LOCKED, transient=True)
            _require_unused(volumes, name)
            still()
            volumes[name] = {"capacity": volumes[source]["capacity"], "allocation": _EMPTY, "format": "qcow2", "backing": None}
            return self._facts_of(name, volumes[name])

    def ensure_downloaded(self, name: str, target: str, *, offset: int = 0, limit: int | None = None,
                          seconds: float | None = None) -> Portion:
        volume = self._volumes(self._look("ensure_downloaded")).get(name)
        if volume is None:
            raise HostFault(reasons.NO_VOLUME)
        content = _content(volume)
        reached = len(content) if limit is None else min(len(content), offset + limit)
        try:
            with open(target, "r+b" if offset else "wb") as file:
                file.truncate(offset)
                file.seek(offset)
                file.write(content[offset:reached])
        except OSError as error:
            raise HostFault(reasons.FILE_UNREADABLE) from error
        return Portion(reached=reached, total=len(content))

    def ensure_resized(self, name: str, *, size: int) -> None:
        with self._verb("ensure_resized") as state:
            volume = self._volumes(state).get(name)
            if volume is None:
                raise HostFault(reasons.NO_VOLUME)
            if size < volume["capacity"]:
                raise HostFault(reasons.SHRINKS)
            volume["capacity"] = size

    def ensure_volume_absent(self, name: str) -> None:
        with self._verb("ensure_volume_absent") as state:
            volumes = self._volumes(state)
            _require_unused(volumes, name)
            volumes.pop(name, None)

    def _volumes(self, state: State) -> dict[str, dict[str, Any]]:
        if self._path not in state["pools"]:
            raise HostFault(reasons.NO_POOL)
        return state["pools"][self._path]["volumes"]

    def _facts_of(self, name: str, volume: dict[str, Any]) -> VolumeFacts:
        return VolumeFacts(name=name, path=f"{self._path}/{name}", capacity=volume["capacity"],
                           allocation=volume["allocation"], format=volume["format"], backing=volume["backing"])


def _require_base(volumes: dict[str, dict[str, Any]], backing: str, size: int) -> None:
    if backing not in volumes:
        raise HostFault(reasons.NO_VOLUME)
    if volumes[backing]["format"] != "qcow2":
        raise HostFault(reasons.DIFFERENT_VOLUME)
    if size < volumes[backing]["capacity"]:
        raise HostFault(reasons.BASE_LARGER)


def _require_unused(volumes: dict[str, dict[str, Any]], name: str) -> None:
    if any(volume["backing"] == name for volume in volumes.values()):
        raise HostFault(reasons.BASE_IN_USE)


def _sizes(source: str, format: str) -> tuple[int, int]:
    """The file's own size and, for a qcow2, the one that a guest would see."""
    try:
        with open(source, "rb") as file:
            header = file.read(32)
            total = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise HostFault(reasons.FILE_UNREADABLE) from error
    is_qcow2 = format == "qcow2" and header[:4] == b"QFI\xfb"
    return total, int.from_bytes(header[24:32]) if is_qcow2 else total


def _content(volume: dict[str, Any]) -> bytes:
    """A file as long as what it takes: of a qcow2 the header is there, and says what a guest would see."""
    header = b"QFI\xfb" + (3).to_bytes(4) + bytes(16) + volume["capacity"].to_bytes(8) if volume["format"] == "qcow2" else b""
    return header + bytes(max(0, volume["allocation"] - len(header)))


def _is_written(state: State, path: str) -> bool:
    running = (domain["running"] for domain in state["domains"].values() if domain.get("running"))
    return any(one["opens"].get(path) == "w" for one in running)
