"""Which drivers there are and how one is opened. A new hypervisor is one line here and one module beside this one.

Modules are imported on first use, so that a portal without libvirt's library still runs simulated regions.
"""
from importlib import import_module
from threading import Event, Thread
from typing import Any

from portal.kernel.errors import HostFault

from .contract import Address, Fence, Hypervisor, OnEvent, Unfenced

DRIVERS = {
    "libvirt": "compute.hosts.drivers.libvirt:LibvirtHypervisor",
    "simulated": "compute.hosts.drivers.simulated:SimulatedHypervisor",
}


def open_hypervisor(driver: str, address: Address, *, fence: Fence | None = None) -> Hypervisor:
    """A hypervisor to talk to; the first verb connects, and raises HostUnreachable when that fails."""
    return load(DRIVERS, driver)(address, fence or Unfenced())

WATCHERS = {
    "libvirt": "compute.hosts.drivers.libvirt:watch",
}


def watch_events(driver: str, address: Address, on_event: OnEvent, *, stop: Event | None = None) -> Thread | None:
    """Follow a host's events in a thread of its own until `stop` is set, over every lost connection. None when the
    driver has no events (`Capabilities.has_events`)."""
    if driver not in WATCHERS:
        return None
    watch = load(WATCHERS, driver)
    thread = Thread(target=watch, args=(address, on_event), kwargs={"stop": stop}, name="host-events", daemon=True)
    thread.start()
    return thread


def load(known: dict[str, str], name: str) -> Any:
    """The class or function that `known` gives for `name` as `module:name`."""
    if name not in known:
        raise HostFault(f"no driver is called {name!r}")
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
