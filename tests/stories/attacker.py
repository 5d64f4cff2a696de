"""Root of a guest as an attacker: forged frames past the guest's kernel, a listener for what arrives, a scan of others.

`frames.c` does the work inside. What is forged carries a token, so that it is known again wherever it comes out.
"""
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from tests.network.fabric import wire
from tests.stories.guests import OPTIONS, Guest

SOURCE = Path(__file__).with_name("frames.c")
PROGRAM, HEARD = "/run/frames", "/run/heard"
ADD_MEMBERSHIP, PROMISCUOUS = 1, 1  # of AF_PACKET; Python has no names for them


def build(folder: Path) -> Path:
    """The program for guests: static, since they have no compiler and not our libraries."""
    built = folder / "frames"
    subprocess.run(["gcc", "-Os", "-static", "-s", "-o", str(built), str(SOURCE)], check=True)
    return built


def token() -> bytes:
    return uuid4().hex[:16].encode()


def marked(mark: bytes) -> bytes:
    return wire.TOKEN + mark + wire.END


@dataclass(frozen=True)
class Attacker:
    """A guest in which we are root. `gateway` is the MAC of its router, as its own neighbour table has it."""

    guest: Guest
    gateway: str

    @classmethod
    def of(cls, guest: Guest, program: Path) -> Self:
        """Carry the program in, listen, and learn who the router is."""
        command = ["ssh", "-i", str(guest.key.file), *OPTIONS, f"root@{guest.outside}",
                   f"cat > {PROGRAM} && chmod +x {PROGRAM} && (setsid {PROGRAM} listen eth0 > {HEARD} 2>&1 < /dev/null &)"]
        subprocess.run(command, input=program.read_bytes(), check=True, timeout=60)
        router = guest.run("ip route").partition("default via ")[2].split()[0]
        told = guest.ssh(f"ping -c 1 -W 2 {router} > /dev/null; ip neigh show {router}", user="root").stdout
        return cls(guest, next(word for word in told.split() if word.count(":") == 5))

    @property
    def name(self) -> str:
        return self.guest.name

    def root(self, command: str, limit_s: float = 60) -> str:
        """What a command of root's prints, however it ends."""
        return self.guest.ssh(command, user="root", limit_s=limit_s).stdout

    def send(self, frames: Iterable[bytes], times: int = 1) -> int:
        """How many frames went out."""
        text = "".join(f"{frame.hex()}\n" for frame in frames)
        return int(self._with_input(f"{PROGRAM} send eth0 {times}", text))

    def heard(self) -> dict[str, int]:
        """How often each token arrived."""
        lines = self.root(f"sort {HEARD} | uniq -c").splitlines()
        return {mark: int(count) for count, mark in (line.split() for line in lines) if mark != "ready"}

    def scan(self, targets: Iterable[tuple[str, int]], patience_ms: int = 1500) -> set[tuple[str, int]]:
        """Which of these take a TCP connection; each is sent a marked datagram too."""
        return read_scan(self._with_input(f"{PROGRAM} scan {patience_ms}", scan_list(targets)))

    def _with_input(self, command: str, text: str) -> str:
        words = ["ssh", "-i", str(self.guest.key.file), *OPTIONS, f"root@{self.guest.outside}", command]
        done = subprocess.run(words, input=text, text=True, capture_output=True, timeout=120)
        assert done.returncode == 0, (self.name, command, done.stderr)
        return done.stdout

    # -- frames: honest unless said otherwise --

    def datagram(self, mac: str, address: str, mark: bytes, *, by: int = 999, to: int = 4444, mac_source: str = "",
                 source: str = "") -> bytes:
        packet = wire.datagram(source or self.guest.inside, address, by, to, marked(mark))
        return wire.ethernet(mac_source or self.guest.mac, mac, wire.IPV4, packet)

    def arp(self, mac: str, claimed: str, asked: str, mark: bytes, *, mac_source: str = "", mac_claimed: str = "",
            is_reply: bool = False) -> bytes:
        packet = wire.arp(mac_claimed or self.guest.mac, claimed, asked, marked(mark))
        operation = struct.pack("!H", 2 if is_reply else 1)
        return wire.ethernet(mac_source or self.guest.mac, mac, wire.ARP, packet[:6] + operation + packet[8:])

    def strange(self, mac: str, kind: int, mark: bytes) -> bytes:
        return wire.ethernet(self.guest.mac, mac, kind, marked(mark))

    def tagged(self, frame: bytes, vlan: int, kind: int = 0x8100) -> bytes:
        return frame[:12] + struct.pack("!HH", kind, vlan) + frame[12:]

    def in_pieces(self, frame: bytes) -> list[bytes]:
        """The same datagram as two fragments, of which only the first tells the ports."""
        header, content = frame[14:34], frame[34:]
        flags = ((0x2000, content[:8]), (0x0001, content[8:]))
        return [frame[:14] + _ipv4(header, flag, part) + part for flag, part in flags]

    def advertisement(self, mac: str, mark: bytes) -> bytes:
        return wire.ethernet(self.guest.mac, mac, wire.IPV6, wire.router_advertisement(self.guest.mac, marked(mark)))

    def datagram6(self, mac: str, mark: bytes) -> bytes:
        """From a link-local address of the guest's own to all on the link."""
        source, destination = (socket.inet_pton(socket.AF_INET6, text) for text in ("fe80::66", "ff02::1"))
        content = struct.pack("!HHHH", 999, 4444, 8 + len(marked(mark)), 0xFFFF) + marked(mark)
        packet = struct.pack("!IHBB", 6 << 28, len(content), 17, 255) + source + destination + content
        return wire.ethernet(self.guest.mac, mac, wire.IPV6, packet)


def _ipv4(header: bytes, flags: int, content: bytes) -> bytes:
    fresh = header[:2] + struct.pack("!H", 20 + len(content)) + header[4:6] + struct.pack("!H", flags) + header[8:10] \
        + b"\0\0" + header[12:20]
    return fresh[:10] + struct.pack("!H", wire._checksum(fresh)) + fresh[12:]


def scan_list(targets: Iterable[tuple[str, int]]) -> str:
    return "".join(f"{address} {port}\n" for address, port in targets)


def read_scan(said: str) -> set[tuple[str, int]]:
    """Of a scan that came to its end."""
    lines = said.splitlines()
    assert lines and lines[-1] == "done", said
    return {(address, int(port)) for address, port in (line.split() for line in lines[:-1])}


class Sniffer:
    """Marked frames on a device of this machine while the block runs, whoever they are for."""

    def __init__(self, device: str) -> None:
        self.device, self.found = device, {}

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.bind((self.device, 0))
        index = socket.if_nametoindex(self.device)
        self._socket.setsockopt(263, ADD_MEMBERSHIP, struct.pack("iHH8s", index, PROMISCUOUS, 0, b""))
        self._socket.settimeout(0.2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        time.sleep(0.5)
        self._ending.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                frame = self._socket.recv(65536)
                if wire.TOKEN in frame:
                    mark = frame[frame.index(wire.TOKEN) + len(wire.TOKEN):].partition(wire.END)[0].decode(errors="replace")
                    self.found[mark] = self.found.get(mark, 0) + 1
