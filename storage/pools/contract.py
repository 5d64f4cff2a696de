"""What the portal asks of a storage pool: the one contract that every backend keeps.

Volumes are named by the portal (UUID based); names from tenants never get here. Every verb is "make it so".
Sizes in bytes unless the name says GiB. Errors: `HostFault`, `HostUnreachable`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, kw_only=True)
class PoolFacts:
    """What the backend says of a pool now, in bytes."""

    capacity: int
    allocation: int
    available: int


@dataclass(frozen=True, kw_only=True)
class VolumeFacts:
    """A volume as the pool sees it. `path` is what a domain's disk names. `format` is what the host found when it
    looked into the file: never write it into a domain, where only the format that the portal itself gave may
    stand."""

    name: str
    path: str
    capacity: int
    allocation: int
    format: str
    backing: str | None = None


class Portion(NamedTuple):
    """How far a file has been read, and how long it is, in bytes."""

    reached: int
    total: int

    @property
    def is_last(self) -> bool:
        return self.reached >= self.total


class VolumePool(Protocol):
    """One pool on one host, over one open connection."""

    def ensure_pool(self) -> None:
        """Defined, built, active, set to start with the host."""

    def facts(self) -> PoolFacts: ...

    def volumes(self) -> list[VolumeFacts]: ...

    def volume(self, name: str) -> VolumeFacts | None: ...

    def ensure_volume(self, name: str, *, size: int, backing: str | None = None) -> VolumeFacts:
        """A qcow2 (compat 1.1) of `size` bytes; with `backing`, a linked clone of that volume of the same pool, which
        must be a qcow2 too. Exists already with the same backing and size: success. Raises HostFault when `size` is
        below the backing's."""

    def ensure_uploaded(self, name: str, source: str, *, format: str, offset: int = 0, limit: int | None = None,
                        seconds: float | None = None) -> int:
        """Write the portal's local file `source` into volume `name`, from `offset`, at most `limit` bytes in this
        call, and no more once `seconds` are over, but always some. Returns the next offset (the file's size when complete).
        Offset 0 starts anew (an unfinished earlier try is replaced)."""

    def copy_volume(self, name: str, source: str, *, still: Callable[[], None]) -> VolumeFacts:
        """A qcow2 of its own (no base) that reads as volume `source` of the same pool does now, its base included. It always
        starts anew: an unfinished earlier try is replaced. It takes as long as there is data; meanwhile `still` is called every
        few seconds, and what it raises ends the waiting. Raises HostFault when a running domain has the source open, and
        (transient) while an earlier try goes on."""

    def ensure_downloaded(self, name: str, target: str, *, offset: int = 0, limit: int | None = None,
                          seconds: float | None = None) -> Portion:
        """Write the file of volume `name`, as it lies on the host, into the portal's local file `target` from `offset`, at most
        `limit` bytes in this call, and no more once `seconds` are over, but always some. offset 0 starts anew."""

    def ensure_resized(self, name: str, *, size: int) -> None:
        """Grow to `size`; refuses to shrink (HostFault)."""

    def ensure_volume_absent(self, name: str) -> None:
        """Deleted; absent is success. Refuses (HostFault) while another volume of the pool is backed by it."""

    def close(self) -> None: ...
