"""The palette, the search page and the API find the same, and never what the caller may not see."""
import re
import uuid
from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import gettext, override

from compute.instances.models import Instance
from compute.network.models import FloatingIp, Port, SecurityGroup, Subnet, Vpc
from portal import manual, search
from portal.kernel.declarations import registry
from portal.kernel.models import Resource
from storage.models import Image, Volume
from tenants.operations import create_organization, create_project
from tests.portal.scenery import Scene, make_rows, standing_scene

pytestmark = pytest.mark.django_db
KINDS = (Instance, Volume, Image, Vpc, Subnet, SecurityGroup, FloatingIp)
HTMX = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture(scope="module")
def whole(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        yield scene


@pytest.fixture
def scene(whole: Scene, db: None) -> Iterator[Scene]:
    with transaction.atomic():
        yield whole
        transaction.set_rollback(True)


def api(scene: Scene, who: str, **query: object) -> list[dict]:
    return scene.cast.api(who).get(reverse("api-search"), query).json()["results"]


def ids(found: list[dict]) -> set[str]:
    return {row["id"] for row in found}


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.KIND)
def test_each_kind_is_found_by_a_part_of_its_name_and_by_its_id(scene: Scene, model: type[Resource]) -> None:
    row = scene.ours[model]
    assert str(row.pk) in ids(api(scene, "vera", q=row.name[1:].upper(), limit=50))
    [found] = api(scene, "vera", q=str(row.pk)[:13])
    assert (found["id"], found["kind"], found["name"]) == (str(row.pk), model.KIND, row.name)
    assert scene.cast.api("vera").get(found["api"]).status_code == 200
    if found["url"]:
        assert scene.cast.browser("vera").get(found["url"]).status_code == 200


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.KIND)
def test_what_is_a_rivals_is_never_found(scene: Scene, model: type[Resource]) -> None:
    row = scene.ours[model]
    for text in (row.name, str(row.pk), str(row.pk)[:8]):
        assert str(row.pk) not in ids(api(scene, "mallory", q=text, limit=50))
        for options in ({}, HTMX):
            page = scene.cast.browser("mallory").get(reverse("search"), {"q": text}, **options).content.decode()
            assert f"/{row.pk}/" not in page


def test_an_address_finds_the_instance_and_the_floating_ip_that_have_it(scene: Scene) -> None:
    instance, port, public = scene.ours[Instance], scene.ours[Port], scene.ours[FloatingIp]
    [found] = api(scene, "vera", q=port.ip)
    assert (found["id"], found["address"]) == (str(instance.pk), port.ip)
    assert [row["id"] for row in api(scene, "vera", q=public.allocation.address)] == [str(public.pk)]
    theirs = scene.theirs[FloatingIp].allocation.address
    assert api(scene, "vera", q=theirs) == []
    assert str(instance.pk) not in ids(api(scene, "mallory", q=port.ip))


def test_a_narrow_key_finds_the_kinds_of_its_scopes_only(scene: Scene) -> None:
    key = scene.cast.key("alice", scopes=["volume.view"])
    found = key.get(reverse("api-search"), {"q": "ot-0", "limit": "50"}).json()["results"]
    assert {row["kind"] for row in found} == {"volume"}
    assert {row["project_name"] for row in found} == {""}, "the key may not see projects"


def test_what_is_deleted_is_not_found(scene: Scene) -> None:
    volume = scene.ours[Volume]
    Resource.objects.filter(pk=volume.pk).update(deleted_at="2026-01-01T00:00Z")
    assert str(volume.pk) not in ids(api(scene, "vera", q=volume.name) + api(scene, "vera", q=str(volume.pk)))


def test_the_exact_name_comes_first_then_beginnings(scene: Scene) -> None:
    for name in ("my-alpha", "alphabet", "alpha"):
        SecurityGroup.objects.create(project=scene.cast.project, region=scene.cast.region, name=name)
    assert [row["name"] for row in api(scene, "vera", q="alpha")] == ["alpha", "alphabet", "my-alpha"]
    assert [row["name"] for row in api(scene, "vera", q="MY alpha")] == ["my-alpha"]


@pytest.mark.parametrize("text", ["", "   ", "%", "_", "\\", "'", "<script>", "😀", "x" * 300, "10.0.0", "0000-"])
def test_odd_texts_find_nothing_and_break_nothing(scene: Scene, text: str) -> None:
    assert api(scene, "vera", q=text) == []
    page = scene.cast.browser("vera").get(reverse("search"), {"q": text})
    assert page.status_code == 200
    assert "<script>" not in re.sub(r"<script src=", "", page.content.decode())


