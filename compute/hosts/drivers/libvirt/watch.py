"""Follows a host's lifecycle events for ever, over every lost connection: the reconciler's doorbell.

Events are hints (some are lost whenever a connection is); whoever listens looks at the host again, above all on
"connected".
"""
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import libvirt

from compute.hosts.drivers.contract import REBOOTED, WATCHDOG, Address, OnEvent
from portal.kernel.errors import HostUnreachable

from .probe import PROBE_UUID
from .session import Session

log = logging.getLogger(__name__)

RECONNECT_S = 3
CHECK_S = 2
_NAMES = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: "defined",
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: "undefined",
    libvirt.VIR_DOMAIN_EVENT_STARTED: "started",
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_RESUMED: "resumed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED: "stopped",
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: "shutdown",
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: "suspended",
    libvirt.VIR_DOMAIN_EVENT_CRASHED: "crashed",
}
_WATCHDOG = {
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_NONE: "none",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_RESET: "reset",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_POWEROFF: "poweroff",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_SHUTDOWN: "poweroff",
    libvirt.VIR_DOMAIN_EVENT_WATCHDOG_PAUSE: "pause",
}


def watch(address: Address, on_event: OnEvent, *, stop: threading.Event | None = None) -> None:
    """Block (give it a thread) and call `on_event` from libvirt's loop or this thread, until `stop` is set."""
    stop = stop or threading.Event()
    session = Session(address)
    while not stop.is_set():
        try:
            _watch_once(session, on_event, stop)
        except (libvirt.libvirtError, HostUnreachable) as error:
            log.info("watching a host: %s", error)
        stop.wait(RECONNECT_S)


def _watch_once(session: Session, on_event: OnEvent, stop: threading.Event) -> None:
    host = session.connection()
    lost = threading.Event()
    try:
        host.registerCloseCallback(lambda *_: lost.set(), None)
        for event, listen in _LISTENERS.items():
            host.domainEventRegisterAny(None, event, listen, on_event)
        on_event(None, "connected")
        while not (stop.is_set() or lost.wait(CHECK_S)):
            pass
        if lost.is_set():
            on_event(None, "lost")
    finally:
        with suppress(libvirt.libvirtError):
            host.unregisterCloseCallback()
        session.close()


def _lifecycle(_host: object, domain: libvirt.virDomain, event: int, _detail: int, on_event: OnEvent) -> None:
    _deliver(domain, _NAMES.get(event, "changed"), on_event)


def _reboot(_host: object, domain: libvirt.virDomain, on_event: OnEvent) -> None:
    _deliver(domain, REBOOTED, on_event)


def _watchdog(_host: object, domain: libvirt.virDomain, action: int, on_event: OnEvent) -> None:
    _deliver(domain, WATCHDOG + _WATCHDOG.get(action, "none"), on_event)


_LISTENERS: dict[int, Callable[..., None]] = {
    libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE: _lifecycle,
    libvirt.VIR_DOMAIN_EVENT_ID_REBOOT: _reboot,
    libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG: _watchdog,
}


def _deliver(domain: libvirt.virDomain, what: str, on_event: OnEvent) -> None:
    """Runs in libvirt's loop, which an exception must not reach."""
    uuid = UUID(domain.UUIDString())
    if uuid == PROBE_UUID:
        return
    try:
        on_event(uuid, what)
    except Exception:
        log.exception("a listener to a host's events failed")
