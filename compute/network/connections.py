"""Opening a region's fabric. The only place that reads its credential."""
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from compute.hosts.drivers.contract import Fence
from compute.network.fabric.contract import Fabric as Driver
from compute.network.fabric.contract import FabricAddress
from compute.network.fabric.registry import open_fabric
from compute.network.models import Fabric


def address_of(fabric: Fabric) -> FabricAddress:
    return FabricAddress(
        uri=fabric.uri, ca_certificate=fabric.ca_certificate, certificate=fabric.certificate, private_key=fabric.private_key,
        deployment=str(fabric.deployment), state_dir=str(settings.STATE_DIR / "fabrics" / str(fabric.region_id)))


@contextmanager
def fabric(row: Fabric, fence: Fence | None = None) -> Iterator[Driver]:
    """The fabric for a few calls; `fence` is the engine's run, asked before every outside call."""
    driver = open_fabric(row.driver, address_of(row), fence=fence)
    try:
        yield driver
    finally:
        driver.close()
