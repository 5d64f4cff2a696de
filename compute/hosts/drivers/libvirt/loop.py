"""libvirt's event loop in a thread of its own: it answers keep-alives of idle connections, notices broken ones and
delivers events. One per process, started before the first connection.

libvirt's loop is process-wide C state that a fork copies together with the parent's sockets, so a forked child must
never run it: it would read its parent's answers. A child whose parent had a loop works without one (calls keep their
own time-outs; an idle connection is tried before it is used).
"""
import logging
import os
import threading

import libvirt

log = logging.getLogger(__name__)

_lock = threading.Lock()
_owner: int | None = None


def ensure_loop() -> None:
    """Run the loop, unless this process inherited one by fork."""
    global _owner
    with _lock:
        if _owner is not None:
            return
        libvirt.registerErrorHandler(_ignore, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _owner = os.getpid()


def is_running_here() -> bool:
    return _owner == os.getpid()


def _ignore(_context: object, _error: object) -> None:
    """libvirt prints errors to stderr otherwise; they reach us as exceptions."""


def _run() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            log.exception("libvirt's event loop stumbled")


def _renew_lock() -> None:
    """A lock that another thread of the parent held would stay locked in the child for ever."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)
