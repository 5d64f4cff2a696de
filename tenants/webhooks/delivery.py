"""One attempt: a signed POST to a checked address, within ten seconds, by the rules of Standard Webhooks.

The connection is made by httpcore with a backend of ours: it goes to the address that was checked, whatever the name means by
then, and every wait counts against one deadline. No redirect is followed, no proxy of the environment is asked, nothing of
an answer is read beyond MOST_READ. Nothing here touches the database.
"""
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import certifi
import httpcore
import structlog
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from tenants.webhooks import addresses
from tenants.webhooks.models import Delivery

log = structlog.get_logger(__name__)
LIMIT_S = 10
MOST_READ, MOST_KEPT = 16 * 1024, 1024
"""Bytes of an answer."""
PREFIX = "whsec_"
GONE = 410
ERRORS = {
    "refused": _("The address is none that webhooks are sent to."),
    "too_slow": _("No complete answer within ten seconds."),
    "no_connection": _("The receiver does not accept connections."),
    "tls": _("The receiver's certificate is not valid for its name, or TLS failed."),
    "redirect": _("The receiver redirects; redirects are not followed. Give the webhook the final address."),
    "status": _("The receiver refused it."),
    "gone": _("The receiver answered 410: the webhook was disabled."),
    "broken_answer": _("The receiver's answer is no HTTP."),
    "unexpected": _("An unexpected fault on our side."),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an attempt. `error` is one of ERRORS; empty: delivered."""

    status: int | None = None
    error: str = ""
    answer: str = ""
    ms: int = 0


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64 of HMAC-SHA256 over id.timestamp.body>`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    mac = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def signed(delivery: Delivery, now: datetime) -> tuple[dict[str, str], bytes]:
    """Headers and body of an attempt now; the body is the same each time."""
    body = json.dumps(delivery.payload, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    timestamp, message_id = int(now.timestamp()), delivery.message_id
    signatures = (signature(secret, message_id, timestamp, body) for secret in delivery.webhook.secrets_at(now))
    return {"content-type": "application/json", "user-agent": "Mains-Webhooks/1", "accept": "*/*",
            "accept-encoding": "identity", "connection": "close", "webhook-id": message_id, "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures)}, body


def send(delivery: Delivery, now: datetime) -> Outcome:
    """Post it once. Never raises for what a receiver does."""
    headers, body = signed(delivery, now)
    return post(delivery.webhook.url, headers, body)


def outcome_of(done: Future[Outcome], event: str) -> Outcome:
    """Of an attempt that a thread made; what nobody expected is logged as `event` and counts as one that failed."""
    fault = done.exception()
    if fault is None:
        return done.result()
    if not isinstance(fault, Exception):
        raise fault
    log.error(event, exc_info=fault)
    return Outcome(error="unexpected")


def post(url: str, headers: dict[str, str], body: bytes | Iterable[bytes], *, method: str = "POST",
         limit_s: float | None = None) -> Outcome:
    """The POST itself (or a PUT), and what came of it."""
    started = time.monotonic()
    try:
        status, answer = _exchange(method, url, headers, body, started + (LIMIT_S if limit_s is None else limit_s))
        outcome: dict[str, Any] = {"status": status, "answer": answer, "error": _fault(status)}
    except addresses.UrlRefused:
        outcome = {"error": "refused"}
    except httpcore.TimeoutException:
        outcome = {"error": "too_slow"}
    except httpcore.NetworkError as error:
        # httpcore wraps what the socket raised, and drops it as the cause.
        outcome = {"error": "tls" if any(isinstance(one, ssl.SSLError) for one in error.args) else "no_connection"}
    except httpcore.ProtocolError:
        outcome = {"error": "broken_answer"}
    return Outcome(**outcome, ms=round((time.monotonic() - started) * 1000))


def _fault(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return "redirect"
    return "gone" if status == GONE else "status"


def _exchange(method: str, url: str, headers: dict[str, str], body: bytes | Iterable[bytes],
              deadline: float) -> tuple[int, str]:
    target = addresses.parse(url)
    pinned = Pinned([str(address) for address in addresses.resolve(target)], deadline)
    with httpcore.ConnectionPool(ssl_context=_tls(settings.WEBHOOKS["ca_file"]), network_backend=pinned, http2=False) as pool:
        where = httpcore.URL(scheme=target.scheme.encode(), host=target.host.encode(), port=target.port,
                             target=target.path.encode())
        with pool.stream(method, where, headers=headers | {"host": target.authority}, content=body) as response:
            return response.status, _first(response.iter_stream())


def _first(chunks: Iterable[bytes]) -> str:
    """The beginning of the answer, as text that PostgreSQL can keep; the connection is closed on the rest."""
    kept, read = b"", 0
    for chunk in chunks:
        kept, read = (kept + chunk)[:MOST_KEPT], read + len(chunk)
        if read >= MOST_READ:
            break
    return kept.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


@lru_cache(maxsize=4)
def _tls(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


class Pinned(httpcore.NetworkBackend):
    """Connects to the given addresses only, whatever host is asked for; TLS and `Host` still speak of the name."""

    def __init__(self, numbers: list[str], deadline: float) -> None:
        self.numbers, self.deadline = numbers, deadline

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, local_address: str | None = None,
                    socket_options: Iterable[Any] | None = None) -> httpcore.NetworkStream:
        """The first that accepts. Raises what the last one raised."""
        for number, address in enumerate(self.numbers, 1):
            share = left(self.deadline) / (len(self.numbers) - number + 1)
            try:
                return Bounded(httpcore.SyncBackend().connect_tcp(address, port, timeout=share), self.deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if number == len(self.numbers):
                    raise
        raise httpcore.ConnectError("no address")


class Bounded(httpcore.NetworkStream):
    """A connection all of whose waits end at one deadline, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: float) -> None:
        self.inner, self.deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(min(max_bytes, MOST_READ), left(self.deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, left(self.deadline))

    def start_tls(self, ssl_context: ssl.SSLContext, server_hostname: str | None = None,
                  timeout: float | None = None) -> httpcore.NetworkStream:
        return Bounded(self.inner.start_tls(ssl_context, server_hostname, left(self.deadline)), self.deadline)

    def close(self) -> None:
        self.inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def left(deadline: float) -> float:
    """Seconds until the deadline. Raises httpcore.ReadTimeout when it is over."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout("the attempt's time is over")
    return seconds
