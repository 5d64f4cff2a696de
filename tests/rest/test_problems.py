"""Whatever a caller sends, the answer is a problem document that names what was wrong: never a 500, never internals."""
import json

import pytest
from django.db import OperationalError
from django.test import Client, override_settings
from rest_framework.exceptions import Throttled

from portal.kernel import api
from portal.kernel.errors import TooManyRequests
from portal.kernel.models import AuditEvent
from tests.cast import Cast

NOWHERE = "5b0c2f1e-8a53-4c0b-9d35-0f4f7a3c6e11"


def problem(response, status: int) -> dict:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "code", "request_id"} <= body.keys()
    assert body["status"] == status and body["request_id"] == response["X-Request-ID"]
    return body


def test_nobody_is_asked_to_sign_in(cast: Cast) -> None:
    response = cast.api(None).get("/api/v1/projects/")
    assert problem(response, 401)["code"] == "not_authenticated"
    assert response["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("secret", ["", "x", "mns_a_b", "mns_" + "é" * 60, "mns_aaaaaaaaaa_" + "x" * 60])
def test_a_wrong_key_is_refused_even_beside_a_good_session(cast: Cast, secret: str) -> None:
    client = cast.api("alice")
    problem(client.get("/api/v1/me/", HTTP_AUTHORIZATION=f"Bearer {secret}"), 401)


def test_a_session_without_its_csrf_token_may_not_change_anything(cast: Cast) -> None:
    client = cast.api("alice")
    client.handler.enforce_csrf_checks = True
    response = client.post("/api/v1/api-keys/", {"name": "x"}, format="json")
    assert problem(response, 403)["code"] == "forbidden"
    assert not cast.alice.api_keys.exists()


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b'{"name": NaN}', b'{"name": "a\\u0000b"}', b'{"name": "\\ud800"}',
    b"[" * 100_000, b'{"a":' * 5000, b'{"name": 1e400}',
    b'{"name": 1' + b"0" * 30 + b"}", b'{"name": 1' + b"0" * 5000 + b"}",
    b'{"name": ["x"]}', b'{"name": {"a": 1}}', b'{"name": true}', b'{"name": null}', b'{"name": ""}',
    b'{"name": "a\\nb"}',
    b'{"name": "x", "scopes": "all"}', b'{"name": "x", "scopes": [{"a": []}]}', b'{"name": "x", "expires_at": "soon"}',
    b'{"name": "x", "expires_at": "9999999-01-01T00:00:00Z"}', b'{"name": "x", "project": 7}',
    b'{"name": "x", "project": "7"}',
    b'{"name": "x", "project": ["' + NOWHERE.encode() + b'"]}', b'{"name": "x", "\\u0000": 1}', b'{"": 1}',
    b'{"name": "' + b"x" * 10_000 + b'"}', b'{"name": "x", "owner": "me"}', b'{"name": "x", "id": 1}',
])
def test_bad_bodies_are_refused_by_name(cast: Cast, body: bytes) -> None:
    response = cast.api("alice").post("/api/v1/api-keys/", body, content_type="application/json")
    problem(response, 400)
    assert not cast.alice.api_keys.exists()


def test_unknown_fields_are_named(cast: Cast) -> None:
    response = cast.api("alice").post("/api/v1/api-keys/", {"name": "x", "colour": 1, "secret": "mine"}, format="json")
    assert set(problem(response, 400)["errors"]) == {"colour", "secret"}


def test_nested_errors_name_their_place(cast: Cast) -> None:
    body = {"limits": [{"region": str(cast.region.pk), "resource": "x", "limit": -1}]}
    response = cast.api("root").put(f"/api/v1/projects/{cast.project.pk}/quotas/", body, format="json")
    assert list(problem(response, 400)["errors"]) == ["limits.0.limit"]


def test_another_content_type_is_refused(cast: Cast) -> None:
    response = cast.api("alice").post("/api/v1/api-keys/", "name=x", content_type="application/x-www-form-urlencoded")
    assert problem(response, 415)["code"] == "unsupported_media_type"


