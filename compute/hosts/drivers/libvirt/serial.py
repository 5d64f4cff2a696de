"""A guest's serial port: libvirt's console stream, which its event loop reads.

Each line has a connection of its own. libvirtd keeps what a guest does not read, and a connection that is stuck with that is
nobody else's.
"""
import threading
from contextlib import suppress
from typing import Any
from uuid import UUID

import libvirt

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import OnBytes
from portal.kernel.errors import HostFault

from .faults import Gone, NotInThisState
from .loop import is_running_here
from .owned import Owned
from .session import Caller, Session

_SLICE = 64 * 1024
_WOULD_BLOCK = -2
_WATCHED = (libvirt.VIR_STREAM_EVENT_READABLE | libvirt.VIR_STREAM_EVENT_ERROR | libvirt.VIR_STREAM_EVENT_HANGUP)


class Serial(Owned):
    """The hypervisor's part for serial ports."""

    def open_serial(self, uuid: UUID, on_bytes: OnBytes, *, takes_over: bool = False) -> "Line":
        if not self._is_qemu:
            raise HostFault(reasons.NOT_SUPPORTED)
        line = Line(Session(self._address), self._fence)
        try:
            line.open(uuid, on_bytes, takes_over=takes_over)
        except (Gone, NotInThisState) as error:
            line.close()
            fault = HostFault(reasons.NOT_RUNNING)
            for note in getattr(error, "__notes__", ()):
                fault.add_note(note)
            raise fault from error
        except BaseException:
            line.close()
            raise
        return line


class Line(Caller):
    """One open serial port."""

    def __init__(self, *caller: Any) -> None:
        super().__init__(*caller)
        self._lock = threading.Lock()
        self._stream: libvirt.virStream | None = None
        self._on_bytes: OnBytes | None = None

    def open(self, uuid: UUID, on_bytes: OnBytes, *, takes_over: bool) -> None:
        host = self._host()
        if not is_running_here():  # nobody would read it
            raise HostFault(reasons.NOT_SUPPORTED)
        domain = self._call("domain.lookup", host.lookupByUUIDString, str(uuid))
        stream = self._call("domain.console", host.newStream, libvirt.VIR_STREAM_NONBLOCK)
        flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if takes_over else 0
        self._call("domain.console", domain.openConsole, None, stream, flags)
        self._stream, self._on_bytes = stream, on_bytes
        stream.eventAddCallback(_WATCHED, self._hear, None)

    def write(self, content: bytes) -> None:
        while content:
            stream = self._stream
            if stream is None:
                raise HostFault(reasons.BROKEN_CONNECTION)
            sent = self._call("console.send", stream.send, content)
            if sent == _WOULD_BLOCK:
                threading.Event().wait(0.02)
            else:
                content = content[sent:]

    def close(self) -> None:
        """Nothing is heard after that."""
        self._leave()
        with self._lock:
            stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(libvirt.libvirtError):
                stream.eventRemoveCallback()
            with suppress(libvirt.libvirtError):
                stream.abort()
        self._session.close()

    def _hear(self, stream: libvirt.virStream, events: int, _opaque: object) -> None:
        """In the thread of libvirt's loop, which must not wait for a host: whoever is told of the end closes the line."""
        content: bytes | int = b""
        if events & libvirt.VIR_STREAM_EVENT_READABLE:
            with suppress(libvirt.libvirtError):  # nothing can be read: it has ended
                content = stream.recv(_SLICE)
        if content == _WOULD_BLOCK:
            return
        if content:
            if on_bytes := self._on_bytes:
                on_bytes(content)
            return
        with suppress(libvirt.libvirtError):
            stream.eventRemoveCallback()
        if on_bytes := self._leave():
            on_bytes(b"")

    def _leave(self) -> OnBytes | None:
        """Who is to be told of the end, if nobody was."""
        with self._lock:
            on_bytes, self._on_bytes = self._on_bytes, None
        return on_bytes
