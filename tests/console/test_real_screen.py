"""The relay before a real QEMU: its own VNC server, its password, its end."""
import os
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from compute.hosts.models import Endpoint
from compute.instances.models import Instance
from compute.lab import HostFacts, Lab
from tests.console.conftest import close_code

pytestmark = pytest.mark.lab

# No disk: the firmware's own words are picture enough.
DOMAIN = """<domain type='qemu'><name>screen</name><uuid/><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
<graphics type='vnc' autoport='yes' passwd='hunter2!'/><video><model type='vga'/></video></devices></domain>"""


@pytest.fixture(scope="module")
def host(tmp_path_factory) -> Iterator[HostFacts]:
    lab = Lab(f"console{os.getpid()}", tmp_path_factory.mktemp("lab"))
    try:
        yield lab.up()[0]
    finally:
        lab.down()


@pytest.fixture
def guest(host: HostFacts, instance: Instance) -> Iterator[libvirt.virDomain]:
    """A domain with the instance's id, and the instance on the host where it runs."""
    Endpoint.objects.update(
        driver="libvirt", uri=f"qemu+ssh://{host.user}@{host.address}/system",
        host_key=f"{host.address} {host.public_host_key}")
    endpoint = Endpoint.objects.get()
    endpoint.private_key = Path(host.private_key).read_text()
    endpoint.save()
    connection = libvirt.open(host.uri)
    domain = connection.createXML(DOMAIN.replace("<uuid/>", f"<uuid>{instance.pk}</uuid>"))
    yield domain
    for left in connection.listAllDomains():
        left.destroy()
    connection.close()


def test_a_real_screen_shows_a_picture_and_ends_with_the_guests_power(person, instance, guest):
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance)) as socket:
        picture = first_picture(socket)
        assert len(picture) > 1000
        guest.destroy()
        assert close_code(socket) == 4409


def test_a_real_screen_with_another_password_stays_dark(person, instance, guest):
    Instance.objects.update(vnc_password="another!")
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance)) as socket:
        assert close_code(socket, 10) == 4409


def test_a_guest_that_the_host_does_not_know_has_no_screen(person, instance, guest):
    guest.destroy()
    oscar = person("oscar")
    with oscar.open(oscar.ticket(instance)) as socket:
        assert close_code(socket, 10) == 4409


def first_picture(socket) -> bytes:
    """Open as noVNC does, ask for the whole screen raw, and take what comes."""
    assert socket.recv(10) == b"RFB 003.008\n"
    socket.send(b"RFB 003.008\n")
    assert socket.recv(10) == b"\x01\x01"
    socket.send(b"\x01")
    assert socket.recv(10) == bytes(4)
    socket.send(b"\x01")  # shared
    greeting = socket.recv(10)
    while len(greeting) < 24:
        greeting += socket.recv(10)
    width, height = int.from_bytes(greeting[:2], "big"), int.from_bytes(greeting[2:4], "big")
    assert width >= 640 or height >= 400
    socket.send(b"\x02\x00\x00\x01" + bytes(4))  # raw only
    socket.send(b"\x03\x00" + bytes(4) + greeting[:4])
    picture = socket.recv(10)
    assert picture[0] == 0  # FramebufferUpdate
    while len(picture) < width * height:
        picture += socket.recv(10)
    return picture
