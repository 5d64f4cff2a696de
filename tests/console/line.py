"""A serial line without a host: what is typed is kept, and a test says what the guest writes."""
import threading
from collections.abc import Callable
from uuid import UUID

from compute.hosts.drivers.contract import SerialTaken
from portal.kernel.errors import HostFault


class FakeLine:
    """`open_serial` of a hypervisor whose guests have one serial port each, and all the same."""

    def __init__(self) -> None:
        self.typed, self.opened, self.is_open, self.is_taken = b"", 0, False, False
        self.closed = threading.Event()
        self._on_bytes: Callable[[bytes], None] = lambda _content: None

    def open_serial(self, _uuid: UUID, on_bytes: Callable[[bytes], None], *, takes_over: bool = False) -> "FakeLine":
        if self.is_taken and not takes_over:
            raise SerialTaken
        self.opened += 1
        self.is_open, self._on_bytes = True, on_bytes
        self.closed.clear()
        return self

    def says(self, content: bytes) -> None:
        """What the guest writes, from a thread as a driver's; nothing is the end."""
        thread = threading.Thread(target=self._on_bytes, args=(content,))
        thread.start()
        thread.join()

    def write(self, content: bytes) -> None:
        if not self.is_open:
            raise HostFault("it is closed")
        self.typed += content

    def close(self) -> None:
        self.is_open = False
        self.closed.set()
