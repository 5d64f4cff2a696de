"""What libvirt's bulk statistics say of one domain, in the contract's words. Thousands are read at a time: it does little."""
from functools import cache
from operator import itemgetter

import libvirt

from compute.hosts.drivers.contract import Measurement

GROUPS = (libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_INTERFACE
          | libvirt.VIR_DOMAIN_STATS_BLOCK)
_KIB = 1024
_DISK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")
_CARD = ("rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts")
_NOTHING = (0, 0, 0, 0)
_ONCE = ("balloon.current", "balloon.rss")


def measured(domain: libvirt.virDomain, facts: dict[str, int]) -> Measurement | None:
    """None of a domain of which not all counters are said: it is busy, or its driver does not measure. A counter that is left out
    for once must not be taken for 0: all that it ever counted would be the next step's. Its number on the host is the epoch:
    libvirt gives another one to every start."""
    cpu = facts.get("cpu.time")
    if cpu is None:
        return None
    disks, cards = facts.get("block.count", 0), facts.get("net.count", 0)
    read, keys = _reader(disks, cards)
    try:
        values = read(facts)
    except KeyError:
        values = tuple(map(facts.get, keys))
        if None in values[len(_ONCE):]:
            return None
    size, held = values[:2]
    # These two are the guest's own words, if it has any, and nobody vouches for them.
    given, usable = facts.get("balloon.available", -1), facts.get("balloon.usable", -1)
    return Measurement(
        domain.UUID().hex(), domain.ID(), cpu, *_sums(values, 2, disks), *_sums(values, 2 + 4 * disks, cards),
        None if size is None else size * _KIB, (given - usable) * _KIB if 0 <= usable <= given <= (size or 0) else None,
        None if held is None else held * _KIB)


def _sums(values: tuple[int, ...], first: int, devices: int) -> tuple[int, ...]:
    """Of four kinds of values, each told by so many devices in turn."""
    if devices == 1:
        return values[first:first + 4]
    if devices == 2:  # as most have: a root volume and the set-up drive
        one, two, three, four, five, six, seven, eight = values[first:first + 8]
        return one + two, three + four, five + six, seven + eight
    if devices == 0:
        return _NOTHING
    return tuple([sum(values[at:at + devices]) for at in range(first, first + 4 * devices, devices)])


@cache
def _reader(disks: int, cards: int) -> tuple[itemgetter, tuple[str, ...]]:
    """What reads all values at once of a domain with so many disks and cards; and where they are, in order."""
    keys = (*_ONCE, *(f"block.{number}.{name}" for name in _DISK for number in range(disks)),
            *(f"net.{number}.{name}" for name in _CARD for number in range(cards)))
    return itemgetter(*keys), keys
