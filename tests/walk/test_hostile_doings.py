"""Script in every text, where pages are made in the browser: palette, switcher, menus, drawers, questions, notices, and what
is downloaded. Beside `test_hostile_text.py`, which sees each page as it opens."""
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from django.db import connection
from django.db.models.functions import Now
from playwright.sync_api import Page

from billing.models import UsageInterval
from compute.hosts.models import Host
from compute.instances.models import Instance, SshKey
from compute.network.models import Port, SecurityGroup
from portal.kernel.lists.export import FORMULA
from portal.kernel.models import Operation, Region, Resource
from tenants.models import ApiKey, Organization, Project
from tests.portal.scenery import Scene
from tests.portal_server import serving
from tests.walk.hostile import CANARY, Victim, make_hostile_scene
from tests.walk.test_walk import session_of
from tests.walk.walker import chromium

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
LISTS = {"alice": ("/instances/", "/volumes/", "/images/", "/ssh-keys/", "/operations/", "/vpcs/", "/security-groups/",
                   "/floating-ips/", "/api-keys/", "/usage/"),
         "root": ("/instances/", "/operations/", "/hosts/", "/operator/operations/")}
FILE = "a[download], a[href*='format=csv']"
NOTICE = "#notices [data-notice]"


@pytest.fixture
def scene(transactional_db: None, settings) -> Scene:
    settings.DOORBELLS = False
    Region.objects.create(slug="other", name="Other")  # with a second one there is a menu of regions
    return make_hostile_scene()


@contextmanager
def victim(scene: Scene, who: str, faults: int = 0) -> Iterator[Victim]:
    """Somebody in a browser; what goes wrong on the way, besides refusals that were meant, fails the test."""
    session = session_of(scene.cast, who)
    connection.close()
    with serving() as address, chromium() as browser:
        victim = Victim(browser, address, session=session)
        yield victim
        victim.check()
        assert len(victim.faults) == faults, victim.faults


def name_of(scene: Scene, model: type) -> str:
    return model._base_manager.get(pk=scene.ours[model].pk).name


def confirm(page: Page, name: str = "") -> None:
    page.wait_for_selector("#confirm[open]")
    if name:
        assert page.is_disabled("#confirm-yes")
        page.fill("#confirm-input", name)
    page.click("#confirm-yes")


def test_what_opens_over_a_page(scene: Scene) -> None:
    instance, project = name_of(scene, Instance), name_of(scene, Project)
    home = f"/instances/{scene.ours[Instance].pk}/"
    with victim(scene, "alice") as alice:
        page = alice.page
        alice.goto("/instances/")
        page.keyboard.press("Control+k")
        page.fill("#palette-input", "canary")
        alice.shows("#palette-list [role=option]", instance)
        alice.shows("#palette-list [role=option]", project)
        page.fill("#palette-input", instance)
        alice.shows("#palette-list [role=option]", instance)
        page.fill("#palette-input", f"{CANARY}!")
        alice.shows("#palette-list .palette-none", f"{CANARY}!")
        page.fill("#palette-input", "canary")
        page.click(f"#palette-list [role=option][href='{home}']")
        page.wait_for_url(f"**{home}")
        alice.check()

        page.click("#project-menu > summary")
        alice.shows("#project-list .menu-item", project)
        alice.shows("#project-list .menu-title", CANARY)  # its organization
        page.fill("#project-menu .menu-filter", CANARY)
        alice.shows("#project-list .menu-item", project)
        page.fill("#project-menu .menu-filter", f"{CANARY}!")
        page.get_by_text("No project has this in its name.").wait_for()
        page.keyboard.press("Escape")
        page.click("#region-menu > summary")
        alice.shows("#region-menu .menu-panel")
        page.keyboard.press("Escape")

        page.click("#operations-button")
        drawer = alice.shows("#operations-drawer-body")
        drawer.locator(".work-error").get_by_text(CANARY).first.wait_for()
        page.click("#operations-drawer [data-close]")
        page.click("#bell")
        drawer = alice.shows("#notifications-drawer-body")
        drawer.locator(".work-error").get_by_text(CANARY).first.wait_for()
        page.click("#notifications-drawer [data-close]")

        alice.goto("/instances/")
        page.click("#instances .row-menu summary")
        page.wait_for_selector("#instances .row-menu form[data-confirm]")
        alice.check()


