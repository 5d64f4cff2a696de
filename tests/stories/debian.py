"""A real Debian 12 with real cloud-init, built from Debian's packages: what tenants run, and far too slow for most tests.

`build(cache_dir)` leaves `disk.qcow2`, `vmlinuz` and `initrd.img` there, and does nothing when they are there from this very
recipe; remove the directory to take up newer packages. Nothing is mounted: the disk is one file system, which `mke2fs` fills,
and it is booted straight from kernel and initramfs.
"""
import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

CMDLINE = "root=/dev/vda rw console=tty0 console=ttyS0 mitigations=off"
FILES = ("disk.qcow2", "vmlinuz", "initrd.img")
SIZE = 1200 * 1024**2
LOGIN = "debian"
PACKAGES = ("linux-image-cloud-amd64", "cloud-init", "openssh-server", "qemu-guest-agent", "systemd-sysv", "systemd-resolved",
            "netplan.io", "dbus", "iproute2", "udev", "sudo", "iputils-ping")
# The initramfs holds what leads to the disk alone: it is read and unpacked by an emulated processor.
HOOK = ('mkdir -p "$1/etc/initramfs-tools/conf.d"; echo MODULES=list > "$1/etc/initramfs-tools/conf.d/mains"; '
        'printf "virtio_pci\\nvirtio_blk\\next4\\n" > "$1/etc/initramfs-tools/modules"')
# As Debian's own cloud image, but one host key (others take an emulated processor long), and no locale, which minbase lacks.
CONFIG = "datasource_list: [NoCloud, None]\nssh_genkeytypes: [ed25519]\nlocale: false\n"
IDLE = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
        "fstrim.timer")


def build(cache_dir: Path) -> dict[str, Path]:
    """The parts of the image, by what `Image.files` calls them."""
    cache_dir.mkdir(parents=True, exist_ok=True)
    recipe, mark = hashlib.sha256(Path(__file__).read_bytes()).hexdigest(), cache_dir / "recipe"
    with (cache_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != recipe:
            mark.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".build-") as workshop:
                _build_in(Path(workshop), cache_dir)
            mark.write_text(recipe)
    return dict(zip(("disk", "kernel", "initrd"), (cache_dir / name for name in FILES), strict=True))


def _build_in(workshop: Path, target: Path) -> None:
    root = workshop / "root"
    _run("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", '--aptopt=APT::Sandbox::User "root"',
         f"--include={','.join(PACKAGES)}", f"--essential-hook={HOOK}", "--dpkgopt=path-exclude=/usr/share/man/*",
         "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "bookworm", str(root))
    pack(root, workshop)
    for name in FILES:
        (workshop / name).replace(target / name)


def pack(root: Path, workshop: Path) -> None:
    """The three files, of a system that was installed into a folder."""
    (root / "etc/cloud/cloud.cfg.d/90-test.cfg").write_text(CONFIG)
    for unit in IDLE:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    for path in (*(root / "etc/ssh").glob("ssh_host_*"), *(root / "var/cache/apt").glob("*.bin"),
                 *(root / "var/cache/apt/archives").glob("*.deb")):
        path.unlink()
    (root / "etc/machine-id").write_text("")
    for pattern, name in (("vmlinuz-*", FILES[1]), ("initrd.img-*", FILES[2])):
        shutil.copyfile(next((root / "boot").glob(pattern)), workshop / name)
    raw = workshop / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(SIZE)
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", "debian", "-d", str(root), str(raw))
    _run("qemu-img", "convert", "-O", "qcow2", str(raw), str(workshop / FILES[0]))
    raw.unlink()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, (command[0], done.stderr[-2000:])
