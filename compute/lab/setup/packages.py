"""System packages: which of the checked-in list are missing, and their installation without starting any daemon."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import progress
from .stage import ROOT, VAR

LIST = ROOT / "compute" / "lab" / "packages.txt"
LOG = VAR / "log" / "packages.log"
LOCK = Path("/run/lock/mains-packages.lock")  # machine-wide: two clones may be set up at once
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Mains, while it installs packages: start no daemons.\nexit 101\n"
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")
CLUSTERS_TEXT = "# Mains, while it installs packages: make no system cluster.\ncreate_main_cluster = false\n"
CLUSTERS_DEFAULT = Path("/usr/share/postgresql-common/createcluster.conf")
APT = [
    "apt-get",
    "-q",
    "-y",
    "-o",
    "DPkg::Lock::Timeout=600",
    "-o",
    "Acquire::Retries=3",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
]


def parse(text: str) -> list[str]:
    """Return the package names of a list: one a line, `#` begins a comment."""
    names = (line.split("#", 1)[0].strip() for line in text.splitlines())
    return list(dict.fromkeys(name for name in names if name))


def installed(status: str) -> set[str]:
    """Return the installed packages out of dpkg-query's `Status-Abbrev Package` lines."""
    words = (line.split() for line in status.splitlines())
    return {fields[-1] for fields in words if len(fields) >= 2 and fields[0].startswith(("ii", "hi"))}


def missing() -> list[str]:
    """Return the packages of the list that this machine lacks."""
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\\n"], check=True, capture_output=True, text=True
    )
    present = installed(query.stdout)
    return [name for name in parse(LIST.read_text()) if name not in present]


def ensure() -> None:
    """Install what is missing; with nothing missing, cost one dpkg-query."""
    _remove_ours()
    lacking = missing()
    if not lacking:
        return
    with _locked(), _no_daemons(), _no_system_cluster():
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "UCF_FORCE_CONFFOLD": "1", "LC_ALL": "C.UTF-8"}
        progress.run("Reading the package index", [*APT, "update"], log=LOG, env=env)
        progress.run(
            f"Installing {len(lacking)} system packages: {', '.join(lacking)}",
            [*APT, "install", "--no-install-recommends", *lacking],
            log=LOG,
            env=env,
        )


@contextmanager
def _locked() -> Iterator[None]:
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_daemons() -> Iterator[None]:
    if not POLICY.exists():
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        _remove_ours()


@contextmanager
def _no_system_cluster() -> Iterator[None]:
    ours = not CLUSTERS.exists()
    if ours:
        CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
        CLUSTERS.write_text(CLUSTERS_TEXT)
    try:
        yield
    finally:
        if ours and CLUSTERS_DEFAULT.exists():
            shutil.copyfile(CLUSTERS_DEFAULT, CLUSTERS)  # as the package would have left it


def _remove_ours() -> None:
    """Remove the daemon policy if it is ours, also one that a killed earlier run left."""
    if POLICY.exists() and POLICY.read_text() == POLICY_TEXT:
        POLICY.unlink()
