"""The pages of projects and organizations: the tree, one project, its settings; what the forms refuse; without a script."""
from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from compute.instances.operations import create_instance
from tenants import operations, structure
from tenants.models import Organization, Project, Quota, User
from tenants.roles import bind
from tests.network.networked import Networked
from tests.world import World, drain


@pytest.fixture
def world(net: Networked, settings) -> World:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    return net.world


@pytest.fixture
def browser(world: World) -> Callable[[str], Client]:
    def signed_in(name: str = "alice") -> Client:
        client = Client()
        client.force_login(world.people[name])
        return client

    return signed_in


def page(name: str, *arguments: object) -> str:
    return reverse(name, args=arguments)


def make(world: World, name: str, parent: Project | None = None) -> Project:
    return operations.create_project(world.project.organization, name, actor=None, parent=parent)


def test_the_tree_shows_parents_before_children_with_what_they_have(world: World, browser) -> None:
    child = make(world, "aaa child", world.project)
    make(world, "zzz leaf", child)
    create_instance(world.order(project=child, name="db"), actor=world.people["alice"])
    drain()
    structure.archive_project(child, actor=None)
    text = browser().get(page("projects:list")).content.decode()
    assert text.index(">web<") < text.index(">aaa child<") < text.index(">zzz leaf<")
    assert "depth-0" in text and "depth-1" in text and "depth-2" in text and "1 / 1" in text
    assert text.count("archived") == 2  # by itself, and by what is above it
    seen = browser("mallory").get(page("projects:list")).content.decode()
    assert "own" in seen and "aaa child" not in seen


def test_somebody_who_sees_a_part_sees_it_from_its_top(world: World, browser) -> None:
    child = make(world, "child", world.project)
    make(world, "leaf", child)
    person = world.people["loner"] = User.objects.create(username="loner")
    bind(person, "viewer", child)
    text = browser("loner").get(page("projects:list")).content.decode()
    assert "depth-0" in text and "depth-1" in text and "depth-2" not in text and ">web<" not in text
    detail = browser("loner").get(page("projects:detail", child.pk)).content.decode()
    assert str(world.project.pk) not in detail


def test_the_tree_takes_as_many_statements_for_many_as_for_few(world: World, browser) -> None:
    client = browser()
    client.get(page("projects:list"))

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(page("projects:list")).status_code == 200
        return len(captured)

    few = count()
    for number in range(30):
        make(world, f"p{number}", world.project)
    assert count() == few


def test_a_project_is_made_below_another_and_at_the_top(world: World, browser) -> None:
    client, organization = browser(), str(world.project.organization_id)
    form = client.get(page("projects:create"), {"parent": str(world.project.pk)})
    assert form.status_code == 200 and f'value="{world.project.pk}" selected' in form.content.decode()
    made = client.post(page("projects:create"), {"organization": organization, "parent": str(world.project.pk), "name": "new"})
    assert made.status_code == 302
    assert Project.objects.get(name="new").parent == world.project
    taken = client.post(page("projects:create"), {"organization": organization, "parent": "", "name": "WEB"})
    assert taken.status_code == 400 and "of this name here already" in taken.content.decode()
    # adam manages `web` alone.
    top = browser("adam").post(page("projects:create"), {"organization": organization, "parent": "", "name": "top"})
    assert top.status_code == 403 and not Project.objects.filter(name="top").exists()


def test_what_the_move_form_offers_is_where_it_can_go(world: World, browser) -> None:
    child, other = make(world, "child", world.project), make(world, "other")
    form = browser().get(page("projects:move", world.project.pk)).content.decode()
    assert str(other.pk) in form and str(child.pk) not in form and str(world.rival_project.pk) not in form
    client = browser()
    for wrong in (child.pk, world.rival_project.pk, "x"):
        assert client.post(page("projects:move", world.project.pk), {"parent": str(wrong)}).status_code == 400
    moved = client.post(page("projects:move", world.project.pk), {"parent": str(other.pk)})
    assert moved.status_code == 302 and Project.objects.get(pk=child.pk).path[0] == str(other.pk)


def test_what_does_not_fit_is_said_beside_the_place(world: World, browser) -> None:
    other = make(world, "other")
    child = make(world, "child")
    create_instance(world.order(project=child, name="db"), actor=world.people["alice"])
    Quota.objects.create(project=other, region=world.region, dimension="instances", limit=0)
    answer = browser().post(page("projects:move", child.pk), {"parent": str(other.pk)})
    assert answer.status_code == 409 and "The quota of other" in answer.content.decode()
    assert Project.objects.get(pk=child.pk).parent is None


