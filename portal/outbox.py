"""Mails of a portal without a mail server: each is one file, which operators read at /operator/outbox/.

For demos and development; with EMAIL_URL set, nothing is kept here.
"""
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import EmailMessage as ParsedMessage
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

SHOWN, LONGEST_TEXT = 200, 100_000


class Outbox(BaseEmailBackend):
    """Django's e-mail backend: writes instead of sending."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(settings.EMAIL_FILE_PATH)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for message in email_messages:
            path = folder / f"{uuid.uuid4()}.eml"
            part = path.with_suffix(".part")
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(message.message().as_bytes())
            part.rename(path)
        return len(email_messages)


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail as it is shown: text only, whatever it carries."""

    id: str
    at: datetime
    to: str
    subject: str
    text: str


def mails() -> list[Mail]:
    """The newest, at most 200, newest first."""
    folder = Path(settings.EMAIL_FILE_PATH)
    if not folder.is_dir():
        return []
    found = sorted(folder.glob("*.eml"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [_read(path) for path in found[:SHOWN]]


def _read(path: Path) -> Mail:
    raw = path.read_bytes()
    message = message_from_bytes(raw, policy=policy.default)
    return Mail(id=path.stem, at=datetime.fromtimestamp(path.stat().st_mtime, UTC), to=_head(message, "To"),
                subject=_head(message, "Subject"), text=_text(message, raw))


def _head(message: ParsedMessage, name: str) -> str:
    """A line of the mail's head; one that is none (an address with a line's end in it) as it lies there."""
    try:
        text = str(message.get(name, ""))
    except (MessageError, LookupError, ValueError):
        text = next(value for own, value in message.raw_items() if own.lower() == name.lower())
    return " ".join(text.split())


def _text(message: ParsedMessage, raw: bytes) -> str:
    """The plain part; what there is only as HTML is shown as its source, and what is no mail as it lies there."""
    body = message.get_body(preferencelist=("plain", "html"))
    try:
        text = str(body.get_content()) if body is not None else ""
    except (MessageError, LookupError, ValueError):  # a charset that nobody knows, a body that is none
        text = raw.decode(errors="replace")
    return text[:LONGEST_TEXT]
