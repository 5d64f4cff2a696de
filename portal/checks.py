"""What `manage.py check --deploy` says of a production's settings beside Django's own checks. Nothing is asked of the network."""
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", ""})
PLACEHOLDER = "change-me"
"""What stands in portal/deployment/mains.env where a secret belongs."""


@register(Tags.security)
def master_keys(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Also without --deploy: with a bad key nothing could be stored."""
    if not any(settings.MASTER_KEYS):
        return [Error("MASTER_KEYS is empty.", hint=KEY_HINT, id="mains.E001")]
    return [Error(f"MASTER_KEYS: key {number} is not a Fernet key.", hint=KEY_HINT, id="mains.E002")
            for number, key in enumerate(settings.MASTER_KEYS, 1) if not _is_fernet(key)]


KEY_HINT = ("Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'. "
            "Keep it outside the database and its backups.")


@register(Tags.security, deploy=True)
def production(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Everything that is fine on a laptop and not for strangers."""
    return [*_identity(), *_secrets(), *_surroundings()]


def _identity() -> Iterator[CheckMessage]:
    if settings.DEMO:
        yield Error("MAINS_DEMO=1: users with passwords that everybody knows.", id="mains.E003")
    if not settings.SITE_URL.startswith("https://"):
        yield Error("MAINS_URL is not https: passwords, keys and consoles would cross the network in the clear.", id="mains.E004")
    elif settings.SECURE_PROXY_SSL_HEADER is None:
        yield Warning("MAINS_URL is https and BEHIND_PROXY is 0: behind a proxy every request would be redirected for ever.",
                      hint="Set BEHIND_PROXY=1 when caddy or nginx ends TLS.", id="mains.W005")
    if settings.SECURE_PROXY_SSL_HEADER and not settings.SITE_URL.startswith("https://"):
        yield Warning("BEHIND_PROXY=1 and MAINS_URL is not https: whoever reaches the portal may claim to have come by TLS.",
                      id="mains.W006")
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning("ALLOWED_HOSTS is *: links in mails could be made to lead elsewhere.", id="mains.W007")


def _secrets() -> Iterator[CheckMessage]:
    values = {"SECRET_KEY": settings.SECRET_KEY, "MASTER_KEYS": ",".join(settings.MASTER_KEYS), "REDIS_URL": settings.REDIS_URL,
              "DATABASE_URL": settings.DATABASES["default"]["PASSWORD"], "METRICS_TOKEN": settings.METRICS_TOKEN}
    for name, value in values.items():
        if PLACEHOLDER in value.lower():
            yield Error(f"{name} still has the placeholder of the example.", id="mains.E008")
    if settings.SECRET_KEY in settings.MASTER_KEYS:
        yield Error("SECRET_KEY is one of MASTER_KEYS: each needs a secret of its own.", id="mains.E009")
    host = settings.DATABASES["default"]["HOST"]
    # A path is a socket, where the operating system says who is calling.
    if not settings.DATABASES["default"]["PASSWORD"] and not host.startswith("/"):
        yield Warning("DATABASE_URL has no password.", id="mains.W010")


def _surroundings() -> Iterator[CheckMessage]:
    redis = urlsplit(settings.REDIS_URL)
    if redis.scheme != "unix" and (redis.hostname or "") not in LOOPBACK:
        if not redis.password:
            yield Error("REDIS_URL names another machine and has no password: whoever reaches it could give workers tasks.",
                        id="mains.E011")
        if redis.scheme != "rediss":
            yield Warning("REDIS_URL names another machine without TLS (rediss://).", id="mains.W012")
    database = settings.DATABASES["default"]
    is_remote = database["HOST"] not in LOOPBACK and not database["HOST"].startswith("/")
    if is_remote and database["OPTIONS"].get("sslmode") not in ("require", "verify-ca", "verify-full"):
        yield Warning("DATABASE_URL names another machine without TLS.", id="mains.W013",
                      hint="Add ?sslmode=verify-full&sslrootcert=/path/ca.pem.")
    if not settings.EMAIL_URL:
        yield Warning("EMAIL_URL is not set: mails are kept as files and nobody gets them.", id="mains.W014")


def _is_fernet(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
