"""Reading bodies: JSON only, bounded, and nothing that PostgreSQL or a later reader would choke on."""
import json
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser

from portal.kernel.errors import InvalidInput

DEEPEST = 32
LARGEST_INTEGER = 2**63 - 1


class StrictJsonParser(JSONParser):
    """JSON of at most DATA_UPLOAD_MAX_MEMORY_SIZE bytes, an object at the top, without NUL or half characters."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        raw = stream.read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        if len(raw) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        try:
            found = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        except RecursionError as error:
            raise ParseError(_("The JSON is nested too deeply.")) from error
        except ValueError as error:
            raise ParseError(_("The body is no valid JSON: {reason}").format(reason=error)) from error
        if not isinstance(found, dict):
            raise ParseError(_("The body must be a JSON object."))
        for name, value in found.items():
            check_storable(name)
            check_field(name, value)
        return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def check_field(name: str, value: object) -> None:
    """Refuse what cannot be stored, naming the field that has it."""
    try:
        check_storable(value, depth=1)
    except ParseError as error:
        raise InvalidInput.field(name, str(error.detail)) from error


def check_storable(value: object, depth: int = 0) -> None:
    """Raise ParseError on NUL, lone surrogates, integers beyond 64 bits and deep nesting."""
    if depth > DEEPEST:
        raise ParseError(_("The JSON is nested too deeply."))
    if isinstance(value, str):
        if not is_storable(value):
            raise ParseError(_("Strings must not contain NUL or half characters."))
    elif isinstance(value, bool):
        return
    elif isinstance(value, (int, float)):
        if abs(value) > LARGEST_INTEGER:
            raise ParseError(_("A number is too large."))
    elif isinstance(value, (dict, list)):
        for item in (value if isinstance(value, list) else [*value.keys(), *value.values()]):
            check_storable(item, depth + 1)


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep the text."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


class AlwaysJson(BaseContentNegotiation):
    """The API speaks JSON whatever the caller accepts: an error that says why is better than a bare 406."""

    def select_parser(self, request: Any, parsers: list) -> Any:
        content_type = (request.content_type or "").split(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == content_type), None)

    def select_renderer(self, request: Any, renderers: list, format_suffix: str | None = None) -> tuple:
        return renderers[0], renderers[0].media_type
