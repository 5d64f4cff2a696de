"""What libvirt's bulk statistics say of one domain, in the contract's words. Thousands are read at a time: it does little."""
from functools import cache
from itertools import repeat

import libvirt

from compute.hosts.drivers.contract import Measurement

GROUPS = (libvirt.VIR_DOMAIN_STATS_CPU_TOTAL | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_INTERFACE
          | libvirt.VIR_DOMAIN_STATS_BLOCK)
_KIB = 1024
_NOTHING = repeat(0)
_DISK = ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")
_CARD = ("rx.bytes", "tx.bytes", "rx.pkts", "tx.pkts")


def measured(domain: libvirt.virDomain, facts: dict[str, int]) -> Measurement | None:
    """None of a domain of which nothing is said: it is busy, or its driver does not measure. Its number on the host is the epoch:
    libvirt gives another one to every start."""
    cpu = facts.get("cpu.time")
    if cpu is None:
        return None
    told = facts.get
    disks, cards = _keys("block", told("block.count", 0), _DISK), _keys("net", told("net.count", 0), _CARD)
    size, held = told("balloon.current"), told("balloon.rss")
    given, usable = told("balloon.available", -1), told("balloon.usable", -1)
    # These two are the guest's own words, which nobody vouches for.
    used = (given - usable) * _KIB if 0 <= usable <= given <= (size or 0) else None
    return Measurement(
        domain.UUIDString(), domain.ID(), cpu, *[sum(map(told, keys, _NOTHING)) for keys in disks],
        *[sum(map(told, keys, _NOTHING)) for keys in cards], None if size is None else size * _KIB, used,
        None if held is None else held * _KIB)


@cache
def _keys(device: str, count: int, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """For each name, where it stands for each of so many devices."""
    return tuple(tuple(f"{device}.{number}.{name}" for number in range(count)) for name in names)
