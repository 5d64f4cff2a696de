"""Script in every text that somebody can write: on every page it stays text. What is opened, said and sent besides is in
`test_hostile_doings.py` and `test_hostile_mails.py`."""
import re

import pytest
from django.db import connection

from portal.kernel.models import Resource
from tests.cast import Cast
from tests.portal_server import serving
from tests.walk.hostile import CANARY, INJECTED, free_texts, make_hostile_scene
from tests.walk.test_walk import session_of
from tests.walk.walker import Walker, chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None, settings) -> Cast:
    settings.DOORBELLS = False
    return make_hostile_scene().cast


def test_the_canary_is_everywhere(cast: Cast) -> None:
    assert len(list(free_texts())) > 15
    assert CANARY in Resource.objects.first().name


@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_page_runs_or_shows_it_as_markup(cast: Cast, who: str) -> None:
    session = session_of(cast, who)
    connection.close()
    injected, ran = [], []

    def look(walker: Walker) -> None:
        if walker.page.evaluate(INJECTED):
            injected.append(walker.page.url)

    with serving() as address, chromium() as browser:
        walker = Walker(browser, address, session=session, bypass_csp=True)  # what got in would run
        walker.context.expose_binding("stolen", lambda source: ran.append(source["page"].url))
        walker.walk(look=look)
    assert (injected, ran) == ([], [])
    assert [fault for fault in walker.faults if re.search(r"console:|script:|: 5\d\d from ", fault)] == []
    assert len(walker.seen) > 20
