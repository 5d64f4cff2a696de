"""Secrets at rest: unreadable in the database, and moved to a new master key by one command."""
import logging

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import call_command
from django.db import connection
from django.test import Client

from compute.hosts.models import Endpoint
from compute.network.models import Fabric
from portal.kernel.models import Region


def stored(row: Endpoint | Fabric) -> str:
    """The column as the database has it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT private_key FROM {row._meta.db_table} WHERE {row._meta.pk.column} = %s", [row.pk])
        return cursor.fetchone()[0]


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Endpoint, Fabric])
def test_a_rotated_secret_needs_the_old_key_no_longer(settings, model: type[Endpoint | Fabric]) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.MASTER_KEYS = [old]
    place = {"name": "e"} if model is Endpoint else {"region": Region.objects.create(slug="r", name="R")}
    row = model.objects.create(**place, driver="simulated", uri="simulated:memory/e", private_key="the key")
    before = stored(row)
    assert "the key" not in before
    settings.MASTER_KEYS = [new, old]
    call_command("rotate_secrets", verbosity=0)
    settings.MASTER_KEYS = [new]
    assert stored(row) != before and model.objects.get(pk=row.pk).private_key == "the key"
    settings.MASTER_KEYS = [old]
    with pytest.raises(InvalidToken):
        model.objects.get(pk=row.pk)


@pytest.mark.django_db
@pytest.mark.parametrize(("path", "logged"), [
    ("/invitations/accept/?token=S3CRET", "GET /invitations/accept/"), ("/accounts/password/reset/key/1-S3CRET/", "key/"),
    ("/S3CRET/", "GET (no such address)")])
def test_links_that_are_secrets_are_logged_by_their_route(caplog: pytest.LogCaptureFixture, path: str, logged: str) -> None:
    caplog.set_level(logging.INFO)
    Client().get(path)
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    [line] = [line for line in said if line["event"] == "request_finished"]
    assert logged in line["request"] and "S3CRET" not in str(line)
