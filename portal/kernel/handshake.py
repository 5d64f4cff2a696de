"""What every websocket of the portal has in common: whose browser this is, whether its page is ours, how to end it.

Knows ASGI scopes and Django's sessions; no rights are decided here and nothing is sent but refusals and closes.

A browser cannot read the HTTP status of a refused handshake, so a page of ours gets an accepted socket that is closed
at once with 4000 + status; everybody else gets the status itself, with a problem document.
"""
import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from importlib import import_module
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.core.exceptions import ValidationError
from django.http.request import split_domain_port, validate_host
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from portal.kernel.declarations import registry

DEFAULT_PORTS = {"http": 80, "https": 443}
# A socket whose other end does not even read our close is torn down after this long.
CLOSE_LIMIT_S = 1


def header(scope: dict, name: str) -> str:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == wanted), "")


def origin_is_ours(scope: dict) -> bool:
    """Whether the page that opened the socket is one of ours. Programs send no Origin: that is ours too."""
    origin = header(scope, "origin")
    if not origin:
        return True
    page = _netloc(origin)
    return page is not None and page in (_netloc(settings.SITE_URL), _own_netloc(scope))


def _netloc(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what is no address of a site (`null`, files, nonsense)."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.scheme in DEFAULT_PORTS and parts.hostname else None


def _own_netloc(scope: dict) -> tuple[str, str, int | None] | None:
    """By the name that the socket itself was asked for, when it is one that we answer to."""
    host = header(scope, "host")
    domain, _port = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return None
    return _netloc(f"{'https' if scope.get('scheme') == 'wss' else 'http'}://{host}")


def session_key_of(scope: dict) -> str:
    """The session cookie; empty when there is none, or none that Django could have set (PostgreSQL refuses a NUL)."""
    try:
        cookies = SimpleCookie(header(scope, "cookie"))
    except CookieError:
        return ""
    morsel = cookies.get(settings.SESSION_COOKIE_NAME)
    return morsel.value if morsel and morsel.value.isalnum() else ""


def bearer_of(scope: dict) -> str:
    """The text of the API key that was sent; empty when there is none."""
    scheme, _space, text = header(scope, "authorization").partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""


def users_of_sessions(keys: Iterable[str]) -> dict[str, object]:
    """session key → its active user, for those that are still signed in; two queries however many there are."""
    store_class = import_module(settings.SESSION_ENGINE).SessionStore
    rows = store_class.get_model_class().objects.filter(session_key__in=set(keys), expire_date__gt=timezone.now())
    store = store_class()
    sessions = {row.session_key: store.decode(row.session_data) for row in rows}
    model = get_user_model()
    ids = {key: user_id for key, content in sessions.items() if (user_id := _user_id(model, content)) is not None}
    users = model.objects.filter(is_active=True).in_bulk(set(ids.values()))
    return {key: _seen(users[pk], sessions[key]) for key, pk in ids.items()
            if pk in users and _still_good(users[pk], sessions[key])}


def _seen(user, session: dict):
    """Who the session's user is to what is behind sockets: somebody else, where rooms say so."""
    for hook in registry.session_hooks:
        user = hook(user, session)
    return user


def _user_id(model, session: dict):
    if session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS:
        return None
    try:
        return model._meta.pk.to_python(session.get(SESSION_KEY))
    except ValidationError:
        return None


def _still_good(user, session: dict) -> bool:
    """A changed password ends all sessions, as it does for pages."""
    known = session.get(HASH_SESSION_KEY) or ""
    return any(constant_time_compare(known, own)
               for own in (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash()))


async def refuse(scope: dict, receive, send, *, status: int, code: str, detail: str = "",
                 subprotocol: str | None = None) -> None:
    """End a handshake that has not been accepted."""
    if header(scope, "origin") and origin_is_ours(scope):
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await hang_up(send, 4000 + status, code)
    elif "websocket.http.response" in scope.get("extensions", {}):
        problem = {"type": "about:blank", "title": code, "status": status, "detail": detail or code, "code": code}
        await send({"type": "websocket.http.response.start", "status": status,
                    "headers": [(b"content-type", b"application/problem+json")]})
        await send({"type": "websocket.http.response.body", "body": json.dumps(problem).encode()})
        with suppress(TimeoutError):
            # Uvicorn calls a return before the connection has ended an error.
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await receive()
                await receive()
    else:
        await send({"type": "websocket.close", "code": 4000 + status, "reason": code})


async def hang_up(send, code: int, reason: str = "") -> None:
    """Close an accepted socket for certain, also one whose other end has stopped reading."""
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await send({"type": "websocket.close", "code": code, "reason": reason[:120]})
    except TimeoutError:
        # ASGI has no word for it: the server's close waits for a buffer that will never drain.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()
    except (OSError, RuntimeError):
        pass  # gone already
