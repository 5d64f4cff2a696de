"""One table from libvirt's errors to ours. What libvirt said goes into the log and the exception's notes, never into
the reason, which tenants read."""
import logging

import libvirt

from compute.hosts.drivers import reasons
from compute.hosts.drivers.contract import SerialTaken
from portal.kernel.errors import HostFault, HostUnreachable

log = logging.getLogger(__name__)


class Gone(HostFault):
    """The domain or volume is no longer there; drivers turn this into what the verb means by it."""

    def __init__(self, reason: str = reasons.NOT_DEFINED) -> None:
        super().__init__(reason)


class NotInThisState(HostFault):
    """libvirt refused because the domain is (or is not) running: somebody was faster, look again."""

    def __init__(self, reason: str = reasons.TOO_BUSY) -> None:
        super().__init__(reason, transient=True)


class PoolBusy(HostFault):
    """libvirt does not look at a pool's folder while a volume of it is being made or sent."""

    def __init__(self) -> None:
        super().__init__(reasons.TOO_BUSY, transient=True)


class FileMissing(HostFault):
    def __init__(self) -> None:
        super().__init__(reasons.FILE_MISSING)


_BY_CODE = {
    libvirt.VIR_ERR_NO_DOMAIN: Gone,
    libvirt.VIR_ERR_NO_STORAGE_VOL: lambda: Gone(reasons.NO_VOLUME),
    libvirt.VIR_ERR_NO_STORAGE_POOL: lambda: Gone(reasons.NO_POOL),
    libvirt.VIR_ERR_OPERATION_INVALID: NotInThisState,
    libvirt.VIR_ERR_DOM_EXIST: lambda: HostFault(reasons.ALREADY_EXISTS),
    libvirt.VIR_ERR_STORAGE_VOL_EXIST: lambda: HostFault(reasons.DIFFERENT_VOLUME),
    libvirt.VIR_ERR_NO_CONNECT: lambda: HostUnreachable(reasons.NOT_CONNECTED),
    libvirt.VIR_ERR_AUTH_FAILED: lambda: HostUnreachable(reasons.REFUSED),
    libvirt.VIR_ERR_INVALID_CONN: lambda: HostUnreachable(reasons.BROKEN_CONNECTION),
    libvirt.VIR_ERR_RPC: lambda: HostUnreachable(reasons.BROKEN_CONNECTION),
    libvirt.VIR_ERR_OPERATION_TIMEOUT: lambda: HostFault(reasons.TOO_BUSY, transient=True),
    libvirt.VIR_ERR_RESOURCE_BUSY: lambda: HostFault(reasons.TOO_BUSY, transient=True),
    libvirt.VIR_ERR_OPERATION_ABORTED: lambda: HostFault(reasons.TOO_BUSY, transient=True),
    libvirt.VIR_ERR_NO_SUPPORT: lambda: HostFault(reasons.NOT_SUPPORTED),
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: lambda: HostFault(reasons.NOT_SUPPORTED),
    libvirt.VIR_ERR_NO_MEMORY: lambda: HostFault(reasons.NO_MEMORY),
}

_BY_TEXT = (
    ("host key verification failed", lambda: HostUnreachable(reasons.REFUSED)),
    ("permission denied (publickey", lambda: HostUnreachable(reasons.REFUSED)),
    ("cannot recv data", lambda: HostUnreachable(reasons.BROKEN_CONNECTION)),
    ("cannot write data", lambda: HostUnreachable(reasons.BROKEN_CONNECTION)),
    ("end of file while reading data", lambda: HostUnreachable(reasons.BROKEN_CONNECTION)),
    ("client socket is closed", lambda: HostUnreachable(reasons.BROKEN_CONNECTION)),
    ("connection closed due to keepalive timeout", lambda: HostUnreachable(reasons.NO_ANSWER)),
    ("received hangup", lambda: HostUnreachable(reasons.BROKEN_CONNECTION)),
    ("cannot set up guest memory", lambda: HostFault(reasons.NO_MEMORY)),
    ("cannot allocate memory", lambda: HostFault(reasons.NO_MEMORY)),
    ("rejected by the guest", lambda: HostFault(reasons.GUEST_KEEPS_IT, transient=True)),
    ("\" lock", lambda: HostFault(reasons.IMAGE_LOCKED, transient=True)),
    ("active console session exists", SerialTaken),
    ("already exists with uuid", lambda: HostFault(reasons.ALREADY_EXISTS)),
    ("failed to terminate process", lambda: HostFault(reasons.TOO_BUSY, transient=True)),
    ("asynchronous jobs running", PoolBusy),
    ("no more available pci slots", lambda: HostFault(reasons.NO_SLOT)),
    ("no space left", lambda: HostFault(reasons.NO_SPACE)),
    ("cannot access storage file", FileMissing),
    ("no such file or directory", FileMissing),
    ("could not open", FileMissing),
)
"""Where libvirt's codes are too coarse (QEMU's own words arrive as an internal error); searched before the codes."""


def translate(error: libvirt.libvirtError, verb: str, *, is_alive: bool = True) -> HostFault:
    """The error of ours that says the same. `is_alive` is what the connection says of itself after the failure."""
    text = str(error)
    fault = _match(error.get_error_code(), text.lower())
    if not is_alive and not isinstance(fault, HostUnreachable):
        fault = HostUnreachable(reasons.BROKEN_CONNECTION)
    fault.add_note(f"libvirt {verb}: {text}")
    if not isinstance(fault, (Gone, NotInThisState, PoolBusy)):
        log.warning("libvirt %s: %s", verb, text)
    return fault


def _match(code: int | None, text: str) -> HostFault:
    for fragment, make in _BY_TEXT:
        if fragment in text:
            return make()
    make = _BY_CODE.get(code)
    return make() if make else HostFault(reasons.HYPERVISOR_FAULT)
