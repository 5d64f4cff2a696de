"""Requests take turns on a few threads: however many wait, the event loop is free and tells pages what changed."""
import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from asgiref.testing import ApplicationCommunicator
from django.http import HttpRequest, HttpResponse

from portal.serving import Handler

TURNS, ASKED = 3, 20


class Views:
    """Stands for Django below the handler: every request computes until it is let go."""

    def __init__(self) -> None:
        self.may_go, self.lock = threading.Event(), threading.Lock()
        self.inside = self.most = self.begun = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with self.lock:
            self.inside += 1
            self.begun += 1
            self.most = max(self.most, self.inside)
        self.may_go.wait(20)
        with self.lock:
            self.inside -= 1
        return HttpResponse("done")


@pytest.fixture
def views() -> Iterator[Views]:
    made = Views()
    yield made
    made.may_go.set()


@pytest.fixture
def handler(views: Views, monkeypatch) -> Handler:
    # No database here; what the connections do is Django's.
    monkeypatch.setattr("portal.serving.close_old_connections", lambda: None)
    monkeypatch.setattr("portal.serving.request_started.send", lambda **further: None)
    monkeypatch.setattr("django.core.signals.request_finished.send", lambda **further: None)
    made = Handler(turns=TURNS)
    monkeypatch.setattr(made, "get_response", views)
    return made


def request(handler: Handler, path: str = "/", query: bytes = b"") -> ApplicationCommunicator:
    return ApplicationCommunicator(handler, {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []})


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def status(asked: ApplicationCommunicator) -> int:
    start, _body = await asked.receive_output(10), await asked.receive_output(10)
    return start["status"]


async def test_no_more_run_at_once_than_there_are_turns_and_the_loop_is_free_meanwhile(handler: Handler, views: Views) -> None:
    asked = [request(handler) for _number in range(ASKED)]
    for one in asked:
        await one.send_input({"type": "http.request", "body": b""})
    await until(lambda: views.inside == TURNS)
    # All turns are taken and none ends; the loop still does what comes, as hints do.
    for _turn in range(50):
        await asyncio.sleep(0)
    assert views.begun == TURNS
    views.may_go.set()
    assert [await status(one) for one in asked] == [200] * ASKED
    assert views.most == TURNS and views.begun == ASKED


async def test_who_waits_for_an_operation_is_in_nobodys_way(handler: Handler, views: Views) -> None:
    waiting = [request(handler, "/api/v1/operations/x/", b"wait=20") for _number in range(ASKED)]
    for one in waiting:
        await one.send_input({"type": "http.request", "body": b""})
    await until(lambda: views.inside == ASKED)
    page = request(handler)
    await page.send_input({"type": "http.request", "body": b""})
    await until(lambda: views.inside == ASKED + 1)
    views.may_go.set()
    assert {await status(one) for one in (*waiting, page)} == {200}


async def test_a_probe_is_answered_when_all_turns_are_taken(handler: Handler, views: Views, monkeypatch) -> None:
    asked = [request(handler) for _number in range(TURNS)]
    for one in asked:
        await one.send_input({"type": "http.request", "body": b""})
    await until(lambda: views.inside == TURNS)
    monkeypatch.setattr(handler, "get_response", lambda request: HttpResponse("alive"))
    probe = request(handler, "/livez")
    await probe.send_input({"type": "http.request", "body": b""})
    assert await status(probe) == 200 and views.inside == TURNS
    views.may_go.set()
    assert [await status(one) for one in asked] == [200] * TURNS


async def test_who_left_before_their_turn_is_not_computed_for(handler: Handler, views: Views) -> None:
    asked = [request(handler) for _number in range(TURNS)]
    for one in asked:
        await one.send_input({"type": "http.request", "body": b""})
    await until(lambda: views.inside == TURNS)
    left = request(handler)
    await left.send_input({"type": "http.request", "body": b""})
    await asyncio.sleep(0.05)
    await left.send_input({"type": "http.disconnect"})
    await left.wait(10)
    views.may_go.set()
    assert [await status(one) for one in asked] == [200] * TURNS
    assert views.begun == TURNS
