"""One machine of a lab: its namespaces and its power switch.

A machine is one outer process (`unshare`), whose death by any signal takes every process, mount and device of the
machine with it. It is found by its exact command line in /proc, never by a pid file, so a crashed earlier run leaves
nothing to be misled by. What runs on it is said by `host` and `central`; which machines exist is decided in `box`.
"""

import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from compute.lab.errors import LabError
from compute.lab.keys import write_if_changed
from compute.lab.network import Cable

INIT = Path(__file__).with_name("init.sh")
INIT_NAME = "/compute/lab/init.sh"  # in whichever checkout a machine was started from
START_LIMIT_S = 60.0  # on a crowded machine; 1 s on an idle one
RECOVERY_LIMIT_S = 10.0
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What every machine of a lab has; the subclasses say what it is for."""

    name: str
    address: str
    prefix_length: int
    directory: Path
    cables: tuple[Cable, ...]
    neighbours: Mapping[str, str]

    ROLE = ""  # names the script that the init goes on with

    # -- for subclasses ------------------------------------------------------------------------------------------

    def write_files(self) -> None:
        """Write everything that the machine's init and daemons read."""
        self.write_neighbours()
        settings = {"name": self.name, "address": f"{self.address}/{self.prefix_length}", **self._settings()}
        text = "".join(f"{name}={shlex.quote(setting)}\n" for name, setting in settings.items())
        write_if_changed(self.directory / "settings", text)

    def write_neighbours(self) -> None:
        """Write the names of all machines, in place: a running machine sees this very file as its /etc/hosts."""
        names = {"localhost": "127.0.0.1", **self.neighbours}
        text = "".join(f"{at}\t{name}\n" for name, at in names.items())
        file = self.directory / "hosts"
        self.directory.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)

    def _settings(self) -> dict[str, str]:
        """Return the shell variables that the role's script needs besides name and address."""
        return {}

    def _answers(self, inner: int) -> bool:
        """Tell whether the daemons of the machine, whose process 1 is given, can be talked to."""
        raise NotImplementedError

    # -- power ---------------------------------------------------------------------------------------------------

    def _command(self) -> list[str]:
        namespaces = ["--net", "--pid", "--mount", "--uts"]
        init = ["bash", str(INIT), str(self.directory), self.ROLE]
        return ["unshare", *namespaces, "--fork", "--kill-child", "tini", "-s", "--", *init]

    def outer_pid(self) -> int | None:
        """Find the process that is this machine's power switch."""
        return next(iter(outer_pids(self.directory)), None)

    def inner_pid(self) -> int | None:
        """Find the machine's process 1, by its number out here."""
        outer = self.outer_pid()
        return next(iter(_children(outer)), None) if outer else None

    def is_alive(self) -> bool:
        """Tell whether the machine is up and its daemons answer."""
        inner = self.inner_pid()
        return inner is not None and self._stands_on_its_files(inner) and self._answers(inner)

    def recovers(self) -> bool:
        """Tell whether the machine is alive or comes to life by itself: on a crowded machine an answer may take time."""
        inner = self.inner_pid()
        deadline = time.monotonic() + RECOVERY_LIMIT_S
        while inner is not None and self._stands_on_its_files(inner):
            if self._answers(inner):
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return False

    def _stands_on_its_files(self, inner: int) -> bool:
        """Find out whether the state directory was removed and made anew under the running machine, keys and all."""
        with suppress(OSError):
            return os.path.samefile(f"/proc/{inner}/root/etc/hosts", self.directory / "hosts")
        return False

    def start(self) -> None:
        """Switch the machine on and wait until it answers."""
        self.kill()
        self.write_files()
        with (self.directory / "console.log").open("ab") as console:
            subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=ENVIRONMENT,
                start_new_session=True,
            )
        wait_until(lambda: self.inner_pid() is not None, f"{self.name} did not start")
        for cable in self.cables:
            cable.plug(self.inner_pid())
        wait_until(self.is_alive, f"{self.name} did not answer; see {self.directory / 'console.log'}")

    def kill(self) -> None:
        """Cut the power: every process of the machine, guests included, is gone when this returns."""
        for outer in outer_pids(self.directory):
            cut_power(outer)
        for cable in self.cables:
            cable.unplug()


def outer_pids(directory: Path) -> list[int]:
    """Find the outer processes whose machines live in or under this directory."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal() and _is_outer(entry, directory)]


def _is_outer(pid: str, directory: Path) -> bool:
    """Judge by the exact command line that `Machine` starts, so that no pid file can mislead."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            arguments = [os.fsdecode(argument) for argument in cmdline.read().split(b"\0")]
    except OSError:
        return False
    inits = [index for index, argument in enumerate(arguments) if argument.endswith(INIT_NAME)]
    return arguments[0] == "unshare" and bool(inits) and Path(arguments[inits[0] + 1]).is_relative_to(directory)


def cut_power(outer: int) -> None:
    """Kill a machine's outer process and wait until its process 1, hence every process in it, is gone."""
    inner = _children(outer)
    with suppress(ProcessLookupError):
        os.kill(outer, signal.SIGKILL)
    with suppress(ChildProcessError):  # ours when this very process had started it: reap it
        os.waitpid(outer, 0)
    wait_until(lambda: not any(_is_running(pid) for pid in [outer, *inner]), f"process {outer} did not die")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _is_running(pid: int) -> bool:
    """A zombie counts as gone: process 1 of this machine may take seconds to reap it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def socket_answers(inner: int, path: str) -> bool:
    """Tell whether somebody listens on a unix socket of the machine whose process 1 is given."""
    with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
        client.settimeout(2)
        client.connect(f"/proc/{inner}/root/{path}")
        return True
    return False


def port_answers(address: str, port: int, *, greeting: bytes = b"") -> bool:
    """Tell whether somebody listens there, and begins by saying this."""
    with suppress(OSError), socket.create_connection((address, port), timeout=2) as client:
        return not greeting or client.recv(len(greeting)) == greeting
    return False


def wait_until(condition: Callable[[], object], complaint: str, *, limit_s: float = START_LIMIT_S) -> None:
    """Wait until the condition holds, else complain."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise LabError(complaint)
        time.sleep(0.05)
