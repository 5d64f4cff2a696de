"""Choosing TCP ports on the loopback address. Who listens on them is not known here."""

import socket
import zlib
from collections.abc import Collection

FIRST = 20000  # below the range from which the kernel takes ports for outgoing connections
COUNT = 9000


def is_free(port: int, address: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: closed connections do not count
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def choose(seed: str, taken: Collection[int]) -> int:
    """Return a free port, the same one for the same seed as long as it is free and not among the taken."""
    return first_free(FIRST + zlib.crc32(seed.encode()) % COUNT, taken, last=FIRST + COUNT * 2)


def first_free(start: int, taken: Collection[int], *, last: int = 65535) -> int:
    """Return the first free port from `start` on that is not among the taken."""
    for port in range(start, last):
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {start} and {last}")
