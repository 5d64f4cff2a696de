"""The serial console: one line to the guest, shared by who sits at it, with the tickets, limits and ends of the screen."""
import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from compute.hosts.drivers.simulated import SimulatedHypervisor
from compute.hosts.models import Endpoint
from compute.instances.console import serial
from compute.instances.console.models import ConsoleTicket
from compute.instances.models import Instance
from portal.kernel.models import AuditEvent
from tests.console.conftest import Person, close_code
from tests.console.line import FakeLine
from tests.console.test_sharing import link_of, send
from tests.console.test_tickets import refusal


@pytest.fixture
def line(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> FakeLine:
    fake = FakeLine()
    monkeypatch.setattr(SimulatedHypervisor, "open_serial", lambda _driver, *told, **more: fake.open_serial(*told, **more))
    endpoint = Endpoint.objects.get()
    Endpoint.objects.update(capabilities=endpoint.capabilities | {"has_serial": True})
    return fake


@contextmanager
def seated(person: Person, instance: Instance, **wishes: object) -> Iterator[ClientConnection]:
    with person.open(person.ticket(instance, type="serial", **wishes)) as socket:
        yield socket


def until(condition, what: str) -> None:
    limit = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def test_what_is_typed_reaches_the_guest_and_what_it_writes_the_browser(person, instance, line):
    for who in (person("oscar"), person("oscar", key=True)):
        with seated(who, instance) as socket:
            until(lambda: line.is_open, "the line is open")
            socket.send(b"echo hi\r")
            until(lambda: line.typed == b"echo hi\r", "it arrived")
            line.says(b"hi\r\n\xff")
            assert socket.recv(5) == b"hi\r\n\xff"
        assert line.closed.wait(5), "the last one closes the door"
        line.typed = b""
    event = AuditEvent.objects.filter(action="console.open").latest("pk")
    assert event.after == {"console": "serial"}


def test_several_share_the_line_and_see_the_same(person, instance, line):
    with seated(person("oscar"), instance) as one, seated(person("adam"), instance) as other:
        until(lambda: ConsoleTicket.objects.alive().count() == 2 and line.is_open, "both sit")
        one.send(b"a")
        other.send(b"b")
        until(lambda: sorted(line.typed) == list(b"ab"), "both type")
        line.says(b"shared")
        assert (one.recv(5), other.recv(5)) == (b"shared", b"shared")
        one.close()
        line.says(b"still")
        assert other.recv(5) == b"still"
        assert line.opened == 1 and line.is_open


def test_a_viewer_sees_it_and_what_they_type_is_dropped(person, instance, line):
    link = link_of(person("oscar", key=True), instance)
    vera = person("vera")
    answer = vera.http.post(f"/instances/{instance.pk}/console-view/", {"link": link, "type": "serial"},
                            headers={"host": vera.site})
    with vera.open(answer.json()["ticket"]) as socket:
        until(lambda: line.is_open, "the line is open")
        socket.send(b"rm -rf /\r")
        line.says(b"# ")
        assert socket.recv(5) == b"# "
        time.sleep(0.3)
        assert line.typed == b""


@pytest.mark.parametrize("end", ["kicked", "power", "signed out"])
def test_it_ends_within_seconds(person, instance, line, end):
    oscar, adam = person("oscar"), person("adam", key=True)
    with seated(oscar, instance) as socket:
        until(lambda: line.is_open, "the line is open")
        if end == "kicked":
            [row] = send(adam, instance, "console-sessions", "get").json()["results"]
            assert row["type"] == "serial"
            assert send(adam, instance, "console-sessions/end", session=row["id"]).status_code == 204
        elif end == "power":
            line.says(b"")
        else:
            oscar.http.logout()
        assert close_code(socket, 5) == {"kicked": 4410, "power": 4409, "signed out": 4403}[end]
    assert line.closed.wait(5)


def test_a_line_that_somebody_else_has_is_taken_over_only_by_who_says_so(person, instance, line):
    line.is_taken = True
    oscar = person("oscar")
    assert refusal(oscar, oscar.ticket(instance, type="serial")) == 4423
    with seated(oscar, instance, take_over="yes") as socket:
        until(lambda: line.is_open, "the line is open")
        line.says(b"mine")
        assert socket.recv(5) == b"mine"
    assert AuditEvent.objects.filter(action="console.open", after__takes_over=True).count() == 1


def test_a_serial_ticket_is_good_once_however_many_come(person, instance, line):
    oscar = person("oscar")
    ticket = oscar.ticket(instance, type="serial")

    def enters(_turn: int) -> bool:
        with oscar.open(ticket, open_timeout=60) as socket:
            try:
                socket.recv(8)
            except TimeoutError:
                return True
            except ConnectionClosed:
                return False
        return True

    with ThreadPoolExecutor(30) as crowd:
        assert list(crowd.map(enters, range(30))).count(True) == 1
    assert line.opened == 1
    assert refusal(person("adam"), oscar.ticket(instance, type="serial")) == 4403


def test_what_is_no_frame_of_bytes_ends_it(person, instance, line):
    with seated(person("oscar"), instance) as socket:
        socket.send("text")
        assert close_code(socket) == 1003


def test_a_host_without_serial_consoles_says_so(person, instance):
    for who in (person("oscar"), person("oscar", key=True)):
        answer = who.ask(instance, type="serial")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_supported")
    page = person("oscar").http.get(f"/instances/{instance.pk}/?tab=console&view=serial").content.decode()
    assert "The hypervisor of its host lets nobody at serial ports." in page and "data-terminal" not in page
    assert person("oscar").ask(instance, type="nonsense").status_code == 404
    assert person("oscar", key=True).ask(instance, type="nonsense").status_code == 400


def test_who_does_not_read_loses_the_oldest_and_memory_is_bounded():
    async def measure() -> bytes:
        seat = serial.Seat(SimpleNamespace(is_over=False))
        for number in range(1000):
            seat.put(b"%04d" % number * 1024)
        return await seat.take()

    got = asyncio.run(measure())
    assert len(got) <= serial.MOST_WAITING + len(serial.LEFT_OUT)
    assert got.startswith(serial.LEFT_OUT) and got.endswith(b"0999")


def test_more_than_a_pasted_file_goes_no_faster_than_a_guest_reads(person, instance, line):
    with ExitStack() as stack:
        socket = stack.enter_context(seated(person("oscar"), instance))
        began = time.monotonic()
        socket.send(b"x" * (serial.BURST + 2 * serial.BYTES_A_S))
        limit = began + 20
        while len(line.typed) < serial.BURST + 2 * serial.BYTES_A_S and time.monotonic() < limit:
            time.sleep(0.05)
        assert len(line.typed) == serial.BURST + 2 * serial.BYTES_A_S
        assert time.monotonic() - began > 1
