"""A live update of a list in a real Chromium: what the reader holds stays in their hands, what changed is shown."""
import re
from pathlib import Path

from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Route, sync_playwright

from compute.instances.models import Instance
from tests.pages.listed import instance
from tests.stories.browsing import CHROMIUM, QUIET
from tests.world import World

HOME = "http://portal.test"


def test_selection_menu_focus_and_typed_text_outlive_a_live_update(world: World, browser) -> None:
    kept, other = instance(world, "kept"), instance(world, "other")
    client = browser("alice")
    whole = client.get("/instances/").content
    menu = client.get(reverse("instances:menu", args=[other.pk])).content
    Instance.objects.filter(pk=kept.pk).update(state="running")
    instance(world, "newcomer")
    part = client.get("/instances/", headers={"HX-Request": "true"}).content

    def answer(route: Route) -> None:
        """The portal, as it answered beforehand: nothing is asked of the database while the browser runs."""
        path = route.request.url.removeprefix(HOME)
        file = Path(settings.BASE_DIR) / "static" / path.removeprefix("/static/")
        if path.startswith("/static/") and file.is_file():
            route.fulfill(path=file)
        elif path.endswith("/menu/"):
            route.fulfill(body=menu, content_type="text/html")
        elif path == "/instances/":
            route.fulfill(body=part if "hx-request" in route.request.headers else whole, content_type="text/html; charset=utf-8")
        else:
            route.fulfill(status=204)

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = chromium.new_page()
        page.route(re.compile(".*"), answer)
        page.goto(f"{HOME}/instances/")
        page.check(f"#instance-{kept.pk} [data-bulk-item]")
        page.click(f"#menu-{other.pk} summary")
        page.wait_for_selector(f"#menu-{other.pk} form")
        page.locator("[name=name]").fill("typed")
        page.evaluate("window.row = document.querySelector('tr:has(:checked)')")
        page.evaluate("htmx.trigger('#instances', 'live')")
        page.wait_for_selector("text=newcomer")
        assert "Running" in page.inner_text(f"#instance-{kept.pk}")
        assert page.is_checked(f"#instance-{kept.pk} [data-bulk-item]")
        assert not page.is_checked(f"#instance-{other.pk} [data-bulk-item]")
        assert page.inner_text("[data-bulk-count]") == "1"
        assert page.is_visible(f"#menu-{other.pk} form") and page.input_value("[name=name]") == "typed"
        assert page.evaluate("document.activeElement.name") == "name"
        assert page.evaluate("row.isConnected"), "rows are changed in place, not replaced"
        chromium.close()
