"""Drivers: the only code that talks to hypervisors. Everybody else uses `open_hypervisor` and `contract`."""
from .registry import open_hypervisor, watch_events

__all__ = ["open_hypervisor", "watch_events"]
