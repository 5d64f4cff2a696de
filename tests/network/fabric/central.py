"""A real OVN central of a test's own: databases and northd as processes below a folder, on unix sockets and SSL.

No host belongs to it and nothing is put on any network but a port on the loopback.
"""
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compute.network.fabric.contract import FabricAddress

from .certificates import Authority

SCHEMAS = Path("/usr/share/ovn")
_DATABASES = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}


class Central:
    """Northbound, Southbound and northd. `kill` and `start` as often as wanted; what was written stays."""

    def __init__(self, folder: Path, *, with_northd: bool = True) -> None:
        self.folder, self._with_northd = folder, with_northd
        self.port = _free_port()
        self.authority = Authority("lab")
        self._complaints: list[str] = []
        self._processes: dict[str, subprocess.Popen] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.private_key = self.authority.issue("portal")
        self._files = self._write_certificates()
        for name in _DATABASES:
            self.create_database(name)

    def unix(self, deployment: str = "test") -> FabricAddress:
        return FabricAddress(uri=f"unix:{self.folder}/nb.sock", deployment=deployment)

    def ssl(self, state_dir: Path, deployment: str = "test") -> FabricAddress:
        return FabricAddress(
            uri=f"ssl:127.0.0.1:{self.port}", deployment=deployment, state_dir=str(state_dir),
            ca_certificate=self.authority.pem, certificate=self.certificate, private_key=self.private_key)

    def create_database(self, name: str) -> None:
        """Empty."""
        subprocess.run(["ovsdb-tool", "create", self.folder / f"{name}.db", SCHEMAS / f"ovn-{name}.ovsschema"], check=True)

    def schema(self, name: str) -> dict:
        return json.loads((SCHEMAS / f"ovn-{name}.ovsschema").read_text())

    def start(self) -> None:
        for name in _DATABASES:
            self.start_database(name)
        if self._with_northd:
            sockets = [f"--ovn{name}-db=unix:{self.folder}/{name}.sock" for name in _DATABASES]
            self._spawn("northd", ["ovn-northd", *sockets, f"--unixctl={self.folder}/northd.ctl"])

    def start_database(self, name: str = "nb") -> None:
        command = ["ovsdb-server", f"--remote=punix:{self.folder}/{name}.sock", f"--unixctl={self.folder}/{name}.ctl"]
        if name == "nb":
            command += [f"--remote=pssl:{self.port}:127.0.0.1", *(f"--{option}={path}" for option, path in
                                                                  self._files.items())]
        self._spawn(name, [*command, self.folder / f"{name}.db"])
        wait_until((self.folder / f"{name}.sock").exists)
        wait_until(lambda: self._run("ovsdb-client", "list-dbs", f"unix:{self.folder}/{name}.sock").returncode == 0)

    def signal(self, name: str, number: int) -> None:
        os.kill(self._processes[name].pid, number)

    def kill(self, name: str = "nb") -> None:
        self.signal(name, signal.SIGKILL)
        self._processes.pop(name).wait()

    def stop(self) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        self._processes.clear()

    def nbctl(self, *arguments: str) -> str:
        return self._checked("ovn-nbctl", "--no-leader-only", f"--db=unix:{self.folder}/nb.sock", *arguments)

    def sbctl(self, *arguments: str) -> str:
        return self._checked("ovn-sbctl", f"--db=unix:{self.folder}/sb.sock", *arguments)

    def trace(self, *arguments: str) -> str:
        """A packet's way through the logical network; what could not be read of it is kept for `complaints`."""
        done = self._run("ovn-trace", f"--db=unix:{self.folder}/sb.sock", "--no-friendly-names", *arguments)
        assert done.returncode == 0, done.stderr
        self._complaints = [line for line in done.stderr.splitlines() if "pars" in line]
        return done.stdout

    def complaints(self) -> list[str]:
        """Of the last trace, about flows that it could not read."""
        return self._complaints

    def settle(self) -> None:
        """Until northd has brought everything to the Southbound database."""
        self.nbctl("--wait=sb", "--timeout=30", "sync")

    def transactions(self) -> int:
        """How often the Northbound database was changed since it was made."""
        log = self._checked("ovsdb-tool", "show-log", str(self.folder / "nb.db"))
        return sum(line.startswith("record ") for line in log.splitlines())

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _write_certificates(self) -> dict[str, Path]:
        certificate, key = self.authority.issue("central")
        texts = {"ca-cert": self.authority.pem, "certificate": certificate, "private-key": key}
        for name, text in texts.items():
            (self.folder / f"{name}.pem").write_text(text)
        return {name: self.folder / f"{name}.pem" for name in texts}

    def _spawn(self, name: str, command: list) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                env=os.environ | {"OVN_RUNDIR": str(self.folder), "OVS_RUNDIR": str(self.folder)})

    def _checked(self, *command: str) -> str:
        done = self._run(*command)
        assert done.returncode == 0, f"{command[0]}: {done.stderr}"
        return done.stdout

    def _run(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, capture_output=True, text=True, timeout=60,
                              env=os.environ | {"OVN_RUNDIR": str(self.folder), "OVS_RUNDIR": str(self.folder)})


def rows(central: Central, table: str, *columns: str) -> list[dict]:
    """All rows of a Northbound table."""
    answer = json.loads(central.nbctl("--format=json", f"--columns={','.join(columns)}", "list", table))
    return [dict(zip(answer["headings"], row, strict=True)) for row in answer["data"]]


def wait_until(condition: Callable[[], bool], limit_s: float = 10) -> float:
    """Seconds until the condition held. Fails when it never does."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit_s, "this never became true"
        time.sleep(0.05)
    return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
