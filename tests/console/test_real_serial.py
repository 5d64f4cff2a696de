"""The serial console before a real guest: its login prompt, its shell, a second one who comes, its end, and its log."""
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import libvirt
import pytest
from websockets.sync.client import ClientConnection

from compute.hosts.commands.catalogue import console_log_path
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import SerialTaken
from compute.hosts.models import Endpoint
from compute.instances.console.logs import read_log, remove_log
from compute.instances.models import Instance
from compute.lab import HostFacts, Lab
from compute.lab.image import DemoImage, build
from portal.kernel.errors import HostFault
from tests.console.conftest import close_code
from tests.console.test_serial import seated
from tests.console.test_tickets import refusal
from tests.lab.conftest import ROOT
from tests.lab.guests import Guest, Guests

pytestmark = pytest.mark.lab


class Logged(Guests):
    """Guests whose serial ports are logged where the portal has them logged."""

    def _domain(self, name: str, *parts: Path, bios: bool) -> ET.Element:
        domain, uuid = super()._domain(name, *parts, bios=bios), uuid4()
        ET.SubElement(domain, "uuid").text = str(uuid)
        domain.find("devices/serial/log").set("file", console_log_path(uuid))
        return domain


@pytest.fixture(scope="module")
def image() -> DemoImage:
    return build(ROOT / "var/cache/demo-image")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostFacts]:
    lab = Lab(f"serial{os.getpid()}", tmp_path_factory.mktemp("lab"), hosts=1)
    try:
        yield lab.up()[0]
    finally:
        lab.down()


@pytest.fixture
def guest(world, host: HostFacts, image: DemoImage) -> Iterator[Guest]:
    """Runs on the host that the world's endpoint leads to."""
    Endpoint.objects.update(driver="libvirt", uri=f"qemu+ssh://{host.user}@{host.address}/system",
                            host_key=f"{host.address} {host.public_host_key}", capabilities={"has_serial": True})
    endpoint = Endpoint.objects.get()
    endpoint.private_key = Path(host.private_key).read_text()
    endpoint.save()
    guests = Logged(host, libvirt.open(host.uri), image)
    yield guests.boot("serial")
    guests.remove()
    guests.connection.close()


@pytest.fixture
def instance(world, guest: Guest) -> Instance:
    world.host.refresh_from_db()
    return Instance.objects.create(
        id=UUID(guest.domain.UUIDString()), project=world.project, region=world.region, zone=world.zone, host=world.host,
        name="serial", type=world.type, vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running",
        vnc_password="hunter2!")


def read_until(socket: ClientConnection, wanted: bytes, limit_s: float = 150) -> bytes:
    """What the guest writes up to that."""
    got, limit = b"", time.monotonic() + limit_s
    while wanted not in got:
        got += socket.recv(max(0.1, limit - time.monotonic()))
    return got


def log_in(socket: ClientConnection) -> None:
    """A busy guest throws away what was typed before it asks, and gives up after a minute: then once more."""
    for pause_s in (0.5, 1, 2, 4, 8):
        with suppress(TimeoutError):
            socket.send(b"\r")  # for another prompt, if the first one came before anybody listened
            read_until(socket, b"login: ", 150 if pause_s < 1 else 70)
            time.sleep(pause_s)
            socket.send(b"demo\r")
            read_until(socket, b"assword: ", 20)
            time.sleep(pause_s)
            socket.send(b"demo\r")
            read_until(socket, b"$ ", 20)
            return
    raise AssertionError("nobody was let in")


def test_a_guest_answers_on_its_serial_port_and_its_host_keeps_what_it_wrote(person, instance, guest, host):
    oscar = person("oscar")
    with seated(oscar, instance) as socket:
        log_in(socket)
        socket.send(b"echo $((6*7))-seen\r")
        read_until(socket, b"42-seen")
        with hypervisor(instance.host) as driver:
            with pytest.raises(SerialTaken):
                driver.open_serial(instance.pk, lambda _content: None)
            other = driver.open_serial(instance.pk, lambda _content: None, takes_over=True)
            assert close_code(socket, 10) == 4409, "whoever had it is out"
        assert refusal(oscar, oscar.ticket(instance, type="serial")) == 4423
        other.close()
    with seated(oscar, instance) as socket, seated(person("adam"), instance) as beside:
        time.sleep(1)
        socket.send(b"echo $((6*8))-seen\r")
        for one in (socket, beside):
            read_until(one, b"48-seen", 20)
        guest.domain.destroy()
        assert close_code(socket, 10) == close_code(beside, 10) == 4409
    assert refusal(oscar, oscar.ticket(instance, type="serial")) == 4409
    log = read_log(instance)
    assert "login: " in log and "42-seen" in log and "48-seen" in log
    for _again in range(2):
        remove_log(instance, None)
        assert read_log(instance) == ""
    with hypervisor(instance.host) as driver, pytest.raises(HostFault):
        driver.open_serial(uuid4(), lambda _content: None)
