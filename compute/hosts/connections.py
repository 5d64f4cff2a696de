"""Opening a host's hypervisor, or the host for commands, as its endpoint says. The only place that reads the credential."""
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from compute.hosts.commands import HostCommands, open_commands
from compute.hosts.drivers.contract import Address, Fence, Hypervisor
from compute.hosts.drivers.registry import open_hypervisor
from compute.hosts.identity import key_of
from compute.hosts.models import Endpoint, Host


def address_of(endpoint: Endpoint) -> Address:
    return Address(uri=endpoint.uri, private_key=key_of(endpoint), host_key=endpoint.host_key,
                   state_dir=str(settings.STATE_DIR / "endpoints" / str(endpoint.pk)))


@contextmanager
def hypervisor(host: Host, fence: Fence | None = None) -> Iterator[Hypervisor]:
    """The host's hypervisor for a few calls; `fence` is the engine's run, asked before every outside call."""
    driver = open_hypervisor(host.endpoint.driver, address_of(host.endpoint), fence=fence)
    try:
        yield driver
    finally:
        driver.close()


@contextmanager
def host_commands(host: Host, fence: Fence | None = None) -> Iterator[HostCommands]:
    """The host for commands of the catalogue. Only where `host.endpoint.takes_commands`."""
    runner = open_commands(host.endpoint.driver, address_of(host.endpoint), fence=fence)
    try:
        yield runner
    finally:
        runner.close()