def test_what_is_asked_and_said(scene: Scene) -> None:
    """Notices in place and on the next page, questions with and without a name to type, refusals, many rows at once."""
    running, gone = scene.ours[Instance], scene.cast.scenery[Instance]
    Instance.objects.filter(pk=running.pk).update(state="running")
    scene.cast.scenery[Port].groups.clear()
    name, key = name_of(scene, Instance), name_of(scene, SshKey)
    other, group = (model._base_manager.get(pk=scene.cast.scenery[model].pk).name for model in (Instance, SecurityGroup))
    with victim(scene, "alice") as alice:
        page = alice.page
        alice.goto(f"/instances/{running.pk}/")
        page.click("#resource-header form[action$='/reboot/'] button")
        alice.shows("#confirm-title", name)
        confirm(page)
        alice.shows(NOTICE, name)

        alice.goto(f"/instances/{gone.pk}/")
        page.click(".danger form[action*='/purge/'] button")
        alice.shows("#confirm-title", other)
        alice.shows("#confirm-wanted", other)
        confirm(page, other)
        page.wait_for_url("**/instances/")
        alice.shows(NOTICE, other)

        alice.goto(f"/security-groups/{scene.cast.scenery[SecurityGroup].pk}/")
        page.click(".danger form button")
        alice.shows("#confirm-title", group)
        page.click("#confirm button[value=no]")
        for path, named in (("/ssh-keys/", key), ("/security-groups/", group)):
            alice.goto(path)
            page.check("[data-bulk-all]")
            page.click("[data-bulk-bar] button:has-text('Delete')")
            alice.shows("#bulk .outcomes", named)
            page.click("#bulk .confirm-actions button")
            page.wait_for_selector("[data-bulk-done]")
            alice.shows("#bulk .outcomes", named)


def test_a_refusal_says_what_it_is_about(scene: Scene) -> None:
    Organization.objects.filter(pk=scene.cast.organization.pk).update(plan="trial")
    UsageInterval.objects.update(quantity=100_000)  # the credit is gone
    organization = name_of(scene, Organization)
    with victim(scene, "alice", faults=2) as alice:
        alice.goto(f"/instances/{scene.ours[Instance].pk}/")
        alice.page.click("#resource-header form[action$='/start/'] button")
        alice.shows(f"{NOTICE}.notice-error", f"{organization} has")


def test_what_an_operator_is_told(scene: Scene) -> None:
    host = name_of(scene, Host)
    with victim(scene, "root") as root:
        root.goto(f"/hosts/{scene.ours[Host].pk}/")
        root.page.click("form[action$='/maintenance/'] button")
        root.shows(NOTICE, host)
        root.goto("/hosts/")
        root.page.check("[data-bulk-all]")
        root.page.click("[data-bulk-bar] button:has-text('Prepare again')")
        root.shows("#bulk .outcomes", host)


@pytest.mark.parametrize("who", LISTS)
def test_no_downloaded_list_calculates_or_runs(scene: Scene, who: str) -> None:
    """Every list as a file, each name beginning with something that a spreadsheet would take for a formula."""
    turn = count()
    for model in (Resource, Project, Organization, ApiKey, Host):
        for row in model._base_manager.all():
            number = next(turn)
            model._base_manager.filter(pk=row.pk).update(name=f"{FORMULA[number % len(FORMULA)]}{number}{CANARY}")
    Operation.objects.filter(pk=scene.ours[Operation].pk).update(state="running", finished_at=None, person_since=Now())
    read: set[str] = set()
    with victim(scene, who) as reader:
        for path in LISTS[who]:
            reader.goto(path)
            assert reader.page.locator(FILE).count() == 1, path
            download = reader.download(FILE)
            assert download.suggested_filename.endswith(".csv")
            with Path(download.path()).open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.reader(file))
            assert len(rows) > 1, path
            assert [cell for row in rows for cell in row if cell.startswith(FORMULA)] == [], path
            read |= {cell for row in rows for cell in row if CANARY in cell}
            # A browser that opens it nevertheless takes it for text.
            answer = reader.walker.context.request.get(download.url)
            assert answer.headers["content-type"].startswith("text/csv")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-disposition"].startswith("attachment")
    assert len({cell[:2] for cell in read if cell.startswith("'")}) > 2  # which of them a list shows is chance
