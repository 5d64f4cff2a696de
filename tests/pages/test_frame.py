"""The frame that all pages hang in: switchers, breadcrumbs, design system, what may not be in templates, weight."""
import gzip
import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.network.models import SecurityGroup
from portal.context import sections
from portal.kernel.models import Region
from tenants.models import Project
from tenants.operations import create_organization, create_project
from tests.world import World

TEMPLATES = Path(settings.BASE_DIR) / "templates"
MOST_BYTES = 200 * 1024
HTMX = {"HTTP_HX_REQUEST": "true"}
# A page of its own, shown when no script asks first.
PAGES_OF_UI = {"confirm.html"}


# -- errors lead somewhere --

def test_the_address_of_a_button_leads_back_to_its_page(world: World, browser) -> None:
    """As after a sign-in that came between."""
    pk = world.project.pk
    answer = browser("alice").get(reverse("operations:cancel", args=[pk]), HTTP_ACCEPT="text/html")
    assert (answer.status_code, answer["Allow"]) == (405, "POST")
    assert f'<a class="btn btn-primary" href="{reverse("operations:detail", args=[pk])}">' in answer.content.decode()


@pytest.mark.parametrize(("came", "leads"), [("http://testserver/volumes/?state=error", "/volumes/?state=error"),
                                             ("https://evil.example/volumes/", "/volumes/"), ("", "/volumes/")])
def test_an_error_leads_back_to_where_one_came_from_if_that_is_ours(world: World, browser, came: str, leads: str) -> None:
    answer = browser("alice").get(reverse("volumes:detail", args=[world.project.pk]), HTTP_REFERER=came)
    assert answer.status_code == 404
    assert f'<a class="btn btn-primary" href="{leads}">' in answer.content.decode()


# -- switching project and region --

def test_the_switcher_groups_projects_by_organization(world: World, browser) -> None:
    globex = create_organization("Globex", owner=world.people["alice"], actor=None)
    rockets = create_project(globex, "rockets", actor=None)
    text = browser("alice").get(reverse("switch"), {"to": "/volumes/"}, **HTMX).content.decode()
    assert text.index("Acme") < text.index("web") < text.index("Globex") < text.index("rockets")
    assert f'href="/volumes/?project={rockets.pk}"' in text
    assert "Rival" not in text and "<html" not in text


def test_the_switcher_filters_by_both_names(world: World, browser) -> None:
    globex = create_organization("Globex", owner=world.people["alice"], actor=None)
    create_project(globex, "rockets", actor=None)
    for asked in ("rock", "glob"):
        text = browser("alice").get(reverse("switch"), {"q": asked}, **HTMX).content.decode()
        assert "rockets" in text and "Acme" not in text


@pytest.mark.parametrize("address", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "x"])
def test_choosing_leads_nowhere_else(world: World, browser, address: str) -> None:
    text = browser("alice").get(reverse("switch"), {"to": address}).content.decode()
    assert "evil" not in text.split('<main')[1] and 'href="/?project=' in text
    answer = browser("alice").post(reverse("region"), {"region": "all", "next": address})
    assert answer["Location"] == "/"


def test_the_frame_costs_the_same_with_500_projects(world: World, browser) -> None:
    def statements() -> tuple[int, int]:
        client = browser("alice")
        client.get(reverse("operations:list"))
        with CaptureQueriesContext(connection) as captured:
            page = client.get(reverse("operations:list"))
        with CaptureQueriesContext(connection) as switching:
            client.get(reverse("switch"), **HTMX)
        assert len(page.content) < 60_000
        return len(captured), len(switching)

    create_project(world.project.organization, "second", actor=None)
    before = statements()
    world.project.refresh_from_db()
    rows = [Project(organization=world.project.organization, name=f"p{number}") for number in range(500)]
    for row in rows:
        row.path = [str(row.pk)]
    Project.objects.bulk_create(rows)
    assert statements() == before
    assert before[0] <= 8


def test_the_only_project_is_named_without_choosing(world: World, browser) -> None:
    page = browser("vera").get(reverse("operations:list")).content.decode()
    assert "<b>web</b>" in page and "<small>Acme</small>" in page


def test_another_project_leads_to_its_list_and_not_to_this_ones_thing(world: World, browser) -> None:
    group = SecurityGroup.objects.create(project=world.project, region=world.region, name="web")
    page = browser("vera").get(reverse("security_groups:detail", args=[group.pk])).content.decode()
    [sent] = re.findall(r"hx-vals='(.*?)'", page)
    assert json.loads(sent) == {"to": reverse("security_groups:list")}


def test_a_region_is_chosen_when_there_are_two_and_narrows_lists(world: World, browser) -> None:
    client = browser("adam")
    assert reverse("region") not in client.get(reverse("operations:list")).content.decode()
    other = Region.objects.create(slug="south", name="South")
    SecurityGroup.objects.create(project=world.project, region=other, name="southern")
    assert reverse("region") in client.get(reverse("operations:list")).content.decode()
    client.post(reverse("region"), {"region": "lab", "next": "/"})
    assert "southern" not in client.get(reverse("security_groups:list")).content.decode()
    client.post(reverse("region"), {"region": "south", "next": "/"})
    assert "southern" in client.get(reverse("security_groups:list")).content.decode()
    client.post(reverse("region"), {"region": "all", "next": "/"})
    assert "southern" in client.get(reverse("security_groups:list")).content.decode()
    assert client.post(reverse("region"), {"region": "nowhere", "next": "/"}).status_code == 404


# -- breadcrumbs --

