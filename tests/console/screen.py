"""A small VNC server: real RFB 3.8 with VNC authentication; what it does after the opening is the test's choice."""
import hmac
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

SERVER_INIT = bytes.fromhex("0010000c" "2018000100ff00ff00ff100800000000") + (4).to_bytes(4, "big") + b"test"


def echo(link: socket.socket) -> None:
    """Send back what comes, until the other side leaves."""
    while content := link.recv(65536):
        link.sendall(content)


class FakeScreen:
    """Listens on 127.0.0.1; counts who logged in."""

    def __init__(self, password: str, then: Callable[[socket.socket], None] = echo, *, port: int = 0) -> None:
        self.password, self.then = password, then
        self.logins = self.refusals = 0
        self.links: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _address = self._listener.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        try:
            if self._opens(link):
                self.logins += 1
                _exactly(link, 1)  # ClientInit
                link.sendall(SERVER_INIT)
                self.then(link)
        except OSError:
            pass
        finally:
            link.close()

    def _opens(self, link: socket.socket) -> bool:
        link.sendall(b"RFB 003.008\n")
        assert _exactly(link, 12) == b"RFB 003.008\n"
        link.sendall(bytes([1, 2]))
        assert _exactly(link, 1) == bytes([2])
        challenge = os.urandom(16)
        link.sendall(challenge)
        is_right = hmac.compare_digest(_exactly(link, 16), _encrypted(self.password, challenge))
        if not is_right:
            self.refusals += 1
            link.sendall((1).to_bytes(4, "big") + (5).to_bytes(4, "big") + b"wrong")
            return False
        link.sendall(bytes(4))
        return True

    def hang_up(self) -> None:
        """The power goes: every connection ends."""
        for link in self.links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.hang_up()


def _exactly(link: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        more = link.recv(count - len(content))
        if not more:
            raise ConnectionError
        content += more
    return content


def _encrypted(password: str, challenge: bytes) -> bytes:
    """As VNC servers do it, by a table and not by the portal's own code."""
    mirrored = [sum(1 << (7 - bit) for bit in range(8) if byte >> bit & 1) for byte in range(256)]
    key = bytes(mirrored[byte] for byte in password.encode()[:8].ljust(8, b"\0"))
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
