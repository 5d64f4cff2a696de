"""Who is at the other end: a browser's session or an API key, the same over HTTP and over a websocket."""
from dataclasses import dataclass

from django.http import HttpRequest

from portal.kernel import requests
from portal.kernel.errors import NotSignedIn
from portal.kernel.handshake import bearer_of, session_key_of, users_of_sessions
from portal.kernel.secrets import digest
from tenants.models import ApiKey, User
from tenants.operations import admit_api_key, find_api_key


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A user by way of exactly one credential. `user.grants` are what that credential leaves of the user's rights."""

    user: User
    session_key: str = ""
    api_key: ApiKey | None = None

    @property
    def session_hash(self) -> str:
        return digest(self.session_key) if self.session_key else ""


def principal_of(request: HttpRequest) -> Principal:
    """Of a view's or API action's request. Raises NotSignedIn when neither session nor key stands behind it."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return Principal(user=request.user, api_key=key)
    if not request.user.is_authenticated or not request.session.session_key:
        raise NotSignedIn
    return Principal(user=request.user, session_key=request.session.session_key)


def principal_of_socket(scope: dict) -> Principal | None:
    """Of a websocket's handshake; None for strangers. An API key goes before a cookie, as in REST. Raises AddressNotAllowed."""
    if text := bearer_of(scope):
        key = find_api_key(text)
        if key is None:
            return None
        admit_api_key(key, requests.current().address)
        key.owner.grants = key.owner.grants.narrowed_by(key)
        return Principal(user=key.owner, api_key=key)
    session_key = session_key_of(scope)
    user = users_of_sessions([session_key]).get(session_key) if session_key else None
    return Principal(user=user, session_key=session_key) if user else None
