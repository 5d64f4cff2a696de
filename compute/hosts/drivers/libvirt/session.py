"""Connections to libvirt: one for each address and purpose in a process, kept open, healed, and never shared over a
fork.

No call waits for ever: opening has a limit of its own, and keep-alives end a call whose host or daemon is gone.
Nothing here knows what is called.
"""
import ctypes
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakSet

import libvirt

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import Address, Fence
from portal.kernel.errors import HostUnreachable

from .faults import translate
from .loop import ensure_loop, is_running_here
from .reach import connectable_uri

OPEN_LIMIT_S = 10
KEEPALIVE_INTERVAL_S = 2
KEEPALIVE_COUNT = 3
TRUSTED_IDLE_S = 5
"""A connection unused for longer is tried before use where no loop watches it."""

Answer = TypeVar("Answer")


class Session:
    """One connection, opened when needed and again when it broke. Threads may share it, processes may not."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._start_empty()
        _all_sessions.add(self)

    def _start_empty(self) -> None:
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._opening: Future | None = None
        self._used_at = 0.0

    def connection(self) -> libvirt.virConnect:
        """The open connection. Raises HostUnreachable within OPEN_LIMIT_S, however many threads ask."""
        with self._lock:
            if self._connection is not None and self._is_usable(self._connection):
                self._used_at = time.monotonic()
                return self._connection
            self._connection = None
            opening = self._opening = self._opening or _begin_to_open(self._address)
        try:
            connection = opening.result(timeout=OPEN_LIMIT_S)
        except TookTooLong:
            raise HostUnreachable(reasons.NO_ANSWER) from None
        except libvirt.libvirtError as error:
            self._end_opening(opening, None)
            raise _unreachable(translate(error, "open")) from error
        except Exception:
            self._end_opening(opening, None)
            raise
        self._end_opening(opening, connection)
        return connection

    def close(self) -> None:
        """End a connection that nobody else uses."""
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(libvirt.libvirtError):
                connection.close()

    def is_alive(self) -> bool:
        connection = self._connection
        return connection is not None and _is_alive(connection)

    def _is_usable(self, connection: libvirt.virConnect) -> bool:
        if not _is_alive(connection):
            return False
        if is_running_here() or time.monotonic() - self._used_at < TRUSTED_IDLE_S:
            return True
        try:
            connection.getLibVersion()
        except libvirt.libvirtError:
            return False
        return True

    def _end_opening(self, opening: Future, connection: libvirt.virConnect | None) -> None:
        with self._lock:
            if self._opening is opening:
                self._opening, self._connection, self._used_at = None, connection, time.monotonic()

    def leave_to_parent(self) -> None:
        """In a forked child: forget the parent's connection and never close it, since closing speaks on its socket."""
        for inherited in (self._connection, self._opening):
            if inherited is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
        self._start_empty()


class Caller:
    """Calls libvirt for one actor: everything goes through `_call`, hence through the actor's fence and the error
    table."""

    def __init__(self, session: Session, fence: Fence) -> None:
        self._session, self._fence = session, fence

    def _call(self, verb: str, function: Callable[..., Answer], *arguments: Any) -> Answer:
        self._fence.before(verb)
        try:
            answer = function(*arguments)
        except libvirt.libvirtError as error:
            raise translate(error, verb, is_alive=self._session.is_alive()) from error
        self._fence.after(verb)
        return answer

    def _host(self) -> libvirt.virConnect:
        return self._session.connection()

    def close(self) -> None:
        """The connection stays open for the next user in this process."""


_all_sessions: WeakSet[Session] = WeakSet()
_sessions: dict[tuple[str, Address], Session] = {}
_sessions_lock = threading.Lock()


def session_for(address: Address, *, purpose: str = "domains") -> Session:
    """This process's session; storage has its own (`purpose`), since its calls may hang where domains' do not."""
    with _sessions_lock:
        return _sessions.setdefault((purpose, address), Session(address))


def _begin_to_open(address: Address) -> Future:
    """Open in a thread, since a stopped daemon accepts and then never answers; a late success is not lost."""
    future: Future[libvirt.virConnect] = Future()
    threading.Thread(target=_open_into, args=(future, address), daemon=True).start()
    return future


def _open(address: Address) -> libvirt.virConnect:
    """Blocks for as long as libvirt does."""
    ensure_loop()
    connection = libvirt.open(connectable_uri(address))
    try:
        connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    return connection


def _open_into(future: Future, address: Address) -> None:
    try:
        future.set_result(_open(address))
    except BaseException as error:
        future.set_exception(error)


def _unreachable(fault: Exception) -> HostUnreachable:
    """Whatever went wrong while opening, the host is not reached."""
    if isinstance(fault, HostUnreachable):
        return fault
    wrapped = HostUnreachable(reasons.NOT_CONNECTED)
    for note in getattr(fault, "__notes__", ()):
        wrapped.add_note(note)
    return wrapped


def _is_alive(connection: libvirt.virConnect) -> bool:
    try:
        return connection.isAlive() == 1
    except libvirt.libvirtError:
        return False


def _leave_all_to_parent() -> None:
    global _sessions_lock
    _sessions_lock = threading.Lock()
    for session in list(_all_sessions):
        session.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)


def begin(function: Callable[[], object]) -> Future:
    """The outcome of a call that takes long, in a thread, which Python ends with the process: the host carries on without us."""
    future: Future = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="slow-call", daemon=True).start()
    return future
