"""Answering browsers: expected errors as a page or an htmx fragment, actions as a fragment or a redirect.

The other place that renders `PortalError` is `portal.kernel.rest.problem`. No view of a room lives here.
"""
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.db import Error, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import is_valid_path, reverse

from portal.kernel import audit
from portal.kernel.errors import Forbidden, NotSignedIn, PortalError, WrongMethod

log = structlog.get_logger(__name__)

RETRY_AFTER_S = 5


class ErrorMiddleware:
    """Turns errors raised by views into answers; unexpected ones are left to Django (500.html)."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if response.status_code == 405 and request.method == "GET" and request.accepts("text/html") and not response.content:
            return _of_a_button(request, response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, NotSignedIn):
            return redirect_to_login(request.get_full_path())
        if isinstance(exception, PortalError):
            if isinstance(exception, Forbidden):
                note_refusal(request, exception)
            return _led(request, exception) if exception.leads_to else error_page(request, exception)
        if isinstance(exception, (OperationalError, InterfaceError)):
            log.warning("pages.database_unavailable", error=str(exception))
            return _unavailable()
        return None


def _led(request: HttpRequest, error: PortalError) -> HttpResponse:
    """To the page where the error is put right, which says what it was."""
    to = reverse(error.leads_to)
    messages.warning(request, error.detail)
    return HttpResponse(status=204, headers={"HX-Redirect": to}) if is_fragment(request) else redirect(to)


def _of_a_button(request: HttpRequest, refused: HttpResponse) -> HttpResponse:
    response = error_page(request, WrongMethod())
    response["Allow"] = refused["Allow"]
    return response


def error_page(request: HttpRequest, error: PortalError) -> HttpResponse:
    """The error as a whole page; for htmx as a notice, or in the place of the fragment that is gone."""
    context = {"error": error, "back": _back(request)}
    if not is_fragment(request):
        return render(request, "errors/page.html", context, status=error.status)
    if error.status == 404 and request.method == "GET":
        return render(request, "errors/_gone.html", context, status=404)
    return _as_notice(render(request, "errors/_notice.html", context, status=error.status))


def _back(request: HttpRequest) -> str:
    """The page of ours from which somebody came, or what the address belongs to; empty when there is neither."""
    came = urlsplit(request.headers.get("Referer", ""))
    above = request.path.rstrip("/").rpartition("/")[0] + "/"
    if came.netloc == request.get_host() and came.path not in (request.path, reverse(settings.LOGIN_URL)):
        return came.path + (f"?{came.query}" if came.query else "")
    return above if above != "/" and is_valid_path(above) else ""


def is_fragment(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page (not for a whole one, as after a lost history entry)."""
    return request.headers.get("HX-Request") == "true" and "HX-History-Restore-Request" not in request.headers


def fragment(request: HttpRequest, page: str, part: str, /, **context: object) -> HttpResponse:
    """The page, or for htmx only its part."""
    response = render(request, part if is_fragment(request) else page, context)
    response["Vary"] = ", ".join(filter(None, (response.get("Vary"), "HX-Request")))
    if is_fragment(request):
        response["Cache-Control"] = "no-store"
    return response


def acted(request: HttpRequest, text: str, to: str, *, leave: bool = False) -> HttpResponse:
    """An action was accepted: htmx gets a notice and re-fetches what is live; others (or `leave`) are redirected."""
    if not is_fragment(request):
        messages.success(request, text)
        return redirect(to)
    if leave:
        messages.success(request, text)
        return HttpResponse(status=204, headers={"HX-Redirect": to})
    response = _as_notice(render(request, "ui/_notice.html", {"text": text, "tone": "success"}))
    response["HX-Trigger"] = "mains:changed"
    return response


def _as_notice(response: HttpResponse) -> HttpResponse:
    response["HX-Retarget"], response["HX-Reswap"] = "#notices", "beforeend"
    return response


def _unavailable() -> HttpResponse:
    # No context processors: they would ask the database that just failed.
    text = render_to_string("errors/unavailable.html")
    return HttpResponse(text, status=503, headers={"Retry-After": str(RETRY_AFTER_S)})


def note_refusal(request: HttpRequest, error: Forbidden) -> None:
    """Write the refused attempt into the audit, by itself: it stays whatever becomes of the request."""
    if not request.user.is_authenticated:
        return
    try:
        audit.refuse(str(error.facts.get("permission", request.path))[:80], error.subject, actor=request.user,
                     reason=f"{error.code}: {error.detail}"[:300])
    except Error as fault:  # the answer stays 403 although its audit row could not be written
        log.error("pages.refusal_not_audited", error=str(fault))
