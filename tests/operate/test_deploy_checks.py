"""`check --deploy` is clean for a production's settings, and says what is wrong with others."""
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.core.management.utils import get_random_secret_key
from django.test import override_settings

from portal import checks

ROOT = Path(__file__).resolve().parents[2]


def production(state: Path) -> dict[str, str]:
    """What the guide tells an operator to set."""
    kept = {name: os.environ[name] for name in ("PATH", "DATABASE_URL", "REDIS_URL") if name in os.environ}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "portal.settings", "LC_ALL": "C.UTF-8", "MAINS_URL": "https://cloud.example.org",
        "SECRET_KEY": get_random_secret_key(), "MASTER_KEYS": Fernet.generate_key().decode(), "MAINS_STATE_DIR": str(state),
        "BEHIND_PROXY": "1", "EMAIL_URL": "smtp://mains:secret@mail.example.org:587?tls=1",
    }


def manage(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_a_productions_settings_pass_without_a_warning(tmp_path: Path) -> None:
    done = manage(production(tmp_path), "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_a_laptops_settings_do_not(tmp_path: Path) -> None:
    wrong = {"MAINS_URL": "http://10.0.0.1", "MAINS_DEMO": "1", "ALLOWED_HOSTS": "*", "EMAIL_URL": "",
             "REDIS_URL": "redis://10.0.0.2/0",
             "DATABASE_URL": "postgresql://mains:change-me@10.0.0.3/mains"}
    done = manage(production(tmp_path) | wrong, "check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 1
    named = {word.strip("():") for word in done.stderr.split() if word.startswith("(mains.")}
    assert named == {f"mains.{name}" for name in ("E003", "E004", "W006", "W007", "E008", "E011", "W012", "W013", "W014")}


def found() -> set[str]:
    return {message.id for message in [*checks.production(None), *checks.master_keys(None)]}


@pytest.mark.parametrize(("changes", "name"), [
    ({"MASTER_KEYS": [""]}, "mains.E001"), ({"MASTER_KEYS": ["abc"]}, "mains.E002"), ({"DEMO": True}, "mains.E003"),
    ({"SECURE_PROXY_SSL_HEADER": None}, "mains.W005"), ({"ALLOWED_HOSTS": ["*"]}, "mains.W007"),
    ({"SECRET_KEY": "k", "MASTER_KEYS": ["k"]}, "mains.E009"), ({"REDIS_URL": "rediss://10.0.0.1/0"}, "mains.E011"),
    ({"REDIS_URL": "redis://:pw@10.0.0.1/0"}, "mains.W012"), ({"EMAIL_URL": ""}, "mains.W014"),
])
def test_each_mistake_is_named(changes: dict[str, Any], name: str) -> None:
    right = {"SITE_URL": "https://cloud.example.org", "DEMO": False, "EMAIL_URL": "smtp://mail",
             "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
    with override_settings(**right):
        assert found() == set()
    with override_settings(**right | changes):
        assert name in found()


def test_the_database_elsewhere_is_reached_by_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", "10.0.0.1")
    assert "mains.W013" in found()
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", {"sslmode": "verify-full"})
    assert "mains.W013" not in found()