@override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=2000)
def test_a_body_that_is_too_large_is_refused(cast: Cast) -> None:
    response = cast.api("alice").post("/api/v1/api-keys/", {"name": "x" * 3000}, format="json")
    assert problem(response, 413)["code"] == "too_large"


@pytest.mark.parametrize("path", ["nothing/", "projects", "projects/7/", "projects/%00/", "projects/../../etc/", "",
                                  f"projects/{NOWHERE}/", f"projects/{NOWHERE}/nothing/", "operations/%ff/"])
def test_what_is_not_there_is_a_problem_too(cast: Cast, path: str) -> None:
    assert problem(cast.api("alice").get(f"/api/v1/{path}"), 404)["code"] == "not_found"


@pytest.mark.parametrize("query", [
    "colour=red", "limit=0", "limit=501", "limit=x", "limit=-1", "limit=%C2%B2", "cursor=x", "cursor=" + "A" * 5000,
    "cursor=WyItY3JlYXRlZF9hdCJd", "ordering=password", "ordering=", "organization=7", "search=%00",
    "search=" + "x" * 300, "project=x", "%00=1",
])
def test_bad_queries_are_refused_by_name(cast: Cast, query: str) -> None:
    found = problem(cast.api("alice").get(f"/api/v1/projects/?{query}"), 400)
    assert list(found["errors"]) in ([query.split("=")[0]], ["query"])


def test_a_state_that_does_not_exist_is_refused_with_those_that_do(cast: Cast) -> None:
    found = problem(cast.api("alice").get("/api/v1/operations/?state=sleeping"), 400)
    assert "running" in found["errors"]["state"][0]


def test_methods_that_are_not_there_are_refused(cast: Cast) -> None:
    assert problem(cast.api("alice").delete("/api/v1/regions/"), 405)["code"] == "method_not_allowed"
    problem(cast.api("alice").options("/api/v1/regions/"), 405)
    problem(cast.api(None).delete("/api/v1/regions/"), 401)
    problem(cast.api(None).options("/api/v1/regions/"), 401)


def test_whatever_is_accepted_the_answer_is_json(cast: Cast) -> None:
    response = cast.api("alice").get("/api/v1/me/", HTTP_ACCEPT="text/html")
    assert response.status_code == 200 and response["Content-Type"] == "application/json"


@pytest.mark.parametrize(("fault", "status", "header"), [
    (OperationalError("the connection to 10.0.0.7 was lost"), 503, "Retry-After"),
    (Throttled(wait=7), 429, "Retry-After"),
    (TooManyRequests(retry_after=9), 429, "Retry-After"),
    (ZeroDivisionError("line 7 of secret.py"), 500, "X-Request-ID"),
])
def test_faults_of_ours_show_no_internals(cast: Cast, monkeypatch, fault: Exception, status: int, header: str) -> None:
    def fail(*_args: object) -> None:
        raise fault

    monkeypatch.setattr(api.RegionViewSet, "list", fail)
    response = cast.api("alice").get("/api/v1/regions/")
    found = problem(response, status)
    assert response[header]
    assert "secret" not in json.dumps(found) and "10.0.0.7" not in json.dumps(found)


def test_a_refused_attempt_is_in_the_audit_although_nothing_was_changed(cast: Cast) -> None:
    response = cast.api("vera").patch(f"/api/v1/projects/{cast.project.pk}/", {"name": "mine"}, format="json")
    problem(response, 403)
    event = AuditEvent.objects.get(result="refused")
    assert (event.actor, event.project, event.action) == (cast.vera, cast.project, "project.manage")
    cast.project.refresh_from_db()
    assert cast.project.name == "web"


@pytest.mark.parametrize("path", ["nowhere/", "instances/a.b/actions/start/", "x%0A.y/"])
def test_a_post_to_nowhere_is_a_problem_too_and_no_page(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(f"/api/v1/{path}", {}, content_type="application/json")
    assert answer.status_code == 404 and answer["Content-Type"] == "application/problem+json"
