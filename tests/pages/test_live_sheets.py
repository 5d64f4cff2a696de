"""A live update of one thing's page in a real Chromium: heading and part come by one request, unless one of them is in use."""
from pathlib import Path

from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Route

from compute.instances.models import Instance
from tests.pages.listed import instance
from tests.pages.watched import HOME, watched
from tests.world import World

ALONG = {"HX-Request": "true", "Live-Along": "resource-header"}


def test_both_parts_are_answered_when_both_are_asked_for(world: World, browser) -> None:
    path = reverse("instances:detail", args=[instance(world, "web").pk])
    client = browser("alice")
    both = client.get(path, headers=ALONG).content.decode()
    assert 'id="part"' in both and 'id="resource-header"' in both and both.count('hx-swap-oob="true"') == 1
    for alone in (client.get(path, headers={"HX-Request": "true"}), client.get(f"{path}?part=header", headers=ALONG)):
        text = alone.content.decode()
        assert ('id="part"' in text) != ('id="resource-header"' in text) and "hx-swap-oob" not in text
    assert "hx-swap-oob" not in client.get(path, headers={"Live-Along": "resource-header"}).content.decode()


def test_one_request_renews_both_and_what_is_in_use_waits(world: World, browser) -> None:
    row = instance(world, "web", state="stopped")
    path = reverse("instances:detail", args=[row.pk])
    client = browser("alice")
    whole = client.get(path).content
    Instance.objects.filter(pk=row.pk).update(state="running", observed_state="running")
    both = client.get(path, headers=ALONG).content
    header = client.get(f"{path}?part=header", headers={"HX-Request": "true"}).content
    part = client.get(path, headers={"HX-Request": "true"}).content
    asked: list[str] = []

    def answer(route: Route) -> None:
        headers, where = route.request.headers, route.request.url.removeprefix(HOME)
        file = Path(settings.BASE_DIR) / "static" / where.removeprefix("/static/")
        if where.startswith("/static/") and file.is_file():
            return route.fulfill(path=file)
        if where.partition("?")[0] != path:
            return route.fulfill(status=204)
        if "hx-request" not in headers:
            return route.fulfill(body=whole, content_type="text/html; charset=utf-8")
        which = "both" if "live-along" in headers else "header" if "part=header" in where else "part"
        asked.append(which)
        route.fulfill(body={"both": both, "header": header, "part": part}[which], content_type="text/html; charset=utf-8")

    with watched(path, answer) as (page, hint):
        hint("instance", row.pk)
        page.wait_for_selector("#resource-header[data-state=running]")
        page.wait_for_function("!document.querySelector('.htmx-request')")
        assert asked == ["both"] and page.locator("#part").count() == page.locator("#resource-header").count() == 1
        page.evaluate("""() => {
            const range = document.createRange();
            range.selectNodeContents(document.querySelector('#resource-header h1'));
            getSelection().addRange(range);
        }""")
        hint("instance", row.pk)
        page.wait_for_timeout(1000)
        assert asked[1:] == ["part"], "somebody selects text in the heading"
        page.evaluate("getSelection().removeAllRanges()")
        page.wait_for_timeout(1500)
        assert asked[2:] == ["header"]
