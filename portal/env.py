"""Reading settings from the environment; nonsense fails loudly at start. `NAME_FILE` names a file that holds the value."""
import os
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

in_web_process = False
"""Set by `portal.asgi` before the settings are read; nothing that a child process inherits."""


def text(name: str, default: str | None = None) -> str:
    """The variable, or the content of the file that `NAME_FILE` names; raises ImproperlyConfigured when neither is set."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text().strip()
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. `make run` and `make test` set it; see README.")
    return value


def flag(name: str, default: bool = False) -> bool:
    value = os.environ.get(name, "1" if default else "0")
    if value not in ("0", "1"):
        raise ImproperlyConfigured(f"{name} must be 0 or 1, not {value!r}.")
    return value == "1"


def integer(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    try:
        return int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.") from error


def words(name: str, default: str = "") -> list[str]:
    """A comma-separated list."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def mail_server(url: str) -> dict[str, object]:
    """Django's settings for `smtp://user:password@host:587?tls=1` or `smtps://…` (TLS from the first byte)."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise ImproperlyConfigured("EMAIL_URL must look like smtp://user:password@host:587?tls=1 or smtps://host.")
    is_smtps = parts.scheme == "smtps"
    try:
        port = parts.port or (465 if is_smtps else 25)
    except ValueError as error:
        raise ImproperlyConfigured(f"EMAIL_URL: {error}.") from error
    return {"EMAIL_HOST": parts.hostname, "EMAIL_PORT": port, "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""), "EMAIL_USE_SSL": is_smtps,
            "EMAIL_USE_TLS": not is_smtps and parse_qs(parts.query).get("tls") == ["1"], "EMAIL_TIMEOUT": 10}
