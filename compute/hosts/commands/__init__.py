"""What libvirt cannot do on a host: a closed catalogue of argument lists over the endpoint's SSH. No agent of our own.

`catalogue` has every command with its words, time limit and parser; `over_ssh` runs them on real hosts, and simulated
hosts answer them from their state. A new command is one entry in the catalogue and one answer of the simulated host.
"""
from .contract import HostCommands
from .registry import open_commands

__all__ = ["HostCommands", "open_commands"]
