"""Operations by REST: what they show, waiting for them, cancelling them."""
import threading
import time

import pytest
from django.db import connection, connections

from portal.kernel.models import Operation
from portal.kernel.operations import Kind, Step, kinds, submit
from portal.kernel.states import database_now
from tests.cast import Cast, make_cast

SHOWN = {"id", "kind", "state", "target", "project", "actor", "parent", "progress", "step", "error", "result",
         "created_at", "started_at", "finished_at"}


@pytest.fixture(autouse=True)
def wait_kind(monkeypatch, settings) -> None:
    settings.DOORBELLS = False
    steps = (Step("first", lambda run: None), Step("pivot", lambda run: None))
    kind = Kind(name="test.wait", label="Wait", steps=steps, succeeded=lambda run: None,
                failed=lambda run, error: None, pivot="pivot")
    monkeypatch.setitem(kinds, kind.name, kind)


def submitted(cast: Cast) -> Operation:
    return submit("test.wait", region=cast.region, actor=cast.oscar, project=cast.project, arguments={"id": "x"})


def test_an_operation_shows_the_contract_and_no_arguments(cast: Cast) -> None:
    body = cast.api("vera").get(f"/api/v1/operations/{submitted(cast).pk}/").json()
    assert body.keys() == SHOWN
    assert (body["state"], body["step"], body["actor"]) == ("queued", "first", str(cast.oscar.pk))


def test_waiting_ends_when_the_time_is_over(cast: Cast) -> None:
    begun = time.monotonic()
    body = cast.api("vera").get(f"/api/v1/operations/{submitted(cast).pk}/?wait=1").json()
    assert body["state"] == "queued" and 1 <= time.monotonic() - begun < 3


@pytest.mark.django_db(transaction=True)
def test_waiting_ends_when_the_operation_does() -> None:
    cast = make_cast()
    operation, begun = submitted(cast), time.monotonic()

    def finish() -> None:
        time.sleep(0.4)
        Operation.objects.filter(pk=operation.pk).update(state="succeeded", finished_at=database_now())
        connections.close_all()

    thread = threading.Thread(target=finish)
    thread.start()
    body = cast.api("vera").get(f"/api/v1/operations/{operation.pk}/?wait=20").json()
    thread.join()
    assert body["state"] == "succeeded" and body["step"] is None
    assert time.monotonic() - begun < 5


@pytest.mark.django_db(transaction=True)
def test_who_waits_keeps_no_connection_to_the_database(monkeypatch) -> None:
    cast, held = make_cast(), []
    operation, client, sleep = submitted(cast), cast.api("vera"), time.sleep

    def look(seconds: float) -> None:
        held.append(connection.connection is not None)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", look)
    assert client.get(f"/api/v1/operations/{operation.pk}/?wait=1").status_code == 200
    assert held and not any(held)


@pytest.mark.parametrize("seconds", ["61", "-1", "x", "1.5", ""])
def test_nobody_waits_for_ever(cast: Cast, seconds: str) -> None:
    response = cast.api("vera").get(f"/api/v1/operations/{submitted(cast).pk}/?wait={seconds}")
    assert response.status_code == 400 and "wait" in response.json()["errors"]


def test_an_operator_cancels_and_a_viewer_does_not(cast: Cast) -> None:
    operation = submitted(cast)
    url = f"/api/v1/operations/{operation.pk}/actions/cancel/"
    assert cast.api("vera").post(url).status_code == 403
    assert cast.api("mallory").post(url).status_code == 404
    answer = cast.api("oscar").post(url)
    assert answer.status_code == 202 and answer["Location"] == f"/api/v1/operations/{operation.pk}/"
    operation.refresh_from_db()
    assert operation.cancel_requested_at is not None


def test_past_the_pivot_cancelling_is_a_conflict(cast: Cast) -> None:
    operation = submitted(cast)
    Operation.objects.filter(pk=operation.pk).update(step=1, state="running")
    answer = cast.api("oscar").post(f"/api/v1/operations/{operation.pk}/actions/cancel/")
    assert answer.status_code == 409 and answer.json()["code"] == "state_conflict"
