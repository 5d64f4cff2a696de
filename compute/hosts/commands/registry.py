"""Which drivers' hosts answer commands, and how one is opened. Modules are imported on first use."""
from compute.hosts.drivers.contract import Address, Fence, Unfenced
from compute.hosts.drivers.registry import load
from compute.hosts.drivers.ssh import target_of

from .contract import HostCommands

RUNNERS = {
    "libvirt": "compute.hosts.commands.over_ssh:SshCommands",
    "simulated": "compute.hosts.drivers.simulated.commands:SimulatedCommands",
}


def are_answered(driver: str, uri: str) -> bool:
    """Whether the host takes commands: libvirt's test driver and local sockets do not."""
    return driver == "simulated" or (driver in RUNNERS and target_of(uri) is not None)


def open_commands(driver: str, address: Address, *, fence: Fence | None = None) -> HostCommands:
    """A host to run commands on; each connects anew."""
    return load(RUNNERS, driver)(address, fence or Unfenced())
