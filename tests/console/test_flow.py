"""Slow and flooding clients: memory stays bounded, and others do not notice."""
import os
import socket as sockets
import threading
import time
from contextlib import ExitStack

from tests.console.conftest import close_code, enter, entered
from tests.console.screen import FakeScreen

MIB = 1024 * 1024


class Fountain:
    """Sends as fast as it may, and counts."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, link: sockets.socket) -> None:
        link.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, 64 * 1024)
        link.recv(1)  # asked to begin
        while True:
            self.sent += link.send(bytes(64 * 1024))


def stopped(fountain: Fountain) -> bool:
    """Whether it sends nothing for a second, once all the buffers on the way have filled: how soon is up to the machine."""
    deadline, sent = time.monotonic() + 30, -1
    while fountain.sent != sent and time.monotonic() < deadline:
        sent = fountain.sent
        time.sleep(1)
    return fountain.sent == sent


def resident() -> int:
    """Bytes of memory of this process, which is the portal's too."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_a_browser_does_not_read_is_not_read_from_the_host_either(person, instance, screens):
    fountain = Fountain()
    screens[instance.pk] = FakeScreen(instance.vnc_password, then=fountain)
    oscar = person("oscar")
    before = resident()
    with ExitStack() as stack:
        slow = [stack.enter_context(oscar.open(oscar.ticket(instance), max_queue=1)) for _turn in range(10)]
        for one in slow:
            enter(one)
            one.send(b"g")
        assert stopped(fountain), "the flow goes on"
        # Both ends and our clients' own threads and buffers are in this process, too.
        assert resident() - before < len(slow) * 2 * MIB
        assert latency_of_another(person, instance, screens) < 0.5
        for one in slow:
            one.socket.close()


def latency_of_another(person, instance, screens) -> float:
    screens[instance.pk] = FakeScreen(instance.vnc_password)
    with entered(person("adam"), instance) as quick:
        started = time.monotonic()
        quick.send(b"x")
        assert quick.recv(5) == b"x"
        return time.monotonic() - started


def test_a_guest_that_does_not_read_stops_the_browser_and_not_the_portal(person, instance, screens):
    stop = threading.Event()
    screens[instance.pk] = FakeScreen(instance.vnc_password, then=lambda _link: stop.wait(20))
    before = resident()
    with entered(person("oscar"), instance) as socket:
        socket.socket.settimeout(2)
        sent = 0
        try:
            while sent < 64 * MIB:
                socket.send(bytes(256 * 1024))
                sent += 256 * 1024
        except Exception:
            pass
        assert sent < 32 * MIB
        assert resident() - before < 4 * MIB
        socket.socket.close()
    stop.set()
    screens[instance.pk].close()


def test_a_frame_over_a_mebibyte_ends_the_console(person, instance, screen):
    with entered(person("oscar"), instance) as socket:
        socket.send(bytes(MIB + 1))
        assert close_code(socket) == 1009


def test_text_is_no_console_traffic(person, instance, screen):
    with entered(person("oscar"), instance) as socket:
        socket.send("hello")
        assert close_code(socket) == 1003


def test_bulk_arrives_whole_and_in_order(person, instance, screens):
    content = os.urandom(8 * MIB)

    def send_it(link: sockets.socket) -> None:
        link.recv(1)  # asked to begin
        link.sendall(content)
        link.recv(1)

    screens[instance.pk] = FakeScreen(instance.vnc_password, then=send_it)
    with entered(person("oscar"), instance) as socket:
        socket.send(b"g")
        got = bytearray()
        while len(got) < len(content):
            got += socket.recv(10)
        assert bytes(got) == content
    screens[instance.pk].close()