def test_limits_are_checked(scene: Scene) -> None:
    client = scene.cast.api("vera")
    assert client.get(reverse("api-search"), {"q": "web", "limit": "51"}).status_code == 400
    assert client.get(reverse("api-search"), {"q": "web", "nonsense": "1"}).status_code == 400


def test_two_hundred_matches_cost_as_many_statements_as_one(scene: Scene) -> None:
    def statements() -> int:
        user = scene.cast.vera
        user.__dict__.pop("grants", None)
        with CaptureQueriesContext(connection) as captured:
            search.find(user, "web", limit=50)
        return len(captured)

    before = statements()
    for number in range(1, 40):
        make_rows(scene.cast, scene.cast.project, scene.cast.alice, scene.ours, number=number)
    assert statements() == before == 3, "one for the rights, the matches, their projects"


def test_names_are_found_through_the_index(scene: Scene) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO kernel_resource (id, kind, project_id, region_id, name, description, tags, version, created_at,
                                            updated_at)
               SELECT gen_random_uuid(), 'volume', %s, %s, md5(n::text), '', '{}', 1, now(), now()
                 FROM generate_series(1, 20000) AS n""", [scene.cast.project.pk, scene.cast.region.pk])
        cursor.execute("ANALYZE kernel_resource")
    for user in (scene.cast.vera, scene.cast.root):
        rows = search._visible(user).filter(name__icontains="web-0")[:search.CANDIDATES]
        assert "resource_name_parts" in rows.explain()
        assert "resource_name_parts" in search._visible(user).filter(name__iexact="web-0").explain()


# -- what can be done --

def palette(scene: Scene, who: str, text: str, language: str = "en") -> str:
    client = scene.cast.browser(who)
    return client.get(reverse("search"), {"q": text}, **HTMX, HTTP_ACCEPT_LANGUAGE=language).content.decode()


def test_actions_are_offered_to_those_who_may(scene: Scene) -> None:
    assert reverse("instances:create") in palette(scene, "adam", "create inst")
    assert reverse("instances:create") not in palette(scene, "vera", "create inst")
    hosts = f'href="{reverse("hosts:list")}"'
    assert hosts in palette(scene, "root", "hosts")
    assert hosts not in palette(scene, "adam", "hosts")


def test_actions_are_found_in_either_language(scene: Scene) -> None:
    assert reverse("volumes:list") in palette(scene, "vera", "volumes", "zh-hans")
    with override("zh-hans"):
        word = gettext("Volumes")
    assert word != "Volumes" and reverse("volumes:list") in palette(scene, "vera", word, "zh-hans")


def test_the_documentation_is_searched_too(scene: Scene) -> None:
    [page, *_rest] = manual.chapters("en")
    assert page.url in palette(scene, "vera", page.title)


def test_projects_are_offered_by_their_own_and_their_organizations_name(scene: Scene) -> None:
    globex = create_organization("Globex", owner=scene.cast.alice, actor=None)
    rockets = create_project(globex, "rockets", actor=None)
    link = f"?project={rockets.pk}"
    assert link in palette(scene, "alice", "rock") and link in palette(scene, "alice", "globex")
    assert link not in palette(scene, "mallory", "rock") + palette(scene, "vera", "rock")


def test_the_list_is_a_listbox_of_options_with_ids_of_their_own(scene: Scene) -> None:
    text = palette(scene, "adam", "web")
    options = re.findall(r'role="option" aria-selected="false" tabindex="-1" id="([^"]+)" href="/', text)
    assert len(options) == len(set(options)) == text.count('role="option"') >= 1
    frame = scene.cast.browser("adam").get("/operations/").content.decode()
    for part in ('role="combobox"', 'aria-controls="palette-list"', 'role="listbox"'):
        assert part in frame


def test_an_empty_text_offers_what_is_done_most_and_nothing_else(scene: Scene) -> None:
    text = palette(scene, "adam", "")
    assert reverse("instances:create") in text and "palette-found" not in text


def test_kinds_without_rights_are_not_even_asked_for(scene: Scene) -> None:
    assert registry.kinds.keys() >= {model.KIND for model in KINDS}
    stranger = type("Nobody", (), {"grants": type(scene.cast.vera.grants).nothing()})()
    assert search.find(stranger, "web") == [] and search.find(stranger, str(uuid.uuid4())) == []
