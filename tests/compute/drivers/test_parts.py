"""A driver is put together of parts, each in a file of its own: none may hide what another calls by the same name."""
from itertools import combinations

import pytest

from compute.hosts.drivers.libvirt.hypervisor import LibvirtHypervisor
from compute.hosts.drivers.simulated.hypervisor import SimulatedHypervisor


@pytest.mark.parametrize("driver", [LibvirtHypervisor, SimulatedHypervisor])
def test_no_part_hides_what_another_has(driver: type) -> None:
    parts = [part for part in driver.__mro__ if part.__module__.startswith("compute.")]
    assert len(parts) > 2
    for one, other in combinations(parts, 2):
        if not issubclass(one, other):
            own = {name for name in vars(one).keys() & vars(other).keys() if not name.startswith("__")}
            assert not own, (one, other)