def test_settings_rename_archive_and_say_who_may_not(world: World, browser) -> None:
    client, pk = browser(), world.project.pk
    assert client.post(page("projects:edit", pk), {"name": "shop", "description": "ours"}).status_code == 302
    assert client.post(page("projects:archive", pk)).status_code == 302
    text = client.get(page("projects:detail", pk), {"tab": "settings"}).content.decode()
    assert "shop" in text and "Unarchive" in text
    assert client.post(page("projects:unarchive", pk)).status_code == 302
    assert Project.objects.get(pk=pk).archived_at is None
    seen = browser("vera").get(page("projects:detail", pk), {"tab": "settings"}).content.decode()
    assert seen.count("Your role does not include this.") >= 4 and page("projects:delete", pk) not in seen
    for verb in ("edit", "move", "archive", "unarchive", "delete"):
        assert browser("vera").post(page(f"projects:{verb}", pk), {"name": "x"}).status_code == 403
        assert browser("mallory").post(page(f"projects:{verb}", pk), {"name": "x"}).status_code == 404


def test_deleting_wants_the_name_and_shows_what_is_in_the_way(world: World, browser) -> None:
    client, made = browser(), make(world, "made")
    create_instance(world.order(project=made, name="db"), actor=world.people["alice"])
    url = page("projects:delete", made.pk)
    asked = client.post(url)
    assert asked.status_code == 200 and "typed_name" in asked.content.decode()
    assert client.post(url, {"confirmed": "1", "typed_name": "mad"}).status_code == 400
    refused = client.post(url, {"confirmed": "1", "typed_name": "made"})
    instance = made.resources.get(kind="instance")
    assert refused.status_code == 409 and page("instances:detail", instance.pk) in refused.content.decode()
    by_script = client.post(url, {"confirmed": "1", "typed_name": "made"}, headers={"HX-Request": "true"})
    assert by_script.status_code == 409 and "db (Instance)" in by_script.content.decode()
    empty = make(world, "empty")
    gone = client.post(page("projects:delete", empty.pk), {"confirmed": "1", "typed_name": "empty"})
    assert gone.status_code == 302 and client.get(page("projects:detail", empty.pk)).status_code == 404


def test_a_session_that_looked_at_a_deleted_project_looks_at_all(world: World, browser) -> None:
    client, made = browser(), make(world, "made")
    assert client.get("/", {"project": str(made.pk)}).status_code == 200
    structure.delete_project(made, actor=None)
    assert client.get("/").status_code == 200 and client.get(page("instances:list")).status_code == 200
    assert "made" not in client.get(page("switch")).content.decode()


def test_quotas_are_bars_by_region(world: World, browser) -> None:
    Quota.objects.create(project=world.project, region=world.region, dimension="instances", limit=7)
    Quota.objects.create(organization=world.project.organization, region=world.region, dimension="instances", limit=9)
    text = browser("vera").get(page("projects:detail", world.project.pk), {"tab": "quotas"}).content.decode()
    assert "0 / 7" in text and "0 / 9" in text and "In all of Acme" in text


def test_the_cost_of_a_tree_is_on_its_page(world: World, browser) -> None:
    child = make(world, "child", world.project)
    create_instance(world.order(project=child, name="db"), actor=world.people["alice"])
    drain()
    text = browser().get(page("projects:detail", world.project.pk)).content.decode()
    assert 'id="tree-cost"' in text
    hidden = browser("vera").get(page("projects:detail", world.project.pk)).content.decode()
    assert ('id="tree-cost"' in hidden) == world.people["vera"].grants.may("usage.view", world.project.pk)


def test_the_organization_page_renames_deletes_and_tells_a_suspension(world: World, browser) -> None:
    organization, client = world.project.organization, browser()
    text = client.get(page("organizations:list")).content.decode()
    assert "Acme" in text and "Rival" not in text and "1 project" in text and "Delete its projects first." in text
    assert client.post(page("organizations:edit", organization.pk), {"name": "Acme 2"}).status_code == 302
    assert client.post(page("organizations:edit", organization.pk), {"name": "Support"}).status_code == 400
    url = page("organizations:delete", organization.pk)
    assert client.post(url, {"confirmed": "1", "typed_name": "Acme 2"}).status_code == 409
    structure.suspend_organization(organization, reason="unpaid since May", actor=None, while_suspended="stop")
    for at in (page("organizations:list"), page("projects:list"), page("projects:detail", world.project.pk)):
        told = client.get(at).content.decode()
        assert "Acme 2 is suspended." in told and "unpaid since May" in told and "Instances are stopped" in told
    assert client.post(page("organizations:edit", organization.pk), {"name": "x"}).status_code == 403
    structure.resume_organization(organization, actor=None)
    world.project.resources.update(deleted_at="2026-01-01T00:00:00Z")
    structure.delete_project(world.project, actor=None)
    assert client.post(url, {"confirmed": "1", "typed_name": "Acme 2"}).status_code == 302
    assert not Organization.objects.visible_to(User.objects.get(username="alice")).exists()
    assert "You do not belong to an organization" in client.get(page("organizations:list")).content.decode()
    assert "No projects yet" in client.get(page("projects:list")).content.decode()
