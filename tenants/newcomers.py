"""Telling people of a sign-in with a browser that was never theirs: a password that somebody else found out shows by it.

A browser is known by a cookie that it got when somebody signed in with it: signed, so that nobody makes one, and saying for
whom in a form that tells nothing to whoever looks into it. It opens nothing.
"""
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from portal.kernel import audit, requests
from portal.kernel.secrets import digest
from tenants.browsers import device
from tenants.models import User

COOKIE, SALT = "known_browser", "tenants.newcomers"
MOST, KEPT_S = 10, 365 * 86400
"""Of how many people one browser is remembered, and for how long."""


def greet(request: HttpRequest, response: HttpResponse, user: User, *, is_first: bool) -> None:
    """Somebody signed in: a row in the trail and a notice when the browser is new to them, unless everything is."""
    known, own = _known(request), digest(f"{user.pk}")[:16]
    if own not in known and not is_first:
        what = f"{device(request.headers.get('User-Agent', ''))}, {requests.current().address}"
        audit.record("user.new_browser", user, actor=user, after={"reason": what})
    value = ".".join([own, *(one for one in known if one != own)][:MOST])
    response.set_signed_cookie(COOKIE, value, salt=SALT, max_age=KEPT_S, httponly=True, samesite="Lax",
                               secure=settings.SESSION_COOKIE_SECURE)


def _known(request: HttpRequest) -> list[str]:
    return (request.get_signed_cookie(COOKIE, "", salt=SALT, max_age=KEPT_S) or "").split(".")
