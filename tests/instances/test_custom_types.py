"""Custom types: the size is chosen, counted, claimed and priced by the vCPU and the GiB, and changed as any size is."""
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from billing.models import UsageInterval
from billing.seed import seed_prices
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.instances.models import Instance, InstanceType
from compute.instances.offers import BILLED
from compute.instances.operations import create_instance
from portal.kernel.models import AuditEvent, Operation
from tenants.models import Quota
from tenants.quotas import lines
from tests.world import World, drain

JSON = "application/json"


@pytest.fixture
def custom(world: World) -> InstanceType:
    for part, price in (("vcpu", "0.02"), ("memory", "0.04")):
        seed_prices(world.region, [(f"instance.{state}.{part}", "custom", Decimal(price)) for state in BILLED])
    return InstanceType.objects.create(slug="custom", name="Custom", vcpus=1, memory_mib=512, max_vcpus=8, max_memory_mib=4096,
                                       memory_step_mib=256, root_disk_gib=1)


def books(row: Instance) -> dict[str, object]:
    usage = UsageInterval.objects.filter(resource=row, period__endswith=None).order_by("meter")
    return {"row": (row.state, row.vcpus, row.memory_mib),
            "usage": [(one.meter, one.sku, one.quantity) for one in usage],
            "claims": dict(Claim.objects.filter(consumer=row).values_list("resource_class", "amount")),
            "quota": {line.resource: line.used for line in lines(row.project, row.region, {"vcpus": 0, "memory_mib": 0})}}


def as_booked(vcpus: int, memory: int, state: str = "running") -> dict[str, object]:
    return {"row": (state, vcpus, memory), "claims": {"vcpu": vcpus, "memory_mib": memory},
            "usage": [(f"instance.{state}.memory", "custom", Decimal(memory) / 1024),
                      (f"instance.{state}.vcpu", "custom", Decimal(vcpus))],
            "quota": {"vcpus": vcpus, "memory_mib": memory}}


def body_of(world: World, type: InstanceType, **more: object) -> dict[str, object]:
    return {"project": str(world.project.pk), "region": str(world.region.pk), "name": "web", "type": str(type.pk),
            "image": str(world.image.pk), **more}


