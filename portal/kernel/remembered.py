"""Sums over very many rows: what took long is kept for a multiple of the time it took, in this process.

So a page that many people look at costs the database a small, fixed share of its time, however large the cloud is; and
what is quick, as everything in a small cloud is, is always read anew. The key says whose rows were added up.
"""
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
SLOW_S, TIMES, LONGEST_S, MOST = 0.05, 25, 60.0, 500
LATELY_S = 5
"""As old may be what is shown of what changes slowly, while somebody looks at it again and again."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A value and until when it stands in for a new one."""

    value: Any
    until: float


_kept: dict[Hashable, Kept] = {}


def remembered(key: Hashable, compute: Callable[[], T], *, least_s: float = 0, clock: Callable[[], float] = time.monotonic) -> T:
    """What `compute` answers now, or answered lately for the same key when that took more than a twentieth of a second.

    `least_s`: for how long even a quick answer stands. Only for what is shown and may be as old, never for a decision.
    """
    began = clock()
    kept = _kept.get(key)
    if kept is not None and began < kept.until:
        return kept.value
    if kept is not None and began < kept.until + LONGEST_S:  # who comes while it is renewed has the old one: only one asks
        _kept[key] = Kept(value=kept.value, until=began + LONGEST_S)
    try:
        value = compute()
    finally:
        _kept.pop(key, None)
    ended = clock()
    took = ended - began
    stands_s = max(least_s, min(LONGEST_S, TIMES * took) if took >= SLOW_S else 0)
    if stands_s:
        if len(_kept) >= MOST:
            _make_room(ended)
        _kept[key] = Kept(value=value, until=ended + stands_s)
    return value


def _make_room(now: float) -> None:
    """What nobody asked for again goes; should all of it still stand, everything does."""
    for key in [key for key, kept in list(_kept.items()) if kept.until < now]:
        _kept.pop(key, None)
    if len(_kept) >= MOST:
        forget()


def forget() -> None:
    """Everything is read anew."""
    _kept.clear()
