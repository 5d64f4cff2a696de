"""When schedules are due: wall clocks that jump, expressions that are refused. No database, and no clock of this machine."""
from datetime import UTC, datetime, timedelta

import pytest

from compute.instances.schedules.cron import check, moments, upcoming
from portal.kernel.errors import InvalidInput

BERLIN, YORK, APIA = "Europe/Berlin", "America/New_York", "Pacific/Apia"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("zone", "expression", "after", "wanted"), [
    # The hour from 02:00 to 03:00 (01:00 UTC) is skipped on 2026-03-29 in Berlin: due at the change.
    (BERLIN, "30 2 * * *", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-30T00:30", "2026-03-31T00:30"]),
    (BERLIN, "0 2,3 * * *", "2026-03-29T00:00", ["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T01:00"]),
    (BERLIN, "*/30 * * * *", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T01:30", "2026-03-29T02:00"]),
    (BERLIN, "0 */2 * * *", "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T02:00", "2026-03-29T04:00"]),
    # It comes twice on 2026-10-25: from 00:00 to 01:00 UTC, and again to 02:00.
    (BERLIN, "30 2 * * *", "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),
    (BERLIN, "30 2 * * *", "2026-10-25T00:30", ["2026-10-26T01:30"]),
    (BERLIN, "30 2 * * *", "2026-10-25T01:10", ["2026-10-26T01:30"]),  # 02:10 the second time
    (BERLIN, "*/30 * * * *", "2026-10-25T00:00", ["2026-10-25T00:30", "2026-10-25T02:00", "2026-10-25T02:30"]),
    (YORK, "30 1 * * *", "2026-11-01T00:00", ["2026-11-01T05:30", "2026-11-02T06:30"]),
    # Samoa had no 2011-12-30 at all.
    (APIA, "0 12 * * *", "2011-12-29T00:00", ["2011-12-29T22:00", "2011-12-30T10:00", "2011-12-30T22:00"]),
    ("Asia/Shanghai", "0 20 * * 1-5", "2026-11-27T11:59", ["2026-11-27T12:00", "2026-11-30T12:00", "2026-12-01T12:00"]),
    ("UTC", "0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ("UTC", "0 6 L * *", "2026-01-31T06:00", ["2026-02-28T06:00", "2026-03-31T06:00"])])
def test_every_time_of_the_wall_clock_is_due_once(zone: str, expression: str, after: str, wanted: list[str]) -> None:
    assert upcoming(expression, zone, at(after), len(wanted)) == list(map(at, wanted))


@pytest.mark.parametrize("zone", [BERLIN, YORK, APIA, "Australia/Lord_Howe", "UTC"])
def test_whoever_asks_again_from_a_moment_goes_on_where_it_was(zone: str) -> None:
    """The clock asks after each run; together they are what one would have been told at the start: each once, and forward."""
    for start in ("2026-03-08T00:00", "2026-03-28T00:00", "2026-10-24T00:00", "2026-10-31T00:00", "2026-04-04T00:00"):
        whole = upcoming("*/20 0-4 * * *", zone, at(start), 40)
        assert whole == sorted(set(whole)) and len(whole) == 40
        now = at(start)
        for due in whole:
            assert (now := next(moments("*/20 0-4 * * *", zone, now))) == due
            assert next(moments("*/20 0-4 * * *", zone, due - timedelta(seconds=31))) == due


@pytest.mark.parametrize("expression", [
    "0 0 30 2 *", "0 0 31 4,6 *", "", "x", "* * * *", "0 0 * * * *", "@daily", "60 * * * *", "0 24 * * *", "0 0 0 * *",
    "0 0 * 13 *", "0 0 * * 9", "5-1 * * * *", "*/0 * * * *", "0 0 * * MON#6", "² * * * *", "0" * 200, "0 0 LW/x * *", "0 0 * * L",
    # too often
    "* * * * *", "*/4 * * * *", "0,3 * * * *", "58,0 * * * *", "*/7 * * * *", "0,58 0,23 1,15,16 * *"])
def test_what_is_none_is_never_due_or_too_often_is_refused(expression: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check(expression, "UTC", at("2026-11-30T21:00"))
    assert list(refused.value.errors) == ["cron"]


@pytest.mark.parametrize("expression", ["*/5 * * * *", "0 20 * * 1-5", "0 0 29 2 *", "0 8 1 jan,jul *", "0 6 * * sun#1",
                                        "0 6 L * *",
                                        "55 23 * * *", "0,55 8 * * *"])
def test_what_is_good_is_taken(expression: str) -> None:
    check(expression, BERLIN, at("2026-11-30T21:00"))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "CEST", "europe/berlin", "localtime",
                                  "Factory"])
def test_there_is_no_such_time_zone(zone: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check("0 0 * * *", zone, at("2026-11-30T21:00"))
    assert list(refused.value.errors) == ["time_zone"]
