"""The console's relay beside websockify: CPU for each GB towards the browser, and a keystroke's round trip.

Both relay the same bytes from a server in this process to a client in this process; only the relay's own process (and
its children) is counted. Ticket, audit and the watch over open consoles are on.
"""
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import SOCK_STREAM, create_server
from socket import socket as Socket

from websockets.sync.client import ClientConnection, connect

from tests.bench import databases
from tests.bench.figures import Figure, Skipped, beside, median, ratio

PEER = "websockify==0.13.0"
ROUNDS, BULK, ECHOES, CHUNK = 5, 96 * 1024 * 1024, 400, 64 * 1024
Opener = Callable[[], ClientConnection]


def measure() -> list[Figure]:
    peer = _install()
    databases.set_up()
    with databases.database(0) as name, _running(name, peer) as (sides, pids):
        rounds = [{side: _one(sides[side], pids[side]) for side in (("ours", "peer") if turn % 2 else ("peer", "ours"))}
                  for turn in range(-1, ROUNDS)][1:]
    cpu, trip = ({side: [found[side][which] for found in rounds] for side in sides} for which in (0, 1))
    return [Figure(name="console: CPU a GB", compared=f"{PEER} ({median(cpu['peer']):.2f} s)",
                   value=f"{ratio(cpu['ours'], cpu['peer']):.2f} × ({median(cpu['ours']):.2f} s)"),
            beside("console: round trip", trip["ours"], trip["peer"], PEER)]


def _install() -> Path:
    """websockify in a virtual environment of its own: it is compared with, never used."""
    home = Path(__file__).resolve().parents[2] / "var/cache/bench-venv"
    program = home / "bin/websockify"
    if not program.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", home], check=True, capture_output=True)
            subprocess.run([home / "bin/pip", "install", "-q", PEER], check=True, capture_output=True, timeout=240)
        except (subprocess.SubprocessError, OSError) as error:
            raise Skipped(f"{PEER} cannot be installed: {type(error).__name__}") from error
    return program


@contextmanager
def _running(database: str, peer: Path) -> Iterator[tuple[dict[str, Opener], dict[str, int]]]:
    """How to open a connection through each relay, and the relays' process ids."""
    from django.conf import settings

    from tests.console.screen import FakeScreen
    from tests.world import make_world

    world = make_world(settings.STATE_DIR / "console")
    instance = _instance(world)
    screen = FakeScreen(instance.vnc_password, then=_serve)
    bare = create_server(("127.0.0.1", 0))
    threading.Thread(target=_accept, args=(bare,), daemon=True).start()
    ours, theirs = _free_port(), _free_port()
    environment = {**os.environ, "CONSOLES_PER_USER": "0", "CONSOLES_PER_INSTANCE": "0",
                   "DATABASE_URL": databases.url(database), "BENCH_SCREEN": str(screen.port),
                   "MAINS_URL": f"http://127.0.0.1:{ours}"}
    processes = [subprocess.Popen([sys.executable, "-m", "tests.bench.relay", str(ours)], env=environment,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
                 subprocess.Popen([peer, f"127.0.0.1:{theirs}", f"127.0.0.1:{bare.getsockname()[1]}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)]
    try:
        for port in (ours, theirs):
            _await_port(port)
        yield ({"ours": lambda: _through_portal(ours, world, instance), "peer": lambda: _through_peer(theirs)},
               {"ours": processes[0].pid, "peer": processes[1].pid})
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)
        bare.close()
        screen.close()


def _instance(world):
    from compute.instances.models import Instance

    return Instance.objects.create(
        project=world.project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type,
        vcpus=1, memory_mib=256, image=world.image, state="running", observed_state="running", vnc_password="hunter2!")


# -- the screen's side --

def _serve(link: Socket) -> None:
    """`b` asks for bulk, anything else comes back."""
    while content := link.recv(CHUNK):
        if content == b"b":
            for _chunk in range(BULK // CHUNK):
                link.sendall(bytes(CHUNK))
        else:
            link.sendall(content)


def _accept(listener: Socket) -> None:
    while True:
        try:
            link, _address = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(link,), daemon=True).start()


# -- the browser's side --

def _through_portal(port: int, world, instance) -> ClientConnection:
    from django.test import Client

    from tenants.operations import create_api_key
    from tests.console.conftest import Person, enter

    _key, text = create_api_key(world.people["alice"], name=f"bench{time.monotonic_ns()}", actor=world.people["alice"])
    person = Person(f"127.0.0.1:{port}", Client(), {"Authorization": f"Bearer {text}"}, is_browser=False)
    socket = person.open(person.ticket(instance))
    enter(socket)
    return socket


def _through_peer(port: int) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}/", subprotocols=["binary"], compression=None, max_size=None, close_timeout=2)


def _one(open_it: Opener, pid: int) -> tuple[float, float]:
    """(CPU-seconds a GB, seconds of a round trip) over one connection."""
    with open_it() as socket:
        trips = [_trip(socket) for _turn in range(ECHOES)]
        before = _cpu(pid)
        socket.send(b"b")
        got = 0
        while got < BULK:
            got += len(socket.recv(20))
        assert got == BULK
        return (_cpu(pid) - before) * 1e9 / BULK, median(trips)


def _trip(socket: ClientConnection) -> float:
    begun = time.perf_counter()
    socket.send(b"k")
    assert socket.recv(10) == b"k"
    return time.perf_counter() - begun


def _cpu(pid: int) -> float:
    """Seconds on a processor of all threads of the process and of its children, by the scheduler's own count."""
    total = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0]) / 1e9
        total += sum(_cpu(int(child)) for child in (task / "children").read_text().split())
    return total


# -- ports --

def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _await_port(port: int) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        with Socket(type=SOCK_STREAM) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on {port}")
