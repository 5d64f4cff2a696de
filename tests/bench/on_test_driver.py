"""Drivers for `creates`: domains on libvirt's test driver, whose volumes are simulated, since it takes no uploads."""
from dataclasses import replace

from compute.hosts.drivers.contract import Address
from compute.hosts.drivers.libvirt import LibvirtHypervisor
from compute.hosts.drivers.spec import Domain
from storage.pools.simulated import SimulatedPool

POOL_URI = "simulated:memory/creates"


class OnTestDriver(LibvirtHypervisor):
    """It knows one type of domains, its own."""

    def ensure_defined(self, spec: Domain) -> None:
        super().ensure_defined(replace(spec, type="test"))


class SimulatedBeside(SimulatedPool):
    def __init__(self, _address: Address, **options: object) -> None:
        super().__init__(Address(uri=POOL_URI), **options)
