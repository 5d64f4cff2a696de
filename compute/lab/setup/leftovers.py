"""Finding and ending what an earlier run of a stage left alive.

A process is ours when it carries the stage's mark in its environment and its command line is one of our services', or
when it works in the stage's own PostgreSQL or Redis directory, or when it is the supervisor of the stage's
configuration. Guests and lab hosts are not touched: they outlive the portal on purpose. Nothing is found by a bare
pid, since pids come round.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "MAINS_SUPERVISED"
SIGNS = ("portal.asgi:application", "-A portal worker", "-A portal beat", "manage.py watch")
PATIENCE_S = 10


@dataclass(frozen=True)
class Process:
    """What /proc says of one process, as far as it may be read."""

    pid: int
    command: str
    environ: frozenset[str]
    place: tuple[int, int] | None  # device and inode of its working directory, the same through every mount


def belongs(process: Process, *, state_dir: Path, places: Iterable[tuple[int, int]]) -> bool:
    """Tell whether a process is a service of the stage in `state_dir`."""
    marked = f"{MARK}={state_dir}" in process.environ and any(sign in process.command for sign in SIGNS)
    supervises = process.command.endswith(f"supervisor.supervisord -c {state_dir}/supervisord.conf")
    return marked or supervises or process.place in set(places)


def find(state_dir: Path) -> list[int]:
    """Return the pids of the stage's live services."""
    places = [place for name in ("pg/data", "redis") if (place := _identity(state_dir / name))]
    return [process.pid for process in _processes() if belongs(process, state_dir=state_dir, places=places)]


def end(state_dir: Path) -> int:
    """End the stage's services, politely first; return how many there were."""
    pids = find(state_dir)
    _signal(pids, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while (left := find(state_dir)) and time.monotonic() < deadline:
        time.sleep(0.2)
    _signal(left, signal.SIGKILL)
    while left and find(state_dir) and time.monotonic() < deadline + PATIENCE_S:
        time.sleep(0.1)
    return len(pids)


def _processes() -> Iterator[Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield _read(entry)
            except OSError:
                continue  # gone meanwhile


def _read(entry: Path) -> Process:
    command = entry.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    environ = frozenset(entry.joinpath("environ").read_bytes().decode(errors="replace").split("\0"))
    return Process(int(entry.name), command, environ, _identity(entry / "cwd"))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
