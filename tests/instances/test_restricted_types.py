"""Sizes that are offered to chosen organizations only: to others they are as absent as what never was."""
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from billing.models import Price, PriceBook
from compute.instances.classes import OF_CLASS
from compute.instances.models import Instance, InstanceType, LaunchTemplate
from compute.instances.operations import act, create_instance
from portal.kernel.errors import InvalidInput
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from portal.management.commands.seed_demo import TYPES
from tenants.operations import create_api_key, create_organization, create_project
from tests.world import World, drain


@pytest.fixture
def ours(world: World) -> InstanceType:
    """Offered to Acme alone."""
    size = InstanceType.objects.create(slug="gold", name="Goldsize", vcpus=1, memory_mib=512, root_disk_gib=1, is_restricted=True)
    size.organizations.add(world.project.organization)
    return size


def body(world: World, pk: object, **changes: Any) -> dict[str, Any]:
    return {"project": str(world.rival_project.pk), "region": str(world.region.pk), "name": "x", "type": str(pk),
            "image": str(world.image.pk)} | changes


def post(client: Any, path: str, sent: dict[str, Any]) -> tuple[int, Any]:
    answer = client.post(f"/api/v1/{path}/", sent, content_type="application/json")
    return answer.status_code, answer.json().get("errors")


def test_others_cannot_see_name_or_take_it(world: World, ours: InstanceType, browser) -> None:
    client = browser("mallory")
    assert [row["slug"] for row in client.get("/api/v1/instance-types/").json()["results"]] == ["small"]
    assert client.get(f"/api/v1/instance-types/?slug={ours.slug}").json()["results"] == []
    assert client.get(f"/api/v1/instance-types/{ours.pk}/").status_code == 404
    absent = post(client, "instances", body(world, uuid4()))
    assert post(client, "instances", body(world, ours.pk)) == absent and absent[0] == 404 and list(absent[1]) == ["type"]
    assert post(client, "launch-templates", body(world, ours.pk)) == post(client, "launch-templates", body(world, uuid4()))
    create_instance(world.order(project=world.rival_project), actor=world.people["mallory"])
    drain()
    mine = Instance.objects.get()
    assert post(client, f"instances/{mine.pk}/actions/resize", {"type": str(ours.pk)}) == post(
        client, f"instances/{mine.pk}/actions/resize", {"type": str(uuid4())})
    resize, create = reverse("instances:resize", args=[mine.pk]), reverse("instances:create")
    for address in (create, resize, reverse("instances:list"), reverse("calculator")):
        assert "Goldsize" not in client.get(address).content.decode(), address
    assert client.post(resize, {"type": ours.pk}).status_code == 400
    sent = {"project": world.rival_project.pk, "region": world.region.pk, "type": ours.pk, "image": world.image.pk, "name": "x"}
    assert client.post(create, sent).status_code == 400 and Instance.objects.count() == 1
    assert not LaunchTemplate.objects.exists()


def test_whom_it_is_for_is_offered_it(world: World, ours: InstanceType, browser) -> None:
    assert {row["slug"] for row in browser("vera").get("/api/v1/instance-types/").json()["results"]} == {"gold", "small"}
    assert "Goldsize" in browser("alice").get(reverse("instances:create")).content.decode()
    world.order(type=ours).check()