def made(world: World, custom: InstanceType, **size: int) -> Instance:
    create_instance(world.order(type=custom, **size), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def test_it_has_the_size_that_was_asked_for_everywhere(world: World, custom: InstanceType, browser) -> None:
    client, body = browser("alice"), body_of(world, custom, vcpus=3, memory_mib=1280)
    told = client.post("/api/v1/instances/?dry_run=true", body, content_type=JSON).json()
    assert Decimal(told["price"]["hourly"]["amount"]) == Decimal("0.02") * 3 + Decimal("0.04") * 5 / 4 + Decimal("0.001")
    assert {line["resource"]: line["wanted"] for line in told["quota"]}.items() >= {"vcpus": 3, "memory_mib": 1280}.items()
    assert client.post("/api/v1/instances/", body, content_type=JSON).status_code == 202
    drain()
    row = Instance.objects.get()
    assert books(row) == as_booked(3, 1280) and SimulatedHost(world.host.endpoint.uri).size(row.pk) == (3, 1280)
    assert AuditEvent.objects.get(action="instance.create").after["type"] == "custom (3 vCPU, 1280 MiB)"


def test_what_is_not_said_is_the_least_of_it(world: World, custom: InstanceType) -> None:
    assert books(made(world, custom)) == as_booked(1, 512)


@pytest.mark.parametrize(("size", "field"), [({"vcpus": 9}, "vcpus"), ({"memory_mib": 600}, "memory_mib"),
                                             ({"memory_mib": 256}, "memory_mib"), ({"memory_mib": 4352}, "memory_mib"),
                                             ({"vcpus": 0}, "vcpus"), ({"vcpus": "x"}, "vcpus")])
def test_a_size_that_it_has_not_is_refused_by_field(world: World, custom: InstanceType, browser, size, field: str) -> None:
    for query in ("", "?dry_run=true"):
        answer = browser("alice").post("/api/v1/instances/" + query, body_of(world, custom, **size), content_type=JSON)
        assert answer.status_code == 400 and list(answer.json()["errors"]) == [field]
    assert not Instance.objects.exists()


def test_a_fixed_type_names_the_other_way(world: World, custom: InstanceType, browser) -> None:
    client = browser("alice")
    answer = client.post("/api/v1/instances/", body_of(world, world.type, vcpus=2), content_type=JSON)
    assert answer.status_code == 400 and "actions/resize" in answer.json()["errors"]["vcpus"][0]
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    answer = client.patch(f"/api/v1/instances/{Instance.objects.get().pk}/", {"vcpus": 1}, content_type=JSON)
    assert answer.status_code == 400 and "actions/resize" in answer.json()["errors"]["vcpus"][0]


def test_patch_gives_it_another_size_as_a_resize_does(world: World, custom: InstanceType, browser) -> None:
    row, client = made(world, custom, vcpus=2, memory_mib=1024), browser("alice")
    path = f"/api/v1/instances/{row.pk}/"
    answer = client.patch(path, {"memory_mib": 1536}, content_type=JSON)
    assert (answer.status_code, answer.json()["kind"]) == (202, "instance.resize")
    drain()
    assert Operation.objects.get(kind="instance.resize").plan == ["define", "grow"]
    row = Instance.objects.get()
    assert books(row) == as_booked(2, 1536) and SimulatedHost(world.host.endpoint.uri).size(row.pk) == (2, 1536)
    assert AuditEvent.objects.get(action="instance.resize").after["memory_mib"] == "1536"
    # Less needs a restart, which has to be allowed; names and sizes are no one request.
    assert client.patch(path, {"vcpus": 1}, content_type=JSON).json()["code"] == "needs_restart"
    assert client.patch(path, {"vcpus": 1, "allow_restart": True}, content_type=JSON).status_code == 202
    drain()
    assert books(Instance.objects.get()) == as_booked(1, 1536)
    for wrong in ({"vcpus": 2, "name": "other"}, {"allow_restart": True}, {"vcpus": 9}, {"vcpus": 1, "memory_mib": 1536}):
        assert client.patch(path, wrong, content_type=JSON).status_code == 400, wrong
    assert client.patch(path, {"name": "other"}, content_type=JSON).json()["name"] == "other"
    assert browser("vera").patch(path, {"vcpus": 2}, content_type=JSON).status_code == 403


def test_quota_holds_for_it(world: World, custom: InstanceType, browser) -> None:
    row = made(world, custom)
    Quota.objects.create(project=world.project, region=world.region, dimension="vcpus", limit=2)
    answer = browser("alice").patch(f"/api/v1/instances/{row.pk}/", {"vcpus": 3}, content_type=JSON)
    assert (answer.status_code, answer.json()["code"]) == (409, "quota_exceeded")
    assert books(Instance.objects.get()) == as_booked(1, 512)


def test_between_a_fixed_and_a_custom_type_and_a_clone(world: World, custom: InstanceType, browser) -> None:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    row, client = Instance.objects.get(), browser("alice")
    body = {"type": str(custom.pk), "vcpus": 2, "memory_mib": 1024}
    assert client.post(f"/api/v1/instances/{row.pk}/actions/resize/", body, content_type=JSON).status_code == 202
    drain()
    assert books(Instance.objects.get()) == as_booked(2, 1024)
    for verb in ("stop", "clone"):
        assert client.post(f"/api/v1/instances/{row.pk}/actions/{verb}/", {}, content_type=JSON).status_code == 202
        drain()
    clone = Instance.objects.exclude(pk=row.pk).get()
    assert (clone.state, clone.vcpus, clone.memory_mib) == ("running", 2, 1024)


def test_pages_ask_for_the_size_and_say_what_it_costs(world: World, custom: InstanceType, browser) -> None:
    client = browser("alice")
    page = client.get(reverse("instances:create")).content.decode()
    assert 'name="vcpus"' in page and "1–8 vCPU" in page
    order = body_of(world, custom, vcpus="4", memory_mib="2048", count="1")
    assert "0.161" in client.post(reverse("instances:summary"), order).content.decode()
    wrong = client.post(reverse("instances:create"), order | {"vcpus": "9"})
    assert wrong.status_code == 400 and "From 1 to 8 in steps of 1." in wrong.content.decode()
    assert client.post(reverse("instances:create"), order).status_code == 302
    drain()
    row = Instance.objects.get()
    assert books(row) == as_booked(4, 2048)
    path = reverse("instances:resize", args=[row.pk])
    form = client.get(path).content.decode()
    assert f'value="{custom.pk}" data-custom checked' in form and 'name="vcpus" value="4"' in form, "what it has"
    assert client.post(path, {"type": str(custom.pk), "vcpus": "5", "memory_mib": ""}).status_code == 302
    drain()
    assert books(Instance.objects.get()) == as_booked(5, 2048)


@pytest.mark.parametrize("fields", [{"max_vcpus": 4}, {"max_vcpus": 1, "max_memory_mib": 4096, "vcpus": 2}, {"numa_nodes": 9},
                                    {"numa_nodes": 2}, {"firmware": "uefi-secure", "machine": "i440fx"},
                                    {"max_vcpus": 2, "max_memory_mib": 1024, "vcpus_step": 0}])
def test_a_type_that_makes_no_sense_is_not_kept(db: None, fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        InstanceType(**{"slug": "x", "name": "X", "vcpus": 1, "memory_mib": 512} | fields).full_clean()
