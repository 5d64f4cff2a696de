"""Script in every text that somebody can write: on every page it stays text."""
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import CharField, Model, TextField
from django.db.models.functions import Now

from billing.models import Credit
from billing.operations import grant_credit
from portal.kernel.models import Operation, Resource
from tests.architecture.source import room_of
from tests.cast import Cast, make_cast
from tests.portal.scenery import make_scene
from tests.portal_server import serving
from tests.walk.test_walk import session_of
from tests.walk.walker import Walker, chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CANARY = "\"'--></title></script><img src=canary onerror=stolen()>{{7*7}}"
FREE = {"name", "description", "label", "text", "os", "first_name", "last_name", "note", "title", "detail", "reason"}
INJECTED = """() => window.isStolen === true || document.querySelector('img[src="canary"]') !== null"""


def free_texts() -> Iterator[tuple[type[Model], str]]:
    """Every field of ours that people fill in as they like."""
    for model in apps.get_models():
        if room_of(model.__module__) and model is not Credit:
            for field in model._meta.local_fields:
                if isinstance(field, (CharField, TextField)) and not field.choices and field.name in FREE:
                    yield model, field.name


@pytest.fixture
def cast(transactional_db: None, settings) -> Cast:
    settings.DOORBELLS = False
    cast = make_cast()
    make_scene(cast)
    grant_credit(cast.organization, amount=Decimal(5), reason=CANARY, actor=cast.root)  # a grant is never changed
    for model, field in free_texts():
        longest = model._meta.get_field(field).max_length or 1000
        for number, row in enumerate(model._base_manager.all()):
            model._base_manager.filter(pk=row.pk).update(**{field: f"{CANARY}{number}"[-longest:]})
    Resource.objects.update(tags={CANARY: CANARY})
    error = {"code": "error", "detail": CANARY, "facts": {"name": CANARY}}
    Operation.objects.update(state="failed", finished_at=Now(), error=error)
    return cast


def test_the_canary_is_everywhere(cast: Cast) -> None:
    assert len(list(free_texts())) > 15
    assert CANARY in Resource.objects.first().name


@pytest.mark.parametrize("who", ["alice", "root"])
def test_no_page_runs_or_shows_it_as_markup(cast: Cast, who: str) -> None:
    session = session_of(cast, who)
    connection.close()
    injected = []

    def look(walker: Walker) -> None:
        if walker.page.evaluate(INJECTED):
            injected.append(walker.page.url)

    with serving() as address, chromium() as browser:
        walker = Walker(browser, address, session=session)
        walker.context.add_init_script("window.stolen = () => { window.isStolen = true }")
        walker.walk(look=look)
    assert injected == []
    assert [fault for fault in walker.faults if "console:" in fault or "script:" in fault or ": 5" in fault] == []
    assert len(walker.seen) > 20
