"""Telling a person what is going on: one line a step, elapsed seconds on long ones, the log's end on failure."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

EVERY_S = 10
TAIL_LINES = 30
STARTED = time.monotonic()


class SetupFailed(Exception):
    """A step failed in a way that the reader can act on; the text is all that is printed."""


def say(text: str) -> None:
    """Print one line with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:4.0f} s] {text}", flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Name a step before it and say how long it took after it."""
    say(title)
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took >= 3:
        say(f"  done in {took:.0f} s")


def run(title: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a command as a step, its output into a log; raise SetupFailed with the log's end when it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with step(title), log.open("ab") as output:
        output.write(f"\n--- {title}\n".encode())
        output.flush()
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
        try:
            status = _wait_aloud(child, log)
        except BaseException:
            _end(child)
            raise
    if status:
        raise SetupFailed(f"{title}: failed with status {status}. The end of {log}:\n{tail(log)}")


def wait_until(title: str, ready: Callable[[], bool], *, timeout_s: float, hint: Callable[[], str] = str) -> None:
    """Ask four times a second until something is ready; raise SetupFailed with the hint when it never is."""
    with step(title):
        deadline = time.monotonic() + timeout_s
        spoken = time.monotonic()
        while not ready():
            now = time.monotonic()
            if now > deadline:
                raise SetupFailed(f"{title}: not ready after {timeout_s:.0f} s.\n{hint()}")
            if now - spoken >= EVERY_S:
                spoken = now
                say("  still waiting")
            time.sleep(0.25)


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
    except FileNotFoundError:
        return "(no log)"


def _wait_aloud(child: subprocess.Popen[bytes], log: Path) -> int:
    began = time.monotonic()
    while True:
        try:
            return child.wait(timeout=EVERY_S)
        except subprocess.TimeoutExpired:
            last = tail(log).splitlines()[-1:]
            say(f"  {time.monotonic() - began:.0f} s: {''.join(last)[:90]}")


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
