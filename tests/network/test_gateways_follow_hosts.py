"""A host that becomes a chassis, or another one, is a way out of every VPC at once, not at the next beat."""
import pytest

from compute.hosts.models import Host
from compute.hosts.operations import prepare_host
from compute.network import apply
from tests.network.networked import Networked
from tests.world import drain


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Which tasks were rung for."""
    found: list[tuple[str, ...]] = []
    monkeypatch.setattr(apply, "ring_task", lambda name, queue, *arguments: found.append((name, queue, *arguments)))
    return found


def prepare(net: Networked) -> None:
    prepare_host(net.world.host, actor=net.world.people["root"])
    drain()
    assert Host.objects.get(pk=net.world.host.pk).is_gateway


def test_a_host_that_is_a_gateway_from_now_on_rings_for_the_whole_fabric(net: Networked, rung: list) -> None:
    Host.objects.filter(pk=net.world.host.pk).update(chassis="", is_gateway=False)
    prepare(net)
    region = net.world.region
    assert (apply.RECONCILE, region.queue, str(region.pk)) in rung


def test_a_host_prepared_again_as_it_was_rings_for_nothing(net: Networked, rung: list) -> None:
    prepare(net)
    rung.clear()
    prepare(net)
    assert rung == []
