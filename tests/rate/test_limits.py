"""Limits of requests: exact however many come at once, by address too, and without Redis each process by itself."""
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis
from django.test import Client

from portal.kernel.rest import rate
from tests.cast import Cast, make_cast

PATH = "/api/v1/projects/"
NOW = 1_800_000_010.0
FAR = "203.0.113.7"


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture(autouse=True)
def fresh(settings, monkeypatch) -> None:
    """A window of its own, of which nobody has taken anything."""
    settings.API_RATE = {"requests": 50, "window_s": 3600}
    monkeypatch.setattr(rate.time, "time", lambda: NOW)
    monkeypatch.setattr(rate._Silence, "until", 0.0)
    monkeypatch.setattr(rate, "_own", rate._Own())
    client = redis.Redis.from_url(settings.REDIS_URL)
    for key in client.scan_iter(f"rate:*:{int(NOW // 3600)}"):
        client.delete(key)


def someone() -> rate.Caller:
    return rate.of_key(f"{time.monotonic_ns()}")


# -- exact --

def test_of_any_number_at_once_exactly_the_limit_passes() -> None:
    caller = someone()
    with ThreadPoolExecutor(16) as threads:
        taken = list(threads.map(lambda _turn: rate.take([caller]), range(200)))
    assert Counter(one.is_used_up for one in taken) == {False: 50, True: 150}


def test_processes_that_know_nothing_of_each_other_share_one_limit(monkeypatch) -> None:
    caller = someone()
    passed = 0
    for _process in range(4):
        monkeypatch.setattr(rate, "_own", rate._Own())
        passed += sum(not rate.take([caller]).is_used_up for _request in range(20))
    assert passed == 50


def test_one_exchange_counts_all_windows_of_a_request_and_a_refused_one_costs_none(settings, monkeypatch) -> None:
    settings.API_RATE |= {"requests": 2, "user_requests": 9, "address_requests": 9}
    sent = []
    execute = redis.client.Pipeline.execute
    monkeypatch.setattr(redis.client.Pipeline, "execute", lambda self: (sent.append(len(self)), execute(self))[1])
    callers = [someone(), rate.of_user(time.monotonic_ns()), *rate.of_address("198.51.100.1")]
    found = [rate.take(callers) for _request in range(4)]
    assert sent == [6, 6] and [one.is_used_up for one in found] == [False, False, True, True]
    assert found[1].headers()["RateLimit"] == '"default";r=0;t=3590, "user";r=7;t=3590, "address";r=7;t=3590'
    assert found[1].headers()["RateLimit-Policy"] == '"default";q=2;w=3600, "user";q=9;w=3600, "address";q=9;w=3600'


def test_all_keys_of_a_user_share_a_limit_too(cast: Cast, settings) -> None:
    settings.API_RATE |= {"user_requests": 3}
    one, other = cast.key("alice"), cast.key("alice")
    assert [client.get(PATH).status_code for client in (one, other, one, other, one)] == [200, 200, 200, 429, 429]
    assert cast.key("adam").get(PATH).status_code == 200


# -- addresses --

