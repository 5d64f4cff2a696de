"""The stage's one supervisor: its configuration, its start and stop, and waiting for what it runs.

PostgreSQL and Redis start with it; the portal's own processes are its group `portal`, started when the database is
ready. Whatever of them is killed is back within about a second.
"""

import os
import shlex
import socket
import subprocess
import time
from pathlib import Path

from . import leftovers, postgres, progress
from . import stage as stages
from .stage import PYTHON, ROOT, Stage

SETUP = Path(__file__).resolve().parent
# The socket lies in the stage's directory, named by way of the working directory: a socket's address holds no more than
# 107 characters, and the clone may lie deep.
HEAD = """\
[supervisord]
nodaemon=true
user=root
silent=true
logfile=%(logs)s/supervisord.log
logfile_maxbytes=5MB
logfile_backups=2
pidfile=%(state)s/supervisord.pid
childlogdir=%(logs)s

[unix_http_server]
file=/proc/self/cwd/supervisor.sock

[supervisorctl]
serverurl=unix:///proc/self/cwd/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
PROGRAM = """
[program:%(name)s]
command=%(command)s
directory=%(directory)s
autostart=%(autostart)s
autorestart=true
startsecs=1
startretries=1000000
stopsignal=%(stopsignal)s
stopwaitsecs=20
killasgroup=true
priority=%(priority)s
redirect_stderr=true
stdout_logfile=%(logs)s/%(name)s.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""
GROUP = "\n[group:portal]\nprograms=%s\n"
WEB_PROCESSES = 2
PORTAL = (*(f"web-{number + 1}" for number in range(WEB_PROCESSES)), "worker", "beat", "watcher")


def portal_commands(stage: Stage, env: dict[str, str]) -> dict[str, list[str]]:
    """Return the commands of the portal's own processes."""
    python = str(PYTHON)
    bound = ["setpriv", "--pdeathsig", "TERM", "--"]  # nobody outlives a killed supervisor
    celery = [python, "-m", "celery", "-A", "portal"]
    schedule = str(stage.directory / "beat" / "schedule")
    address = ["--host", env["MAINS_BIND"], "--port", str(stages.port_of(env["MAINS_URL"]))]
    web = [*bound, python, "-m", "portal.web", *address, "--grace", "3"]
    return {
        **{name: [*web, "--number", name.removeprefix("web-")] for name in PORTAL if name.startswith("web-")},
        "worker": [
            *bound,
            python,
            str(SETUP / "guard.py"),
            *celery,
            "worker",
            "-Q",
            "default,region.lab",
            "-c",
            "4",
            "-n",
            f"{stage.lab}@%h",
            "--loglevel",
            "INFO",
            "--without-gossip",
            "--without-mingle",
        ],
        "beat": [*bound, *celery, "beat", "--schedule", schedule, "--pidfile=", "--loglevel", "INFO"],
        "watcher": [*bound, python, "manage.py", "watch"],
    }


def configuration(stage: Stage, env: dict[str, str]) -> str:
    """Return the supervisor's configuration; secrets reach the processes by their environment, not by this file."""
    redis = [
        "setpriv",
        "--reuid=redis",
        "--regid=redis",
        "--init-groups",
        "--pdeathsig",
        "TERM",
        "--",
        "redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        str(stages.port_of(env["REDIS_URL"])),
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        ".",
        "--daemonize",
        "no",
    ]
    parts = [
        HEAD % {"logs": _plain(stage.log), "state": _plain(stage.directory)},
        _program(stage, "postgres", postgres.server_command(stage, env), Path("/"), stopsignal="INT", priority=1),
        _program(stage, "redis", redis, stage.directory / "redis", priority=1),
    ]
    if stage.name == "run":
        for name, command in portal_commands(stage, env).items():
            parts.append(_program(stage, name, command, ROOT, autostart="false", priority=10))
        parts.append(GROUP % ",".join(PORTAL))
    return "".join(parts)


