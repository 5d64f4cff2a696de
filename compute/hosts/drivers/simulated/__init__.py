"""A hypervisor without hosts: honest in its refusals, cheap enough for 10,000 hosts, and not lost with its process.

`store` keeps a host's state outside the process, `hypervisor` keeps the contract, `commands` answers the catalogue of
host commands, `hand` is what happens to a real host from outside: guests that switch themselves off, people who destroy
domains, cables that come loose.
"""
from .hand import SimulatedHost
from .hypervisor import SimulatedHypervisor
from .store import Store, open_store

__all__ = ["SimulatedHost", "SimulatedHypervisor", "Store", "open_store"]
