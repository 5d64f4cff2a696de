"""Where webhooks go: never inside, however an address is spelt, whatever a name means by then, wherever an answer points."""
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from tenants.webhooks import addresses
from tenants.webhooks.addresses import UrlRefused, parse, resolve
from tenants.webhooks.delivery import post
from tests.cast import Cast
from tests.webhooks.hostile import URLS
from tests.webhooks.receiver import receiver, status

Resolver = Callable[..., list[Any]]


class Canary:
    """Every connection to its port is counted, on all addresses of this machine."""

    def __init__(self) -> None:
        self.connections = 0
        self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._count, daemon=True)
        self.thread.start()

    def _count(self) -> None:
        while True:
            try:
                connection, _address = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()


@pytest.fixture
def canary() -> Iterator[Canary]:
    found = Canary()
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _http_is_taken(settings) -> None:
    settings.WEBHOOKS = settings.WEBHOOKS | {"plain_http": True, "allowed_networks": [], "refused_networks": []}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What a name means: the answers given here one after the other, the last one from then on. Numbers mean themselves."""
    real = socket.getaddrinfo

    def means(*answers: tuple[str, ...]) -> list[str]:
        left, asked = list(answers), []

        def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
            if host in ("hooks.example.org", b"hooks.example.org"):
                asked.append(host)
                found = left.pop(0) if len(left) > 1 else left[0]
                return [row for number in found for row in real(number, port, *arguments, **options)]
            ip_address(host)  # nothing else is looked up by name
            return real(host, port, *arguments, **options)
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        return asked
    return means


def test_the_table_is_long_enough() -> None:
    assert len(set(URLS)) == len(URLS) >= 200


def test_the_canary_sings(canary: Canary) -> None:
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, canary.port), 5).close()
    assert wait_for(lambda: canary.connections == 2)


def wait_for(said: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(said() or pause.wait(0.02) for _turn in range(200)) or said()


def test_no_hostile_address_is_connected_to(canary: Canary, resolver: Callable[..., list[str]]) -> None:
    """Straight to the sender, as if the address were stored: whatever a form or the API would have said before."""
    resolver(("127.0.0.1",))
    outcomes = {url: post(url.replace("{port}", str(canary.port)), {}, b"{}") for url in URLS}
    assert {url: outcome.error for url, outcome in outcomes.items() if outcome.error != "refused"} == {}
    socket.create_connection(("127.0.0.1", canary.port), 5).close()  # what came before has been counted by now
    assert wait_for(lambda: canary.connections > 0) and canary.connections == 1


def test_the_api_takes_no_hostile_address(cast: Cast, settings) -> None:
    settings.API_RATE = {"requests": 0, "window_s": 60}
    client = cast.api("alice")
    body = {"organization": str(cast.organization.pk), "name": "x", "events": ["*"]}
    answers = {}
    for url in URLS:
        answers[url] = client.post("/api/v1/webhooks/", body | {"url": url.replace("{port}", "8080")}, format="json")
    assert {url: answer.status_code for url, answer in answers.items() if answer.status_code != 400} == {}
    assert all(set(answer.json()["errors"]) == {"url"} for answer in answers.values())


@pytest.mark.parametrize(("text", "url"), [
    ("https://hooks.example.org", "https://hooks.example.org/"),
    ("HTTPS://Hooks.Example.ORG.:443/a?b=c", "https://hooks.example.org/a?b=c"),
    ("https://hooks.example.org?x", "https://hooks.example.org/?x"),
    ("https://bücher.example.org/", "https://xn--bcher-kva.example.org/"),
    ("https://例子.中国/", "https://xn--fsqu00a.xn--fiqs8s/"), ("http://1.1.1.1:8443/", "http://1.1.1.1:8443/"),
    ("https://①.1.1.1/", "https://1.1.1.1/"), ("https://[2606:4700:4700::1111]:8443/x", "https://[2606:4700:4700::1111]:8443/x"),
    ("https://hooks.example.org/services/T0/B0/x%2Fy;z=1", "https://hooks.example.org/services/T0/B0/x%2Fy;z=1")])
def test_what_people_use_is_taken(text: str, url: str) -> None:
    assert parse(text).url == url == parse(url).url


def test_http_is_for_those_who_allow_it(settings) -> None:
    settings.WEBHOOKS = settings.WEBHOOKS | {"plain_http": False}
    with pytest.raises(UrlRefused, match="https"):
        parse("http://hooks.example.org/")
    assert parse("https://hooks.example.org/").port == 443


@pytest.mark.parametrize("found", [
    ("10.0.0.1",), ("1.1.1.1", "127.0.0.1"), ("127.0.0.1", "1.1.1.1"), ("::1",), ("fd00::1", "1.1.1.1"),
    ("::ffff:127.0.0.1",), ("169.254.169.254",), ("64:ff9b::7f00:1",), ("2002:7f00:1::",)])
def test_a_name_that_leads_inside_is_refused(canary: Canary, resolver: Callable[..., list[str]], found: tuple[str, ...]) -> None:
    resolver(found)
    assert post(f"http://hooks.example.org:{canary.port}/", {}, b"").error == "refused"
    assert canary.connections == 0


def test_a_name_is_asked_once_and_the_checked_address_is_the_one_used(canary: Canary, settings,
                                                                      resolver: Callable[..., list[str]]) -> None:
    """Rebinding: the first answer is allowed, every later one leads to the canary."""
    with receiver() as allowed:
        settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": [ip_network("127.0.0.0/8")],
                                                 "refused_networks": [ip_network("127.0.0.2/32")]}
        asked = resolver(("127.0.0.1",), ("127.0.0.2",))
        assert post(f"http://hooks.example.org:{allowed.port}/", {}, b"{}").status == 204
        assert len(asked) == 1
        assert allowed.seen[0].headers["host"] == f"hooks.example.org:{allowed.port}"
        # The next delivery asks again, and is refused.
        assert post(f"http://hooks.example.org:{canary.port}/", {}, b"{}").error == "refused"
    assert (len(asked), canary.connections) == (2, 0)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(canary: Canary, settings, code: int) -> None:
    with receiver() as allowed:
        settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": [ip_network("127.0.0.0/8")]}
        allowed.usual = status(code, Location=f"http://127.0.0.1:{canary.port}/")
        outcome = post(allowed.url, {}, b"{}")
    assert (outcome.status, outcome.error, canary.connections, len(allowed.seen)) == (code, "redirect", 0, 1)


def test_no_proxy_of_the_environment_is_asked(canary: Canary, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    with receiver() as allowed:
        settings.WEBHOOKS = settings.WEBHOOKS | {"allowed_networks": [ip_network("127.0.0.0/8")]}
        assert post(allowed.url, {}, b"{}").status == 204
    assert canary.connections == 0


def test_our_own_address_is_refused_though_it_is_public(settings, resolver: Callable[..., list[str]]) -> None:
    settings.SITE_URL = "https://1.1.1.1"
    resolver(("1.1.1.1",))
    with pytest.raises(UrlRefused):
        resolve(parse("https://hooks.example.org/"))
    settings.SITE_URL = "https://8.8.8.8"
    assert resolve(parse("https://hooks.example.org/")) == [ip_address("1.1.1.1")]


def test_refused_networks_have_the_last_word(settings) -> None:
    both = [ip_network("1.1.1.0/24"), ip_network("10.0.0.0/8")]
    settings.WEBHOOKS = settings.WEBHOOKS | {"refused_networks": both, "allowed_networks": both}
    assert not addresses.is_allowed(ip_address("1.1.1.1")) and not addresses.is_allowed(ip_address("10.0.0.1"))
    assert addresses.is_allowed(ip_address("8.8.8.8"))


def test_nothing_private_is_allowed_by_the_standard_librarys_reckoning_either() -> None:
    """Against another list of what is special: `ipaddress`'s."""
    for number in range(0, 2**32, 2**32 // 65536 + 7):
        address = ip_address(number)
        if addresses.is_allowed(address):
            assert address.is_global and not (address.is_multicast or address.is_reserved or address.is_loopback
                                              or address.is_link_local or address.is_private or address.is_unspecified)
