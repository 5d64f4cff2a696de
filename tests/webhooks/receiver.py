"""A real HTTP receiver on the loopback address, and a reading of Standard Webhooks of its own."""
import base64
import hashlib
import hmac
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What came in."""

    path: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def status(code: int, text: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
    return answer


@dataclass
class Receiver:
    """Where it listens, what it got, and how it answers: the next of `answers`, then `usual`."""

    port: int = 0
    seen: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    usual: Answer = field(default_factory=lambda: status(204))
    name: str = "127.0.0.1"
    scheme: str = "http"
    names: list[str | None] = field(default_factory=list)
    """What TLS was asked for by (SNI)."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.name}:{self.port}/hook?room=1"


@contextmanager
def receiver(certificate: Any = None) -> Iterator[Receiver]:
    """Listening until the block ends; with a (certificate, key) it speaks TLS."""
    found = Receiver(scheme="https" if certificate else "http")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.seen.append(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            (found.answers.pop(0) if found.answers else found.usual)(self)

        do_GET = do_PUT = do_POST

        def log_message(self, *_arguments: object) -> None:
            """Silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads, request_queue_size = True, 64

        def handle_error(self, *_arguments: object) -> None:
            """A client that goes away is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.sni_callback = lambda _socket, name, _context: found.names.append(name)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def is_signed_by(secret: str, request: Request, *, now: float, tolerance_s: float = 300) -> bool:
    """As the specification tells a receiver to check: id.timestamp.body under the decoded key, one of the signatures of v1."""
    assert secret[:6] == "whsec_"
    key = base64.b64decode(secret[6:], validate=True)
    message, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    if abs(now - int(stamp)) > tolerance_s:
        return False
    wanted = hmac.digest(key, b".".join([message.encode(), stamp.encode(), request.body]), hashlib.sha256)
    versions = [one.split(",", 1) for one in request.headers["webhook-signature"].split(" ")]
    return any(version == "v1" and hmac.compare_digest(base64.b64decode(mac), wanted) for version, mac in versions)
