"""Every page as owner, viewer and operator: reached by links, without a fault, accessible, in both languages and themes, on a
wide screen and on a phone. `make soak ARGS=tests/walk` leaves none of it out."""
import pytest
from django.db import connection

from compute.network.models import AddressPool
from tests.cast import Cast, make_cast
from tests.portal.scenery import make_scene
from tests.portal_server import serving
from tests.soak import SOAKING
from tests.walk.walker import Walker, axe, chromium, phone

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast(transactional_db: None, settings) -> Cast:
    settings.DOORBELLS = False
    cast = make_cast()
    make_scene(cast)
    AddressPool.objects.update(name="outside")  # no word of ours, which would read like one left untranslated
    return cast


def session_of(cast: Cast, name: str) -> str:
    return cast.browser(name).cookies["sessionid"].value


def look_closely(walker: Walker) -> None:
    axe(walker)
    phone(walker)


SLICE = [("alice", "en", look_closely), ("vera", "zh-hans", phone), ("root", "zh-hans", look_closely)]
ALL = [(who, language, look_closely) for who in ("alice", "vera", "root") for language in ("en", "zh-hans")]


@pytest.mark.parametrize(("who", "language", "look"), ALL if SOAKING else SLICE,
                         ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_every_page_is_without_fault(cast: Cast, who: str, language: str, look) -> None:
    session = session_of(cast, who)
    connection.close()
    with serving() as address, chromium() as browser:
        walker = Walker(browser, address, session=session, language=language)
        names = walker.walk(look=look)
    if walker.faults:
        pytest.fail("\n".join(walker.faults), pytrace=False)
    assert len(names) > 20
