"""The websockets' rows of the permission matrix, listed by hand: who is let in, and that no other socket exists."""
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from portal.asgi import application
from portal.kernel.sockets import Hub, LiveSocket
from tests.cast import Cast, make_cast

# Every websocket, and where everybody of the permission matrix comes to it.
SOCKETS = {"ws/live/": "tests/portal/test_socket_principals.py", "ws/console/": "tests/console/test_principals.py"}


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast()


def handshake(path: str, *, cookie: str = "", origin: str = "", bearer: str = "",
              subprotocols: tuple[str, ...] = ()) -> list[dict]:
    """What the server sends first and, when it let us in only to hang up, next."""
    headers = [(b"host", b"testserver")]
    headers += [(b"authorization", f"Bearer {bearer}".encode())] if bearer else []
    headers += [(b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode())] if cookie else []
    headers += [(b"origin", origin.encode())] if origin else []

    async def talk() -> list[dict]:
        socket = ApplicationCommunicator(application, {
            "type": "websocket", "path": f"/{path}", "raw_path": f"/{path}".encode(), "query_string": b"",
            "scheme": "ws", "headers": headers, "subprotocols": list(subprotocols),
            "client": ("127.0.0.1", 7), "extensions": {}})
        await socket.send_input({"type": "websocket.connect"})
        found = [await socket.receive_output(10)]
        if found[0]["type"] == "websocket.accept" and not await socket.receive_nothing(0.5):
            found.append(await socket.receive_output(1))
        await socket.send_input({"type": "websocket.disconnect", "code": 1001})
        await socket.wait(5)
        return found

    return async_to_sync(talk)()


def is_let_in(answers: list[dict]) -> bool:
    return [answer["type"] for answer in answers] == ["websocket.accept"]


def session_of(cast: Cast, name: str) -> str:
    return cast.browser(name).cookies[settings.SESSION_COOKIE_NAME].value


def test_who_came_while_rights_were_looked_up_is_not_sent_away() -> None:
    hub, known, late = Hub(), LiveSocket("known", frozenset()), LiveSocket("late", frozenset())
    hub.sockets = {known, late}
    hub._narrow({known}, {})
    assert (known.close_code, late.close_code) == (4401, 0)


def test_every_socket_is_listed_here() -> None:
    routes = {str(route.pattern) for route in application.application_mapping["websocket"].routes}
    assert routes - {""} == set(SOCKETS), "a new websocket needs a row here"
    assert all((Path(settings.BASE_DIR) / module).is_file() for module in SOCKETS.values())


@pytest.mark.parametrize("path", SOCKETS)
def test_nobody_is_let_in(cast: Cast, path: str) -> None:
    assert not is_let_in(handshake(path))
    assert not is_let_in(handshake(path, cookie="f" * 32))


@pytest.mark.parametrize("path", SOCKETS)
def test_a_cookie_that_nobody_was_given_is_a_strangers(cast: Cast, path: str) -> None:
    """PostgreSQL refuses a NUL: asking it anyway looked like a database that is down."""
    for cookie in ('"\\000"', f'"{"f" * 31}\\000"'):
        assert handshake(path, cookie=cookie)[0]["code"] == 4401


@pytest.mark.parametrize("path", SOCKETS)
def test_a_foreign_page_is_not_let_in_with_our_cookie(cast: Cast, path: str) -> None:
    for origin in ("https://evil.example", "null", "http://testserver.evil.example"):
        assert not is_let_in(handshake(path, cookie=session_of(cast, "alice"), origin=origin))


@pytest.mark.parametrize("name", ["alice", "adam", "oscar", "vera", "mallory", "root"])
def test_whoever_is_signed_in_hears_hints_but_opens_no_console_without_a_ticket(cast: Cast, name: str) -> None:
    cookie = session_of(cast, name)
    assert is_let_in(handshake("ws/live/", cookie=cookie))
    assert not is_let_in(handshake("ws/console/", cookie=cookie, subprotocols=("binary",)))
    assert not is_let_in(handshake("ws/console/", cookie=cookie, subprotocols=("binary", "ticket." + "x" * 43)))


def test_an_address_that_is_no_socket_is_not_found(cast: Cast) -> None:
    assert not is_let_in(handshake("ws/anything/", cookie=session_of(cast, "root")))
