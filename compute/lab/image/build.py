"""Build the demo image, or find that it is there already. What the parts are made of lives in the modules beside."""

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compute.lab.image.debs import unpack_packages
from compute.lab.image.disk import VIRTUAL_SIZE, write_disk
from compute.lab.image.rootfs import GUEST, write_initramfs

CMDLINE = "console=tty0 console=ttyS0 quiet mitigations=off cryptomgr.notests"
DEFAULT_USER = "demo"
FILES = ("demo.qcow2", "vmlinuz", "initrd.img")


@dataclass(frozen=True, kw_only=True)
class DemoImage:
    """Where the finished parts are, and what to say to them."""

    disk: Path
    kernel: Path
    initrd: Path
    manifest: Path
    cmdline: str
    virtual_size: int
    default_user: str


def build(cache_dir: Path | str, progress: Callable[[str], None] = lambda _text: None) -> DemoImage:
    """Return the demo image in this directory, building it when it is missing or from another recipe."""
    directory = Path(cache_dir).absolute()
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make run` and `make test` share the cache
        if not _is_current(directory):
            with tempfile.TemporaryDirectory(dir=directory, prefix=".build-") as workshop:
                _build_in(Path(workshop), directory, progress)
    return _image(directory)


def _image(directory: Path) -> DemoImage:
    return DemoImage(
        disk=directory / "demo.qcow2",
        kernel=directory / "vmlinuz",
        initrd=directory / "initrd.img",
        manifest=directory / "manifest.json",
        cmdline=CMDLINE,
        virtual_size=VIRTUAL_SIZE,
        default_user=DEFAULT_USER,
    )


def _recipe() -> str:
    """Digest everything that decides what the image becomes, save the packages' versions."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    parts = [here / name for name in ("build.py", "debs.py", "disk.py", "rootfs.py")]
    for path in [*parts, *sorted(path for path in GUEST.rglob("*") if path.is_file())]:
        digest.update(str(path.relative_to(here)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _is_current(directory: Path) -> bool:
    """Sizes, not digests: reading 40 MB at every start would be the slowest part of it."""
    try:
        manifest = json.loads((directory / "manifest.json").read_text())
        sizes = {name: (directory / name).stat().st_size for name in FILES}
    except (OSError, ValueError):
        return False
    recorded = {name: entry["size"] for name, entry in manifest["files"].items()}
    return manifest["recipe"] == _recipe() and recorded == sizes


def _build_in(workshop: Path, directory: Path, progress: Callable[[str], None]) -> None:
    progress("demo image: fetching Debian packages")
    packages = unpack_packages(workshop / "unpacked", directory / "debs", progress)
    progress("demo image: packing the guest")
    kernel = shutil.copyfile(packages.kernel, workshop / "vmlinuz")
    initrd = write_initramfs(packages, workshop / "initrd.img")
    write_disk(workshop / "demo.qcow2", kernel=kernel, initrd=initrd, cmdline=CMDLINE)
    manifest = {
        "recipe": _recipe(),
        "packages": packages.versions,
        "files": {name: _describe(workshop / name) for name in FILES},
        "format": "qcow2",
        "virtual_size": VIRTUAL_SIZE,
        "cmdline": CMDLINE,
        "default_user": DEFAULT_USER,
    }
    (directory / "manifest.json").unlink(missing_ok=True)  # no manifest, no image: a build cut short is built again
    for name in FILES:
        (workshop / name).replace(directory / name)
    (workshop / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (workshop / "manifest.json").replace(directory / "manifest.json")
    size = sum(entry["size"] for entry in manifest["files"].values()) // 2**20
    progress(f"demo image: ready, {size} MiB")


def _describe(path: Path) -> dict[str, str | int]:
    with path.open("rb") as content:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(content, "sha256").hexdigest()}
