"""How a provider is asked: over TLS alone (plain HTTP to this machine in a demo), no redirect followed, so many bytes
and seconds.

Operators name the issuer, but what it publishes names further addresses.
"""
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings

TIMEOUT_S = 5
MOST_BYTES = 1024 * 1024
MOST_SUBJECT = 191


def checked_url(url: Any) -> str:
    """The address, if it may be asked. Raises requests' InvalidURL."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        named = bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        named = False
    if not named or not (parts.scheme == "https" or (parts.scheme == "http" and settings.DEMO and _is_here(parts.hostname))):
        raise requests.exceptions.InvalidURL("Only https addresses are asked.")
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class AskingSession(requests.Session):
    """Raises requests' errors, which the sign-in page explains."""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        answer = super().request(method, checked_url(url), **options | {
            "timeout": TIMEOUT_S, "allow_redirects": False, "stream": True})
        body = b""
        for part in answer.iter_content(64 * 1024):
            body += part
            if len(body) > MOST_BYTES:
                raise requests.exceptions.ContentDecodingError("The provider answered too much.")
        answer._content = body
        if answer.is_redirect:
            raise requests.exceptions.TooManyRedirects("The provider answered with another address.")
        return answer
