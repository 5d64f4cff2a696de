"""The connection to a host's VNC port: bytes with flow control both ways, and never more than a little in memory."""
import asyncio
import socket

# Read no more from the host while so much waits for the browser; one more read (≤ 256 KiB) may already be under way.
HIGH_WATER = 256 * 1024
SLICE = 64 * 1024


class Screen(asyncio.Protocol):
    """One TCP connection. A Protocol, not streams: half the work a byte."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._paused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self.is_lost = False
        self.transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, host: str, port: int) -> "Screen":
        _transport, screen = await asyncio.get_running_loop().create_connection(cls, host, port)
        return screen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        # A host that vanishes without a word is noticed within half a minute.
        link = transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
            link.setsockopt(socket.IPPROTO_TCP, option, value)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._waiting += len(data)
        if self._waiting >= HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._arrived.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def take(self) -> bytes:
        """All that has arrived, at least a byte; empty when the host hung up."""
        while not self._chunks:
            if self.is_lost:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._waiting = [], 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return content

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes, for the opening; what came with them is kept."""
        content = b""
        while len(content) < count:
            more = await self.take()
            if not more:
                raise EOFError
            content += more
        if len(content) > count:
            self._chunks.insert(0, content[count:])
            self._waiting += len(content) - count
        return content[:count]

    async def write(self, content: bytes) -> None:
        """Send, no faster than the host takes it. Raises EOFError when it hung up."""
        for start in range(0, len(content), SLICE):
            if self.is_lost:
                raise EOFError
            self.transport.write(content if len(content) <= SLICE else content[start:start + SLICE])
            await self._writable.wait()

    def close(self) -> None:
        self.transport.abort()
