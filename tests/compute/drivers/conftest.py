"""The stands of the contract suites: simulated (file and memory), libvirt's test driver, and real QEMU in a lab."""
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from compute.hosts.drivers.contract import Address
from compute.hosts.drivers.libvirt.session import session_for
from compute.lab import HostFacts, Lab

from .stands import LibvirtHand, SimulatedHand, Stand

TEST_DRIVER_LACKS = frozenset({
    "memory limit", "files", "image locks", "screen", "deaf guests", "crashes",
    "upload", "resize", "file formats", "image sizes", "cards", "hot add", "hot plug", "measurements", "snapshots",
    "guest agent",
})
SIMULATED_LACKS = frozenset({"inactive pools", "files behind", "file formats", "uploaded bytes"})


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(part): asks a part of the contract that some stands declare to lack")


def simulated(uri: str) -> Stand:
    return Stand(driver="simulated", address=Address(uri=uri), pool_name="main", pool_path="/srv/main",
                 hand=SimulatedHand(uri), lacks=SIMULATED_LACKS)


def libvirt_test_driver(folder: Path) -> Stand:
    """`test:///default` keeps its state for the life of the process; a host file of one's own does not leak."""
    file = folder / "host.xml"
    file.write_text((Path(__file__).parent / "test-host.xml").read_text())
    address = Address(uri=f"test://{file}")
    storage = session_for(address, purpose="storage").connection
    return Stand(
        driver="libvirt", domain_type="test", address=address, pool_name="main", pool_path=str(folder / "pool"),
        hand=LibvirtHand(session_for(address).connection, storage=storage),
        lacks=TEST_DRIVER_LACKS | {"files behind"})


def address_of(host: HostFacts, state_dir: Path) -> Address:
    return Address(uri=f"qemu+ssh://{host.user}@{host.address}/system", private_key=Path(host.private_key).read_text(),
                   host_key=f"{host.address} {host.public_host_key}", state_dir=str(state_dir))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab of this session alone, so that it may be shot at."""
    made = Lab(f"drivers{os.getpid()}", tmp_path_factory.mktemp("lab"), hosts=1)
    made.up()
    yield made
    made.down()


@pytest.fixture(scope="session")
def lab_host(lab: Lab) -> HostFacts:
    return lab.up()[0]


@pytest.fixture(scope="session")
def lab_address(lab_host: HostFacts, tmp_path_factory: pytest.TempPathFactory) -> Address:
    return address_of(lab_host, tmp_path_factory.mktemp("drivers"))


@pytest.fixture
def qemu(lab: Lab, lab_host: HostFacts, lab_address: Address) -> Iterator[Stand]:
    lab.up()
    stand = Stand(driver="libvirt", address=lab_address, pool_name="main", pool_path=lab_host.pool_path,
                  hand=LibvirtHand(session_for(lab_address).connection, kill_qemu), files=Path(lab_host.pool_path),
                  lacks=frozenset({"guest agent"}))  # SeaBIOS has none: see tests/debian
    stand.pool().ensure_pool()
    yield stand
    stand.tidy()


@pytest.fixture(params=["simulated-file", "simulated-memory", "libvirt-test",
                        pytest.param("libvirt-qemu", marks=pytest.mark.lab)])
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """Every stand in turn, with a pool; what one declares to lack is expected to fail there."""
    if request.param == "libvirt-qemu":
        made = request.getfixturevalue("qemu")
    elif request.param == "libvirt-test":
        made = libvirt_test_driver(tmp_path)
    else:
        memory = f"simulated:memory/{uuid4()}?memory_mib=4096"
        made = simulated(memory if request.param == "simulated-memory" else f"simulated://{tmp_path}/h1?memory_mib=4096")
    made.pool().ensure_pool()
    wanted = {part for marker in request.node.iter_markers("needs") for part in marker.args}
    if missing := wanted & made.lacks:
        reason = f"{request.param} declares to lack: {', '.join(sorted(missing))}"
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    yield made


def kill_qemu(uuid: UUID) -> None:
    """`kill -9` of the QEMU process of one domain, found by its command line."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if b"qemu-system" in command.split(b"\0")[0] and str(uuid).encode() in command:
            os.kill(int(entry.name), signal.SIGKILL)


def wait_until(condition, limit_s: float = 10) -> float:
    """Seconds until the condition held. Fails when it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "this never became true"
        time.sleep(0.05)
    return time.monotonic() - began

