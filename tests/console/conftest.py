"""A running instance on the simulated driver, whose screen is a small real VNC server, and a portal to reach it."""
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from django.test import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from compute.hosts.drivers.contract import VncAddress
from compute.hosts.drivers.simulated import SimulatedHypervisor
from compute.instances.console.models import ConsoleTicket
from compute.instances.models import Instance
from tenants.operations import create_api_key
from tests.console.screen import FakeScreen
from tests.portal_server import serving
from tests.world import World, make_world


@pytest.fixture
def world(transactional_db: None, tmp_path, settings) -> Iterator[World]:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Error pages name static files, which need not be collected here.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    yield make_world(tmp_path)
    # The portal still notes the end of the last consoles; the tables are emptied after that.
    limit = time.monotonic() + 10
    while ConsoleTicket.objects.open().exists() and time.monotonic() < limit:
        time.sleep(0.05)


@pytest.fixture
def instance(world: World) -> Instance:
    """A running one, as a row: what is on the host is `screens`."""
    return Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type,
        vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running", vnc_password="hunter2!")


@pytest.fixture
def screens(monkeypatch) -> dict[UUID, FakeScreen]:
    """Which screen the host says an instance has."""
    known: dict[UUID, FakeScreen] = {}

    def vnc(_driver: SimulatedHypervisor, uuid: UUID) -> VncAddress | None:
        return VncAddress(host="127.0.0.1", port=known[uuid].port) if uuid in known else None

    monkeypatch.setattr(SimulatedHypervisor, "vnc", vnc)
    return known


@pytest.fixture
def screen(instance: Instance, screens: dict[UUID, FakeScreen]) -> Iterator[FakeScreen]:
    screens[instance.pk] = FakeScreen(instance.vnc_password)
    yield screens[instance.pk]
    screens[instance.pk].close()


@dataclass
class Person:
    """Somebody with a credential: a browser's session, or an API key."""

    site: str
    http: Client
    headers: dict[str, str]
    is_browser: bool = True

    def ticket(self, instance: Instance, **wishes: object) -> str:
        answer = self.ask(instance, **wishes)
        assert answer.status_code == 200, answer.content
        return answer.json()["ticket"]

    def ask(self, instance: Instance, **wishes: object):
        """`type="serial"`, `take_over=…`"""
        if self.is_browser:
            return self.http.post(f"/instances/{instance.pk}/console/", wishes, headers={"host": self.site})
        return self.http.post(f"/api/v1/instances/{instance.pk}/console/", data={"type": "vnc"} | wishes,
                              content_type="application/json", headers={"host": self.site} | self.headers)

    def open(self, ticket: str, **options) -> ClientConnection:
        origin = f"http://{self.site}" if self.is_browser else None
        wanted = {"origin": origin, "subprotocols": ["binary", f"ticket.{ticket}"], "additional_headers": self.headers,
                  "compression": None, "open_timeout": 15, "close_timeout": 2, "max_size": None}
        return connect(f"ws://{self.site}/ws/console/", **(wanted | options))


@pytest.fixture
def person(world: World, site: str) -> Callable[..., Person]:
    """`person("oscar")` in a browser; `person("oscar", key=True)` is a program of theirs."""

    def make(name: str, *, key: bool = False, **options) -> Person:
        client = Client()
        if key:
            row, text = create_api_key(world.people[name], name="test", actor=world.people[name], **options)
            made = Person(site, client, {"Authorization": f"Bearer {text}"}, is_browser=False)
            made.key = row
            return made
        client.force_login(world.people[name])
        cookie = f"sessionid={client.cookies['sessionid'].value}"
        return Person(site, client, {"Cookie": cookie})

    return make


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serving() as address:
        yield address


def enter(socket: ClientConnection) -> None:
    """Be noVNC up to the server's init message."""
    assert socket.recv(5) == b"RFB 003.008\n"
    socket.send(b"RFB 003.008\n")
    assert socket.recv(5) == b"\x01\x01"
    socket.send(b"\x01")
    assert socket.recv(5) == bytes(4)
    socket.send(b"\x01")
    assert socket.recv(5).endswith(b"test")


def close_code(socket: ClientConnection, within: float = 5) -> int:
    """The code with which the portal closes; fails when it does not within so many seconds."""
    try:
        while True:
            socket.recv(within)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006


@contextmanager
def entered(person: Person, instance: Instance) -> Iterator[ClientConnection]:
    with person.open(person.ticket(instance)) as socket:
        enter(socket)
        yield socket
