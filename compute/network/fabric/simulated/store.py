"""Where a simulated fabric lives: a JSON file (`simulated:///abs/dir`), or this process's memory
(`simulated:memory/<name>`) for unit tests. How a change is atomic is the simulated hosts' store's to know."""
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from compute.hosts.drivers.simulated.store import FileStore, MemoryStore, Store

State = dict[str, Any]
"""`rows`: {table: {id: {"columns", "refs": {column: [ids]}, "marks"}}}; `unplugged`: names of ports."""


def open_store(uri: str) -> Store:
    parts = urlsplit(uri)
    if parts.scheme != "simulated" or not parts.path:
        raise ValueError(f"not an address of a simulated fabric: {uri!r}")
    blank = {"rows": {}, "unplugged": [], "faults": [], "unreachable": False}
    if parts.path.startswith("memory/"):
        return MemoryStore.named(f"fabric/{parts.path}", blank)
    return FileStore(Path(unquote(parts.path)), blank)
