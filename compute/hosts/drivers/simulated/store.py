"""Where a simulated host lives: one JSON file per host
(`simulated:///abs/dir?vcpus=64&memory_mib=262144&hostname=s1`), or this process's memory (`simulated:memory/<name>`)
for unit tests.

A change is one transaction: under a lock, read → change → replaced atomically, so that a process killed at any point
leaves the state from before or after the verb. No rule of a hypervisor may live here.
"""
import copy
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

State = dict[str, Any]

_SIZES = {"vcpus": 64, "memory_mib": 262_144, "disk_gib": 4_096}


class Store(Protocol):
    def read(self) -> State: ...

    def change(self) -> AbstractContextManager[State]:
        """Yield the state to change; it is kept when the block ends without an exception."""


def open_store(uri: str) -> Store:
    """The store that an address names. Sizes in the query count only when the host is first seen."""
    parts = urlsplit(uri)
    wanted = dict(parse_qsl(parts.query))
    if parts.scheme != "simulated" or not parts.path:
        raise ValueError(f"not an address of a simulated host: {uri!r}")
    if parts.path.startswith("memory/"):
        return MemoryStore.named(parts.path, _blank(parts.path.rpartition("/")[2], wanted))
    folder = Path(unquote(parts.path))
    return FileStore(folder, _blank(folder.name, wanted))


def _blank(name: str, wanted: dict[str, str]) -> State:
    sizes = {key: int(wanted.get(key, usual)) for key, usual in _SIZES.items()}
    return {"host": {"hostname": wanted.get("hostname", name), **sizes},
            "domains": {}, "pools": {}, "faults": [], "unreachable": False}


class FileStore:
    """The folder itself is what is locked, since the file in it is replaced by every change."""

    def __init__(self, folder: Path, blank: State) -> None:
        self._folder, self._file, self._blank = folder, folder / "state.json", blank

    def read(self) -> State:
        try:
            return json.loads(self._file.read_text())
        except FileNotFoundError:
            return copy.deepcopy(self._blank)

    @contextmanager
    def change(self) -> Iterator[State]:
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            state = self.read()
            yield state
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.replace(self._file)
        finally:
            os.close(lock)


class MemoryStore:
    _all: ClassVar[dict[str, "MemoryStore"]] = {}
    _lock = RLock()

    def __init__(self, blank: State) -> None:
        self._state = blank

    @classmethod
    def named(cls, name: str, blank: State) -> "MemoryStore":
        with cls._lock:
            return cls._all.setdefault(name, cls(blank))

    def read(self) -> State:
        with self._lock:
            return copy.deepcopy(self._state)

    @contextmanager
    def change(self) -> Iterator[State]:
        with self._lock:
            state = copy.deepcopy(self._state)
            yield state
            self._state = state
