"""The guest's root: an initramfs of busybox, dropbear, kernel modules and the files under `guest/`.

It is written in cpio's "newc" form here, with fixed times and owners, so that the same packages give the same bytes.
"""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from compute.lab.image.debs import Packages

GUEST = Path(__file__).with_name("guest")
PROGRAMS = {
    "bin/busybox": "bin/busybox-dynamic",
    "usr/sbin/dropbear": "usr/sbin/dropbear",
    "usr/bin/dropbearkey": "usr/bin/dropbearkey",
    "sbin/resize2fs": "sbin/resize2fs",
}
STATIC_BUSYBOX = "bin/busybox"
# Under emulation a dynamic program takes 40 ms to start and a static one 9 ms, so the static busybox runs everything,
# save what resolves names (glibc cannot, statically) and what only the dynamic one has.
DYNAMIC_APPLETS = (
    "blkid",
    "ftpget",
    "ftpput",
    "nc",
    "nslookup",
    "ping",
    "ping6",
    "telnet",
    "tftp",
    "traceroute",
    "wget",
)
LOADED_AT_BOOT = ("virtio_pci", "virtio_blk", "virtio_net", "isofs", "button", "evdev", "virtio_balloon", "virtio_rng")
LOADED_ON_DEMAND = ("virtio_scsi", "ata_piix", "sr_mod", "sd_mod", "vfat", "nls_cp437", "nls_ascii", "nls_utf8")
SECRET = {"etc/shadow"}


def write_initramfs(packages: Packages, target: Path) -> Path:
    """Assemble the guest's root from the unpacked packages and write it compressed."""
    root = packages.root.with_name("rootfs")
    for source, destination in PROGRAMS.items():
        _copy(packages.root / source, root / destination)
    _copy(packages.static_busybox, root / STATIC_BUSYBOX)
    _copy_libraries(packages.root, root)
    _copy_modules(packages, root)
    for path in sorted(path for path in GUEST.rglob("*") if path.is_file()):
        _copy(path, root / path.relative_to(GUEST))
    _link_applets(root, packages.static_busybox)
    for folder in ("dev", "proc", "sys", "run", "tmp", "mnt", "data", "home", "root"):
        (root / folder).mkdir(exist_ok=True)
    archive = target.with_suffix(".cpio")
    archive.write_bytes(_cpio(root))
    subprocess.run(["zstd", "-q", "-12", "-f", "--rm", str(archive), "-o", str(target)], check=True)
    return target


def _copy(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, destination)


def _copy_libraries(unpacked: Path, root: Path) -> None:
    """Ask the unpacked loader itself what the programs need, so that nothing comes from this machine."""
    loader = unpacked / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    where = [unpacked / "lib/x86_64-linux-gnu", unpacked / "usr/lib/x86_64-linux-gnu"]
    command = [str(loader), "--inhibit-cache", "--library-path", ":".join(map(str, where)), "--list"]
    needed = {"/lib64/ld-linux-x86-64.so.2": loader}
    for program in PROGRAMS:
        listed = subprocess.run([*command, str(unpacked / program)], check=True, capture_output=True, text=True)
        for name, found in re.findall(r"(\S+) => (/\S+)", listed.stdout):
            if Path(found).is_relative_to(unpacked):
                needed[f"/lib/{Path(name).name}"] = Path(found)
    for destination, source in needed.items():
        _copy(source, root / destination.lstrip("/"))


def _copy_modules(packages: Packages, root: Path) -> None:
    """Take the modules and what they depend on, in the order in which they must be loaded."""
    subprocess.run(["depmod", "-b", str(packages.root), packages.release], check=True, capture_output=True)
    boot = _load_order(packages, LOADED_AT_BOOT)
    for module in dict.fromkeys([*boot, *_load_order(packages, LOADED_ON_DEMAND)]):
        _copy(packages.root / module, root / module)
    tables = f"lib/modules/{packages.release}"
    for table in ("modules.builtin", "modules.order"):
        _copy(packages.root / tables / table, root / tables / table)
    subprocess.run(["depmod", "-b", str(root), packages.release], check=True, capture_output=True)
    for table in (root / tables).glob("modules.*.bin"):
        table.unlink()  # busybox reads the text tables only
    listing = root / "etc/modules"
    listing.parent.mkdir(parents=True, exist_ok=True)
    listing.write_text("".join(f"/{module}\n" for module in boot))


def _load_order(packages: Packages, names: tuple[str, ...]) -> list[str]:
    paths: dict[str, None] = {}
    for name in names:
        command = ["modprobe", "-d", str(packages.root), "-S", packages.release, "--show-depends", name]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for path in re.findall(r"^insmod (\S+)", shown, re.MULTILINE):
            paths[os.path.relpath(path, packages.root)] = None
    return list(paths)


def _link_applets(root: Path, busybox: Path) -> None:
    listed = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True).stdout.split()
    system = ["../init", "../sbin/init", "../sbin/getty", "../sbin/reboot", "../sbin/poweroff", "../sbin/modprobe"]
    targets = dict.fromkeys([*listed, *system], "/bin/busybox") | dict.fromkeys(DYNAMIC_APPLETS, "/bin/busybox-dynamic")
    for name, target in targets.items():
        link = Path(os.path.normpath(root / "bin" / name))
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(target)


def _mode(path: Path, name: str) -> int:
    """Git keeps one bit of a file's mode; the guest's modes follow from what the file is."""
    if path.is_symlink():
        return stat.S_IFLNK | 0o777
    if path.is_dir():
        return stat.S_IFDIR | (0o700 if name == "root" else 0o755)
    if name in SECRET:
        return stat.S_IFREG | 0o600
    with path.open("rb") as content:
        runs = content.read(4).startswith((b"#!", b"\x7fELF")) and path.suffix != ".ko"
    return stat.S_IFREG | (0o755 if runs else 0o644)


def _cpio(root: Path) -> bytes:
    entries = [_entry("dev/console", stat.S_IFCHR | 0o600, b"", 1, device=(5, 1))]
    paths = sorted(root.rglob("*"))
    for number, path in enumerate(paths, start=2):
        name = str(path.relative_to(root))
        content = b""
        if path.is_symlink():
            content = os.fsencode(os.readlink(path))
        elif path.is_file():
            content = path.read_bytes()
        entries.append(_entry(name, _mode(path, name), content, number))
    folder = next(index for index, path in enumerate(paths, start=1) if path == root / "dev")
    entries.insert(0, entries.pop(folder))  # a device node can only be made in a directory that is there
    entries.append(_entry("TRAILER!!!", 0, b"", 0))
    return b"".join(entries)


def _entry(name: str, mode: int, content: bytes, number: int, device: tuple[int, int] = (0, 0)) -> bytes:
    encoded = os.fsencode(name) + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0]
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(header) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)
