"""What is somebody else's and what does not exist cannot be told apart by the time that it takes either: the database is asked
the same statements, in the same order, for both. The clock itself is compared in `make bench ARGS=foreign`.

Every address with an id, and every id in a body: from the resolver and the serializers, so that a new one is in it.
"""
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, reset_queries, transaction
from django.test.utils import CaptureQueriesContext

from portal.kernel.remembered import remembered
from tests.portal.routes import Route
from tests.portal.scenery import ONCE_A_MINUTE, Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, address, key, model_of
from tests.portal.test_permission_matrix import (
    API,
    PAGES,
    STAFF,
    bodied,
    client_of,
    ids_in_forms,
    is_catalogue,
    is_for_everybody,
    model_behind,
    replaced,
)

PAIRS = 2
"""Interleaved, so that what is kept from one request to the next counts for both sides."""
WITH_ID = [route for route in (*API, *PAGES) if route.takes_an_id and not is_for_everybody(route)]
TOKEN = re.compile(r"'[^']*'|\bs\d+_x\d+\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b\d+(\.\d+)?\b")


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene, pytest.MonkeyPatch.context() as patch:
        # What stands for some seconds in a process stands as long as this: else it would be asked for one of two alone.
        patch.setitem(remembered.__kwdefaults__, "clock", lambda: 0.0)
        yield scene


def asked(scene: Scene, route: Route, who: str, pk: object, sent: dict[str, Any] | None) -> tuple[int, list[str]]:
    """The answer's status, and the texts of all statements without their values."""
    client = client_of(scene, who, is_api=route.is_api)
    kept = scene.cast.scenery.setdefault(("cookie", who, route.is_api), client.cookies[settings.SESSION_COOKIE_NAME].value)
    client.cookies[settings.SESSION_COOKIE_NAME] = kept  # whoever was signed out by the request before is signed in again
    reset_queries()  # the log is as long as it gets after thousands, and then nothing more is captured
    with transaction.atomic():
        form = {"format": "json"} if route.is_api and route.method != "GET" else {}
        with CaptureQueriesContext(connection) as captured:
            response = getattr(client, route.method.lower())(address(route, pk), sent or ({} if form else None), **form)
        transaction.set_rollback(True)
    client.cookies.pop("messages", None)
    return response.status_code, [TOKEN.sub("?", query["sql"]) for query in captured.captured_queries
                                  if not query["sql"].startswith(ONCE_A_MINUTE)]


def compare(scene: Scene, route: Route, who: str, foreign: tuple[object, Any], absent: tuple[object, Any]) -> None:
    asked(scene, route, who, *foreign)  # what is read once in a process is read now
    for _pair in range(PAIRS):
        theirs, nobodys = asked(scene, route, who, *foreign), asked(scene, route, who, *absent)
        assert theirs[0] == nobodys[0]
        assert (set(theirs[1]) - set(nobodys[1]), set(nobodys[1]) - set(theirs[1])) == (set(), set())
        assert theirs[1] == nobodys[1]
        assert theirs[1], "nothing was asked: this compares nothing"


@pytest.mark.django_db  # pytest-django makes the database only when some collected test says that it wants one
def test_there_is_something_to_compare() -> None:
    assert len(WITH_ID) > 100 and len(bodied()) >= 8 and len(ids_in_forms()) > 20


@pytest.mark.parametrize("route", WITH_ID, ids=str)
def test_an_address_with_an_id(scene: Scene, route: Route) -> None:
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene) or None
    compare(scene, route, "mallory", (scene.ours[model_of(route)].pk, sent), (uuid.uuid4(), sent))


@pytest.mark.parametrize(("route", "path", "field"), [one for one in bodied() if one[0].permission != STAFF
                                                      and not is_catalogue(model_behind(one[2]))],
                         ids=lambda value: ".".join(value) if isinstance(value, tuple) else str(value) if isinstance(
                             value, Route) else "")
def test_an_id_in_a_body(scene: Scene, route: Route, path: tuple[str, ...], field: Any) -> None:
    body = BODIES[key(route)](scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    compare(scene, route, "alice", (pk, replaced(body, path, str(scene.theirs[model_behind(field)].pk))),
            (pk, replaced(body, path, str(uuid.uuid4()))))


@pytest.mark.parametrize(("route", "field"), ids_in_forms(), ids=str)
def test_an_id_in_a_form(scene: Scene, route: Route, field: str) -> None:
    form = FORMS[key(route)](scene)
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    model = next((model for model, row in scene.ours.items() if str(row.pk) == form[field]), None)
    if model is None or is_catalogue(model):
        return
    compare(scene, route, "alice", (pk, form | {field: str(scene.theirs[model].pk)}), (pk, form | {field: str(uuid.uuid4())}))