@pytest.mark.parametrize(("address", "counted"), [
    ("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("2001:db8:1:2::1", "2001:db8:1:2::/64"), ("2001:db8:1:3::1", "2001:db8:1:3::/64"), ("127.0.0.1", ""), ("::1", ""),
    ("::ffff:127.0.0.1", ""), (None, ""), ("", ""), ("unix:", "")])
def test_what_counts_as_one_address(address: str | None, counted: str) -> None:
    assert rate.counted_network(address) == counted


def test_strangers_are_counted_by_address_and_learn_it(cast: Cast, settings) -> None:
    settings.API_RATE |= {"stranger_requests": 2}
    strangers = cast.api(None)
    answers = [strangers.get(PATH, REMOTE_ADDR=FAR, HTTP_AUTHORIZATION="Bearer nonsense") for _request in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert answers[0]["RateLimit"] == '"stranger";r=1;t=3590' and answers[2]["Retry-After"] == "3590"
    assert strangers.get(PATH, REMOTE_ADDR="203.0.113.8").status_code == 401
    assert cast.key("alice").get(PATH, REMOTE_ADDR=FAR).status_code == 200


def test_an_address_has_a_limit_whoever_asks_from_it_and_a_forged_header_moves_nobody(cast: Cast, settings) -> None:
    settings.API_RATE |= {"address_requests": 2}
    found = [cast.key(name).get(PATH, REMOTE_ADDR=FAR, HTTP_X_FORWARDED_FOR=f"10.0.0.{number}").status_code
             for number, name in enumerate(("alice", "adam", "vera"))]
    assert found == [200, 200, 429]


def test_a_whole_ipv6_network_is_one_address(cast: Cast, settings) -> None:
    settings.API_RATE |= {"address_requests": 2}
    client = cast.key("alice")
    found = [client.get(PATH, REMOTE_ADDR=f"2001:db8::{number}").status_code for number in range(1, 4)]
    assert found == [200, 200, 429]
    assert client.get(PATH, REMOTE_ADDR="2001:db8:0:1::1").status_code == 200


def test_forms_are_counted_by_address_and_pages_that_only_show_are_not(cast: Cast, settings) -> None:
    settings.API_RATE |= {"address_requests": 2}
    browser = Client()
    sent = [browser.post("/accounts/login/", {"login": "alice", "password": "x"}, REMOTE_ADDR=FAR) for _try in range(3)]
    assert [answer.status_code for answer in sent] == [200, 200, 429]
    assert sent[2]["Retry-After"] == "3590" and b"<html" in sent[2].content
    assert browser.get("/accounts/login/", REMOTE_ADDR=FAR).status_code == 200
    assert browser.get("/api/v1/schema/", REMOTE_ADDR=FAR).json()["code"] == "rate_limited"
    assert browser.post("/accounts/login/", {"login": "alice", "password": "x"}, REMOTE_ADDR="203.0.113.9").status_code == 200


# -- without Redis --

@pytest.fixture
def own_redis(settings, tmp_path, monkeypatch) -> Iterator[subprocess.Popen]:
    """A server of the test's own, which it may kill."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)],
                              stdout=subprocess.DEVNULL)
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
    rate._client.cache_clear()
    for _try in range(100):
        with suppress(redis.ConnectionError):
            rate._client().ping()
            break
        time.sleep(0.02)
    yield server
    server.kill()
    server.wait()
    rate._client.cache_clear()


def test_a_killed_redis_stops_nobody_and_holds_nobody_up(cast: Cast, settings, own_redis, monkeypatch) -> None:
    settings.API_RATE |= {"requests": 8, "processes": 2}
    client = cast.key("alice")
    assert client.get(PATH)["RateLimit"].startswith('"default";r=7')
    own_redis.kill()
    own_redis.wait()
    asked = []
    execute = redis.client.Pipeline.execute
    monkeypatch.setattr(redis.client.Pipeline, "execute", lambda self: (asked.append(1), execute(self))[1])
    before = rate.UNSHARED._value.get()
    answers = [client.get(PATH) for _request in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429], "half of the limit, for one of two processes"
    assert answers[0]["RateLimit-Policy"] == '"default";q=4;w=3600'
    assert len(asked) == 1 and not rate.is_shared() and rate.UNSHARED._value.get() == before + 5


def test_one_that_hangs_costs_one_request_its_patience_and_the_others_nothing(own_redis) -> None:
    own_redis.send_signal(signal.SIGSTOP)
    caller = someone()
    started = time.perf_counter()
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda _turn: rate.take([caller]), range(8)))
    first = time.perf_counter() - started
    assert all(rate.take([caller]) for _request in range(40))
    assert time.perf_counter() - started - first < rate.ANSWERS_WITHIN_S / 2, "they did not wait for it"
    assert first < 4 * rate.ANSWERS_WITHIN_S
    own_redis.send_signal(signal.SIGCONT)


def test_redis_is_asked_again_by_one_request_and_then_by_all(monkeypatch) -> None:
    asked, clock = [], [100.0]
    monkeypatch.setattr(rate.time, "monotonic", lambda: clock[0])

    class Away:
        def pipeline(self, **_options: object) -> None:
            asked.append(clock[0])
            raise redis.ConnectionError("away")

    real = rate._client
    monkeypatch.setattr(rate, "_client", Away)
    caller = rate.of_key("again")
    for _request in range(3):
        rate.take([caller])
    clock[0] += rate.ASK_AGAIN_AFTER_S + 0.1
    for _request in range(3):
        rate.take([caller])
    assert asked == [100.0, clock[0]]
    monkeypatch.setattr(rate, "_client", real)
    clock[0] += rate.ASK_AGAIN_AFTER_S + 0.1
    assert rate.take([caller]) and rate.is_shared()


def test_a_flood_of_callers_takes_no_more_memory_than_is_allowed(monkeypatch) -> None:
    monkeypatch.setattr(rate, "MOST_REMEMBERED", 10)
    own = rate._Own()
    counts = [own.count((60, 1), f"caller {number}") for number in range(30)]
    assert counts[:10] == [1] * 10 and counts[10:] == list(range(1, 21)) and len(own._windows[60].used) == 11
    assert own.count((60, 2), "caller 0") == 1 and len(own._windows[60].used) == 1


def test_windows_of_other_lengths_are_counted_apart_with_redis_and_without(settings, monkeypatch) -> None:
    settings.API_RATE = {"requests": 2, "window_s": 60}
    for client in (rate._client, lambda: redis.Redis.from_url("redis://127.0.0.1:1/0")):
        monkeypatch.setattr(rate, "_client", client)
        caller = someone()
        found = [(rate.take([caller]), rate.take([caller], 3600)) for _turn in range(3)]
        assert [(short.is_used_up, long.is_used_up) for short, long in found] == [(False, False), (False, False), (True, True)]
        assert (found[0][0].window_s, found[0][1].window_s) == (60, 3600)


def test_health_says_whether_limits_are_shared(cast: Cast, monkeypatch) -> None:
    assert Client().get("/readyz").json()["checks"]["limits_shared"] is True
    monkeypatch.setattr(rate._Silence, "until", time.monotonic() + 5)
    assert Client().get("/readyz").json()["checks"]["limits_shared"] is False
    assert b"mains_rate_limit_unshared_total" in Client().get("/metrics").content
