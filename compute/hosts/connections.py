"""Opening a host's hypervisor through its driver, as its endpoint says. The only place that reads the credential."""
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from compute.hosts.drivers.contract import Address, Fence, Hypervisor
from compute.hosts.drivers.registry import open_hypervisor
from compute.hosts.models import Endpoint, Host


def address_of(endpoint: Endpoint) -> Address:
    return Address(uri=endpoint.uri, private_key=endpoint.private_key, host_key=endpoint.host_key,
                   state_dir=str(settings.STATE_DIR / "endpoints" / str(endpoint.pk)))


@contextmanager
def hypervisor(host: Host, fence: Fence | None = None) -> Iterator[Hypervisor]:
    """The host's hypervisor for a few calls; `fence` is the engine's run, asked before every outside call."""
    driver = open_hypervisor(host.endpoint.driver, address_of(host.endpoint), fence=fence)
    try:
        yield driver
    finally:
        driver.close()
