"""The record of a domain in the state of a simulated host, for whoever may act on it."""
from typing import Any
from uuid import UUID

from portal.kernel.errors import HostFault, StaleGeneration

from .. import reasons
from .store import State

Record = dict[str, Any]


def ours(state: State, uuid: UUID, generation: int) -> Record | None:
    """The record that an actor of that generation may act on; None when there is none."""
    record = state["domains"].get(str(uuid))
    if record is None:
        return None
    known = (record["defined"] or record["running"])["generation"]
    if known is None:
        raise HostFault(reasons.NOT_OURS)
    if known > generation:
        raise StaleGeneration(reasons.SUPERSEDED, known=known, given=generation)
    return record


def require_running(state: State, uuid: UUID, generation: int) -> Record:
    record = ours(state, uuid, generation)
    if not record or not record["running"]:
        raise HostFault(reasons.NOT_RUNNING)
    return record
