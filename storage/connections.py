"""Opening a pool through its host's driver."""
from collections.abc import Iterator
from contextlib import contextmanager

from compute.hosts.connections import address_of
from compute.hosts.drivers.contract import Fence
from storage.models import Pool
from storage.pools.contract import VolumePool
from storage.pools.registry import open_pool


@contextmanager
def volume_pool(pool: Pool, fence: Fence | None = None) -> Iterator[VolumePool]:
    """The pool for a few calls; `fence` is the engine's run, asked before every outside call."""
    endpoint = pool.host.endpoint
    driver = open_pool(endpoint.driver, address_of(endpoint), name=pool.name, path=pool.path, fence=fence)
    try:
        yield driver
    finally:
        driver.close()
