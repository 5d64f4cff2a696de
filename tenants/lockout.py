"""Too many wrong passwords or codes: django-axes counts them for a person *and* an address, so that a stranger elsewhere shuts
nobody out. Here is which person and which address it counts, and what it says.
"""
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.helpers import get_cool_off
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal.kernel import audit
from tenants.adapter import counted_address
from tenants.models import User

LONGEST_LOGIN = 254


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Who is meant (AXES_USERNAME_CALLABLE): by their user name, however they were named, so that a name and an address, or
    small and capital letters, are no two allowances. What nobody is called counts by itself."""
    given = (credentials or {}).get("username") or (credentials or {}).get("email") or request.POST.get("login") or ""
    login = str(given).replace("\0", "")[:LONGEST_LOGIN].strip().lower()
    if not login:
        return None
    known = request.__dict__.setdefault("_logins", {})
    if login not in known:
        proved = Q(emailaddress__email__iexact=login, emailaddress__verified=True)
        own = Q(username__iexact=login) | Q(email__iexact=login) | proved
        known[login] = User.objects.filter(own).order_by("pk").values_list("username", flat=True).first() or login
    return known[login]


def address_of(request: HttpRequest) -> str | None:
    """From where (AXES_CLIENT_IP_CALLABLE): as the server knows it, whatever a header claims; of IPv6 the network's first."""
    return counted_address(request).partition("/")[0] or None


def is_shut(request: HttpRequest, user: User) -> bool:
    """Whether the person is locked out from here."""
    return not AxesProxyHandler.is_allowed(request, {"username": user.username})


def note_failure(request: HttpRequest, user: User) -> None:
    """A wrong second factor counts as a wrong password does."""
    AxesProxyHandler.user_login_failed(sender=__name__, credentials={"username": user.username}, request=request)


def page(request: HttpRequest, _original: HttpResponse | None = None, _credentials: dict[str, Any] | None = None) -> HttpResponse:
    """What is answered while somebody is locked out (AXES_LOCKOUT_CALLABLE); it is the same for names that nobody has."""
    seconds = round(get_cool_off(request).total_seconds())
    answer = render(request, "account/locked_out.html", {"minutes": seconds // 60}, status=429)
    answer["Retry-After"] = str(seconds)
    return answer


class Handler(AxesDatabaseHandler):
    """Counts in the database, and tells the trail when somebody is shut out (AXES_HANDLER)."""

    def user_login_failed(self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None,
                          **kwargs: Any) -> None:
        was_shut = bool(getattr(request, "axes_locked_out", False))
        super().user_login_failed(sender, credentials, request, **kwargs)
        if request is not None and request.axes_locked_out and not was_shut:
            user = User.objects.filter(username=name_of(request, credentials)).first()
            audit.refuse("user.locked_out", user, actor=user, reason="too many failures")
