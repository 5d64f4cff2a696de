"""What the hypervisor contract says of a domain that grows while it runs, on every driver."""
from uuid import uuid4

import pytest

from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.spec import Cell
from portal.kernel.errors import HostFault

from .stands import Stand
from .test_hypervisor_contract import power_of, started

ROOM = {"max_vcpus": 2, "max_memory_kib": 288 * 1024, "memory_slots": 4, "cells": (Cell(cpus="0-1", memory_mib=32),)}


def able(stand: Stand) -> bool:
    found = stand.hypervisor().capabilities
    return found.hot_adds_vcpus and found.hot_adds_memory


@pytest.mark.needs("hot add")
def test_what_runs_grows_and_growing_again_is_success(stand: Stand) -> None:
    spec = started(stand, generation=3, **ROOM)
    assert able(stand) and stand.hand.size(spec.uuid) == (1, 32)
    for _again in range(2):
        stand.hypervisor().ensure_size(spec.uuid, 3, vcpus=2, memory_mib=160)
        assert stand.hand.size(spec.uuid) == (2, 160)
    stand.hypervisor().ensure_size(spec.uuid, 3, vcpus=2, memory_mib=288)
    assert (stand.hand.size(spec.uuid), power_of(stand, spec.uuid)) == ((2, 288), Power.RUNNING)
    # Its definition is another matter: it starts as that says.
    stand.hypervisor().ensure_stopped(spec.uuid, 3)
    stand.hypervisor().ensure_started(spec.uuid, 3)
    assert stand.hand.size(spec.uuid) == (1, 32)


@pytest.mark.parametrize("wanted", [{"vcpus": 3, "memory_mib": 160}, {"vcpus": 1, "memory_mib": 416}])
def test_nothing_grows_beyond_the_room_that_it_was_started_with(stand: Stand, wanted: dict[str, int]) -> None:
    spec = started(stand, **ROOM)
    with pytest.raises(HostFault):
        stand.hypervisor().ensure_size(spec.uuid, spec.generation, **wanted)
    assert stand.hand.size(spec.uuid) == (1, 32)


def test_what_is_off_or_absent_or_a_hypervisor_without_it_refuses(stand: Stand) -> None:
    spec = stand.new_domain()
    stand.hypervisor().ensure_defined(spec)
    for uuid in (spec.uuid, uuid4()):
        with pytest.raises(HostFault):
            stand.hypervisor().ensure_size(uuid, spec.generation, vcpus=1, memory_mib=32)
    if not able(stand):
        stand.hypervisor().ensure_started(spec.uuid, spec.generation)
        with pytest.raises(HostFault):
            stand.hypervisor().ensure_size(spec.uuid, spec.generation, vcpus=1, memory_mib=32)
