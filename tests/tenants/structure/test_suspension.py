"""A suspended organization: its members look and change nothing, by pages, sessions and keys; what runs is kept or stopped."""
import uuid
from typing import Any

import pytest
from django.urls import reverse

from compute.instances.models import Instance
from compute.instances.operations import create_instance
from compute.instances.suspension import stop_suspended
from portal.kernel.declarations import registry
from portal.kernel.models import AuditEvent, Operation
from tenants import operations, structure
from tenants.access import Grants
from tenants.models import Organization
from tests.network.networked import Networked
from tests.portal.routes import Route, routes
from tests.portal.scenery import Scene, standing_scene
from tests.portal.sent import BODIES, FORMS, address, key, model_of
from tests.world import drain

CHANGES = [route for route in routes() if route.method in ("POST", "PUT", "PATCH", "DELETE")
           and route.permission in registry.permissions and route.permission != "apikey.manage"
           and not route.permission.endswith(".view")]


@pytest.fixture(scope="module")
def scene(django_db_setup: None, django_db_blocker):
    with standing_scene(django_db_blocker) as scene:
        structure.suspend_organization(scene.cast.organization, reason="unpaid", actor=scene.cast.root)
        yield scene


@pytest.fixture(scope="module")
def key_client(scene: Scene):
    """One key for all routes: a person has at most a hundred."""
    return scene.cast.key("alice")


@pytest.mark.parametrize("route", CHANGES, ids=str)
def test_whatever_changes_something_is_refused(scene: Scene, key_client, route: Route) -> None:
    """The owner, on her own things; with and without a body, by session and by key."""
    pk = scene.ours[model_of(route)].pk if route.takes_an_id else None
    sent = (BODIES if route.is_api else FORMS).get(key(route), lambda scene: {})(scene)
    clients = [scene.cast.api("alice"), key_client] if route.is_api else [scene.cast.browser("alice")]
    for client in clients:
        form = {"format": "json"} if route.is_api else {}
        response = getattr(client, route.method.lower())(address(route, pk), sent, **form)
        # Invitations are seen by those alone who may make them.
        assert response.status_code == (404 if "invitations/" in route.path and route.takes_an_id else 403)
        if route.is_api and response.status_code == 403:
            assert response.json()["code"] == "organization_suspended"


def test_everything_is_looked_at_as_before(scene: Scene) -> None:
    client = scene.cast.api("alice")
    for name in ("instance-list", "project-list", "organization-list", "usage-list", "audit-list", "api-key-list"):
        assert client.get(reverse(name)).status_code == 200
    assert client.get(reverse("instance-detail", args=[scene.ours[Instance].pk])).status_code == 200
    page = scene.cast.browser("alice").get(reverse("instances:detail", args=[scene.ours[Instance].pk]))
    assert page.status_code == 200


def test_others_and_operators_are_not_stopped(scene: Scene) -> None:
    url = reverse("instance-detail", args=[scene.ours[Instance].pk])
    assert scene.cast.api("root").patch(url, {"description": "x"}, format="json").status_code == 200
    theirs = reverse("instance-detail", args=[scene.theirs[Instance].pk])
    assert scene.cast.api("mallory").patch(theirs, {"description": "x"}, format="json").status_code == 200
    hidden = scene.cast.api("mallory").patch(url, {"description": "x"}, format="json")
    absent = scene.cast.api("mallory").patch(reverse("instance-detail", args=[uuid.uuid4()]), {}, format="json")
    assert hidden.status_code == absent.status_code == 404


def test_a_refused_attempt_is_in_the_trail(scene: Scene) -> None:
    url = reverse("instance-detail", args=[scene.ours[Instance].pk])
    scene.cast.api("alice").delete(url)
    event = AuditEvent.objects.filter(result="refused", actor=scene.cast.alice).latest("at")
    assert event.action == "instance.delete" and event.after["reason"].startswith("organization_suspended")


def test_it_is_told_who_why_and_what_for(cast: Any) -> None:
    structure.suspend_organization(cast.organization, reason="unpaid", actor=cast.root, while_suspended="stop")
    event = AuditEvent.objects.get(action="organization.suspend")
    assert event.after == {"reason": "unpaid", "while_suspended": "stop"} and event.actor == cast.root
    assert Grants.of_user(cast.alice).suspended == {cast.organization.pk}
    assert not Grants.of_user(cast.alice).may("instance.create", cast.project.pk)
    structure.resume_organization(cast.organization, actor=cast.root)
    structure.resume_organization(cast.organization, actor=cast.root)
    assert AuditEvent.objects.get(action="organization.resume").before["reason"] == "unpaid"
    assert Grants.of_user(cast.alice).may("instance.create", cast.project.pk)


def test_somebody_of_two_organizations_is_bound_in_one_of_them(cast: Any) -> None:
    second = operations.create_organization("Second", owner=cast.alice, actor=None)
    project = operations.create_project(second, "p", actor=None)
    structure.suspend_organization(cast.organization, reason="unpaid", actor=cast.root)
    client = cast.api("alice")
    assert client.patch(f"/api/v1/projects/{project.pk}/", {"name": "q"}, format="json").status_code == 200
    refused = client.patch(f"/api/v1/projects/{cast.project.pk}/", {"name": "q"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (403, "organization_suspended")


@pytest.mark.parametrize(("policy", "state"), [("keep", "running"), ("stop", "stopped")])
def test_what_runs_is_kept_or_stopped(net: Networked, policy: str, state: str) -> None:
    world = net.world
    create_instance(world.order(), actor=world.people["alice"])
    create_instance(world.order(project=world.rival_project, name="theirs"), actor=world.people["mallory"])
    drain()
    structure.suspend_organization(world.project.organization, reason="unpaid", actor=world.people["root"],
                                   while_suspended=policy)
    assert len(stop_suspended()) == (policy == "stop")
    assert stop_suspended() == []  # it is under way
    drain()
    assert Instance.objects.get(name="web").state == state and Instance.objects.get(name="theirs").state == "running"
    assert Operation.objects.filter(kind="instance.stop").count() == (policy == "stop")
    structure.resume_organization(world.project.organization, actor=world.people["root"])
    drain()
    assert Instance.objects.get(name="web").state == state
    assert Organization.objects.get(pk=world.project.organization_id).suspended_at is None
