"""What the portal asks of a network engine: the one contract that every fabric keeps.

A fabric holds *documents* (see `document`), each with an owner and a revision. Every verb is "make it so": calling it
again is success. Rows are ours when they carry our deployment's id; nothing else is ever removed or changed.

Every call is bounded: an engine that does not answer within `CALL_LIMIT_S` raises FabricUnreachable. A change whose
answer was lost may still have happened; applying again is always right.
"""
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from compute.hosts.drivers.contract import Fence, Unfenced
from portal.kernel.errors import HostFault, HostUnreachable

from .document import Document

__all__ = ["CALL_LIMIT_S", "Fabric", "FabricAddress", "FabricFault", "FabricUnreachable", "Fence", "StaleRevision",
           "Unfenced", "Verb"]

CALL_LIMIT_S = 10


class Verb:
    """What a fence is told."""

    APPLY = "ovn.apply"
    REMOVE = "ovn.remove"
    OWNERS = "ovn.owners"
    PORTS_UP = "ovn.ports_up"
    CENSUS = "ovn.census"


class FabricFault(HostFault):
    """The network engine did not do what was asked."""

    code = "network_fault"
    title = _("The network reported a fault")
    text = _("The network reported a fault: {reason}")


class FabricUnreachable(FabricFault, HostUnreachable):
    """Worth another try. Networks that exist keep working meanwhile; only changes wait."""

    code, status = "network_unreachable", 503
    title = _("The network does not answer")
    text = _("The network does not answer: {reason}")


class StaleRevision(FabricFault):
    """A newer document is there (`known` > `given`): success for callers who only want the newest to be there."""

    code = "stale_revision"
    text = _("The network knows a newer state: {reason}")


@dataclass(frozen=True, kw_only=True)
class FabricAddress:
    """How a fabric is reached. `uri` is the driver's own form (`ssl:10.99.7.2:6641` with an IP address,
    `unix:/run/ovn/ovnnb_db.sock`, several with commas for a cluster; `simulated:///abs/dir`,
    `simulated:memory/<name>`). `deployment` marks what is ours. The certificates are PEM texts; drivers keep them in
    files of mode 0600 under `state_dir`."""

    uri: str
    deployment: str
    ca_certificate: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    state_dir: str = ""


class Fabric(Protocol):
    """One actor's way to one network engine. Threads may share it; after a fork each process connects anew."""

    def apply(self, document: Document) -> bool:
        """Make the owner's rows equal to the document, in one transaction; True when something was changed. Rows of
        the owner that the document lacks are removed. Raises StaleRevision when a newer document was applied,
        FabricFault (transient) when a row that it extends is not there yet."""

    def remove(self, owner: UUID, revision: int) -> bool:
        """Remove every row of the owner, up to this revision; True when there were any. None there is success."""

    def owners(self) -> dict[UUID, int]:
        """Whose rows of ours are there, with the revision applied; 0 where only remains without an anchor are."""

    def ports_up(self, names: Iterable[str]) -> set[str]:
        """Which of these ports (named by their UUIDs) are plugged in on a host and work."""

    def census(self) -> Mapping[str, int]:
        """How many rows of ours each table has, empty tables left out; to compare before and after."""

    def close(self) -> None:
        """Let go (drivers may keep the connection open for the next user in this process)."""
