"""What the report after a restore finds: what hosts, pools and networks have and rows do not. It changes nothing."""
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.utils import timezone

from compute.hosts.connections import hypervisor
from compute.hosts.drivers.simulated import SimulatedHost
from compute.instances import steps
from compute.instances.design import design_domain, domain_name
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.network.models import Vpc
from portal.upkeep import strays
from storage.connections import volume_pool
from storage.models import GIB
from tests.network.networked import Networked, add_network, settle
from tests.world import World, drain, make_world


@pytest.fixture
def networked_world(db: None, tmp_path: Path, settings) -> Networked:
    settings.DOORBELLS, settings.STATE_DIR = False, tmp_path
    return add_network(make_world(tmp_path))


def running(world: World, name: str) -> Instance:
    operation = create_instance(world.order(name=name), actor=world.people["alice"])
    drain()
    return Instance.objects.select_related("host__endpoint", "image", "type").get(pk=operation.target_id)


def found() -> set[tuple[str, str]]:
    return {(stray.sort, stray.name.rsplit("(", 1)[-1].strip(")")) for stray in strays.find()}


def test_what_only_one_side_knows_is_named_and_left(networked_world: Networked) -> None:
    world = networked_world.world
    known, lost = running(world, "known"), running(world, "lost")
    settle()
    assert found() == set()
    stranger, file = uuid4(), f"volume-{uuid4()}.qcow2"
    with volume_pool(world.pool) as pool:
        pool.ensure_volume(file, size=GIB)
        seed = pool.volume(steps.seed_file(known)).path
    with hypervisor(world.host) as driver:
        design = design_domain(known, seed=seed, listen="127.0.0.1")
        driver.ensure_defined(replace(design, uuid=stranger, instance=stranger, name=domain_name(stranger)))
    SimulatedHost(world.host.endpoint.uri).destroy(lost.pk)
    vpc = Vpc.objects.live().get(pk=networked_world.default_subnet().vpc_id)
    Vpc.objects.filter(pk=vpc.pk).update(deleted_at=timezone.now() - timedelta(hours=1))
    before = SimulatedHost(world.host.endpoint.uri).census()
    assert found() == {("domain", str(stranger)), ("file", file), ("instance", str(lost.pk)), ("network", str(vpc.pk))}
    assert SimulatedHost(world.host.endpoint.uri).census() == before


def test_a_host_that_does_not_answer_is_itself_reported(networked_world: Networked) -> None:
    SimulatedHost(networked_world.world.host.endpoint.uri).set_unreachable()
    out = StringIO()
    call_command("restore", "--report", stdout=out)
    assert "sim-1: host sim-1 was not asked" in out.getvalue() and "1 differences" in out.getvalue()
