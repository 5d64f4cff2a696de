"""Lists: filters and order in the address, pages of any depth, nothing yet apart from nothing found, cost."""
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.instances.models import Instance
from portal.kernel.lists.paging import keys
from portal.kernel.models import Operation
from portal.kernel.states import database_now
from tests.bench.databases import copy_resource
from tests.cast import make_cast
from tests.pages.listed import chips, instance, link, names, page
from tests.portal.scenery import make_scene
from tests.world import World

LIST = "/instances/"
EVERY_LIST = ["instances:list", "volumes:list", "ssh_keys:list", "operations:list", "api_keys:list", "vpcs:list",
              "security_groups:list", "floating_ips:list", "images:list", "hosts:list", "operator:operations",
              "audit:list"]


def test_filters_narrow_by_state_name_tag_and_row(world: World, browser) -> None:
    instance(world, "web-1", state="running", tags={"env": "prod"})
    instance(world, "web-2", tags={"env": "test", "spare": ""})
    instance(world, "db-1", state="error")
    client = browser("alice")
    assert names(page(client, LIST, state="running")) == ["web-1"]
    assert names(page(client, LIST, name="WEB")) == ["web-2", "web-1"]
    assert names(page(client, LIST, tag="env:prod")) == ["web-1"]
    assert names(page(client, LIST, tag="spare")) == ["web-2"]
    assert names(page(client, LIST, tag=["env:test", "spare"])) == ["web-2"]
    assert names(page(client, LIST, tag=["env:prod", "spare"])) == []
    assert len(names(page(client, LIST, type=str(world.type.pk), zone=str(world.zone.pk), image=str(world.image.pk)))) == 3
    assert names(page(client, LIST, type=str(world.project.pk))) == []


def test_nonsense_in_the_address_filters_nothing(world: World, browser) -> None:
    instance(world, "web")
    client = browser("alice")
    for query in ({"state": "bored"}, {"type": "x"}, {"name": "\0"}, {"ordering": "vnc_password"}, {"tag": ""}):
        assert names(page(client, LIST, **query)) == ["web"], query
    assert client.get(LIST, {"cursor": "nonsense"}).status_code == 400


def test_only_operators_filter_by_host(world: World, browser) -> None:
    instance(world, "web")
    assert 'name="host"' not in page(browser("alice"), LIST, more="1")
    assert names(page(browser("alice"), LIST, host=str(world.project.pk))) == ["web"]
    assert 'name="host"' in page(browser("root"), LIST, more="1")
    assert names(page(browser("root"), LIST, host=str(world.project.pk))) == []


def test_a_chip_takes_its_own_filter_away(world: World, browser) -> None:
    client = browser("alice")
    text = page(client, LIST, state="running", name="<b>", tag=["env:prod", "spare"], ordering="name")
    found = dict(chips(text))
    assert list(found) == ["“<b>”", "State: Running", "Tag: env:prod", "Tag: spare"]
    assert found["State: Running"] == f"{LIST}?name=%3Cb%3E&tag=env%3Aprod&tag=spare&ordering=name"
    assert found["Tag: spare"] == f"{LIST}?state=running&name=%3Cb%3E&tag=env%3Aprod&ordering=name"
    assert f'href="{LIST}?ordering=name"' in text, "clearing keeps the order"


def test_headings_sort_and_say_so(world: World, browser) -> None:
    for name in ("b", "a", "c"):
        instance(world, name)
    client = browser("alice")
    newest = page(client, LIST)
    assert names(newest) == ["c", "a", "b"]
    assert 'aria-sort="descending"' in newest and f'href="{LIST}?ordering=name"' in newest
    by_name = page(client, LIST, ordering="name")
    assert names(by_name) == ["a", "b", "c"]
    assert 'aria-sort="ascending"' in by_name and f'href="{LIST}?ordering=-name"' in by_name
    assert names(page(client, LIST, ordering="-name")) == ["c", "b", "a"]


@pytest.mark.parametrize("ordering", ["-created_at", "name", "-name"])
def test_pages_hold_every_row_once_in_both_directions(world: World, browser, ordering: str) -> None:
    copy_resource(instance(world, "web"), 119)
    Instance.objects.filter(name__endswith="7").update(name="same")  # equal sort values: the id decides
    client, path, forward = browser("alice"), f"{LIST}?ordering={ordering}", []
    while path:
        text = page(client, path)
        forward.append(names(text))
        path, last = link(text, "next"), text
    assert [len(rows) for rows in forward] == [25, 25, 25, 25, 20]
    flat = [name for rows in forward for name in rows]
    assert sorted(flat) == sorted(Instance.objects.values_list("name", flat=True))
    back = page(client, link(last, "prev"))
    assert names(back) == forward[3]
    assert names(page(client, link(back, "prev"))) == forward[2]


