"""The virtual environment: made again only when requirements.txt, the place or Python has changed."""

import hashlib
import subprocess
import sys
from pathlib import Path

from . import progress
from .stage import PYTHON, ROOT, VAR

REQUIREMENTS = ROOT / "requirements.txt"
DIRECTORY = ROOT / ".venv"
STAMP = DIRECTORY / "mains-stamp"
LOG = VAR / "log" / "virtualenv.log"
OLDEST = (3, 11)


def stamp_for(requirements: bytes, place: Path, version: str) -> str:
    """Return what a finished environment is marked with; its scripts name their place, hence the place."""
    return f"{hashlib.sha256(requirements).hexdigest()} {version} {place}\n"


def ensure() -> None:
    """Bring the environment to what requirements.txt asks for."""
    if sys.version_info < OLDEST:
        raise progress.SetupFailed(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    wanted = stamp_for(REQUIREMENTS.read_bytes(), DIRECTORY, f"{sys.version_info.major}.{sys.version_info.minor}")
    stamp, works = _stamp(), _works()
    if works and stamp == wanted:
        return
    belongs_here = stamp.split(" ", 1)[-1] in ("", wanted.split(" ", 1)[-1])
    if not (works and belongs_here):
        make = [sys.executable, "-m", "venv", "--clear", str(DIRECTORY)]
        progress.run("Making the virtual environment", make, log=LOG)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    progress.run(
        "Installing Python packages (about a minute the first time)",
        [*pip, "install", "-r", str(REQUIREMENTS)],
        log=LOG,
    )
    STAMP.write_text(wanted)


def _stamp() -> str:
    try:
        return STAMP.read_text()
    except FileNotFoundError:
        return ""


def _works() -> bool:
    try:
        return subprocess.run([str(PYTHON), "-c", "import pip"], capture_output=True).returncode == 0
    except OSError:
        return False
