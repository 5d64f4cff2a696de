"""What libvirt's bulk statistics say of the domains of a host, in the contract's words.

Thousands are read at a time. Domains of the same shape (so many disks and cards) say the same things under the same names,
so that they are read and summed up by columns; where one of them leaves something out, each is looked at.
"""
from collections.abc import Sequence
from functools import cache, partial, reduce
from operator import add, itemgetter
from typing import Any

import libvirt

from compute.hosts.drivers.contract import Measurement

GROUPS = (libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_INTERFACE
          | libvirt.VIR_DOMAIN_STATS_BLOCK)
_KIB = 1024
_DISK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")
_CARD = ("rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts")
_ONCE = ("balloon.current", "balloon.rss", "cpu.time")
_MAY_LACK = 2  # the first ones

Facts = dict[str, int]
Said = tuple[libvirt.virDomain, Facts]
Row = tuple[int | None, ...]


def measured(said: Sequence[Said]) -> list[Measurement]:
    """Without domains of which not all counters are said: they are busy, or their driver does not measure. A counter that is left
    out for once must not be taken for 0: all that it ever counted would be the next step's."""
    shapes: dict[tuple[int, int], list[Said]] = {}
    for one in said:
        facts = one[1]
        if "cpu.time" in facts:
            shapes.setdefault((facts.get("block.count", 0), facts.get("net.count", 0)), []).append(one)
    return [one for shape, alike in shapes.items() for one in _alike(*shape, alike)]


def _alike(disks: int, cards: int, said: list[Said]) -> list[Measurement]:
    """Its number on the host is a domain's epoch: libvirt gives another one to every start."""
    read, keys = _reader(disks, cards)
    try:
        rows = [read(facts) for _domain, facts in said]
    except KeyError:
        rows, said = _complete(keys, said)
    if not rows:
        return []
    sizes, held, cpu, *counted = zip(*rows, strict=True)
    edge = len(_DISK) * disks
    domains = [domain for domain, _facts in said]
    used = [_used(facts, size) for (_domain, facts), size in zip(said, sizes, strict=True)]
    return list(map(Measurement._make, zip(
        [domain.UUID().hex() for domain in domains], [domain.ID() for domain in domains], cpu,
        *_sums(counted[:edge], disks, len(said)), *_sums(counted[edge:], cards, len(said)), _bytes(sizes), used, _bytes(held),
        strict=True)))


def _complete(keys: Sequence[str], said: list[Said]) -> tuple[list[Row], list[Said]]:
    """Those that say all that must be said; None for what they may leave out."""
    found = [(tuple(map(facts.get, keys)), (domain, facts)) for domain, facts in said]
    kept = [(row, one) for row, one in found if None not in row[_MAY_LACK:]]
    return [row for row, _one in kept], [one for _row, one in kept]


def _sums(columns: Sequence[Sequence[int]], devices: int, rows: int) -> list[Any]:
    """Of four kinds of values, each told by so many devices in turn: a column for each kind."""
    if devices == 0:
        return [[0] * rows] * 4
    if devices == 1:
        return list(columns)
    return [list(reduce(partial(map, add), columns[at:at + devices])) for at in range(0, 4 * devices, devices)]


def _bytes(kib: Sequence[int | None]) -> list[int | None]:
    return [None if size is None else size * _KIB for size in kib]


def _used(facts: Facts, size: int | None) -> int | None:
    """By the guest's own words, if it has any; nobody vouches for them."""
    given, usable = facts.get("balloon.available", -1), facts.get("balloon.usable", -1)
    return (given - usable) * _KIB if 0 <= usable <= given <= (size or 0) else None


@cache
def _reader(disks: int, cards: int) -> tuple[itemgetter, tuple[str, ...]]:
    """What reads all values at once of a domain with so many disks and cards; and where they are, in order."""
    keys = (*_ONCE, *(f"block.{number}.{name}" for name in _DISK for number in range(disks)),
            *(f"net.{number}.{name}" for name in _CARD for number in range(cards)))
    return itemgetter(*keys), keys
