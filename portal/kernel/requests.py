"""What is known of the request being served: its id, the caller's address and key. Bound into logs, audit, operations."""
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace

import structlog
from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.http import HttpRequest, HttpResponse
from django_structlog.middlewares import RequestMiddleware

LONGEST_ROUTE = 200
USABLE_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    id: str = ""
    address: str | None = None
    api_key: uuid.UUID | None = None
    route: str = ""
    """Method and template of the path: `POST /instances/<pk>/stop/`."""
    on_behalf_of: uuid.UUID | None = None
    """The user as whom somebody else acts."""
    operator: uuid.UUID | None = None
    """That somebody."""


OUTSIDE = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("request", default=OUTSIDE)


def current() -> RequestContext:
    """Of this thread or task; empty outside a request."""
    return _current.get()


def bind(context: RequestContext) -> None:
    """For this task and the threads that it starts: websockets, which no middleware sees."""
    _current.set(context)


def note_api_key(key_id: uuid.UUID) -> None:
    """Authentication found the key; audit rows of this request carry it. Whatever session came along is not who acts."""
    _current.set(replace(_current.get(), api_key=key_id, on_behalf_of=None, operator=None))


def note_impersonation(operator: uuid.UUID, user: uuid.UUID) -> None:
    """What is done as the user is the operator's doing, on the user's behalf."""
    _current.set(replace(_current.get(), operator=operator, on_behalf_of=user))


def acting(user_id: uuid.UUID) -> str:
    """Who really acts when that user does: the user, or an operator as the user."""
    context = _current.get()
    return f"{context.operator} as {user_id}" if context.on_behalf_of == user_id else str(user_id)


class RequestIdMiddleware:
    """Binds a request id (the caller's, when usable), echoes it, and loosens the CSP where vendored pages need it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.id = given if USABLE_ID.match(given) else str(uuid.uuid4())
        address = request.META.get("REMOTE_ADDR") or None
        token = _current.set(RequestContext(id=request.id, address=address))
        structlog.contextvars.bind_contextvars(request_id=request.id, ip=address)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(token)
        response["X-Request-ID"] = request.id
        if request.path.startswith(("/admin/", "/api/v1/docs/")):
            response["Content-Security-Policy"] = loose_policy()
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
        return response

    def process_view(self, request: HttpRequest, *_view: object) -> None:
        template = simplify_regex(request.resolver_match.route)
        _current.set(replace(_current.get(), route=f"{request.method} {template}"[:LONGEST_ROUTE]))


class LogMiddleware(RequestMiddleware):
    """Logs each request by its route: what stands in a path's places or behind its question mark may be a secret (a link that
    signs in, resets a password, joins an organization or fetches a file)."""

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return _current.get().route or f"{request.method} (no such address)"


def loose_policy() -> str:
    directives = settings.CONTENT_SECURITY_POLICY["DIRECTIVES"] | settings.LOOSE_CSP
    strict = {name: [word for word in words if isinstance(word, str)] for name, words in directives.items()}
    return "; ".join(f"{name} {' '.join(words)}" for name, words in strict.items())
