"""Fetch Debian packages through apt's own configuration and unpack them aside; nothing is installed."""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.lab.errors import LabError

KERNEL = "linux-image-cloud-amd64"
STATIC = "busybox-static"  # holds the same path as busybox, so it is unpacked apart
RECIPE_PACKAGES = (
    "busybox",
    "dropbear-bin",
    "e2fsprogs",
    "libc6",
    "libcom-err2",
    "libcrypt1",
    "libext2fs2",
    "libblkid1",
    "libtomcrypt1",
    "libtommath1",
    "libgmp10",
    "libuuid1",
    "zlib1g",
)


@dataclass(frozen=True, kw_only=True)
class Packages:
    """Unpacked packages in one tree."""

    root: Path
    release: str
    versions: dict[str, str]

    @property
    def kernel(self) -> Path:
        return self.root / "boot" / f"vmlinuz-{self.release}"

    @property
    def static_busybox(self) -> Path:
        return self.root.with_name(STATIC) / "bin/busybox"


def unpack_packages(root: Path, store: Path, progress: Callable[[str], None]) -> Packages:
    """Fetch what the guest is made of into the store, and unpack it into one tree."""
    root.mkdir(parents=True)
    store.mkdir(parents=True, exist_ok=True)
    try:
        names = _download(store)
    except LabError:
        _update_index(progress)  # none yet, or so old that it names versions which the mirror has dropped since
        names = _download(store)
    versions = {}
    for name in names:
        package = _newest(store, name)
        versions[name] = package.name.split("_")[1].replace("%3a", ":")
        _run("dpkg", "-x", str(package), str(root.with_name(STATIC) if name == STATIC else root))
    return Packages(root=root, release=names[0].removeprefix("linux-image-"), versions=versions)


def _run(*command: str, cwd: Path | None = None) -> str:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd)
    if ran.returncode:
        raise LabError(f"{' '.join(command)}: {ran.stderr.strip()}")
    return ran.stdout


def _update_index(progress: Callable[[str], None]) -> None:
    progress("demo image: refreshing apt's index")
    _run("apt-get", "--quiet", "update")


def _real_kernel() -> str:
    """Resolve the meta package to the one that holds the kernel."""
    found = re.search(r"Depends: (linux-image-\S+)", _run("apt-cache", "depends", KERNEL))
    if not found:
        raise LabError(f"{KERNEL} depends on no kernel package.")
    return found.group(1)


def _download(store: Path) -> list[str]:
    names = [_real_kernel(), STATIC, *RECIPE_PACKAGES]
    _run("apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", *names, cwd=store)
    return names


def _newest(store: Path, name: str) -> Path:
    return max(store.glob(f"{name}_*.deb"), key=lambda path: path.stat().st_mtime)
