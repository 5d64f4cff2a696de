"""Which pool backends there are and how one is opened. A new backend is one line here and one module beside this
one."""
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.registry import load

from .contract import VolumePool

DRIVERS = {
    "libvirt": "storage.pools.libvirt:LibvirtDirPool",
    "simulated": "storage.pools.simulated:SimulatedPool",
}


def open_pool(driver: str, address: Address, *, name: str, path: str, fence: Fence | None = None) -> VolumePool:
    """The pool `name` on the host at `address`, whose volumes lie in the folder `path` there."""
    return load(DRIVERS, driver)(address, name=name, path=path, fence=fence or Unfenced())
