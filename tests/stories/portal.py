"""A whole portal for the stories: web, worker, beat and watcher as processes, on the stage's services and lab.

Its database is its own (dropped in the end, or by the next run when this one is killed). Whatever is killed is started
again within a second, as `make run`'s supervisor does.
"""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql

from compute.lab.setup import supervision
from compute.lab.setup.stage import ROOT, Stage
from portal.upkeep import postgres

START_LIMIT_S = 120


class Portal:
    """The processes and what is needed to talk to them."""

    def __init__(self, state: Path, *, hosts: int) -> None:
        self.state, self.hosts, self.processes, self.stopping = state, hosts, {}, False
        self.log = state / "log"
        self.log.mkdir(parents=True, exist_ok=True)
        self.name = f"test_mains_p{os.getpid()}_gw90"
        base = os.environ["DATABASE_URL"]
        self.admin_url = base
        parts = urlsplit(base)
        self.environment = {**os.environ, "DATABASE_URL": parts._replace(path=f"/{self.name}").geturl(),
                            "MAINS_URL": f"http://127.0.0.1:{_free_port()}", "MAINS_BIND": "127.0.0.1",
                            "ENGINE_LEASE_S": "10",
                            "MAINS_DEMO_FILE": str(state / "demo.json"), "DJANGO_SETTINGS_MODULE": "portal.settings",
                            "REDIS_URL": os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/7"}
        self.url = self.environment["MAINS_URL"]

    # -- life --

    def start(self) -> "Portal":
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            postgres.drop_by(connection, self.name)
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name)))
        redis.Redis.from_url(self.environment["REDIS_URL"]).flushdb()  # doorbells of an earlier portal
        subprocess.run([sys.executable, "manage.py", "stage"], cwd=ROOT, env=self.environment, check=True,
                       stdout=(self.log / "stage.log").open("wb"), stderr=subprocess.STDOUT)
        self.demo = json.loads((self.state / "demo.json").read_text())
        self.commands = supervision.portal_commands(_StageAt(self.state), self.environment)
        (self.state / "beat").mkdir(exist_ok=True)
        for name in self.commands:
            self._spawn(name)
        threading.Thread(target=self._keep_alive, daemon=True).start()
        self.wait(lambda: self.get("/readyz")[0] == 200, "the portal is ready")
        self.wait(lambda: len(self.api("GET", "hosts/?state=ready", who="admin")[1]["results"]) == self.hosts,
                  "all hosts are ready")
        self.await_networks()
        return self

    def await_networks(self, limit_s: float = 30) -> float:
        """Seconds until the fabric has every VPC as its rows are, deleted ones too."""
        return self.wait(lambda: self.query("SELECT count(*) FROM network_vpc WHERE applied_revision < revision") == [(0,)],
                         "the fabric has all VPCs", limit_s)

    def _spawn(self, name: str) -> None:
        log = (self.log / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(self.commands[name], cwd=ROOT, env=self.environment, stdout=log,
                                                stderr=log, start_new_session=True)

    def _keep_alive(self) -> None:
        while not self.stopping:
            for name, process in list(self.processes.items()):
                if process.poll() is not None and not self.stopping:
                    self._end_group(process)
                    self._spawn(name)
            time.sleep(0.5)

    def kill(self, name: str) -> None:
        """kill -9 of the named process, its children left to themselves until the supervisor notices; of `web`, all of them."""
        for one, process in self.processes.items():
            if one == name or one.startswith(f"{name}-"):
                os.kill(process.pid, signal.SIGKILL)

    def _end_group(self, process: subprocess.Popen) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    def stop(self) -> None:
        self.stopping = True
        for process in self.processes.values():
            self._end_group(process)
            process.wait()
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            postgres.drop_by(connection, self.name)

    # -- talking to it --

    def wait(self, condition, what: str, limit_s: float = START_LIMIT_S) -> float:
        """Seconds until `condition()` holds; fails naming `what`."""
        begun = time.monotonic()
        while time.monotonic() - begun < limit_s:
            try:
                if condition():
                    return time.monotonic() - begun
            except (OSError, KeyError, IndexError, TypeError, ValueError, psycopg.Error):
                pass
            time.sleep(0.1)
        raise AssertionError(f"not within {limit_s} s: {what}")

    def get(self, path: str) -> tuple[int, bytes]:
        return self._open(urllib.request.Request(self.url + path))

    def api(self, method: str, path: str, body: Any = None, *, who: str = "tenant",
            headers: dict | None = None) -> tuple[int, Any]:
        """(status, JSON) of a REST call as the demo tenant, the rival or the administrator."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key(who)}", "Content-Type": "application/json", **(headers or {})})
        status, content = self._open(request)
        return status, json.loads(content) if content else None

    def _open(self, request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=70) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def key(self, who: str) -> str:
        if who != "admin":
            return self.demo[who]["api_key"]
        if "admin_key" not in self.demo:
            self.demo["admin_key"] = self.shell(
                "from tenants.models import User; from tenants.operations import create_api_key as c; "
                "u = User.objects.get(username='admin'); print(c(u, name='story', actor=u)[1])")
        return self.demo["admin_key"]

    def create(self, name: str = "story", *, who: str = "tenant", **changes: object) -> dict[str, Any]:
        """The operation of a new instance of the smallest type."""
        status, operation = self.api("POST", "instances/", self.body(name, who=who, **changes), who=who)
        assert status == 202, operation
        return operation

    def shell(self, code: str) -> str:
        """What a line of Python prints last, in a process beside the portal's."""
        command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout.strip().rpartition("\n")[2]

    def body(self, name: str = "story", *, who: str = "tenant", **changes: object) -> dict[str, Any]:
        """What a new instance of the smallest type is asked for with."""
        return {"project": self.demo[who]["project"], "region": self.demo["region"], "image": self.demo["image"],
                "type": self.demo["instance_type"], "name": name, **changes}

    def finish(self, operation: dict[str, Any], limit_s: float = 120, *, who: str = "tenant") -> dict[str, Any]:
        """The operation when it has settled."""
        end = time.monotonic() + limit_s
        while operation["state"] in ("queued", "running"):
            assert time.monotonic() < end, operation
            try:
                status, answer = self.api("GET", f"operations/{operation['id']}/?wait=10", who=who)
                operation = answer if status == 200 else operation
            except (OSError, ValueError):
                time.sleep(0.3)
        return operation

    def query(self, statement: str, *parameters: object) -> list[tuple]:
        """Rows of the portal's own database."""
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            return connection.execute(statement, parameters).fetchall()


class _StageAt(Stage):
    """A stage whose files lie where the story says."""

    def __init__(self, directory: Path) -> None:
        super().__init__("test")
        object.__setattr__(self, "_directory", directory)

    @property
    def directory(self) -> Path:
        return self._directory


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