def test_prices_do_not_name_it_to_others(world: World, ours: InstanceType, browser) -> None:
    for meter in ("instance.running", "instance.recycled"):
        Price.objects.create(book=PriceBook.objects.get(is_default=True), region=world.region, meter=meter, sku="gold",
                             price_per_hour=1, valid=(database_now() - timedelta(days=2), None))
    row = Price.objects.get(sku="gold", meter="instance.running")
    Price.objects.create(book=row.book, region=world.region, meter="disk", sku="gold", price_per_hour=1, valid=row.valid)

    def told(who: str, query: str = "") -> set[tuple[str, str]]:
        return {(one["meter"], one["sku"]) for one in browser(who).get(f"/api/v1/prices/?limit=100{query}").json()["results"]}

    day_ago = (database_now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    both, another = {("instance.running", "gold"), ("instance.recycled", "gold")}, {("disk", "gold")}
    for query in ("", "&sku=gold", f"&sku=gold&at={day_ago}"):
        assert told("vera", query) >= both | another and told("root", query) >= both | another, query
        assert told("mallory", query) >= another and not told("mallory", query) & both, query
    assert ("instance.running", "small") in told("mallory", "&meter=instance.running")
    InstanceType.objects.filter(pk=ours.pk).update(is_offered=False)
    assert not told("mallory") & both
    assert [browser(who).get(f"/api/v1/prices/{row.pk}/").status_code for who in ("vera", "mallory")] == [200, 404]


@pytest.mark.parametrize("options", [{}, {"scopes": ["instance.create"]}], ids=["all", "scoped"])
def test_a_key_that_is_bound_to_a_project_has_what_its_organization_is_offered(
        world: World, ours: InstanceType, options: dict[str, Any]) -> None:
    statuses = []
    for who, project in (("alice", world.project), ("mallory", world.rival_project)):
        _key, secret = create_api_key(world.people[who], name="k", project=project, actor=world.people[who], **options)
        client = Client(headers={"Authorization": f"Bearer {secret}"})
        statuses.append(client.get(f"/api/v1/instance-types/{ours.pk}/").status_code)
    assert statuses == [200, 404]


def test_whoever_is_in_two_organizations_takes_it_only_for_its_own(world: World, ours: InstanceType, browser) -> None:
    other = create_project(create_organization("Alice's other", owner=world.people["alice"], actor=None), "p", actor=None)
    status, errors = post(browser("alice"), "instances", body(world, ours.pk, project=str(other.pk)))
    assert status == 400 and list(errors) == ["type"]
    status, errors = post(browser("alice"), "launch-templates", body(world, ours.pk, project=str(other.pk)))
    assert status == 400 and list(errors) == ["type"]
    assert "Goldsize" not in browser("alice").get(reverse("instances:create"), {"project": other.pk}).content.decode()
    create_instance(world.order(project=other), actor=world.people["alice"])
    drain()
    with pytest.raises(InvalidInput):
        act(Instance.objects.get(), "resize", actor=world.people["alice"], type=ours, allow_restart=True)


def test_what_runs_goes_on_when_it_is_taken_from_them(world: World, browser) -> None:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    InstanceType.objects.update(is_restricted=True)
    made = Instance.objects.get()
    act(made, "reboot", actor=world.people["alice"])
    drain()
    made.refresh_from_db()
    assert made.state == "running" and "Small" in browser("alice").get(
        reverse("instances:detail", args=[made.pk])).content.decode()


def test_operators_choose_for_whom_it_is(world: World, browser) -> None:
    size, organization = world.type, world.project.organization
    browser("root").post(reverse("admin:instances_instancetype_change", args=[size.pk]), {
        "name": size.name, "slug": size.slug, "vcpus": size.vcpus, "memory_mib": size.memory_mib, "root_disk_gib": 1,
        **{name: getattr(size, name) for name in OF_CLASS if name != "has_hugepages"}, "vcpus_step": 1, "memory_step_mib": 1024,
        "is_offered": "on", "is_restricted": "on", "organizations": [organization.pk]})
    size.refresh_from_db()
    assert size.is_restricted and size.is_offered_to(organization.pk)
    assert not size.is_offered_to(world.rival_project.organization_id)
    assert "Acme" in str(AuditEvent.objects.filter(action="instancetype.update").get().after)


def test_the_demo_sizes_grow_live_one_into_the_next() -> None:
    assert [(larger[3] - smaller[3]) % 128 for smaller, larger in pairwise(TYPES)] == [0] * (len(TYPES) - 1)
