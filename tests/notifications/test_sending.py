"""When mails go out: at once or with the day's, never too many an hour, again after a fault, and not lost by a killed worker."""
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from smtplib import SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.db import connection
from django.db.models import F

from portal.kernel import crash
from portal.notices import dispatch, preferences, tasks
from portal.notices.models import Letter, Notice, Preferences
from tenants import people
from tenants.models import User
from tests.cast import Cast
from tests.notifications.conftest import ended
from tests.tenants.people.conftest import fresh

Told = Callable[[User], list[str]]


def give(cast: Cast, times: int = 1) -> None:
    """Security notices for vera."""
    for _time in range(times):
        made = people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
        people.take_role(made, actor=fresh(cast.alice))


def wants(cast: Cast, how: str, **options: Any) -> None:
    preferences.choose(cast.vera, mails={"operation.failed": how}, actor=cast.vera, **options)


@pytest.mark.parametrize(("zone", "now", "then"), [
    ("", "2026-11-29T07:59", "2026-11-29T08:00"), ("", "2026-11-29T08:00", "2026-11-30T08:00"),
    ("Asia/Shanghai", "2026-11-29T07:59", "2026-11-30T00:00"), ("Asia/Shanghai", "2026-11-28T23:59", "2026-11-29T00:00"),
    ("America/New_York", "2026-11-29T07:59", "2026-11-29T13:00"), ("Europe/Berlin", "2026-03-28T12:00", "2026-03-29T06:00"),
    ("Nowhere/Else", "2026-11-29T07:59", "2026-11-29T08:00")])
def test_the_days_mail_comes_at_eight_on_their_clock(zone: str, now: str, then: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert preferences.next_digest(Preferences(time_zone=zone), at) == datetime.fromisoformat(then).replace(tzinfo=UTC)


def test_the_days_mail_has_all_of_the_day_and_comes_when_it_is_due(cast: Cast, told: Told) -> None:
    wants(cast, "daily")
    for _number in range(3):
        ended(cast)
    assert told(cast.vera) == []
    Notice.objects.update(due_at=F("due_at") - timedelta(days=1))
    assert told(cast.vera) == ["[Mains] 3 notifications"]
    assert mail.outbox[-1].body.count("/operations/") == 3
    assert told(cast.vera) == ["[Mains] 3 notifications"], "once"


def test_never_more_than_so_many_an_hour_and_the_rest_together(cast: Cast, told: Told) -> None:
    give(cast, 12)
    assert len(told(cast.vera)) == dispatch.MOST_AN_HOUR
    assert told(cast.vera)[-1] == f"[Mains] {24 - dispatch.MOST_AN_HOUR + 1} notifications"
    give(cast, 2)
    assert len(told(cast.vera)) == dispatch.MOST_AN_HOUR, "no room in this hour"
    Letter.objects.update(created_at=F("created_at") - timedelta(minutes=61))
    assert len(told(cast.vera)) == dispatch.MOST_AN_HOUR + 4


def test_the_hours_mails_of_one_are_not_anothers(cast: Cast, told: Told) -> None:
    give(cast, 12)
    people.give_role("viewer", cast.project, to=cast.oscar, actor=fresh(cast.alice))
    assert len(told(cast.oscar)) == 1


class Broken(EmailBackend):
    """A mail server that says no so many times."""

    faults: list[Exception] = []

    def send_messages(self, messages: Any) -> int:
        if self.faults:
            raise self.faults.pop()
        return super().send_messages(messages)


@pytest.fixture
def broken(settings: Any) -> type[Broken]:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    Broken.faults = []
    return Broken


def test_what_the_mail_server_does_not_take_is_tried_again(cast: Cast, told: Told, broken: type[Broken]) -> None:
    give(cast)
    broken.faults = [SMTPServerDisconnected("gone"), ConnectionRefusedError()]
    assert told(cast.vera) == []
    letters = Letter.objects.filter(user=cast.vera)
    assert {(one.state, one.tries) for one in letters} == {("pending", 1)} and all(one.error for one in letters)
    assert told(cast.vera) == [], "not before its time"
    letters.update(next_at=F("next_at") - timedelta(minutes=5))
    assert len(told(cast.vera)) == 2
    assert set(letters.values_list("state", "tries")) == {("sent", 2)}


def test_it_is_given_up_after_two_days(cast: Cast, told: Told, broken: type[Broken]) -> None:
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    for _time in range(len(dispatch.BACKOFF_S) + 1):
        broken.faults = [OSError()]
        dispatch.run()
        Letter.objects.filter(state="pending").update(next_at=F("next_at") - timedelta(days=2))
    assert told(cast.vera) == [] and Letter.objects.get().state == "failed"


def test_one_that_cannot_be_written_keeps_no_other_waiting(cast: Cast, told: Told) -> None:
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    people.give_role("viewer", cast.project, to=cast.oscar, actor=fresh(cast.alice))
    Notice.objects.filter(user=cast.vera).update(act="nothing.known")
    assert len(told(cast.oscar)) == 1 and told(cast.vera) == []
    assert Letter.objects.get(user=cast.vera).error == "KeyError"


@pytest.mark.parametrize("point", ["claimed letters", "sent a letter"])
def test_a_worker_killed_anywhere_loses_no_mail(cast: Cast, told: Told, point: str) -> None:
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))

    def die(what: str) -> None:
        if what == point:
            raise KeyboardInterrupt

    crash.arm(die)
    try:
        with pytest.raises(KeyboardInterrupt):
            dispatch.run()
    finally:
        crash.arm(None)
    before = len(mail.outbox)
    assert before == (point == "sent a letter") and told(cast.vera) == told(cast.vera) and len(mail.outbox) == before, "leased"
    Letter.objects.update(lease_until=F("lease_until") - timedelta(minutes=5))
    dispatch.run()
    assert len(mail.outbox) == before + 1 and Letter.objects.get().state == "sent"
    assert len({message.message()["Message-ID"] for message in mail.outbox}) == 1, "a doubled one is known by its id"


def test_whoever_lost_the_lease_writes_nothing(cast: Cast) -> None:
    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    dispatch.write()
    [letter] = dispatch.claim()
    Letter.objects.update(token=F("token") + 1)
    assert not dispatch.settle(letter, "failed") and Letter.objects.get().state == "pending"


def test_nothing_is_sent_during_maintenance(cast: Cast, told: Told) -> None:
    from portal.kernel import maintenance

    people.give_role("operator", cast.project, to=cast.vera, actor=fresh(cast.alice))
    maintenance.begin("upgrade")
    assert told(cast.vera) == []
    maintenance.end()
    assert len(told(cast.vera)) == 1


def test_workers_at_once_send_each_mail_once(racing: Cast) -> None:
    for name in ("vera", "oscar", "adam"):
        for _time in range(3):
            people.take_role(people.give_role("billing", racing.project, to=racing.people[name], actor=fresh(racing.alice)),
                             actor=fresh(racing.alice))
    faults: list[BaseException] = []

    def work() -> None:
        try:
            dispatch.run()
            tasks.deliver()
        except BaseException as fault:
            faults.append(fault)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not faults and len(mail.outbox) == 18
    assert len({message.message()["Message-ID"] for message in mail.outbox}) == 18
