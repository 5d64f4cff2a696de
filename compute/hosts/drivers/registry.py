"""Which drivers there are and how one is opened. A new hypervisor is one line here and one module beside this one.

Modules are imported on first use, so that a portal without libvirt's library still runs simulated regions.
"""
from importlib import import_module

from portal.kernel.errors import HostFault

from .contract import Address, Fence, Hypervisor, Unfenced

DRIVERS = {
    "libvirt": "compute.hosts.drivers.libvirt:LibvirtHypervisor",
    "simulated": "compute.hosts.drivers.simulated:SimulatedHypervisor",
}


def open_hypervisor(driver: str, address: Address, *, fence: Fence | None = None) -> Hypervisor:
    """A hypervisor to talk to; the first verb connects, and raises HostUnreachable when that fails."""
    return load(DRIVERS, driver)(address, fence or Unfenced())


def load(known: dict[str, str], name: str) -> type:
    """The class that `known` gives for `name` as `module:Class`."""
    if name not in known:
        raise HostFault(f"no driver is called {name!r}")
    module, _, attribute = known[name].partition(":")
    return getattr(import_module(module), attribute)
