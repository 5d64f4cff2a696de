"""Passkeys in a real Chromium with an authenticator of its own: set up, in place of the password, as second step; and forgeries.

The page is served by Django's test client, under a name that browsers allow passkeys for.
"""
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.staticfiles import finders
from django.db import connections
from django.test import Client
from playwright.sync_api import Page, Route, sync_playwright

from portal.kernel.models import AuditEvent
from tests.cast import PASSWORD, Cast
from tests.signin.conftest import add_app, factors_of, give_password, is_in
from tests.stories.browsing import CHROMIUM, QUIET

SITE = "https://portal.test"
ADD, SECOND, LOGIN = "/accounts/2fa/webauthn/add/", "/accounts/2fa/authenticate/", "/accounts/2fa/webauthn/login/"


class Served:
    """The portal behind a browser: each request goes to the test client, within the test's own transaction. In a thread that has
    the test's connection: Playwright's own loop runs in this one."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.connection = connections["default"]
        self.connection.inc_thread_sharing()
        self.thread = ThreadPoolExecutor(1, initializer=lambda: setattr(connections._connections, "default", self.connection))

    def do(self, work: Callable[..., Any], *given: Any, **named: Any) -> Any:
        """Something that asks the database."""
        return self.thread.submit(work, *given, **named).result()

    def close(self) -> None:
        self.thread.shutdown()
        self.connection.dec_thread_sharing()

    def answer(self, route: Route) -> None:
        request = route.request
        parts = urlsplit(request.url)
        if parts.path.startswith("/static/"):
            found = finders.find(parts.path.removeprefix("/static/"))
            route.fulfill(path=found) if found else route.fulfill(status=404)
            return
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {"Accept": request.headers.get("accept", ""), "Referer": f"{SITE}/"}
        if request.method == "POST":
            answer = self.do(self.client.post, path, request.post_data, headers=headers, secure=True,
                             content_type=request.headers["content-type"])
        else:
            answer = self.do(self.client.get, path, headers=headers, secure=True)
        if "Location" in answer:  # a routed request cannot be redirected: the page goes on by itself
            route.fulfill(status=200, content_type="text/html",
                          body=f'<meta http-equiv="refresh" content="0;url={answer["Location"]}">')
            return
        route.fulfill(status=answer.status_code, body=answer.content, headers={
            name: value for name, value in answer.items() if name.lower() in ("content-type", "content-security-policy")})


@contextmanager
def browsing(client: Client) -> Iterator[tuple[Page, Any, Callable[..., Any]]]:
    """A page, what speaks with its authenticator, and what asks the database meanwhile."""
    served = Served(client)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = chromium.new_page(locale="en")
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True}})
        page.route("**/*", served.answer)
        try:
            yield page, devtools, served.do
        finally:
            chromium.close()
            served.close()


@pytest.fixture
def client(settings) -> Client:
    settings.ALLOWED_HOSTS = ["portal.test"]
    settings.CSRF_TRUSTED_ORIGINS = [SITE]
    return Client(SERVER_NAME="portal.test", SERVER_PORT="443", headers={"accept-language": "en"})


def sign_in(client: Client, name: str) -> None:
    give_password(client, name)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})


def test_a_passkey_from_the_first_click_to_the_last(cast: Cast, client: Client) -> None:
    sign_in(client, "alice")
    with browsing(client) as (page, _devtools, do):
        page.goto(SITE + ADD)
        page.fill("[name=name]", "laptop")
        page.click("[data-passkey-button]")
        page.wait_for_url("**/recovery-codes/")
        assert do(factors_of, cast.alice) == {"webauthn", "recovery_codes"} and "shown only now" in page.content()
        page.goto(f"{SITE}/accounts/2fa/")
        assert "laptop" in page.content() and "instead of the password" in page.content()
        do(client.post, "/accounts/logout/", secure=True)
        assert not do(is_in, client)

        page.goto(f"{SITE}/accounts/login/")
        page.click("text=Sign in with a passkey")  # one click, no name, no password, no second step
        page.wait_for_url(f"{SITE}/")
        assert do(lambda: client.session["_auth_user_id"]) == str(cast.alice.pk)
        do(client.post, "/accounts/logout/", secure=True)

        do(give_password, client, "alice")
        assert not do(is_in, client)
        page.goto(SITE + SECOND)
        page.click("text=Use a passkey")
        page.wait_for_url(f"{SITE}/")
        assert do(lambda: client.session["_auth_user_id"]) == str(cast.alice.pk)
    assert {"user.factor_add"} <= set(AuditEvent.objects.filter(actor=cast.alice).values_list("action", flat=True))


def test_an_answer_is_good_once_for_its_site_and_its_person(cast: Cast, client: Client) -> None:
    """What a browser sends, sent again, by others, or for another site."""
    sign_in(client, "alice")
    with browsing(client) as (page, _devtools, do):
        page.goto(SITE + ADD)
        page.click("[data-passkey-button]")
        page.wait_for_url("**/recovery-codes/")
        do(client.post, "/accounts/logout/", secure=True)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.post_data) if request.method == "POST" else None)
        page.goto(f"{SITE}/accounts/login/")
        page.click("text=Sign in with a passkey")
        page.wait_for_url(f"{SITE}/")
    answer = json.loads(parse_qs(sent[-1])["credential"][0])

    def offered(credential: object, *, challenged: bool = True, host: str = "portal.test") -> bool:
        other = Client(SERVER_NAME=host, SERVER_PORT="443")
        if challenged:
            other.get(LOGIN, headers={"accept": "application/json"}, secure=True)
        sent = credential if isinstance(credential, str) else json.dumps(credential)
        reply = other.post(LOGIN, {"credential": sent}, secure=True)
        assert reply.status_code in (200, 302)
        return is_in(other)

    assert not offered(answer), "another challenge" and not offered(answer, challenged=False)
    assert not offered(answer | {"response": answer["response"] | {"userHandle": None}})
    for nonsense in ("", "{}", "[]", "null", "1", '"x"', '{"response": 1}', '{"id": "x", "rawId": "x", "response": {}}',
                     json.dumps(answer | {"response": {}}), json.dumps(answer | {"rawId": "////"}),
                     json.dumps(answer | {"response": answer["response"] | {"signature": "AAAA"}}),
                     json.dumps(answer | {"response": answer["response"] | {"userHandle": "AAAA"}}),
                     json.dumps(answer | {"response": answer["response"] | {"authenticatorData": "AAAA"}}),
                     json.dumps(answer | {"response": answer["response"] | {"clientDataJSON": "AAAA"}})):
        assert not offered(nonsense), nonsense
    # Mallory knows alice's password too, but not her passkey; and mallory's own second step is not alice's.
    add_app(cast.mallory)
    thief = Client(SERVER_NAME="portal.test", SERVER_PORT="443")
    give_password(thief, "mallory")
    thief.get(SECOND, secure=True)
    assert thief.post(SECOND, {"credential": json.dumps(answer)}, secure=True).status_code == 200 and not is_in(thief)


def test_nonsense_adds_no_passkey(cast: Cast, client: Client) -> None:
    sign_in(client, "alice")
    for nonsense in ("", "{}", "[]", "1", '{"response": {"attestationObject": "AAAA", "clientDataJSON": "AAAA"}}', "x" * 10_000,
                     '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", '
                     '"response": {"attestationObject": "o2Nm", "clientDataJSON": "e30"}}'):
        client.get(ADD, secure=True)
        answer = client.post(ADD, {"name": "x", "credential": nonsense}, secure=True)
        assert answer.status_code == 200 and factors_of(cast.alice) == set(), nonsense


def test_a_cancelled_passkey_says_so(cast: Cast, client: Client) -> None:
    with browsing(client) as (page, devtools, _do):
        devtools.send("WebAuthn.disable")
        page.goto(f"{SITE}/accounts/login/")
        page.evaluate("() => { navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError')); }")
        page.click("text=Sign in with a passkey")
        page.wait_for_selector("[data-passkey-said]:visible")
        assert "you cancelled it" in page.inner_text("[data-passkey-said]")
        assert page.is_enabled("[data-passkey-button]")
