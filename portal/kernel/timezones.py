"""The names of time zones (IANA), read once: the list is made of six hundred small files.

Without those that are no place: the machine's own time, and that of a clock that nobody has set.
"""
from functools import cache
from zoneinfo import available_timezones


@cache
def time_zones() -> frozenset[str]:
    return frozenset(available_timezones() - {"localtime", "Factory"})
