"""Serial consoles: the one line that a host has to a guest's serial port, shared by everybody of this process who sits at it.

The relay's seat has the verbs of its `Screen`. The line is opened for the first who sits down and closed after the last; what
comes before anybody sits there is in the log. A line that another process or somebody on the host has is taken over only by
who says so.
"""
import asyncio
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from channels.db import database_sync_to_async

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import SerialLine
from compute.hosts.models import Host
from portal.kernel.errors import HostFault

log = structlog.get_logger(__name__)

# libvirt keeps without bound what we do not read, so all is read; who is slow loses the oldest, and sees that.
MOST_WAITING = 256 * 1024
LEFT_OUT = b"\r\n[...]\r\n"
# libvirtd keeps without bound what a guest does not read. A pasted file may come at once, more than that no faster than a
# person types and reads.
BURST, BYTES_A_S = 64 * 1024, 4 * 1024
SLICE = 1024


class Seat:
    """One browser at the line."""

    def __init__(self, line: "Line") -> None:
        self._line = line
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._arrived = asyncio.Event()

    def put(self, content: bytes) -> None:
        """Nothing means that the line has ended."""
        self._chunks.append(content)
        self._waiting += len(content)
        if self._waiting > MOST_WAITING:
            while self._waiting > MOST_WAITING // 2:
                self._waiting -= len(self._chunks.popleft())
            self._chunks.appendleft(LEFT_OUT)
            self._waiting += len(LEFT_OUT)
        self._arrived.set()

    async def take(self) -> bytes:
        """All that has arrived, at least a byte; empty when the line has ended."""
        while not self._chunks and not self._line.is_over:
            self._arrived.clear()
            await self._arrived.wait()
        content = b"".join(self._chunks)
        self._chunks.clear()
        self._waiting = 0
        return content

    async def write(self, content: bytes) -> None:
        """Type, no faster than may be. Raises EOFError when the line has ended."""
        for start in range(0, len(content), SLICE):
            await self._line.write(content[start:start + SLICE])

    def close(self) -> None:
        self._line.leave(self)


class Line:
    """The open line to one guest, with a thread of its own: a host that hangs keeps nobody else waiting."""

    _of_loop: WeakKeyDictionary = WeakKeyDictionary()

    def __init__(self, instance_id: UUID, known: dict[UUID, "Line"]) -> None:
        self.is_over = False
        self._id, self._known = instance_id, known
        self._seats: set[Seat] = set()
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="serial")
        self._opening: asyncio.Future | None = None
        self._open: SerialLine | None = None
        self._lock = threading.Lock()
        self._heard: deque[bytes] = deque()
        self._unheard = 0
        self._room, self._counted_at = float(BURST), self._loop.time()

    @classmethod
    async def sit_down(cls, host: Host, instance_id: UUID, *, takes_over: bool) -> Seat:
        """A seat at the line of this process, which is opened if it is not. Raises a host's fault, SerialTaken among them."""
        known = cls._of_loop.setdefault(asyncio.get_running_loop(), {})
        line = known.get(instance_id)
        if line is None:
            line = known[instance_id] = cls(instance_id, known)
            reached = database_sync_to_async(line._reach, thread_sensitive=False, executor=line._thread)
            line._opening = asyncio.ensure_future(reached(host, takes_over))
            # Nobody may be left to be told of a fault.
            line._opening.add_done_callback(lambda opening: opening.cancelled() or opening.exception())
        seat = Seat(line)
        line._seats.add(seat)
        try:
            # Whoever gives up waiting does not take it from the others.
            await asyncio.shield(line._opening)
        except BaseException:
            line.leave(seat)
            raise
        return seat

    async def write(self, content: bytes) -> None:
        await self._until_there_is_room(len(content))
        if self.is_over:
            raise EOFError
        try:
            await self._loop.run_in_executor(self._thread, self._type, content)
        except (HostFault, RuntimeError) as error:  # it ended meanwhile, and its thread with it
            raise EOFError from error

    def leave(self, seat: Seat) -> None:
        self._seats.discard(seat)
        if not self._seats:
            self._end()

    async def _until_there_is_room(self, count: int) -> None:
        now = self._loop.time()
        self._room = min(BURST, self._room + (now - self._counted_at) * BYTES_A_S) - count
        self._counted_at = now
        if self._room < 0:
            await asyncio.sleep(-self._room / BYTES_A_S)

    def _end(self) -> None:
        """Nobody is there any more, or the host has ended it: whoever comes now opens another."""
        if self._known.get(self._id) is self:
            del self._known[self._id]
        if self.is_over:
            return
        self.is_over = True
        for seat in self._seats:
            seat.put(b"")
        self._thread.submit(self._hang_up)
        self._thread.shutdown(wait=False)

    # -- in its thread --

    def _reach(self, host: Host, takes_over: bool) -> None:
        with hypervisor(host) as driver:
            self._open = driver.open_serial(self._id, self._hear, takes_over=takes_over)

    def _type(self, content: bytes) -> None:
        if self._open is None:
            raise EOFError
        self._open.write(content)

    def _hang_up(self) -> None:
        """After the opening, however that went: it has one thread."""
        if self._open is not None:
            with suppress(HostFault):
                self._open.close()

    # -- in the driver's thread --

    def _hear(self, content: bytes) -> None:
        with self._lock:
            is_first = not self._heard
            self._heard.append(content)
            self._unheard += len(content)
            while self._unheard > MOST_WAITING:  # the loop is busy
                self._unheard -= len(self._heard.popleft())
        if is_first:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._spread)

    # -- in the loop --

    def _spread(self) -> None:
        with self._lock:
            pieces = list(self._heard)
            self._heard.clear()
            self._unheard = 0
        has_ended = not all(pieces)
        if content := b"".join(pieces):
            for seat in self._seats:
                seat.put(content)
        if has_ended:
            self._end()
