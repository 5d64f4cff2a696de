"""A fabric without a network: the same rows, the same refusals, kept as the simulated hosts keep theirs.

`store` keeps rows outside the process, `replica` shows them to `reconcile`, `fabric` keeps the contract, `hand` is what
happens to a fabric from outside: people who remove rows, hosts that plug ports in and out, connections that break.
"""
from .fabric import SimulatedFabric
from .hand import SimulatedHand

__all__ = ["SimulatedFabric", "SimulatedHand"]
