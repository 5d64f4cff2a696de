"""How often a caller may ask: told on every answer, refused beyond it. Addresses, and Redis away: tests/rate."""
import re

import pytest

from portal.kernel.rest import rate
from tests.cast import Cast

PATH = "/api/v1/projects/"


@pytest.fixture
def few(settings, monkeypatch) -> None:
    settings.API_RATE = {"requests": 3, "window_s": 3600}
    monkeypatch.setattr(rate._Silence, "until", 0.0)
    monkeypatch.setattr(rate.time, "time", lambda: 1_800_000_010.0)


@pytest.mark.usefixtures("few")
def test_each_answer_tells_what_is_left_and_the_fourth_is_refused(cast: Cast) -> None:
    client = cast.key("alice")
    answers = [client.get(PATH) for _request in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer["RateLimit"] for answer in answers] == [f'"default";r={left};t=3590' for left in (2, 1, 0, 0)]
    assert {answer["RateLimit-Policy"] for answer in answers} == {'"default";q=3;w=3600'}
    problem = answers[-1].json()
    assert (problem["code"], problem["retry_after"], answers[-1]["Retry-After"]) == ("rate_limited", 3590, "3590")
    assert answers[-1]["Content-Type"] == "application/problem+json"


@pytest.mark.usefixtures("few")
def test_each_key_and_each_user_has_an_allowance_of_its_own(cast: Cast) -> None:
    one, other, browser = cast.key("alice"), cast.key("alice"), cast.api("alice")
    assert [one.get(PATH).status_code for _request in range(4)][-1] == 429
    assert other.get(PATH)["RateLimit"].startswith('"default";r=2') and browser.get(PATH).status_code == 200


@pytest.mark.usefixtures("few")
def test_refusals_are_counted_too_and_say_so(cast: Cast) -> None:
    refused = cast.api("alice").get(PATH, {"colour": "red"})
    assert refused.status_code == 400 and refused["RateLimit"].startswith('"default";r=2')


def test_no_limit_no_headers(cast: Cast, settings) -> None:
    settings.API_RATE = {"requests": 0, "window_s": 60}
    assert "RateLimit" not in cast.api("alice").get(PATH)


def test_a_usable_request_id_comes_back_and_others_are_replaced(cast: Cast) -> None:
    client = cast.api("alice")
    assert client.get(PATH, HTTP_X_REQUEST_ID="build-42.deploy")["X-Request-ID"] == "build-42.deploy"
    odd = client.get(PATH, {"colour": "red"}, HTTP_X_REQUEST_ID="a b")
    assert re.fullmatch(r"[0-9a-f-]{36}", odd["X-Request-ID"]) and odd.json()["request_id"] == odd["X-Request-ID"]


def test_me_tells_who_what_where_and_how_much(cast: Cast, settings) -> None:
    me = cast.key("alice", scopes=["instance.view", "project.view"], project=cast.project).get("/api/v1/me/").json()
    assert (me["username"], me["api_key"]["scopes"], me["api_key"]["project"]) == (
        "alice", ["instance.view", "project.view"], str(cast.project.pk))
    assert [project["permissions"] for project in me["projects"]] == [["instance.view", "project.view"]]
    assert me["limits"] == {"requests": settings.API_RATE["requests"], "window_s": 60, "rows": 500, "body_bytes": 1048576}
    assert cast.api("alice").get("/api/v1/me/").json()["api_key"] is None