def is_alive(stage: Stage) -> bool:
    """Tell whether the stage's supervisor answers."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            # Relative: a socket's address holds 107 characters, and the clone may lie deep.
            probe.connect(os.path.relpath(stage.directory / "supervisor.sock"))
        except OSError:
            return False
        return True


def is_current(stage: Stage, env: dict[str, str]) -> bool:
    """Tell whether the living supervisor runs what the configuration now says."""
    try:
        return (stage.directory / "supervisord.conf").read_text() == configuration(stage, env)
    except FileNotFoundError:
        return False


def start(stage: Stage, env: dict[str, str], *, dies_with_caller: bool) -> None:
    """Start the supervisor with PostgreSQL and Redis and wait until both answer. No service of the stage is alive."""
    for name in ("beat", "log", "media", "static"):
        (stage.directory / name).mkdir(parents=True, exist_ok=True)
    stages.hand_over(stage.directory / "redis", "redis")
    postgres.ensure_cluster(stage, env)
    conf = stage.directory / "supervisord.conf"
    conf.write_text(configuration(stage, env))
    command = [str(PYTHON), "-m", "supervisor.supervisord", "-c", str(conf)]
    if dies_with_caller:
        command = ["setpriv", "--pdeathsig", "TERM", "--", *command]
    marked = {**stages.environment(stage), leftovers.MARK: str(stage.directory)}
    with (stage.log / "supervisord.out").open("ab") as out:
        supervisor = subprocess.Popen(
            command,
            cwd=stage.directory,
            env=marked,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    wait_for_stores(stage, env, supervisor)


def wait_for_stores(stage: Stage, env: dict[str, str], supervisor: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until PostgreSQL and Redis answer; give up at once when the supervisor just started has ended."""

    def answer() -> bool:
        if supervisor and supervisor.poll() is not None:
            raise progress.SetupFailed(f"The supervisor ended:\n{progress.tail(stage.log / 'supervisord.out')}")
        return postgres.is_ready(env) and _redis_answers(env)

    def logs() -> str:
        return "\n".join(progress.tail(stage.log / name) for name in ("postgres.log", "redis.log", "supervisord.log"))

    progress.wait_until("Waiting for PostgreSQL and Redis", answer, timeout_s=60, hint=logs)


def control(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """Give the supervisor an order and return what it said."""
    command = [str(PYTHON), "-m", "supervisor.supervisorctl", "-c", "supervisord.conf", *words]
    return subprocess.run(command, cwd=stage.directory, capture_output=True, text=True, env=stages.environment(stage))


def start_portal(stage: Stage) -> dict[str, str]:
    """Start the portal's own processes; return their pids."""
    control(stage, "start", "portal:*")
    return _pids(stage)


def fallen(stage: Stage, started: dict[str, str]) -> list[str]:
    """Tell which of the portal's processes are not the ones that were started: they end again and again."""
    now = _pids(stage)
    return [name for name in PORTAL if name not in now or now[name] != started.get(name)]


def stop(stage: Stage) -> int:
    """Stop the supervisor and all that it runs, and what an earlier one left; return how many processes there were."""
    count = len(leftovers.find(stage.directory))
    if is_alive(stage):
        control(stage, "shutdown")
        deadline = time.monotonic() + 30
        while leftovers.find(stage.directory) and time.monotonic() < deadline:
            time.sleep(0.2)
    leftovers.end(stage.directory)
    return count


def _pids(stage: Stage) -> dict[str, str]:
    """Return the pids of the portal's running processes."""
    lines = control(stage, "status", "portal:*").stdout.splitlines()
    words = (line.replace("portal:", "").replace(",", " ").split() for line in lines)
    return {fields[0]: fields[3] for fields in words if fields[1:3] == ["RUNNING", "pid"]}


def _program(
    stage: Stage,
    name: str,
    command: list[str],
    directory: Path,
    *,
    priority: int,
    stopsignal: str = "TERM",
    autostart: str = "true",
) -> str:
    return PROGRAM % {
        "name": name,
        "command": _plain(shlex.join(command)),
        "directory": _plain(directory),
        "autostart": autostart,
        "stopsignal": stopsignal,
        "priority": priority,
        "logs": _plain(stage.log),
    }


def _plain(value: object) -> str:
    """Guard a value against the supervisor's %-expansion."""
    return str(value).replace("%", "%%")


def _redis_answers(env: dict[str, str]) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", stages.port_of(env["REDIS_URL"])), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
