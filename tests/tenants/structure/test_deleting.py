"""Deleting projects and organizations: what is in the way is named, what every project is given is not, and history stays."""
from collections.abc import Callable

import pytest
from django.db import transaction

from compute.instances.keys import add_key
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.network.models import SecurityGroup, Vpc
from compute.network.operations import create_vpc
from portal.kernel.models import AuditEvent, Operation, Resource
from tenants import operations, structure
from tenants.access import Grants
from tenants.errors import NotEmpty
from tenants.invitations import invite
from tenants.models import ApiKey, Invitation, Organization, Project, ProjectUserBinding
from tenants.roles import bind
from tests.network.networked import Networked
from tests.world import drain

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ5x1bM0xGf4kqWnJ0qk9l2m8m1oVQ8k0y0m6Qp7b3aP me"


def refused(verb: Callable[[], None]) -> NotEmpty:
    with pytest.raises(NotEmpty) as error, transaction.atomic():
        verb()
    return error.value


def test_what_every_project_is_given_does_not_keep_it(net: Networked) -> None:
    world = net.world
    made = operations.create_project(world.project.organization, "new", actor=world.people["alice"])
    assert Vpc.objects.live().filter(project=made).exists() and SecurityGroup.objects.live().filter(project=made).exists()
    structure.delete_project(made, actor=world.people["alice"])
    assert not Resource.objects.live().filter(project=made).exists()
    assert not Project.objects.visible_to(world.people["alice"]).filter(pk=made.pk).exists()
    assert not Project.objects.visible_to(world.people["root"]).filter(pk=made.pk).exists()
    assert AuditEvent.objects.get(action="project.delete").project == made


def test_what_lives_in_it_or_below_is_named_and_nothing_is_touched(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    top = operations.create_project(world.project.organization, "top", actor=alice)
    below = operations.create_project(world.project.organization, "below", actor=alice, parent=top)
    operation = create_instance(world.order(project=below, name="db"), actor=alice)
    error = refused(lambda: structure.delete_project(top, actor=alice))
    kinds = {item["kind"] for item in error.facts["items"]}
    assert {"instance", "volume", "port", "vpc", "subnet", "security_group"} <= kinds
    [instance] = [item for item in error.facts["items"] if item["kind"] == "instance"]
    assert instance == {"kind": "instance", "id": str(operation.target_id), "name": "db", "project": str(below.pk),
                        "project_name": "below"}
    assert error.facts["count"] == len(error.facts["items"]) and "db (Instance)" in error.detail
    # The unused defaults of `top` were taken back with the rest of what was refused.
    assert Vpc.objects.live().filter(project=top).exists() and not AuditEvent.objects.filter(action="project.delete").exists()
    drain()
    act(Instance.objects.get(), "purge", actor=alice)
    refused(lambda: structure.delete_project(top, actor=alice))  # it is under way
    drain()
    structure.delete_project(top, actor=alice)
    assert not Project.objects.living().filter(pk__in=[top.pk, below.pk]).exists()
    assert Operation.objects.filter(project=below).count() == 2 and AuditEvent.objects.filter(project=below).exists()


def test_what_people_made_is_named_even_if_it_costs_nothing(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    made = operations.create_project(world.project.organization, "new", actor=alice)
    vpc = create_vpc(made, world.region, name="mine", actor=alice)
    key = add_key(made, world.region, name="laptop", public_key=KEY, actor=alice)
    error = refused(lambda: structure.delete_project(made, actor=alice))
    assert {item["id"] for item in error.facts["items"]} == {str(vpc.pk), str(key.pk)}


def test_twenty_are_named_and_all_are_counted(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    made = operations.create_project(world.project.organization, "new", actor=alice)
    for number in range(25):
        Resource.objects.create(kind="volume", project=made, region=world.region, name=f"v{number:02}")
    error = refused(lambda: structure.delete_project(made, actor=alice))
    assert error.facts["count"] == 25 and len(error.facts["items"]) == structure.MOST_NAMED
    assert [item["name"] for item in error.facts["items"]] == [f"v{number:02}" for number in range(20)]


def test_work_that_no_thing_stands_for_keeps_it_too(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    made = operations.create_project(world.project.organization, "new", actor=alice)
    create_instance(world.order(name="db"), actor=alice)
    Operation.objects.filter(kind="instance.create").update(project=made, target=None)
    assert [item["kind"] for item in refused(lambda: structure.delete_project(made, actor=alice)).facts["items"]] == ["operation"]


def test_its_keys_and_roles_end_with_it(net: Networked) -> None:
    world, alice, vera = net.world, net.world.people["alice"], net.world.people["vera"]
    made = operations.create_project(world.project.organization, "new", actor=alice)
    bind(vera, "viewer", made)
    invited = invite("new@example.org", "viewer", made, actor=alice)
    bound, text = operations.create_api_key(alice, name="bound", actor=alice, project=made)
    free, other = operations.create_api_key(alice, name="free", actor=alice)
    structure.delete_project(made, actor=alice)
    assert operations.find_api_key(text) is None and operations.find_api_key(other) == free
    assert ApiKey.objects.get(pk=bound.pk).revoked_at is not None and AuditEvent.objects.filter(action="apikey.revoke").exists()
    assert not ProjectUserBinding.objects.filter(content_object=made).exists()
    assert Invitation.objects.get(pk=invited.pk).revoked_at is not None
    assert not Grants.of_user(vera).may("project.view", made.pk) and not Grants.of_user(alice).may("project.view", made.pk)


def test_an_organization_goes_when_its_projects_have(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    organization = world.project.organization
    other = operations.create_project(organization, "other", actor=alice)
    error = refused(lambda: structure.delete_organization(organization, actor=alice))
    assert [item["name"] for item in error.facts["items"]] == ["other", "web"] and error.facts["count"] == 2
    Resource.objects.live().filter(project=world.project, kind="image").update(deleted_at="2026-01-01T00:00:00Z")
    for project in (world.project, other):
        structure.delete_project(project, actor=alice)
    structure.delete_organization(organization, actor=alice)
    for name in ("alice", "root"):
        assert not Organization.objects.visible_to(world.people[name]).filter(pk=organization.pk).exists()
    assert Grants.of_user(alice).organization_ids == frozenset()
    assert AuditEvent.objects.get(action="organization.delete").organization == organization
