"""What keeps people from changing what belongs to something else: the addresses, groups and volumes of an instance that somebody
locked. Rooms know what they guard (`registry.change_guards`); the verbs of rooms to their left ask here, by the opaque id that
their rows carry.

Asked before a verb takes any other lock: guards hold what they look at until the verb is done, so that none slips past a lock
that is being put on.
"""
from collections.abc import Collection
from typing import Any
from uuid import UUID

from portal.kernel.declarations import registry


def require_changeable(*domains: UUID | None, actor: Any, ends: bool = False) -> None:
    """Raise what keeps people from changing what belongs to these; `ends`: a part of them would be deleted. What the platform
    does by itself, without an actor, is kept by nothing."""
    found = {domain for domain in domains if domain is not None}
    if actor is None or not found:
        return
    for guard in registry.change_guards:
        for error in guard(found, ends, True).values():
            raise error


def hold(*domains: UUID | None) -> None:
    """Take the locks of `require_changeable` alone, where others are taken before the verb is reached."""
    found = {domain for domain in domains if domain is not None}
    for guard in registry.change_guards if found else ():
        guard(found, False, True)


def kept(domains: Collection[UUID], *, ends: bool = False) -> dict[UUID, str]:
    """For pages: why, of those that are kept."""
    return {domain: error.detail for guard in registry.change_guards if domains
            for domain, error in guard(domains, ends, False).items()}
