"""Which fabrics there are and how one is opened. A new network engine is one line here and one module beside this one.

Modules are imported on first use, so that a portal without OVN's libraries still runs simulated regions.
"""
from importlib import import_module

from .contract import Fabric, FabricAddress, FabricFault, Fence, Unfenced

DRIVERS = {
    "ovn": "compute.network.fabric.ovn:OvnFabric",
    "simulated": "compute.network.fabric.simulated:SimulatedFabric",
}


def open_fabric(driver: str, address: FabricAddress, fence: Fence | None = None) -> Fabric:
    """A fabric to talk to; the first verb connects, and raises FabricUnreachable when that fails."""
    if driver not in DRIVERS:
        raise FabricFault(f"no fabric is called {driver!r}")
    module, _, attribute = DRIVERS[driver].partition(":")
    return getattr(import_module(module), attribute)(address, fence or Unfenced())
