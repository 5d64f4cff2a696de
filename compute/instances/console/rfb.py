"""The opening of an RFB conversation (RFC 6143), both sides: we log in at the host's screen and let the browser in.

Only bytes; nothing here knows sockets, rows or rights. After the opening the relay does not look at what passes.
"""
from typing import Protocol

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

VERSION = b"RFB 003.008\n"
NONE, PASSWORD = 1, 2  # security types


class RfbFault(Exception):
    """The other side does not speak RFB as it should, or refused the password."""


class Wire(Protocol):
    async def read(self, count: int) -> bytes:
        """Exactly so many bytes; raises EOFError when the other side is gone."""

    async def write(self, content: bytes) -> None: ...


async def log_in(screen: Wire, password: str) -> None:
    """Be the client of a VNC server that wants `password`. One that wants none is not ours and is refused."""
    version = await screen.read(len(VERSION))
    if not version.startswith(b"RFB 003.") or version < b"RFB 003.007\n":
        raise RfbFault("not a VNC server of our time")
    await screen.write(VERSION)
    offered = await screen.read((await screen.read(1))[0])
    if PASSWORD not in offered:
        raise RfbFault("the screen asks for no password")
    await screen.write(bytes([PASSWORD]))
    await screen.write(answer_challenge(password, await screen.read(16)))
    if any(await screen.read(4)):
        raise RfbFault("the screen refused the password")


async def let_in(browser: Wire) -> None:
    """Be the server of a client that has shown its ticket: no password any more."""
    await browser.write(VERSION)
    version = await browser.read(len(VERSION))
    if version == b"RFB 003.003\n":
        await browser.write(NONE.to_bytes(4, "big"))
        return
    if version not in (VERSION, b"RFB 003.007\n"):
        raise RfbFault("unknown version")
    await browser.write(bytes([1, NONE]))
    if await browser.read(1) != bytes([NONE]):
        raise RfbFault("the client wants another security type")
    if version == VERSION:
        await browser.write(bytes(4))


def answer_challenge(password: str, challenge: bytes) -> bytes:
    """VNC's DES: eight bytes of password are the key, each with its bits reversed."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
