"""What guests wrote on their serial ports, as their hosts keep it: the last of it is read, and it goes with the instance.

A guest writes what it likes there: it is text for people, and never markup or orders to a terminal.
"""
import re
import threading

from compute.hosts.commands.catalogue import CONSOLE_LOG, REMOVE_CONSOLE_LOG
from compute.hosts.connections import host_commands
from compute.hosts.drivers.contract import Fence
from compute.instances.errors import NotSupported
from compute.instances.models import Instance
from portal.kernel.errors import TooManyRequests

# Whoever waits for a host that hangs keeps a thread of the process from everybody else.
MOST_AT_ONCE = 4
_turns = threading.BoundedSemaphore(MOST_AT_ONCE)
# Orders to a terminal (CSI, OSC and the like, two characters), then whatever else is no text.
_ORDERS = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_NO_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def is_kept(instance: Instance) -> bool:
    """Whether its host keeps one that the portal can read."""
    return instance.host is not None and instance.host.endpoint.takes_commands


def read_log(instance: Instance) -> str:
    """The last 64 KiB as they are; empty when it has written nothing. Raises NotSupported, TooManyRequests or a host's fault."""
    if not is_kept(instance):
        raise NotSupported(name=instance.name)
    if not _turns.acquire(blocking=False):
        raise TooManyRequests(retry_after=1)
    try:
        with host_commands(instance.host) as commands:
            return commands.run(CONSOLE_LOG, domain=instance.pk)
    finally:
        _turns.release()


def remove_log(instance: Instance, fence: Fence) -> None:
    """Again is success."""
    if is_kept(instance):
        with host_commands(instance.host, fence) as commands:
            commands.run(REMOVE_CONSOLE_LOG, domain=instance.pk)


def as_text(log: str) -> str:
    """Without what only a terminal understands."""
    return _NO_TEXT.sub("", _ORDERS.sub("", log))
