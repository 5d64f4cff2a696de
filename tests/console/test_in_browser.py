"""A link to a screen in a real Chromium: what is offered once it is worth nothing."""
from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Page, expect, sync_playwright

from compute.instances.console.models import ConsoleLink
from compute.instances.models import Instance
from tests.console.conftest import Person
from tests.console.test_sharing import link_of
from tests.stories.browsing import CHROMIUM, QUIET

pytestmark = pytest.mark.browser


@pytest.fixture
def page(world, instance, site, monkeypatch) -> Iterator[Page]:
    """Oscar's, on a narrow screen."""
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright runs a loop in this thread
    client = Client()
    client.force_login(world.people["oscar"])
    session = client.cookies["sessionid"].value
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        context = browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
        context.add_cookies([{"name": "sessionid", "value": session, "url": f"http://{site}"}])
        page = context.new_page()
        expect.set_options(timeout=30_000)
        yield page
        browser.close()


def test_who_looks_by_a_revoked_link_is_not_asked_to_reconnect(
        page: Page, person, instance: Instance, screen, site: str) -> None:
    maker: Person = person("oscar", key=True)
    link = link_of(maker, instance)
    page.goto(f"http://{site}/instances/{instance.pk}/console-view/#{link}")
    expect(page.locator("[data-state=connected]")).to_be_visible()
    maker.http.post(f"/api/v1/instances/{instance.pk}/console-links/revoke/", {"link": str(ConsoleLink.objects.get().pk)},
                    content_type="application/json", headers={"host": site} | maker.headers)
    expect(page.locator("[data-state=bad]")).to_be_visible()
    expect(page.get_by_role("button", name="Reconnect")).to_have_count(0)
