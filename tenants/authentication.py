"""How REST callers say who they are: an API key, or the browser's session with CSRF."""
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from portal.kernel import requests
from tenants import operations
from tenants.models import ApiKey, User


class ApiKeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer mns_…`. The request's user is the key's owner with narrowed rights."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        scheme, _space, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        key = operations.find_api_key(text.strip())
        if key is None:
            raise exceptions.AuthenticationFailed()
        requests.note_api_key(key.pk)
        operations.admit_api_key(key, requests.current().address)
        user = key.owner
        user.grants = user.grants.narrowed_by(key)
        return user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="mains"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Django's session; a 401 still names the Bearer scheme, so that programs know what to send."""

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="mains"'
