"""The documentation's screens: taken here, in both languages, so that they show what there is.

`make test ARGS="tests/walk/test_screens.py --regenerate"` writes them anew. Without it the test compares the words of the
portal on each page (the words that are translated, not the data) with those of the day when the screen was taken.
"""
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.db import connection
from playwright.sync_api import Page

from compute.hosts.models import Host
from compute.instances.models import Instance
from portal import manual
from portal.kernel.models import Operation
from storage.models import Image, Pool, Volume
from tenants.models import User
from tenants.operations import create_organization, create_project
from tests.cast import Cast, make_cast
from tests.portal.scenery import make_rows, make_scene
from tests.portal_server import serving
from tests.walk.test_walk import session_of
from tests.walk.walker import LOOKS, Walker, chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
WORDS = Path(__file__).with_name("screens.json")
NAMES = ("shop-1", "shop-2", "database", "cache", "builder", "mail")
IMAGES = ("Debian 12", "Debian 13", "Ubuntu 24.04", "Alpine 3.22", "Rocky Linux 9", "Mains demo")
STALE = 'The screens of the documentation are stale: make test ARGS="tests/walk/test_screens.py --regenerate"'


def tick_two(page: Page) -> None:
    for box in page.locator("[data-bulk-item]").all()[:2]:
        box.check()


def open_operations(page: Page) -> None:
    page.click("#operations-button")
    page.wait_for_selector("#operations-drawer[open] #operations-drawer-body > *")


def nothing(page: Page) -> None:
    """The page as it opens."""


# name: who looks, at which page, and what is done there first.
SCREENS: dict[str, tuple[str, str, Callable[[Page], None]]] = {
    "dashboard": ("newcomer", "/", nothing),
    "create": ("alice", "/instances/create/", nothing),
    "instance": ("alice", "/instances/{instance}/", nothing),
    "instances": ("alice", "/instances/", tick_two),
    "operations": ("alice", "/instances/", open_operations),
    "vpc": ("alice", "/vpcs/{vpc}/", nothing),
    "usage": ("alice", "/usage/", nothing),
    "operator": ("root", "/", nothing),
    "hosts": ("root", "/hosts/", nothing),
}


@pytest.fixture
def cast(transactional_db: None, settings) -> Iterator[tuple[Cast, dict[str, object]]]:
    from compute.network.models import Vpc

    settings.DOORBELLS = False
    cast = make_cast()
    scene = make_scene(cast)
    for number in range(1, len(NAMES)):
        make_rows(cast, cast.project, cast.alice, scene.ours, number=number)
    for instance, name in zip(Instance.objects.filter(project=cast.project).order_by("name"), NAMES, strict=True):
        Instance.objects.filter(pk=instance.pk).update(name=name, state="stopped" if name == "mail" else "running")
        Operation.objects.filter(target=instance.image_id).update(target=instance.pk)
        Volume.objects.filter(attachment__domain=instance.pk).update(name=name)
    for image, name in zip(Image.objects.filter(project=cast.project).order_by("name"), IMAGES, strict=True):
        Image.objects.filter(pk=image.pk).update(name=name)
    Host.objects.update(chassis="sim-1")
    Pool.objects.update(capacity=2**41, available=2**41 - 2**38)
    newcomer = cast.people["newcomer"] = User.objects.create(username="newcomer", email="newcomer@example.org")
    create_project(create_organization("New Works", owner=newcomer, actor=newcomer), "Default", actor=newcomer)
    yield cast, {"instance": Instance.objects.get(name="shop-1").pk, "vpc": scene.ours[Vpc].pk}


def ui_words(texts: list[str]) -> list[str]:
    """Of what a page says, what is the portal's own."""
    return sorted(set(texts) & _messages())


def _messages() -> set[str]:
    path = Path(settings.BASE_DIR) / "portal/locale/zh_Hans/LC_MESSAGES/django.po"
    return {entry.msgid for entry in polib.pofile(str(path))}


def test_the_screens_show_what_there_is(cast: tuple[Cast, dict[str, object]], request: pytest.FixtureRequest) -> None:
    people, ids = cast
    regenerate = request.config.getoption("--regenerate")
    sessions = {who: session_of(people, who) for who, _path, _act in SCREENS.values()}
    connection.close()
    words: dict[str, list[str]] = {}
    with serving() as address, chromium() as browser:
        for language, folder in manual.LANGUAGES.items() if regenerate else [("en", "en")]:
            for name, (who, path, act) in SCREENS.items():
                walker = Walker(browser, address, session=sessions[who], language=language)
                walker.page.goto(f"http://{address}{path.format(**ids)}", wait_until="networkidle")
                act(walker.page)
                if language == "en":
                    words[name] = ui_words(walker.page.evaluate(LOOKS)["texts"])
                if regenerate:
                    target = manual.ROOT / folder / "screens" / f"{name}.jpg"
                    walker.page.screenshot(path=str(target), type="jpeg", quality=72)
                assert walker.faults == []
                walker.context.close()
    if regenerate:
        WORDS.write_text(json.dumps(words, indent=1, ensure_ascii=False) + "\n")
    assert words == json.loads(WORDS.read_text()), STALE
    assert all(len(said) > 8 for said in words.values())
