"""The image's disk: an MBR, a FAT partition that BIOS boots through syslinux, and an empty data partition.

The data partition is last, so that the guest can grow it into a larger root disk at boot. Nothing is mounted here.
"""

import os
import struct
import subprocess
from pathlib import Path

MIB = 2**20
SECTOR = 512
VIRTUAL_SIZE = 256 * MIB
BOOT_START, BOOT_SIZE = 1 * MIB, 31 * MIB
DATA_START, DATA_SIZE = 32 * MIB, VIRTUAL_SIZE - 32 * MIB
MBR_CODE = Path("/usr/lib/syslinux/mbr/mbr.bin")
SERIAL = "4d41494e"
DATA_UUID = "6d61696e-7300-4465-6d6f-000000000001"
EPOCH = "1700000000"


def write_disk(target: Path, *, kernel: Path, initrd: Path, cmdline: str) -> None:
    """Write the disk as a compressed qcow2."""
    raw = target.with_suffix(".raw")
    with raw.open("wb") as disk:
        disk.truncate(VIRTUAL_SIZE)
        disk.write(_master_boot_record())
    _make_boot_partition(raw, kernel, initrd, cmdline)
    _make_data_partition(raw)
    convert = ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compat=1.1", str(raw), str(target)]
    _run(*convert)
    raw.unlink()


def _run(*command: str) -> None:
    fixed = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "E2FSPROGS_FAKE_TIME": EPOCH, "TZ": "UTC"}
    subprocess.run(command, check=True, capture_output=True, env=fixed, stdin=subprocess.DEVNULL)


def _master_boot_record() -> bytes:
    code = MBR_CODE.read_bytes()[:440].ljust(440, b"\0")
    boot = _partition(0x80, 0x0E, BOOT_START, BOOT_SIZE)
    data = _partition(0x00, 0x83, DATA_START, DATA_SIZE)
    return code + bytes.fromhex(SERIAL) + b"\0\0" + (boot + data).ljust(64, b"\0") + b"\x55\xaa"


def _partition(flag: int, kind: int, start: int, size: int) -> bytes:
    unused = b"\xfe\xff\xff"  # cylinders and heads: nobody has them any more
    return struct.pack("<B3sB3sII", flag, unused, kind, unused, start // SECTOR, size // SECTOR)


def _make_boot_partition(raw: Path, kernel: Path, initrd: Path, cmdline: str) -> None:
    settings = raw.with_name("syslinux.cfg")
    lines = ["SERIAL 0 115200", "DEFAULT demo", "PROMPT 0", "LABEL demo", "  LINUX /vmlinuz", "  INITRD /initrd.img"]
    settings.write_text("\n".join([*lines, f"  APPEND {cmdline}"]) + "\n")
    partition = f"{raw}@@{BOOT_START}"
    _run(
        "mformat",
        "-i",
        partition,
        "-N",
        SERIAL,
        "-v",
        "DEMO",
        "-T",
        str(BOOT_SIZE // SECTOR),
        "-h",
        "16",
        "-s",
        "63",
        "-H",
        str(BOOT_START // SECTOR),
        "::",
    )
    for source in (kernel, initrd, settings):
        os.utime(source, (int(EPOCH), int(EPOCH)))
        _run("mcopy", "-i", partition, "-m", str(source), f"::{source.name}")
    _run("syslinux", "--offset", str(BOOT_START), "--install", str(raw))


def _make_data_partition(raw: Path) -> None:
    options = f"offset={DATA_START},hash_seed={DATA_UUID},lazy_itable_init=1"
    layout = ["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-J", "size=4", "-L", "demo-data", "-U", DATA_UUID]
    _run("mke2fs", *layout, "-E", options, str(raw), f"{DATA_SIZE // 1024}k")
