"""Too many wrong passwords: who is shut out, from where, for how long, and who lets them in again."""
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.signals import user_login_failed
from django.test import Client
from django.utils import timezone

from portal.kernel.models import AuditEvent
from tests.cast import Cast
from tests.signin.conftest import give_password, is_in

MOST = 10
HERE, ELSEWHERE = "198.51.100.7", "203.0.113.9"


def fail(name: str, times: int, address: str = HERE, **headers: str) -> list[int]:
    client = Client(REMOTE_ADDR=address, headers={"accept-language": "en", **headers})
    return [give_password(client, name, "wrong").status_code for _number in range(times)]


def test_a_stranger_shuts_nobody_out(cast: Cast) -> None:
    assert fail("alice", MOST + 2)[-3:] == [429, 429, 429]
    victim = Client(REMOTE_ADDR=ELSEWHERE)
    give_password(victim, "alice")
    assert is_in(victim)


def test_who_is_shut_out_is_told_what_to_do(cast: Cast) -> None:
    fail("alice", MOST)
    client = Client(REMOTE_ADDR=HERE, headers={"accept-language": "en"})
    answer = give_password(client, "alice")
    text = answer.content.decode()
    assert answer.status_code == 429 and int(answer["Retry-After"]) == 900 and not is_in(client)
    assert "15 minutes" in text and "mains.css" in text and "/accounts/password/reset/" in text
    [told] = AuditEvent.objects.filter(action="user.locked_out", result="refused")
    assert told.actor == cast.alice and told.address == HERE


def test_names_that_nobody_has_are_shut_out_alike(cast: Cast) -> None:
    """Or the answer would tell which are somebody's."""
    assert fail("nobody", MOST) == fail("alice", MOST, ELSEWHERE)
    ours, nobodys = (give_password(Client(REMOTE_ADDR=address), name).content.decode()
                     for name, address in (("alice", ELSEWHERE), ("nobody", HERE)))
    assert [line for line in ours.splitlines() if "csrf" not in line.lower()] == [
        line for line in nobodys.splitlines() if "csrf" not in line.lower()]


@pytest.mark.parametrize("names", [("alice", "ALICE", "Alice"), ("alice", "alice@example.org", "Alice@Example.org", " alice ")])
def test_other_spellings_of_a_name_are_no_further_tries(cast: Cast, names: tuple[str, ...]) -> None:
    for number in range(MOST):
        fail(names[number % len(names)], 1)
    assert give_password(Client(REMOTE_ADDR=HERE), "alice").status_code == 429
    assert AccessAttempt.objects.values("username").distinct().count() == 1


def test_a_header_is_no_other_address(cast: Cast) -> None:
    for number in range(MOST):
        fail("alice", 1, **{"x-forwarded-for": f"10.0.0.{number}", "x-real-ip": f"10.0.1.{number}",
                            "user-agent": f"curl/{number}"})
    assert give_password(Client(REMOTE_ADDR=HERE), "alice").status_code == 429


def test_a_network_of_addresses_is_one(cast: Cast) -> None:
    for number in range(MOST):
        fail("alice", 1, f"2001:db8:1:2::{number + 1:x}")
    assert give_password(Client(REMOTE_ADDR="2001:db8:1:2:ffff::1"), "alice").status_code == 429
    other = Client(REMOTE_ADDR="2001:db8:1:3::1")
    give_password(other, "alice")
    assert is_in(other)


def test_it_ends_by_time_and_by_an_operator(cast: Cast) -> None:
    fail("alice", MOST)
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))
    client = Client(REMOTE_ADDR=HERE)
    give_password(client, "alice")
    assert is_in(client)
    fail("vera", MOST)
    admin, row = cast.browser("root"), AccessAttempt.objects.get(username="vera")
    admin.post("/admin/axes/accessattempt/", {"action": "unlock", "_selected_action": str(row.pk), "confirmed": "1"})
    client = Client(REMOTE_ADDR=HERE)
    give_password(client, "vera")
    assert is_in(client) and AuditEvent.objects.filter(action="user.unlock", actor=cast.root).exists()


def test_what_was_typed_is_not_kept(cast: Cast) -> None:
    fail("alice", 2)
    kept = AccessAttempt.objects.get()
    assert "wrong" not in kept.post_data and "wrong" not in str(kept.get_data)
    assert user_login_failed.receivers, "axes counts by Django's signal"
