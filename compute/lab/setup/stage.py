"""A stage: its directory under var/, its settings file and the environment that its processes get.

The settings file (`env`, mode 0600) is written once and then kept, so that ports, password and keys stay; only a port
that somebody else has taken meanwhile is chosen anew. No service is started here.
"""

import base64
import hashlib
import os
import pwd
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from . import ports
from .progress import SetupFailed

ROOT = Path(__file__).resolve().parents[3]
VAR = ROOT / "var"
PYTHON = ROOT / ".venv" / "bin" / "python"
NAMES = ("run", "test")
WEB_PORT = {"run": 8000, "test": 18000}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Stage:
    """One of `run` and `test`, with the directories that belong to it."""

    name: str

    @property
    def directory(self) -> Path:
        return VAR / self.name

    @property
    def env_file(self) -> Path:
        return self.directory / "env"

    @property
    def log(self) -> Path:
        return self.directory / "log"

    @property
    def lab(self) -> str:
        """The lab's name: unlike in every clone and stage, and short, since device names come from it."""
        return f"m{hashlib.sha256(str(ROOT).encode()).hexdigest()[:5]}{self.name[0]}"


def read_env(path: Path) -> dict[str, str]:
    """Read KEY=VALUE lines as a shell would; an absent file is empty."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {key: "".join(shlex.split(value)) for key, value in pairs}


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write KEY=VALUE lines, readable by the owner alone, in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.writelines(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
    draft.replace(path)


def port_of(url: str) -> int:
    """Return the port that a URL names."""
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port


def settle_env(stage: Stage, *, is_running: bool, port: int | None = None, bind: str = "127.0.0.1") -> dict[str, str]:
    """Return the stage's settings, made when there are none; choose anew what others have taken meanwhile."""
    if port and not is_running and not ports.is_free(port):
        raise SetupFailed(f"Port {port} is taken by another program: choose another, as in `make run PORT=8080`.")
    old = read_env(stage.env_file)
    values = {**old, **_identity(stage), **_keys(old)}
    values["DATABASE_URL"] = _url(
        old, "DATABASE_URL", stage, is_running, f"postgresql://mains:{secrets.token_urlsafe(24)}@127.0.0.1:{{}}/mains"
    )
    values["REDIS_URL"] = _url(old, "REDIS_URL", stage, is_running, "redis://127.0.0.1:{}/0")
    values["MAINS_URL"] = f"http://127.0.0.1:{port or _web_port(old, stage, is_running)}"
    values["MAINS_BIND"] = bind
    if bind != "127.0.0.1":
        values["ALLOWED_HOSTS"] = "*"  # asked for on the command line: reached under names that nobody knows here
    elif values.get("ALLOWED_HOSTS") == "*":
        del values["ALLOWED_HOSTS"]
    if values != old:
        write_env(stage.env_file, values)
    return values


def environment(stage: Stage) -> dict[str, str]:
    """Return what the stage's processes get: the caller's environment, the settings file, our Python."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "MAKE", "MFLAGS"))}
    path = f"{PYTHON.parent}:{inherited.get('PATH', '/usr/bin:/bin')}:{SBIN}"
    return {
        **inherited,
        **read_env(stage.env_file),
        "PATH": path,
        "VIRTUAL_ENV": str(PYTHON.parent.parent),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


def hand_over(directory: Path, user: str) -> None:
    """Make a directory that only this user, and root, can enter."""
    directory.mkdir(parents=True, exist_ok=True)
    owner = pwd.getpwnam(user)
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    directory.chmod(0o700)


def _identity(stage: Stage) -> dict[str, str]:
    return {
        "MAINS_STAGE": stage.name,
        "MAINS_STATE_DIR": str(stage.directory),
        "MAINS_LAB": stage.lab,
        "MAINS_DEMO": "1",
        "DEBUG": "0",
    }


def _keys(old: Mapping[str, str]) -> dict[str, str]:
    master = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {
        "SECRET_KEY": old.get("SECRET_KEY") or secrets.token_urlsafe(50),
        "MASTER_KEYS": old.get("MASTER_KEYS") or master,
    }


def _url(old: Mapping[str, str], key: str, stage: Stage, is_running: bool, pattern: str) -> str:
    url = old.get(key)
    if url and (is_running or ports.is_free(port_of(url))):
        return url
    port = ports.choose(f"{stage.directory} {key}", _remembered_elsewhere(stage))
    if url:
        return url.replace(f":{port_of(url)}/", f":{port}/")
    return pattern.format(port)


def _web_port(old: Mapping[str, str], stage: Stage, is_running: bool) -> int:
    port = port_of(old["MAINS_URL"]) if "MAINS_URL" in old else WEB_PORT[stage.name]
    return port if is_running else ports.first_free(port, _remembered_elsewhere(stage))


def _remembered_elsewhere(stage: Stage) -> set[int]:
    urls = [
        value
        for name in NAMES
        if name != stage.name
        for key, value in read_env(Stage(name).env_file).items()
        if key.endswith("_URL")
    ]
    return {port_of(url) for url in urls}
