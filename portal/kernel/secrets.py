"""Secrets at rest: encrypted with the newest master key, readable with every key still listed.

`MASTER_KEYS` are Fernet keys outside the database (newest first). `manage.py rotate_secrets` rewrites all rows with the
newest, after which old keys may be dropped. Secrets that are only compared (API keys, tickets) are hashed instead.
"""
import hashlib
import secrets
from collections.abc import Callable
from functools import lru_cache

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models


@lru_cache(maxsize=4)
def _keyring(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def keyring() -> MultiFernet:
    return _keyring(tuple(settings.MASTER_KEYS))


def digest(secret: str) -> str:
    """SHA-256, for secrets of 128 random bits and more (no slow hash needed)."""
    return hashlib.sha256(secret.encode()).hexdigest()


def random_secret(bits: int = 256) -> str:
    return secrets.token_urlsafe(bits // 8)


rotations: list[Callable[[], tuple[str, int]]] = []
"""What rewrites secrets that libraries keep within other columns; each says which table, and how many rows."""


class EncryptedTextField(models.TextField):
    """A text that the database never sees in the clear. Empty stays empty. Not searchable."""

    def get_prep_value(self, value: str | None) -> str | None:
        return keyring().encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, expression: object, connection: object) -> str | None:
        return keyring().decrypt(value.encode()).decode() if value else value


def encrypted_fields(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.local_fields if isinstance(field, EncryptedTextField)]
