"""Storage pools: the only code that talks to storage. Everybody else uses `open_pool` and `contract`."""
from .registry import open_pool

__all__ = ["open_pool"]
