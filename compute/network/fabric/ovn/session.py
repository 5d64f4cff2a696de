"""Connections to Northbound databases: one for each address in a process, with a replica of our tables that a thread
keeps current; healed by itself, and never shared over a fork.

No call waits for ever: whoever comes while there is no connection waits `PATIENCE_S` for one and is refused at once
after that, until it is back; a server that is connected and silent is given up after `ANSWER_S`, and a transaction
after `CALL_LIMIT_S` in any case. Every call begins by asking the server for a word, so that what it reads includes all
that was committed before, by whomever. Nothing here knows what a row means.
"""
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar
from uuid import UUID
from weakref import WeakSet

from ovs.db.idl import Idl, Transaction
from ovs.poller import Poller

from .. import reasons
from ..contract import CALL_LIMIT_S, FabricAddress, FabricFault, FabricUnreachable
from . import messages
from .credentials import remotes
from .marked import MarkedIdl

logger = logging.getLogger(__name__)

PATIENCE_S = 3
ANSWER_S = 5
PROBE_MS = 3_000
BACKOFF_MS = (250, 2_000)
TRIES = 4
"""For a transaction that met another one: the replica is newer each time."""
_TURN_MS = 1_000
_ANY_TABLE = "Logical_Router"

messages.install()

Answer = TypeVar("Answer")
Compose = Callable[[MarkedIdl, Transaction], None]


class Session:
    """One connection, opened when first needed. Threads may share it, processes may not."""

    def __init__(self, address: FabricAddress) -> None:
        self._address = address
        self._start_empty()
        _all_sessions.add(self)

    def _start_empty(self) -> None:
        self._lock = threading.RLock()
        self._idl: MarkedIdl | None = None
        self._keeper: threading.Thread | None = None
        self._away_since: float | None = None

    def look(self, read: Callable[[MarkedIdl], Answer]) -> Answer:
        """What `read` finds in a current replica. Raises FabricUnreachable when there is none."""
        with self._connected(_deadline()) as idl:
            return read(idl)

    def ensure_connected(self) -> None:
        """Raises FabricUnreachable when it cannot be in time."""
        with self._connected(_deadline()):
            pass

    def transact(self, compose: Compose) -> bool:
        """Carry out what `compose` writes, as one transaction; False when it wrote nothing new. It is called again
        when the transaction met another one. What it raises ends the transaction without a trace."""
        deadline, error = _deadline(), None
        for _ in range(TRIES):
            with self._connected(deadline) as idl:
                transaction = Transaction(idl)
                try:
                    compose(idl, transaction)
                except BaseException:
                    transaction.abort()
                    raise
                status = self._commit(transaction, deadline)
                if status in (Transaction.SUCCESS, Transaction.UNCHANGED):
                    return status == Transaction.SUCCESS
                error = transaction.get_error()
        logger.warning("the fabric refused a transaction: %s", error)
        refused = FabricFault(reasons.REFUSED, transient=True)
        refused.add_note(str(error))
        raise refused

    def leave_to_parent(self) -> None:
        """In a forked child: close this process's end without a word on the parent's connection."""
        with suppress(AttributeError, OSError):
            self._idl._session.rpc.stream.socket.close()
        self._start_empty()

    @contextmanager
    def _connected(self, deadline: float) -> Iterator[MarkedIdl]:
        """The replica, current and for the caller alone."""
        if not self._lock.acquire(timeout=max(0, deadline - time.monotonic())):
            raise FabricUnreachable(reasons.NO_ANSWER)
        try:
            idl = self._open()
            if self._away_since is None or time.monotonic() < self._away_since + PATIENCE_S:
                self._turn_until(self._is_current, min(deadline, _deadline(PATIENCE_S)))
            if not self._is_current():
                raise FabricUnreachable(reasons.NOT_CONNECTED)
            self._catch_up(min(deadline, _deadline(ANSWER_S)))
            yield idl
        finally:
            self._lock.release()

    def _open(self) -> MarkedIdl:
        if self._idl is None:
            self._idl = _new_idl(self._address)
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name="fabric", daemon=True)
            self._keeper.start()
        return self._idl

    def _is_current(self) -> bool:
        idl = self._idl
        return idl is not None and idl.state == Idl.IDL_S_MONITORING and idl._session.is_connected()

    def _keep(self) -> None:
        """Take in what the server says, answer its probes, connect again: for as long as the process lives."""
        while True:
            poller = Poller()
            with self._lock:
                self._run()
                self._idl.wait(poller)
            poller.timer_wait(_TURN_MS)
            poller.block()

    def _run(self) -> None:
        """One turn of the replica. One that lost its footing is thrown away: the next begins with the server's state."""
        try:
            self._idl.run()
        except Exception:
            logger.exception("the replica of the fabric is begun anew")
            time.sleep(BACKOFF_MS[0] / 1000)
            self._idl.close()
            self._idl = _new_idl(self._address)
        if self._is_current():
            self._away_since = None
        elif self._away_since is None:
            self._away_since = time.monotonic()

    def _turn_until(self, condition: Callable[[], bool], deadline: float) -> None:
        """Take in what there is, then wait for more until the condition holds or time is up."""
        self._run()
        while not condition() and (left := deadline - time.monotonic()) > 0:
            poller = Poller()
            self._idl.wait(poller)
            poller.timer_wait(max(1, int(left * 1000)))
            poller.block()
            self._run()

    def _catch_up(self, deadline: float) -> None:
        """Ask for nothing and wait for the answer: changes committed before come before it."""
        question = Transaction(self._idl)
        question.add_op({"op": "select", "table": _ANY_TABLE, "where": [["_uuid", "==", ["uuid", str(UUID(int=0))]]]})
        try:
            answered = self._commit(question, deadline) == Transaction.SUCCESS
        except FabricUnreachable:
            self._idl.force_reconnect()
            raise
        if not answered:
            raise FabricUnreachable(reasons.BROKEN_CONNECTION)

    def _commit(self, transaction: Transaction, deadline: float) -> str:
        idl = self._idl
        if transaction.commit() == Transaction.INCOMPLETE:
            self._turn_until(lambda: transaction.commit() != Transaction.INCOMPLETE or self._idl is not idl, deadline)
        if (status := transaction.commit()) == Transaction.INCOMPLETE:
            raise FabricUnreachable(reasons.NO_ANSWER)
        return status


def _new_idl(address: FabricAddress) -> MarkedIdl:
    """A replica that is not connected yet."""
    idl = MarkedIdl(remotes(address))
    idl._session.reconnect.set_probe_interval(PROBE_MS)
    idl._session.reconnect.set_backoff(*BACKOFF_MS)
    return idl


def _deadline(seconds: float = CALL_LIMIT_S) -> float:
    return time.monotonic() + seconds


_all_sessions: WeakSet[Session] = WeakSet()
_sessions: dict[FabricAddress, Session] = {}
_sessions_lock = threading.Lock()


def session_for(address: FabricAddress) -> Session:
    """This process's session for an address."""
    with _sessions_lock:
        if address not in _sessions:
            _sessions[address] = Session(address)
        return _sessions[address]


def _leave_all_to_parent() -> None:
    global _sessions_lock
    _sessions_lock = threading.Lock()
    for session in list(_all_sessions):
        session.leave_to_parent()


os.register_at_fork(after_in_child=_leave_all_to_parent)
