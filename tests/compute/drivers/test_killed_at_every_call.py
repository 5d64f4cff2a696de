"""A process killed before or after any call to real libvirt leaves a host from which the same verbs complete.

`MAINS_SOAK=1` tries every point (2 minutes); otherwise every fifth.
"""
import os
from collections.abc import Callable

import pytest

from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.spec import Domain

from .stands import Stand
from .test_hypervisor_contract import power_of
from .test_simulated_hosts import Reaper

pytestmark = [pytest.mark.lab, pytest.mark.slow]
STRIDE = 1 if os.environ.get("MAINS_SOAK") == "1" else 5


def create(stand: Stand, spec: Domain, name: str, fence: Reaper | None = None) -> None:
    stand.pool(fence).ensure_volume(name, size=1024**2)
    stand.hypervisor(fence).ensure_defined(spec)
    stand.hypervisor(fence).ensure_started(spec.uuid, 1)


def delete(stand: Stand, spec: Domain, name: str, fence: Reaper | None = None) -> None:
    stand.hypervisor(fence).ensure_absent(spec.uuid, 1)
    stand.pool(fence).ensure_volume_absent(name)


def survives(verbs: Callable[..., None], stand: Stand, spec: Domain, name: str, point: int) -> bool:
    """Do it in a child that dies at that point; whether it got through before."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            verbs(stand, spec, name, Reaper(point))
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, 7), "the child failed by itself"
    return status == 0


def test_creating_and_deleting_complete_after_a_kill_at_any_call(qemu: Stand) -> None:
    name, point, through = "v", 1 - STRIDE, False
    spec = qemu.domain_on(f"{qemu.pool_path}/{name}")
    while not through:
        point += STRIDE
        through = survives(create, qemu, spec, name, point)
        create(qemu, spec, name)
        assert power_of(qemu, spec.uuid) == Power.RUNNING
        assert [volume.name for volume in qemu.pool().volumes()] == [name]
        through = survives(delete, qemu, spec, name, point) and through
        delete(qemu, spec, name)
        assert qemu.hypervisor().domains() == [] and qemu.pool().volumes() == []
    assert point > 20
