"""The pages of the tree ask the database as seldom as all others, on every tab of theirs, before and after a move."""
from collections.abc import Iterator

import pytest
from django.urls import reverse

from tenants import operations, structure
from tenants.models import Project
from tests.portal.scenery import Scene, standing_scene
from tests.portal.test_page_statements import MOST, statements


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker) -> Iterator[Scene]:
    with standing_scene(django_db_blocker) as scene:
        yield scene


def child_of(scene: Scene) -> Project:
    """A project with two below it, in one that it was moved to."""
    organization = scene.cast.organization
    child = operations.create_project(organization, "child", actor=None)
    for name in ("one", "two"):
        operations.create_project(organization, name, actor=None, parent=child)
    return structure.move_project(child, actor=None, parent=scene.cast.project)


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["alice", "vera", "root"])
def test_few_statements_on_every_part(scene: Scene, who: str) -> None:
    child = Project.objects.filter(name="child").first() or child_of(scene)
    client = scene.cast.browser(who)
    for pk in (scene.cast.project.pk, child.pk):
        for name in ("detail", "edit", "move"):
            for tab in ("overview", "settings") if name == "detail" else ("",):
                url = reverse(f"projects:{name}", args=[pk]) + (f"?tab={tab}" if tab else "")
                statements(client, url)  # what is kept for some seconds is kept now
                status, asked = statements(client, url)
                assert status in (200, 403) and len(asked) <= MOST, "\n".join([url, *asked])
    for url in (reverse("projects:list"), reverse("organizations:list"), reverse("projects:create")):
        status, asked = statements(client, url)
        assert status in (200, 403) and len(asked) <= MOST, "\n".join([url, *asked])
