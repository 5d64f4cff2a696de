"""Cron expressions in a time zone, as moments. No row is read and no clock: whoever asks says what time it is.

Five fields, written as for Debian's cron, with cronsim's L and # besides. When clocks change it is another rule than there,
where fields with a `*` go by the time that has passed: here every time of the wall clock is due once a day. One that is skipped
when the clock goes forward is due at the moment of the change (with whatever is due then), one that comes twice when it goes back
is due the first time. So cronsim gets times without a zone, and the zone comes in here.
"""
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.utils.translation import gettext as _

from portal.kernel.errors import InvalidInput
from portal.kernel.timezones import time_zones

FIELDS, LONGEST = 5, 100
LEAST = timedelta(minutes=5)
"""Between two runs."""
LOOKED_AT, LOOK_AHEAD = 2000, timedelta(days=800)
"""How many runs, and how far, are looked at for two that are too close."""
MINUTE = timedelta(minutes=1)


def check(expression: str, time_zone: str, now: datetime) -> None:
    """Raise InvalidInput for an expression that is none, that is never due, or whose runs are less than LEAST apart on the wall
    clock, and for a time zone that there is not."""
    errors: dict[str, list[str]] = {}
    if time_zone not in time_zones():
        errors["time_zone"] = [_("A time zone like Asia/Shanghai, or UTC.")]
    if found := _wrong(expression, now.replace(tzinfo=None)):
        errors["cron"] = [found]
    if errors:
        raise InvalidInput(errors=errors)


def _wrong(expression: str, now: datetime) -> str:
    """What is wrong with the expression, by wall clocks that never change; empty when nothing is."""
    if len(expression) > LONGEST or len(expression.split()) != FIELDS:
        return _("Five fields: minute, hour, day of the month, month, day of the week; for example 0 20 * * 1-5.")
    try:
        last = None
        for due in islice(CronSim(expression, now), LOOKED_AT):
            if last is not None and due - last < LEAST:
                return _("Runs are at least %(minutes)s minutes apart.") % {"minutes": LEAST // MINUTE}
            last = due
            if due > now + LOOK_AHEAD:
                break
    except (CronSimError, AssertionError):  # cronsim asserts what a few wrong expressions get as far as
        return _("This is no cron expression that is ever due. One that is: 0 20 * * 1-5 (at 20:00, from Monday to Friday).")
    if last is None:
        return _("This is never due.")
    return ""


def moments(expression: str, time_zone: str, after: datetime) -> Iterator[datetime]:
    """When it is due after this moment, in UTC, one after the other. Both were checked."""
    zone, last = ZoneInfo(time_zone), after
    for local in CronSim(expression, after.astimezone(zone).replace(tzinfo=None)):
        due = _moment(local, zone)
        if due > last:  # not what was due in the first of two equal hours, nor twice at the end of a skipped one
            last = due
            yield due


def upcoming(expression: str, time_zone: str, after: datetime, count: int = 5) -> list[datetime]:
    """The next few of them."""
    return list(islice(moments(expression, time_zone, after), count))


def _moment(local: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which a clock on the wall shows this for the first time, or passes it."""
    while True:
        found = local.replace(tzinfo=zone).astimezone(UTC)
        if found.astimezone(zone).replace(tzinfo=None) == local:
            return found
        local += MINUTE
