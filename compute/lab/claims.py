"""Which lab on this machine has which number.

A lab's number is its /24 in 10.99.0.0/16 and part of its devices' names, so two labs side by side must not share one.
Claims are files under a machine-wide directory, guarded by a lock on that directory. Nothing is started here.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from compute.lab.errors import LabError

CLAIMS_DIR = Path("/run/mains-labs")
NUMBERS = range(1, 250)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One lab's hold on one number."""

    number: int
    name: str
    state_dir: str

    def is_of(self, name: str, state_dir: Path) -> bool:
        """Tell whether this is the claim of the lab so named in this directory."""
        return (self.name, self.state_dir) == (name, str(state_dir))

    def is_abandoned(self) -> bool:
        """Tell whether the lab's directory has been removed under it, so that nobody can come back for it."""
        return not Path(self.state_dir).is_dir()


@contextmanager
def locked_claims() -> Iterator[None]:
    """Hold the machine's claims still; the directory itself is the lock, and vanishes when the last claim does."""
    handle = _lock_directory()
    try:
        yield
    finally:
        with suppress(OSError):
            CLAIMS_DIR.rmdir()
        os.close(handle)


def _lock_directory() -> int:
    while True:
        CLAIMS_DIR.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(CLAIMS_DIR, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_still_there(handle):
            return handle
        os.close(handle)  # its last holder removed it while we waited


def _is_still_there(handle: int) -> bool:
    try:
        return os.fstat(handle).st_ino == CLAIMS_DIR.stat().st_ino
    except FileNotFoundError:
        return False


def standing_claims() -> list[Claim]:
    """List every claim on this machine."""
    claims = []
    for path in sorted(CLAIMS_DIR.glob("*.json")):
        with suppress(ValueError, TypeError, FileNotFoundError):
            claims.append(Claim(**json.loads(path.read_text())))
    return claims


def take_number(name: str, state_dir: Path, *, taken: set[int]) -> Claim:
    """Return this lab's claim, making it when there is none. Call under `locked_claims`."""
    claims = standing_claims()
    for claim in claims:
        if claim.is_of(name, state_dir):
            return claim
    busy = taken | {claim.number for claim in claims}
    first = int(hashlib.sha256(name.encode()).hexdigest(), 16) % len(NUMBERS)
    for offset in range(len(NUMBERS)):
        number = NUMBERS[(first + offset) % len(NUMBERS)]
        if number not in busy:
            claim = Claim(number=number, name=name, state_dir=str(state_dir))
            _path(number).write_text(json.dumps(asdict(claim)))
            return claim
    raise LabError("Every lab number on this machine is taken; bring a lab down first.")


def release(claim: Claim) -> None:
    """Give a number back. Call under `locked_claims`."""
    _path(claim.number).unlink(missing_ok=True)


def _path(number: int) -> Path:
    return CLAIMS_DIR / f"{number}.json"
