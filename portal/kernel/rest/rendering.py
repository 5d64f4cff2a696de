"""Answers as JSON text: ids and times are written as the schema says, whatever Python type they have."""
from collections.abc import Mapping
from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer

OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def as_json(value: Any) -> bytes:
    """UTF-8; times in RFC 3339 with `Z`, ids as text, and what JSON does not know (lazy texts, addresses) as text."""
    return orjson.dumps(value, default=str, option=OPTIONS)


class FastJsonRenderer(JSONRenderer):
    """Compact JSON."""

    def render(self, data: Any, accepted_media_type: str | None = None,
               renderer_context: Mapping[str, Any] | None = None) -> bytes:
        return b"" if data is None else as_json(data)
