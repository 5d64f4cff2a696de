"""Drivers: the only code that talks to hypervisors. Everybody else uses `open_hypervisor` and `contract`."""
from .registry import open_hypervisor, watcher_for

__all__ = ["open_hypervisor", "watcher_for"]
