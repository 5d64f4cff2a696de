"""A live update of a list in a real Chromium: what the reader holds stays in their hands, what changed is shown."""
import re
from pathlib import Path

from django.conf import settings
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Route

from compute.instances.models import Instance
from tests.pages.listed import instance, names
from tests.pages.watched import HOME, watched
from tests.world import World


def frame_of(text: str) -> str:
    """The mark of all but its rows' contents."""
    return re.search(r'data-frame="(\w+)"', text)[1]


def live(client: Client, path: str, frame: str, *rows: Instance) -> HttpResponse:
    """What a page asks when it has heard of these rows."""
    named = " ".join(str(row.pk) for row in rows)
    return client.get(path, headers={"HX-Request": "true", "Live-Frame": frame, "Live-Rows": named})


def test_only_the_changed_rows_are_answered_while_the_list_is_the_same(world: World, browser) -> None:
    changed, other = instance(world, "changed"), instance(world, "other")
    client = browser("alice")
    frame = frame_of(client.get("/instances/").content.decode())
    Instance.objects.filter(pk=changed.pk).update(state="running")
    answer = live(client, "/instances/", frame, changed)
    text = answer.content.decode()
    assert names(text) == ["changed"] and "Running" in text and "<table" not in text
    assert answer["HX-Reswap"] == "none" and 'hx-swap-oob="morph"' in text
    assert names(live(client, "/instances/", frame, changed, other).content.decode()) == ["other", "changed"]


def test_rows_of_other_pages_and_of_others_answer_nothing(world: World, browser) -> None:
    shown, hidden = instance(world, "shown", state="running"), instance(world, "hidden")
    foreign = instance(world, "foreign", project=world.rival_project)
    client = browser("alice")
    path = "/instances/?state=running"
    frame = frame_of(client.get(path).content.decode())
    for row in (hidden, foreign):
        answer = live(client, path, frame, row)
        assert (answer.status_code, answer.content) == (204, b"")
    assert names(live(client, path, frame, shown).content.decode()) == ["shown"]


def test_the_whole_list_is_answered_when_rows_come_go_or_move(world: World, browser) -> None:
    first, second = instance(world, "a", state="running"), instance(world, "b", state="running")
    client = browser("alice")
    path = "/instances/?state=running&ordering=name"
    frame = frame_of(client.get(path).content.decode())

    def answered(row: Instance) -> list[str]:
        nonlocal frame
        text = live(client, path, frame, row).content.decode()
        assert "<table" in text
        frame = frame_of(text)
        return names(text)

    Instance.objects.filter(pk=first.pk).update(name="c")
    assert answered(first) == ["b", "c"], "it moved"
    Instance.objects.filter(pk=second.pk).update(state="stopped")
    assert answered(second) == ["c"], "it left the filter"
    assert answered(instance(world, "new", state="running")) == ["c", "new"]


def test_the_whole_list_is_answered_without_its_mark_and_to_a_page_without_script(world: World, browser) -> None:
    row = instance(world, "row")
    instance(world, "other")
    client = browser("alice")
    assert len(names(live(client, "/instances/", "", row).content.decode())) == 2
    frame = frame_of(client.get("/instances/").content.decode())
    plain = client.get("/instances/", headers={"Live-Rows": str(row.pk), "Live-Frame": frame})
    assert "<html" in plain.content.decode()
    nonsense = client.get("/instances/", headers={"HX-Request": "true", "Live-Rows": "x \0", "Live-Frame": frame})
    assert nonsense.status_code == 204


def test_a_hint_changes_its_row_in_place_and_what_left_or_came_is_seen(world: World, browser) -> None:
    changed, other = instance(world, "changed"), instance(world, "other")
    client = browser("alice")
    whole = client.get("/instances/").content.decode()
    Instance.objects.filter(pk=changed.pk).update(state="running")
    alone = live(client, "/instances/", frame_of(whole), changed)
    Instance.objects.filter(pk=other.pk).update(state="deleted", deleted_at=timezone.now())
    instance(world, "newcomer")
    later = client.get("/instances/", headers={"HX-Request": "true"}).content
    asked: list[str] = []

    def answer(route: Route) -> None:
        """The first live fetch is answered by the row, the next by the list."""
        headers, path = route.request.headers, route.request.url.removeprefix(HOME)
        file = Path(settings.BASE_DIR) / "static" / path.removeprefix("/static/")
        if path.startswith("/static/") and file.is_file():
            route.fulfill(path=file)
        elif path == "/instances/" and "hx-request" in headers:
            asked.append(headers.get("live-rows", ""))
            body = alone.content if len(asked) == 1 else later
            extra = {"HX-Reswap": "none"} if len(asked) == 1 else {}
            route.fulfill(body=body, headers={"Content-Type": "text/html; charset=utf-8", **extra})
        elif path == "/instances/":
            route.fulfill(body=whole, content_type="text/html; charset=utf-8")
        else:
            route.fulfill(status=204)

    with watched("/instances/", answer) as (page, hint):
        page.check(f"#instance-{changed.pk} [data-bulk-item]")
        page.evaluate("window.rows = [...document.querySelectorAll('#instances tbody tr')]")
        hint("instance", changed.pk)
        page.wait_for_selector(f"#instance-{changed.pk} >> text=Running")
        assert asked == [str(changed.pk)]
        assert page.is_checked(f"#instance-{changed.pk} [data-bulk-item]")
        assert page.evaluate("rows.length === 2 && rows.every((row) => row.isConnected)"), "all rows are the same nodes"
        hint("instance", other.pk)
        page.wait_for_selector("text=newcomer")
        assert asked[1:] == [str(other.pk)]
        assert page.locator(f"#instance-{other.pk}").count() == 0
        hint("floating_ip", other.pk)
        page.wait_for_timeout(1000)
        assert asked[2:] == [""], "a hint of another kind says nothing of rows"


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

    with watched("/instances/", answer) as (page, _hint):
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
