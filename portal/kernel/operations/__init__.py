"""The operations engine: how every change to the outside world happens (DESIGN section 2).

`submit` writes the row in the caller's transaction and rings on commit; `engine.advance` claims a row and runs its
steps; `sweep` rings for what is due. Rooms declare a `Kind` with its `Step`s and `register` it.
"""
from .kinds import Done, Kind, LeaseLost, Run, Step, Wait, kinds, making, register
from .submit import request_cancel, submit

__all__ = ["Done", "Kind", "LeaseLost", "Run", "Step", "Wait", "kinds", "making", "register", "request_cancel", "submit"]
