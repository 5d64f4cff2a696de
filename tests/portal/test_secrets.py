"""Secrets at rest: unreadable in the database, and moved to a new master key by one command."""
import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.core.management import call_command
from django.db import connection

from compute.hosts.models import Endpoint


def stored(pk) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key FROM hosts_endpoint WHERE id = %s", [pk])
        return cursor.fetchone()[0]


@pytest.mark.django_db
def test_a_rotated_secret_needs_the_old_key_no_longer(settings) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    settings.MASTER_KEYS = [old]
    endpoint = Endpoint.objects.create(name="e", driver="simulated", uri="simulated:memory/e", private_key="the key")
    before = stored(endpoint.pk)
    assert "the key" not in before
    settings.MASTER_KEYS = [new, old]
    call_command("rotate_secrets", verbosity=0)
    settings.MASTER_KEYS = [new]
    assert stored(endpoint.pk) != before and Endpoint.objects.get(pk=endpoint.pk).private_key == "the key"
    settings.MASTER_KEYS = [old]
    with pytest.raises(InvalidToken):
        Endpoint.objects.get(pk=endpoint.pk)