def test_a_reader_chooses_how_many_rows_a_page_has_and_it_is_remembered(world: World, browser) -> None:
    copy_resource(instance(world, "web"), 59)
    client = browser("alice")
    assert len(names(page(client, LIST))) == 25
    larger = page(client, LIST, rows="50", ordering="name")
    assert len(names(larger)) == 50 and re.search(r'rows=50" aria-current="true">50<', larger)
    assert len(names(page(client, LIST))) == 50, "remembered"
    assert len(names(page(client, link(larger, "next")))) == 10
    assert "rows=" not in link(larger, "next"), "an address that is passed on says nothing of it"
    for nonsense in ("0", "51", "1000000", "x", "-25", ""):
        assert len(names(page(client, LIST, rows=nonsense))) == (50 if nonsense == "" else 25)
    assert len(names(page(client, LIST))) == 50
    Instance.objects.filter(pk__in=Instance.objects.values("pk")[:40]).delete()
    assert 'class="sizes"' not in page(client, LIST), "nothing to choose where all is on one page"


def test_a_page_starts_after_its_cursor_whatever_comes_and_goes(world: World, browser) -> None:
    copy_resource(instance(world, "web"), 59)
    client = browser("alice")
    first = page(client, LIST)
    assert "60 in all" in first
    second = names(page(client, link(first, "next")))
    instance(world, "newcomer")
    Instance.objects.get(name=names(first)[3]).delete()
    assert names(page(client, link(first, "next"))) == second


def test_counting_stops_where_it_would_cost(world: World) -> None:
    copy_resource(instance(world, "web"), 30)
    rows = Instance.objects.all()
    assert keys(rows, "name", None, 10, look_for=20).seen == 21
    assert keys(rows, "name", None, 10, look_for=40).seen == 31


def test_nothing_yet_is_told_apart_from_nothing_found(world: World, browser) -> None:
    client = browser("alice")
    empty = page(client, LIST)
    assert "No instances yet" in empty and reverse("instances:create") in empty and "mains instance create" in empty
    assert "data-filters" not in empty
    assert "create/" not in page(browser("vera"), LIST), "who may not create is not offered it"
    for query in ({"state": "running"}, {"name": "x"}, {"tag": "env:prod"}):
        found = page(client, LIST, **query)
        assert "Nothing matches" in found and "No instances yet" not in found and "Clear the filters" in found


def test_a_live_part_is_fetched_as_it_was_shown(world: World, browser) -> None:
    copy_resource(instance(world, "web"), 59)
    client = browser("alice")
    path = link(page(client, LIST, ordering="name", name="web"), "next")
    part = client.get(path, headers={"HX-Request": "true"})
    text = part.content.decode()
    assert "<html" not in text and 'hx-swap="morph:outerHTML"' in text and part["Cache-Control"] == "no-store"
    assert len(names(text)) == 25 and "cursor=" in text.partition('hx-get="')[2].partition('"')[0]


def test_headings_and_cells_agree_in_every_list(db: None, settings) -> None:
    settings.DOORBELLS = False
    scene = make_scene(make_cast())
    Operation.objects.update(person_since=database_now())
    for name in EVERY_LIST:
        text = page(scene.cast.browser("alice" if name == "api_keys:list" else "root"), reverse(name))
        head, body = text.partition("<thead>")[2].split("</thead>", 1)
        assert head.count("<th") == body.partition("</tr>")[0].count("<td") > 3, name


def test_ten_times_the_rows_cost_no_more_statements(world: World, browser) -> None:
    first = instance(world, "web")
    client = browser("alice")

    def cost(path: str) -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            client.get(path)
        return len(captured)

    paths = [LIST, f"{LIST}?ordering=name", f"{LIST}?state=stopped&name=w&tag=a", f"{LIST}?more=1"]
    copy_resource(first, 199)
    few = [cost(path) for path in paths]
    copy_resource(first, 1800)
    assert [cost(path) for path in [*paths[:-1], f"{LIST}?more=1"]] == few
    assert cost(link(page(client, LIST), "next")) <= few[0]
