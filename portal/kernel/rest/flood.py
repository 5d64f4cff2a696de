"""Requests that no viewset counts, by address: pages that change something (signing in and up among them), and what of the API
is open to all. A viewset counts its own requests once it knows who asks (portal.kernel.rest.views)."""
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from portal.kernel import requests
from portal.kernel.errors import TooManyRequests

from . import problem, rate

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class AddressMiddleware:
    """Answers 429 where an address has none left in this window, before anything is asked of the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, *_arguments: object) -> HttpResponse | None:
        is_api = request.path.startswith("/api/")
        if hasattr(getattr(view, "cls", None), "permissions") or (request.method in SAFE and not is_api):
            return None
        allowance = rate.take(rate.of_address(requests.current().address))
        if allowance is None or not allowance.is_used_up:
            return None
        return _refused(request, allowance, is_api=is_api)


def _refused(request: HttpRequest, allowance: rate.Allowance, *, is_api: bool) -> HttpResponse:
    error = TooManyRequests(retry_after=allowance.resets_in_s)
    headers = allowance.headers() | {"Retry-After": str(allowance.resets_in_s)}
    if is_api:
        answer = problem.bare(request, problem.document(
            error.status, error.code, str(error.title), error.detail, **error.facts))
        for name, value in headers.items():
            answer[name] = value
        return answer
    # No context processors: they would ask the database, of which this is to be kept away.
    return HttpResponse(render_to_string("errors/too_many.html", {"error": error}), status=error.status, headers=headers)