def test_every_page_of_the_navigation_has_the_one_kind_of_breadcrumbs(world: World, browser) -> None:
    client = browser("root")
    for title, items in sections():
        for item in items:
            if title is None or item.name == "admin:index":
                continue
            text = client.get(reverse(item.name)).content.decode()
            [crumbs] = re.findall(r'<ol class="crumbs">.*?</ol>', text)
            assert str(title) in crumbs and '<li aria-current="page">' in crumbs, item.name
            assert text.count('aria-current="page"') >= 2, "the navigation says where one is, too"


def test_breadcrumbs_are_drawn_by_one_template() -> None:
    drawn_by = [path.name for path in TEMPLATES.rglob("*.html") if 'class="crumbs"' in path.read_text()]
    assert drawn_by == ["_crumbs.html"]


def test_breadcrumbs_of_a_thing_lead_through_its_list_and_project(world: World, browser) -> None:
    group = SecurityGroup.objects.create(project=world.project, region=world.region, name="web-only")
    text = browser("vera").get(reverse("security_groups:detail", args=[group.pk])).content.decode()
    [crumbs] = re.findall(r'<ol class="crumbs">.*?</ol>', text)
    assert f'<a href="{reverse("security_groups:list")}">' in crumbs and f"?project={world.project.pk}" in crumbs
    assert '<li aria-current="page">web-only</li>' in crumbs


# -- the design system --

def test_every_component_is_shown(world: World, browser) -> None:
    response = browser("adam").get(reverse("ui"))
    drawn = {Path(template.name).name for template in response.templates if template.name.startswith("ui/")}
    assert {path.name for path in (TEMPLATES / "ui").glob("*.html")} - PAGES_OF_UI == drawn


def test_components_are_shown_in_both_languages_and_themes(world: World, browser) -> None:
    client = browser("adam")
    text = client.get(reverse("ui")).content.decode()
    panels = re.findall(r'<section class="panel" lang="([^"]+)" data-bs-theme="(\w+)"', text)
    assert sorted(panels) == [("en", "dark"), ("en", "light"), ("zh-hans", "dark"), ("zh-hans", "light")]
    assert ">Running<" in text and ">运行中<" in text
    one = client.get(reverse("ui"), {"lang": "zh-hans", "theme": "dark"}).content.decode()
    assert re.findall(r'<section class="panel" lang="([^"]+)" data-bs-theme="(\w+)"', one) == [("zh-hans", "dark")]
    assert client.get(reverse("ui"), {"lang": "<x>", "theme": "<x>"}).content.decode().count('class="panel"') == 4


def test_ids_are_not_given_twice(world: World, browser) -> None:
    for name in ("ui", "operations:list", "search", "notifications:list"):
        ids = re.findall(r'\sid="([^"]+)"', browser("adam").get(reverse(name)).content.decode())
        assert {one for one in ids if ids.count(one) > 1} == set(), name


def test_only_staff_are_led_to_the_design_system(world: World, browser) -> None:
    assert f'href="{reverse("ui")}"' in browser("root").get(reverse("operations:list")).content.decode()
    assert f'href="{reverse("ui")}"' not in browser("adam").get(reverse("operations:list")).content.decode()


# -- what keeps it light and safe --

def test_no_template_has_a_style_or_a_script_of_its_own() -> None:
    for path in TEMPLATES.rglob("*.html"):
        text = path.read_text()
        assert not re.search(r"""\sstyle\s*=|\son[a-z]+\s*=\s*["']|<style|javascript:|\shx-on""", text), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), path


@pytest.mark.parametrize("name", ["dashboard", "instances:list", "search", "ui", "notifications:list", "account_login"])
def test_tenants_pages_allow_nothing_inline(world: World, browser, name: str) -> None:
    policy = browser("adam").get(reverse(name), follow=True)["Content-Security-Policy"]
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
    assert "default-src 'self'" in policy and "style-src 'self'" in policy and "object-src 'none'" in policy


def assets_of_every_page() -> list[str]:
    return re.findall(r"{% static '([^']+)' %}", (TEMPLATES / "base.html").read_text().split("<body")[0])


def test_what_every_page_loads_is_light() -> None:
    assets = [*assets_of_every_page(), "vendor/tabler-icons-3.51.0/sprite.svg"]
    assert len(assets) >= 6
    sizes = {name: len(gzip.compress(Path(finders.find(name)).read_bytes(), 9)) for name in assets}
    assert sum(sizes.values()) <= MOST_BYTES, sizes


def test_colours_are_named_in_one_place() -> None:
    text = (Path(settings.BASE_DIR) / "static" / "mains.css").read_text()
    tokens, rules = text.split("/* ---- frame ---- */")
    assert len(re.findall(r"#[0-9a-f]{6}\b", tokens)) > 40
    assert re.findall(r":[^;{}]*?(#[0-9a-fA-F]{3,8}\b|rgba?\(|hsla?\()[^;{}]*[;}]", rules) == []


def test_no_rule_is_written_twice() -> None:
    text = (Path(settings.BASE_DIR) / "static" / "mains.css").read_text()
    rules = [line for line in text.splitlines() if re.fullmatch(r"\S.*\{.*\}", line) and not line.startswith("@")]
    assert {line for line in rules if rules.count(line) > 1} == set()


def test_only_what_names_keys_of_the_palette_is_rewritten_for_a_mac() -> None:
    templates = [path.read_text() for path in TEMPLATES.rglob("*.html")]
    bearers = {tag for text in templates for tag in re.findall(r"<(\w+)[^<>]*\sdata-keys[\s>=]", text)}
    script = (Path(settings.BASE_DIR) / "static" / "palette.js").read_text()
    assert bearers == {"kbd"} and '"kbd[data-keys]"' in script
