"""What only simulated fabrics offer: faults to order, a state that survives its process, and being cheap."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compute.network.fabric import open_fabric
from compute.network.fabric.contract import FabricAddress, FabricFault, FabricUnreachable
from compute.network.fabric.design import public_document, vpc_document
from compute.network.fabric.simulated import SimulatedHand
from portal.kernel.errors import HostFault, HostUnreachable

from .plans import large_vpc, public, uid, vpc
from .stands import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    uri = f"simulated://{tmp_path}/fabric"
    made = Stand(driver="simulated", address=FabricAddress(uri=uri, deployment="test"), hand=SimulatedHand(uri))
    made.fabric().apply(public_document(public()))
    return made


class Reaper:
    """A fence that ends the process at the k-th point, as the crash harness does."""

    def __init__(self, at: int) -> None:
        self._left = at

    def before(self, verb: str) -> None:
        self._left -= 1
        if self._left == 0:
            os._exit(7)

    after = before


@pytest.mark.parametrize("uri", ["simulated:", "unix:/run/nb.sock", "/tmp/somewhere"])
def test_an_address_of_something_else_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):
        open_fabric("simulated", FabricAddress(uri=uri, deployment="test"))


@pytest.mark.parametrize(("kind", "error", "transient"), [
    ("error", FabricFault, False), ("transient", FabricFault, True), ("unreachable", FabricUnreachable, True)])
def test_a_verb_fails_as_often_as_asked_and_does_nothing(stand: Stand, kind: str, error: type, transient: bool) -> None:
    stand.hand.fail("ovn.apply", kind=kind, times=2)
    for _ in range(2):
        with pytest.raises(error) as fault:
            stand.fabric().apply(vpc_document(vpc()))
        assert fault.value.transient is transient
        assert stand.fabric().owners() == {uid("public"): 1}
    assert stand.fabric().apply(vpc_document(vpc())) is True


def test_a_lost_answer_leaves_the_verb_done(stand: Stand) -> None:
    stand.hand.fail("ovn.apply", kind="lost")
    with pytest.raises(FabricUnreachable):
        stand.fabric().apply(vpc_document(vpc()))
    assert stand.fabric().apply(vpc_document(vpc())) is False


def test_an_unreachable_fabric_answers_nothing_until_it_is_back(stand: Stand) -> None:
    stand.hand.set_unreachable()
    fabric = stand.fabric()
    for attempt in (fabric.owners, fabric.census, lambda: fabric.ports_up(["x"]), lambda: fabric.remove(uid("public"), 9)):
        with pytest.raises(FabricUnreachable):
            attempt()
    stand.hand.heal()
    assert fabric.owners() == {uid("public"): 1}


def test_a_port_is_up_as_soon_as_it_is_there(stand: Stand) -> None:
    name = str(uid("v1-web"))
    assert stand.fabric().ports_up([name]) == set()
    stand.fabric().apply(vpc_document(vpc()))
    assert stand.fabric().ports_up([name]) == {name}


def test_a_process_killed_at_any_point_leaves_before_or_after_and_the_next_completes(stand: Stand) -> None:
    document, points, survived = vpc_document(vpc()), 0, False
    while not survived:
        points += 1
        child = os.fork()
        if child == 0:
            fabric = stand.fabric(Reaper(points))
            fabric.apply(document)
            fabric.ports_up([str(uid("v1-web"))])
            os._exit(0)
        survived = os.waitpid(child, 0)[1] == 0
        stand.fabric().apply(document)
        assert stand.fabric().apply(document) is False
        assert stand.fabric().remove(document.owner, 1) is True
    assert points == 5


def test_faults_are_a_hosts_faults_for_whoever_asks_no_further() -> None:
    assert issubclass(FabricFault, HostFault) and issubclass(FabricUnreachable, HostUnreachable)
    assert FabricUnreachable("x").status == 503 and FabricUnreachable("x").transient


def test_a_large_vpc_costs_little(stand: Stand) -> None:
    began = time.monotonic()
    stand.fabric().apply(vpc_document(large_vpc(200)))
    stand.fabric().apply(vpc_document(large_vpc(200)))
    assert time.monotonic() - began < 2


def test_simulated_regions_need_no_ovn() -> None:
    asks = "import sys, compute.network.fabric.simulated, compute.network.fabric.design; sys.exit('ovs' in sys.modules)"
    subprocess.run([sys.executable, "-c", asks], check=True, cwd=Path(__file__).parents[3])
