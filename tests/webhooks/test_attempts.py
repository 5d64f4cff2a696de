"""One attempt: what is sent, how it is signed, and what a receiver can do to us by answering badly."""
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tenants.webhooks import delivery, events, operations
from tenants.webhooks.delivery import post, send
from tenants.webhooks.models import Webhook
from tests.cast import Cast
from tests.webhooks.receiver import Receiver, is_signed_by, receiver, status

Make = Callable[..., Webhook]


def try_now(webhook: Webhook) -> delivery.Outcome:
    return send(events.test_event(webhook), datetime.now(UTC))


def test_what_a_receiver_gets_is_signed_and_complete(make: Make, hooked: Receiver, cast: Cast) -> None:
    webhook = make()
    sent = events.test_event(webhook)
    outcome = send(sent, datetime.now(UTC))
    assert (outcome.status, outcome.error) == (204, "")
    [request] = hooked.seen
    assert request.path == "/hook?room=1" and request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == sent.message_id and request.headers["host"] == f"127.0.0.1:{hooked.port}"
    assert is_signed_by(webhook.secret, request, now=time.time())
    assert not is_signed_by(operations.new_secret(), request, now=time.time())
    assert not is_signed_by(webhook.secret, request, now=time.time() + 301)
    payload = json.loads(request.body)
    assert payload["type"] == "webhook.test" and payload["data"]["organization"] == str(cast.organization.pk)
    assert payload["data"]["webhook"]["url"].endswith(f"/api/v1/webhooks/{webhook.pk}/")
    assert webhook.secret not in request.body.decode() + str(request.headers)


def test_the_specifications_own_example() -> None:
    """From the Standard Webhooks specification: this secret, id, time and body give this signature."""
    body = b'{"test": 2432232314}'
    assert delivery.signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")


def test_both_secrets_sign_for_a_day_after_a_rotation(make: Make, hooked: Receiver, cast: Cast) -> None:
    webhook = make()
    old = webhook.secret
    webhook, new = operations.rotate_secret(webhook, actor=cast.alice)
    assert new != old
    try_now(webhook)
    assert hooked.seen[-1].headers["webhook-signature"].count("v1,") == 2
    assert is_signed_by(old, hooked.seen[-1], now=time.time()) and is_signed_by(new, hooked.seen[-1], now=time.time())
    Webhook.objects.update(previous_until=datetime.now(UTC) - timedelta(seconds=1))
    try_now(Webhook.objects.get(pk=webhook.pk))
    assert is_signed_by(new, hooked.seen[-1], now=time.time()) and not is_signed_by(old, hooked.seen[-1], now=time.time())


def test_the_body_is_the_same_each_time(make: Make, hooked: Receiver) -> None:
    sent = events.test_event(make())
    for _time in range(2):
        sent.refresh_from_db()
        send(sent, datetime.now(UTC))
    assert hooked.seen[0].body == hooked.seen[1].body


@pytest.mark.parametrize(("code", "error"), [
    (200, ""), (202, ""), (299, ""), (300, "redirect"), (304, "redirect"), (307, "redirect"),
    (400, "status"), (404, "status"), (410, "gone"), (429, "status"), (500, "status")])
def test_only_2xx_is_success(hooked: Receiver, code: int, error: str) -> None:
    hooked.usual = status(code)
    outcome = post(hooked.url, {}, b"{}")
    assert (outcome.status, outcome.error) == (code, error)


# -- hostile receivers --

@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit, shortened for the test."""
    monkeypatch.setattr(delivery, "LIMIT_S", 0.6)


def drip(text: bytes, every_s: float = 0.1) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        for byte in text:
            handler.wfile.write(bytes([byte]))
            time.sleep(every_s)
    return answer


@pytest.mark.parametrize("answer", [
    drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100), drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 10, 0.05),
    drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100, 0.03), lambda handler: time.sleep(2)])
@pytest.mark.usefixtures("soon")
def test_a_receiver_that_drips_is_left_in_time(hooked: Receiver, answer: Any) -> None:
    hooked.usual = answer
    started = time.monotonic()
    outcome = post(hooked.url, {}, b"{}")
    assert outcome.error == "too_slow" and time.monotonic() - started < 1.5


@pytest.mark.usefixtures("soon", "hooked")
def test_who_accepts_and_says_nothing_in_tls_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        outcome = post(f"https://127.0.0.1:{silent.getsockname()[1]}/", {}, b"{}")
    assert outcome.error == "too_slow" and time.monotonic() - started < 1.5


@pytest.mark.usefixtures("hooked")
def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/", {}, b"{}").error == "no_connection"


@pytest.mark.parametrize("junk", [
    b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 2\xff0 OK\r\n\r\n", b"\0" * 5000, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 40000])
def test_what_is_no_http_is_an_answer_of_no_worth(hooked: Receiver, junk: bytes) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(junk)
        handler.close_connection = True
    hooked.usual = answer
    outcome = post(hooked.url, {}, b"{}")
    assert outcome.status is None and outcome.error in ("broken_answer", "no_connection")


def test_of_a_long_answer_little_is_read(hooked: Receiver) -> None:
    written = []

    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(2**30))
        handler.end_headers()
        for _block in range(2**10):
            written.append(handler.wfile.write(b"\0x" * 2**19))
    hooked.usual = flood
    outcome = post(hooked.url, {}, b"{}")
    assert outcome.status == 200 and len(outcome.answer) == 1024 and "\0" not in outcome.answer
    assert sum(written) < 2**25


# -- TLS --

@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Of hooks.example.org, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks")])
    now = datetime.now(UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example.org")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.fixture
def secure(certificate: tuple[Path, Path], settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver with TLS that the name leads to."""
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **options: real(
        "127.0.0.1" if str(host).endswith(".example.org") else host, *rest, **options))
    settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": [ip_network("127.0.0.0/8")], "ca_file": str(certificate[0])}
    with receiver(certificate) as found:
        found.name = "hooks.example.org"
        yield found


def test_tls_asks_for_the_name_and_checks_it_though_the_address_is_pinned(secure: Receiver) -> None:
    assert post(secure.url, {}, b"{}").status == 204
    assert secure.names == ["hooks.example.org"] and secure.seen[0].headers["host"] == f"hooks.example.org:{secure.port}"
    secure.name = "other.example.org"
    assert post(secure.url, {}, b"{}").error == "tls"
    assert len(secure.seen) == 1


def test_a_certificate_of_nobodys_is_refused(secure: Receiver, settings) -> None:
    settings.WEBHOOKS = settings.WEBHOOKS | {"ca_file": ""}
    assert post(secure.url, {}, b"{}").error == "tls"
    assert secure.seen == []


def test_attempts_beside_each_other_do_not_meet(hooked: Receiver) -> None:
    hooked.usual = status(200, b"ok")
    found: list[delivery.Outcome] = []
    threads = [threading.Thread(target=lambda: found.append(post(hooked.url, {}, b"{}"))) for _one in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome.answer for outcome in found] == ["ok"] * 16 and len(hooked.seen) == 16
