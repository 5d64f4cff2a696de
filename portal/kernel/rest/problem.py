"""RFC 9457: every error of the API as `application/problem+json`. The only place that turns exceptions into answers.

Refused attempts (403) are written to the audit from here, because the refused transaction has rolled back by then.
"""
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelInvalid
from django.db import DataError, Error, IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404, HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response

from portal.kernel import audit
from portal.kernel.errors import InvalidInput, NotFound, PortalError

log = structlog.get_logger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:mains:problem:"
RESERVED = frozenset({"type", "title", "status", "detail", "code", "errors", "request_id"})
RETRY_AFTER_S = 5
CHALLENGE = 'Bearer realm="mains"'
HIDDEN = "not_found"
"""The code of field errors that say "absent or hidden"."""


def handle(exc: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: answers every exception, the unexpected ones without internals."""
    request = context.get("request")
    body, headers = _describe(exc)
    if body["status"] == 403:
        _note_refusal(exc, context, body)
    body["request_id"] = getattr(getattr(request, "_request", request), "id", "")
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def document(status: int, code: str, title: str, detail: str = "", errors: Mapping[str, list[str]] | None = None,
             **facts: object) -> dict[str, Any]:
    """The members of a problem document; facts never replace a reserved member."""
    body: dict[str, Any] = {"type": TYPE_PREFIX + code, "title": str(title), "status": status, "detail": str(detail),
                            "code": code}
    if errors:
        body["errors"] = errors
    return body | {name: _plain(value) for name, value in facts.items() if name not in RESERVED}


@csrf_exempt  # or a POST to nowhere would be answered by a page
def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """For paths under /api/ that no view serves."""
    text = _("There is nothing at this address. Paths end with a slash.")
    return bare(request, document(404, NotFound.code, str(NotFound.title), text))


def server_error(request: HttpRequest) -> JsonResponse:
    """For faults outside of DRF's views."""
    return bare(request, _unexpected())


def bare(request: HttpRequest, body: dict[str, Any]) -> JsonResponse:
    body["request_id"] = getattr(request, "id", "")
    return JsonResponse(body, status=body["status"], content_type=CONTENT_TYPE)


def _describe(exc: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    match exc:
        case PortalError():
            return _of_portal_error(exc)
        case exceptions.ValidationError():
            return _of_field_errors(flatten(exc.detail), codes(exc.get_codes())), {}
        case exceptions.APIException():
            return _of_api_exception(exc)
        case ModelInvalid():
            errors = exc.message_dict if hasattr(exc, "error_dict") else {"non_field_errors": exc.messages}
            return _of_field_errors({name.replace("__all__", "non_field_errors"): list(map(str, found))
                                     for name, found in errors.items()}, set()), {}
        case Http404():
            return _of_portal_error(NotFound())
        case RequestDataTooBig():
            return document(413, "too_large", _("Request too large"), _("The request's body is too large.")), {}
        case SuspiciousOperation() | DataError():
            text = _("The request carries a value that cannot be stored.")
            return document(400, "invalid", str(InvalidInput.title), text), {}
        case ProtectedError() | IntegrityError():
            log.warning("api.conflict", error=str(exc))
            return document(409, "conflict", _("Not possible now"), _("This conflicts with what is stored.")), {}
        case OperationalError() | InterfaceError():
            log.warning("api.database_unavailable", error=str(exc))
            return _unavailable()
    log.error("api.unexpected", exc_info=exc)
    return _unexpected(), {}


def _of_portal_error(exc: PortalError) -> tuple[dict[str, Any], dict[str, str]]:
    body = document(exc.status, exc.code, str(exc.title), exc.detail, exc.errors, **exc.facts)
    headers = {}
    if exc.status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if exc.status in (429, 503):
        headers["Retry-After"] = str(exc.facts.get("retry_after", RETRY_AFTER_S))
    return body, headers


def _of_field_errors(errors: dict[str, list[str]], found_codes: set[str]) -> dict[str, Any]:
    if found_codes == {HIDDEN}:
        # Ids in a body that are absent or another tenant's: the same answer as for ids in a path.
        return document(404, NotFound.code, str(NotFound.title), str(NotFound.text), errors)
    return document(400, InvalidInput.code, str(InvalidInput.title), str(InvalidInput.text), errors)


def _of_api_exception(exc: exceptions.APIException) -> tuple[dict[str, Any], dict[str, str]]:
    code = {"permission_denied": "forbidden", "throttled": "rate_limited", "authentication_failed": "not_authenticated",
            "parse_error": "malformed"}.get(str(exc.default_code), str(exc.default_code))
    facts: dict[str, object] = {}
    headers: dict[str, str] = {}
    if exc.status_code == 401:
        headers["WWW-Authenticate"] = getattr(exc, "auth_header", CHALLENGE)
    if isinstance(exc, exceptions.Throttled):
        facts["retry_after"] = max(1, round(exc.wait or 1))
        headers["Retry-After"] = str(facts["retry_after"])
    # DRF's general sentences for 405 and 415 have a gap for the method: the status's own name is the title then.
    title = str(exc.default_detail)
    title = HTTPStatus(exc.status_code).phrase if "{" in title else title
    return document(exc.status_code, code, title, str(exc.detail), **facts), headers


def _unavailable() -> tuple[dict[str, Any], dict[str, str]]:
    body = document(503, "unavailable", _("Temporarily unavailable"), _("Try again in a few seconds."),
                    retry_after=RETRY_AFTER_S)
    return body, {"Retry-After": str(RETRY_AFTER_S)}


def _unexpected() -> dict[str, Any]:
    return document(500, PortalError.code, str(PortalError.title), str(PortalError.text))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)


def flatten(detail: Any, name: str = "") -> dict[str, list[str]]:
    """Nested errors as {"ports.0.subnet": ["…"]}."""
    if isinstance(detail, Mapping):
        pairs = detail.items()
    elif isinstance(detail, list) and any(isinstance(item, (Mapping, list)) for item in detail):
        pairs = ((str(index), item) for index, item in enumerate(detail))
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {name or "non_field_errors": [str(text) for text in texts]} if texts else {}
    found: dict[str, list[str]] = {}
    for key, item in pairs:
        if item or item == 0:
            found |= flatten(item, f"{name}.{key}" if name else str(key))
    return found


def codes(tree: Any) -> set[str]:
    """All codes of a validation error."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    return set().union(*map(codes, tree)) if isinstance(tree, list) else {str(tree)}


def _note_refusal(exc: Exception, context: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    request, view = context.get("request"), context.get("view")
    user = getattr(request, "user", None)
    if request is None or not getattr(user, "is_authenticated", False):
        return
    subject = getattr(exc, "subject", None) or getattr(view, "target", None)
    action = str(body.get("permission") or f"{request.method} {request.path}")[:80]
    try:
        audit.refuse(action, subject, actor=user, reason=f"{body['code']}: {body['detail']}"[:300])
    except Error as error:  # the answer stays 403 although its audit row could not be written
        log.error("api.refusal_not_audited", error=str(error), action=action)
