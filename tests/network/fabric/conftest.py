"""The stands of the fabric's contract suite: simulated (file and memory), and real OVN databases by socket and SSL."""
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from compute.network.fabric.contract import FabricAddress
from compute.network.fabric.simulated import SimulatedHand

from .central import Central
from .stands import OvnHand, Stand


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    """Without northd, so that nobody else writes."""
    yield from _running(Central(tmp_path_factory.mktemp("databases"), with_northd=False))


@pytest.fixture(scope="session")
def central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Central]:
    yield from _running(Central(tmp_path_factory.mktemp("central")))


def _running(central: Central) -> Iterator[Central]:
    try:
        central.start()
        yield central
    finally:
        central.stop()


@pytest.fixture(params=["simulated-file", "simulated-memory", "ovn-unix", "ovn-ssl"])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    """Every stand in turn, empty."""
    if request.param.startswith("simulated"):
        uri = f"simulated://{tmp_path}/fabric" if request.param == "simulated-file" else f"simulated:memory/{uuid4()}"
        return Stand(driver="simulated", address=FabricAddress(uri=uri, deployment="test"), hand=SimulatedHand(uri))
    databases: Central = request.getfixturevalue("databases")
    hand = OvnHand(databases)
    hand.clear()
    address = databases.unix() if request.param == "ovn-unix" else databases.ssl(databases.folder / "state")
    return Stand(driver="ovn", address=address, hand=hand)
