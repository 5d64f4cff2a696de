"""Does it live, is it ready, how does it do: yes or no for strangers, details for operators and this machine."""
import pytest
from django.db import OperationalError
from django.test import Client

from portal import health
from tests.cast import Cast, make_cast

STRANGER = {"REMOTE_ADDR": "198.18.0.9"}
BEHIND_A_PROXY = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "198.18.0.9"}


@pytest.fixture
def cast(db: None, settings) -> Cast:
    # Error pages name static files, which need not be collected here.
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return make_cast()


def test_it_lives_without_asking_anything_else(client):
    answer = client.get("/livez", **STRANGER)  # no fixture lets this test near a database
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_it_is_ready_when_the_database_answers_and_is_migrated(client, cast):
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert {"database", "migrated", "broker", "oldest_due_s", "hosts"} <= set(answer.json()["checks"])


@pytest.mark.parametrize("origin", [STRANGER, BEHIND_A_PROXY])
def test_strangers_learn_only_that_it_is_ready(client, cast, origin):
    assert client.get("/readyz", **origin).json() == {"status": "ok"}
    assert client.get("/metrics", **origin).status_code == 404


def test_a_lost_broker_is_told_and_not_held_against_it(client, cast, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["broker"]) == (200, False)


def test_it_is_not_ready_without_its_database(client, cast, monkeypatch):
    def fail() -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(health, "_is_migrated", fail)
        answer = client.get("/readyz", **STRANGER)
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable"})


def test_it_is_not_ready_before_its_migrations(client, cast, monkeypatch):
    monkeypatch.setattr(health, "_migrated", False)
    monkeypatch.setattr(health.MigrationExecutor, "migration_plan", lambda self, targets: ["one"])
    assert client.get("/readyz", **STRANGER).status_code == 503


def test_metrics_are_for_operators(cast):
    for name, status in (("vera", 404), ("alice", 404), ("root", 200)):
        assert cast.browser(name).get("/metrics", **STRANGER).status_code == status


def test_metrics_count_requests_by_view_and_rows_by_state(client, cast):
    client.get("/livez")
    client.get("/no/such/page/%3Cscript%3E")
    text = client.get("/metrics").content.decode()
    assert 'mains_http_requests_total{method="GET",status="200",view="livez"}' in text
    assert "script" not in text
    for name in ("mains_operations", "mains_instances", "mains_hosts", "mains_console_sessions 0.0",
                 "mains_operations_oldest_due_seconds 0.0", "mains_operations_need_person 0.0"):
        assert name in text


def test_health_is_only_read(client: Client, cast):
    for path in ("/livez", "/readyz", "/metrics"):
        assert client.post(path).status_code == 405
