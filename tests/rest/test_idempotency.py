"""The same POST with the same Idempotency-Key is done once, whatever happens to the first answer."""
import hashlib
import json
import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from portal.kernel.models import IdempotencyKey
from tenants.models import ApiKey, Project
from tests.cast import Cast, make_cast

KEYS = "/api/v1/api-keys/"


def post(client, url: str, body: dict, key: str):
    return client.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY=key)


def test_the_same_key_and_body_get_the_same_answer_without_the_secret(cast: Cast) -> None:
    client = cast.api("alice")
    first, second = post(client, KEYS, {"name": "ci"}, "k1"), post(client, KEYS, {"name": "ci"}, "k1")
    assert first.status_code == second.status_code == 201
    assert second["Idempotent-Replayed"] == "true" and "Idempotent-Replayed" not in first
    assert first.json()["secret"].startswith("mns_") and second.json() == {**first.json(), "secret": None}
    assert ApiKey.objects.count() == 1
    assert first.json()["secret"] not in str(list(IdempotencyKey.objects.values()))


def test_what_is_kept_of_a_body_is_no_good_to_try_its_secrets_out(cast: Cast) -> None:
    """A chosen password is in it, which a plain sum would let anybody guess who reads the table."""
    post(cast.api("alice"), KEYS, {"name": "ci"}, "k1")
    said = json.dumps({"body": {"name": "ci"}, "query": []}, sort_keys=True)
    assert IdempotencyKey.objects.get().body_hash != hashlib.sha256(said.encode()).hexdigest()


def test_the_order_of_members_in_the_body_does_not_matter(cast: Cast) -> None:
    client = cast.api("alice")
    client.post(KEYS, b'{"name": "ci", "scopes": []}', content_type="application/json", HTTP_IDEMPOTENCY_KEY="k1")
    again = client.post(KEYS, b'{"scopes":[],"name":"ci"}', content_type="application/json", HTTP_IDEMPOTENCY_KEY="k1")
    assert again["Idempotent-Replayed"] == "true"


def test_the_same_key_with_another_body_is_refused(cast: Cast) -> None:
    client = cast.api("alice")
    post(client, KEYS, {"name": "ci"}, "k1")
    response = post(client, KEYS, {"name": "other"}, "k1")
    assert response.status_code == 422 and response.json()["code"] == "idempotency_key_reused"
    assert ApiKey.objects.count() == 1


def test_a_key_belongs_to_its_caller_and_path(cast: Cast) -> None:
    assert post(cast.api("alice"), KEYS, {"name": "ci"}, "k1").status_code == 201
    assert "Idempotent-Replayed" not in post(cast.api("adam"), KEYS, {"name": "ci"}, "k1")
    assert "Idempotent-Replayed" not in post(cast.key("alice"), KEYS, {"name": "ci"}, "k1")
    project = {"name": "new", "organization": str(cast.organization.pk)}
    assert post(cast.api("alice"), "/api/v1/projects/", project, "k1").status_code == 201


def test_a_refusal_is_not_remembered(cast: Cast) -> None:
    client = cast.api("alice")
    assert post(client, KEYS, {"name": ""}, "k1").status_code == 400
    assert not IdempotencyKey.objects.exists()
    assert post(client, KEYS, {"name": "ci"}, "k1").status_code == 201


def test_after_a_day_the_key_is_free_again(cast: Cast) -> None:
    client = cast.api("alice")
    post(client, KEYS, {"name": "ci"}, "k1")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert "Idempotent-Replayed" not in post(client, KEYS, {"name": "another"}, "k1")
    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("key", ["", "x" * 201, "a\x7fb"])
def test_unusable_keys_are_refused(cast: Cast, key: str) -> None:
    response = post(cast.api("alice"), KEYS, {"name": "ci"}, key)
    assert response.status_code == 400 and "Idempotency-Key" in response.json()["errors"]


@pytest.mark.django_db(transaction=True)
def test_twins_at_the_same_moment_make_one_thing() -> None:
    cast = make_cast()
    body, answers, gate = {"name": "new", "organization": str(cast.organization.pk)}, [], threading.Barrier(4)
    clients = [cast.api("alice") for _twin in range(4)]

    def run(client) -> None:
        gate.wait()
        answers.append(post(client, "/api/v1/projects/", body, "k1"))
        connections.close_all()

    threads = [threading.Thread(target=run, args=[client]) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert Project.objects.filter(name="new").count() == 1
    assert sum("Idempotent-Replayed" in answer for answer in answers) == 3
