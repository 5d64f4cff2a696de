"""Reads JSON messages as they arrive, with the standard library.

The OVSDB client's own parser takes character by character (12 s for the rows of 500 VPCs) unless it was built with a
part in C, for which it has this seam: whoever is called `Parser` there is asked. This one finds where a message ends
and leaves the rest to `json`.
"""
import json
import re
from typing import Any

import ovs.json

_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]')
"""A whole string, the beginning of one that does not end here, or a bracket."""
_IN_STRING = re.compile(r'["\\]')


class MessageParser:
    """The parser's interface: `feed` until `is_done`, then `finish`, which returns a string when it was no JSON."""

    def __init__(self, check_trailer: bool = False) -> None:
        self._parts: list[str] = []
        self._depth = 0
        self._is_in_string = self._is_escaped = self._is_done = False

    def feed(self, text: str) -> int:
        """How many characters belong to the message."""
        at = 1 if self._is_escaped and text else 0
        self._is_escaped = self._is_escaped and not text
        while not self._is_done and (found := (_IN_STRING if self._is_in_string else _STRUCTURE).search(text, at)):
            at = found.end()
            at += self._meet(found.group(), is_last=at == len(text))
        used = at if self._is_done else len(text)
        self._parts.append(text[:used])
        return used

    def is_done(self) -> bool:
        return self._is_done

    def finish(self) -> Any:
        try:
            return json.loads("".join(self._parts))
        except ValueError as error:
            return str(error)

    def _meet(self, character: str, *, is_last: bool) -> int:
        """How many characters after this one have no meaning."""
        if character == "\\":
            self._is_escaped = is_last
            return 0 if is_last else 1
        if character == '"':
            self._is_in_string = not self._is_in_string
        elif character[0] != '"':
            self._depth += 1 if character in "{[" else -1
            self._is_done = self._depth <= 0
        return 0


def install() -> None:
    """For the whole process; a parser in C stays."""
    if ovs.json.PARSER != ovs.json.PARSER_C:
        ovs.json.Parser = MessageParser
