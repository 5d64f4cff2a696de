"""Several web processes on one port: a killed one is not missed, and their counters are counted together."""
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from urllib.request import urlopen

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

ASKED = 30


class Processes:
    """`python -m portal.web`, two of them."""

    def __init__(self, state: Path) -> None:
        self.state, self.port, self.running = state, _free_port(), {}

    def start(self, number: int) -> None:
        environment = {**os.environ, "MAINS_STATE_DIR": str(self.state), "MAINS_URL": f"http://127.0.0.1:{self.port}",
                       "DJANGO_SETTINGS_MODULE": "portal.settings"}
        command = [sys.executable, "-m", "portal.web", "--number", str(number), "--port", str(self.port)]
        self.running[number] = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self.listens(number):
            assert self.running[number].poll() is None and time.monotonic() < end
            time.sleep(0.1)

    def listens(self, number: int) -> bool:
        """Whether this process, and not another of the port, holds a listening socket."""
        sockets = set()
        for one in Path(f"/proc/{self.running[number].pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                sockets.add(os.readlink(one).removeprefix("socket:[").removesuffix("]"))
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(line[3] == "0A" and line[9] in sockets for line in lines)

    def ask(self) -> None:
        with urlopen(f"http://127.0.0.1:{self.port}/livez", timeout=30) as answer:
            assert answer.status == 200

    @property
    def counted(self) -> float:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(self.state / "metrics"))
        return registry.get_sample_value("mains_http_requests_total", {"method": "GET", "view": "livez", "status": "200"}) or 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path)
    try:
        for number in (1, 2):
            started.start(number)
        yield started
    finally:
        for process in started.running.values():
            process.kill()
            process.wait()


def test_a_killed_one_is_not_missed_and_counters_go_on(processes: Processes) -> None:
    for _request in range(ASKED):
        processes.ask()
    assert processes.counted == ASKED
    assert len(list((processes.state / "metrics").glob("counter_application-*.db"))) == 2  # both have answered
    processes.running[1].kill()
    processes.running[1].wait()
    for _request in range(ASKED):
        processes.ask()
    assert processes.counted == 2 * ASKED
    processes.start(1)
    for _request in range(ASKED):
        processes.ask()
    assert processes.counted == 3 * ASKED


def test_a_signal_ends_it_in_peace(processes: Processes) -> None:
    for process in processes.running.values():
        process.terminate()
    assert [process.wait(20) for process in processes.running.values()] == [-SIGTERM, -SIGTERM]
