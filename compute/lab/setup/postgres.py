"""The stage's private PostgreSQL 15: its data under var/<stage>/pg, one role, loopback only, password only.

PostgreSQL refuses to run as root, and its user may be unable to reach a clone that lies under, say, /root. So it runs
as Debian's `postgres` user in a mount namespace of its own in which var/<stage>/pg is mounted on that user's home: no
path outside the clone is touched, nobody's permissions change, and nothing stays behind when it ends.
Starting and restarting it is the supervisor's work.
"""

import hashlib
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from . import progress
from .stage import Stage, hand_over, port_of

USER = "postgres"
HOME = "/var/lib/postgresql"
BINARIES = Path("/usr/lib/postgresql/15/bin")
# "$1" is the stage's pg directory; what follows are setpriv's options and the command.
ENTER = 'mount --bind "$1" ' + HOME + ' && shift && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"'
ACCESS = "host all mains 127.0.0.1/32 scram-sha-256\n"  # the portal's role alone, from this machine, by password
DISPOSABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def directory(stage: Stage) -> Path:
    """Return the directory that becomes the server's home; the data lie in `data` in it."""
    return stage.directory / "pg"


def server_command(stage: Stage, env: dict[str, str]) -> list[str]:
    """Return the command that runs the server in the foreground."""
    options = [
        "listen_addresses=127.0.0.1",
        f"port={port_of(env['DATABASE_URL'])}",
        "unix_socket_directories=",
        "max_connections=200",
        "shared_buffers=256MB",
        "timezone=UTC",
        "log_timezone=UTC",
        f"cluster_name={stage.lab}",
        *(DISPOSABLE if stage.name == "test" else ()),
    ]
    return _as_postgres(
        stage,
        "--pdeathsig",
        "INT",
        "--",
        str(BINARIES / "postgres"),
        "-D",
        f"{HOME}/data",
        *(word for option in options for word in ("-c", option)),
    )


def ensure_cluster(stage: Stage, env: dict[str, str]) -> None:
    """Make the data directory if there is none, and the role's password the settings file's. The server is down."""
    home, data = directory(stage), directory(stage) / "data"
    hand_over(home, USER)
    password = urlsplit(env["DATABASE_URL"]).password or ""
    if not data.exists():
        with progress.step("Making the PostgreSQL cluster"):
            _initdb(stage, password)
    elif _mark(home) != _digest(password):
        _single_user(stage, "data", f"ALTER ROLE mains PASSWORD '{password}';\n")
    (data / "postmaster.pid").unlink(missing_ok=True)  # no process has this directory: see leftovers
    (home / "role").write_text(_digest(password))


def is_ready(env: dict[str, str]) -> bool:
    """Tell whether the server answers."""
    port = str(port_of(env["DATABASE_URL"]))
    command = [str(BINARIES / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port, "-U", "mains", "-d", "mains"]
    return subprocess.run(command).returncode == 0


def _initdb(stage: Stage, password: str) -> None:
    draft = directory(stage) / "draft"  # renamed when complete: a killed initdb leaves no half cluster
    shutil.rmtree(draft, ignore_errors=True)
    _run(
        _as_postgres(
            stage,
            "--",
            str(BINARIES / "initdb"),
            "-D",
            f"{HOME}/draft",
            "-A",
            "reject",
            "-U",
            USER,
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        ),
        "",
    )
    _single_user(
        stage, "draft", f"CREATE ROLE mains LOGIN CREATEDB PASSWORD '{password}';\nCREATE DATABASE mains OWNER mains;\n"
    )
    (draft / "pg_hba.conf").write_text(ACCESS)
    draft.rename(directory(stage) / "data")


def _single_user(stage: Stage, name: str, statements: str) -> None:
    """Run statements, one a line, in PostgreSQL's single-user mode: no server, no socket, no superuser password."""
    command = [str(BINARIES / "postgres"), "--single", "-D", f"{HOME}/{name}", "template1"]
    _run(_as_postgres(stage, "--", *command), statements)


def _run(argv: list[str], statements: str) -> None:
    done = subprocess.run(argv, input=statements, cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode or "ERROR:" in done.stdout or "FATAL:" in done.stdout:
        raise progress.SetupFailed(f"PostgreSQL's set-up failed:\n{done.stdout}")


def _as_postgres(stage: Stage, *command: str) -> list[str]:
    alone = ["unshare", "--mount", "--propagation", "private", "--"]
    return [*alone, "sh", "-c", ENTER, "sh", str(directory(stage)), *command]


def _digest(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def _mark(home: Path) -> str:
    try:
        return (home / "role").read_text()
    except FileNotFoundError:
        return ""
