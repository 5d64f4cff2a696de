"""No page asks the database more than twelve times, whoever looks: owner, viewer or operator.

BEGIN and savepoints do not count; every other statement does, those of the session and of the frame included.
"""
from collections.abc import Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from portal.kernel import remembered
from portal.kernel.models import Region
from tenants.models import Organization
from tests.portal.routes import routes
from tests.portal.scenery import Scene, make_rows, standing_scene
from tests.portal.sent import PAGE_MODELS

MOST = 12
FEW = 3  # rows of everything, so that what asks once a row shows
WHO = ("alice", "vera", "root", "root of a project")
WITH_TABS = ("alice", "root of a project")
TABS = ("network", "console", "timeline", "cost", "instances")
PAGES = [route for route in routes() if route.method == "GET" and not route.is_api]


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    """A trial organization (so that credit is shown) with a few of everything, in one of two regions."""
    with standing_scene(django_db_blocker) as scene:
        Organization.objects.filter(pk=scene.cast.organization.pk).update(plan=Organization.Plan.TRIAL)
        Region.objects.create(slug="south", name="South")
        for number in range(1, FEW):
            make_rows(scene.cast, scene.cast.project, scene.cast.alice, scene.ours, number=number)
        yield scene


def addresses(scene: Scene, *, with_tabs: bool) -> Iterator[tuple[str, str]]:
    """Every page and where it is: those of one thing about our row, with its other tabs."""
    for route in PAGES:
        row = scene.ours[PAGE_MODELS[route.name.partition(":")[0]]] if route.takes_an_id else None
        url = reverse(route.name, args=[row.pk] if row else [])
        yield str(route), url
        for tab in TABS if with_tabs and route.name.endswith(":detail") else ():
            yield f"{route}?tab={tab}", f"{url}?tab={tab}"


def statements(client: Client, url: str) -> tuple[int, list[str]]:
    """The answer's status, and what was asked for it."""
    with CaptureQueriesContext(connection) as captured:
        status = client.get(url).status_code
    return status, [query["sql"] for query in captured.captured_queries
                    if not query["sql"].startswith(("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK", "BEGIN", "COMMIT"))]


@pytest.mark.django_db
@pytest.mark.parametrize("who", WHO)
def test_no_page_asks_more_than_twelve_times(scene: Scene, who: str) -> None:
    remembered.forget()  # what other tests had kept: there is room for so many
    client = scene.cast.browser(who.partition(" ")[0])
    client.get(reverse("dashboard"), {"project": "all" if who == "root" else str(scene.cast.project.pk)})
    too_many, answered = {}, 0
    for page, url in addresses(scene, with_tabs=who in WITH_TABS):
        status, asked = statements(client, url)
        if len(asked) > MOST:  # the first time, what stands for some seconds in this process is among them
            status, asked = statements(client, url)
        assert status < 500, page
        answered += status == 200
        if len(asked) > MOST:
            too_many[page] = asked
    assert answered > 20
    assert not too_many, "\n".join([f"{len(asked)} for {page} as {who}" for page, asked in too_many.items()]
                                   + ["", *next(iter(too_many.values()))])
