"""The truth table of classes of virtual hardware: what it says of each is so, and whoever asks is told the same."""
from decimal import Decimal
from uuid import uuid4

import pytest
from django.urls import reverse

from billing.seed import seed_prices
from compute.hosts import placement
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Trait
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.drivers.spec import Interface
from compute.hosts.models import Host, Verdict
from compute.instances import abilities
from compute.instances.abilities import ABILITIES, BARS, NOTES, table, why_not
from compute.instances.classes import CpuMode, Firmware, IoClass, Machine
from compute.instances.design import design_domain
from compute.instances.errors import ClassForbids, NotSupported
from compute.instances.models import Instance, InstanceType
from compute.instances.offers import BILLED
from compute.instances.operations import act, create_instance
from compute.instances.resizing import OTHER_CLASS, Resize, Way
from portal.kernel.errors import HostFault, InvalidInput, NoCapacity
from tests.world import World, drain

CLASSES = {
    "usual": {}, "uefi": {"firmware": "uefi"}, "secure": {"firmware": "uefi-secure"}, "i440fx": {"machine": "i440fx"},
    "emulated": {"io_class": "emulated"}, "multiqueue": {"io_class": "multiqueue"}, "host-model": {"cpu_mode": "host-model"},
    "baseline": {"cpu_mode": "baseline"}, "numa": {"numa_nodes": 2}, "hugepages": {"has_hugepages": True}}
# Written down a second time, on purpose: what is not possible. (`tests/compute/drivers/test_classes_on_qemu.py` asks QEMU.)
NEVER = {"uefi": {"snapshot_memory"}, "secure": {"snapshot_memory", "restart_elsewhere"}, "emulated": {"hot_add_devices"},
         "numa": {"hot_add_vcpus", "hot_add_memory"}}


def make_type(world: World, name: str, **more: object) -> InstanceType:
    """A custom one, so that it can grow in itself."""
    prices = [(f"instance.{state}.{part}", name, Decimal("0.01")) for state in BILLED for part in ("vcpu", "memory")]
    seed_prices(world.region, prices)
    return InstanceType.objects.create(**{"slug": name, "name": name.title(), "vcpus": 2, "memory_mib": 256, "max_vcpus": 4,
                                          "max_memory_mib": 1024, "memory_step_mib": 128, "root_disk_gib": 1} | more)


def made(world: World, type: InstanceType) -> Instance:
    create_instance(world.order(type=type, name=type.slug), actor=world.people["alice"])
    drain()
    return Instance.objects.select_related("type", "host__endpoint", "region", "project__organization").get(type=type)


def test_the_table_speaks_only_of_marks_that_there_are() -> None:
    words = {*Firmware.values, *Machine.values, *CpuMode.values, *IoClass.values, "numa", "hugepages"}
    assert {row.mark for row in (*BARS, *NOTES)} <= words
    assert {name for row in (*BARS, *NOTES) for name in row.abilities} <= set(ABILITIES)
    assert all(row.reason for row in (*BARS, *NOTES))


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_class_does_not_permit_has_a_reason(name: str) -> None:
    told = table(InstanceType(**CLASSES[name]))
    assert [one.name for one in told] == list(ABILITIES)
    assert {one.name for one in told if not one.is_possible} == NEVER.get(name, set())
    assert all(one.reason for one in told if not one.is_possible)


def test_every_class_grows_takes_devices_and_is_suspended_as_the_table_says(world: World, browser) -> None:
    client, hand = browser("alice"), SimulatedHost(world.host.endpoint.uri)
    for name, fields in CLASSES.items():
        type = make_type(world, name, **fields)
        row = made(world, type)
        assert row.state == "running", name
        _grows_as_told(row, hand)
        _takes_devices_as_told(row)
        assert not why_not(type, "suspend")
        for verb in ("suspend", "resume"):
            act(Instance.objects.get(pk=row.pk), verb, actor=world.people["alice"])
            drain()
        assert Instance.objects.get(pk=row.pk).state == "running"
        told = client.get(f"/api/v1/instance-types/{type.pk}/").json()["abilities"]
        assert [(one["name"], one["is_possible"], one["reason"]) for one in told] == [
            (one.name, one.is_possible, one.reason) for one in table(type)]
        page = client.get(reverse("instances:detail", args=[row.pk])).content.decode()
        assert all(one.reason in page for one in table(type))
        act(Instance.objects.get(pk=row.pk), "purge", actor=None)
        drain()


def _grows_as_told(row: Instance, hand: SimulatedHost) -> None:
    for ability, more in (("hot_add_vcpus", {"vcpus": row.vcpus + 1}), ("hot_add_memory", {"memory_mib": row.memory_mib + 128})):
        fresh = Instance.objects.select_related("type", "host__endpoint").get(pk=row.pk)
        wanted, reason = Resize(instance=fresh, type=fresh.type, **more), why_not(fresh.type, ability)
        assert (wanted.way is Way.LIVE, wanted.why_not_live) == (not reason, reason)
        if not reason:
            act(fresh, "resize", actor=None, type=fresh.type, **more)
            drain()
            after = Instance.objects.get(pk=row.pk)
            assert (after.vcpus, after.memory_mib) == hand.size(row.pk) and after.generation == fresh.generation


def _takes_devices_as_told(row: Instance) -> None:
    card = Interface(mac="0a:4d:00:00:00:99", interface_id=uuid4())
    with hypervisor(row.host) as driver:
        if why_not(row.type, "hot_add_devices"):
            with pytest.raises(HostFault):
                driver.ensure_plugged(row.pk, row.generation, card)
        else:
            driver.ensure_plugged(row.pk, row.generation, card)


def test_a_verb_that_its_class_rules_out_is_refused_with_the_reason(world: World, browser, monkeypatch) -> None:
    row = made(world, make_type(world, "usual"))
    bar = abilities.Bar(mark="virtio", abilities=("suspend",), reason="Not with these.")
    monkeypatch.setattr(abilities, "BARS", (*BARS, bar))
    with pytest.raises(ClassForbids) as refused:
        act(row, "suspend", actor=None)
    assert refused.value.code == NotSupported.code and refused.value.facts["reason"] == "Not with these."
    answer = browser("alice").post(f"/api/v1/instances/{row.pk}/actions/suspend/", {}, content_type="application/json")
    assert answer.status_code == 409 and "Not with these." in answer.json()["detail"]
    assert "Not with these." in browser("alice").get(reverse("instances:detail", args=[row.pk])).content.decode()


def test_no_host_with_it_is_said_before_anything_is_made(world: World, browser) -> None:
    type, client = make_type(world, "secure", firmware="uefi-secure"), browser("alice")
    assert set(Host.objects.get().traits) == set(Trait)
    Host.objects.update(traits=["uefi"])
    body = {"project": str(world.project.pk), "region": str(world.region.pk), "name": "web", "type": str(type.pk),
            "image": str(world.image.pk)}
    for query in ("", "?dry_run=true"):
        answer = client.post("/api/v1/instances/" + query, body, content_type="application/json")
        assert answer.status_code == 400 and "virtual hardware" in answer.json()["errors"]["type"][0]
    assert "No host of this region has its virtual hardware." in client.post(
        reverse("instances:summary"), body).content.decode()
    # Found only when it is placed, it is in the verdict.
    Host.objects.update(traits=list(Trait))
    create_instance(world.order(type=type), actor=world.people["alice"])
    Host.objects.update(traits=["uefi"])
    drain()
    verdict = Verdict.objects.get()
    assert (verdict.reason, verdict.facts) == ("no_class", {"lacking": ["uefi-secure"]})
    assert Instance.objects.get().state == "error"
    assert placement.forecast(world.region, None, {"vcpu": 1}, traits=type.traits) == ["no_class"]
    with pytest.raises(NoCapacity):
        placement.claim(Instance.objects.get(), region=world.region, zone=None, wanted={"vcpu": 1}, traits=type.traits)


def test_a_size_of_another_class_is_refused_and_another_processor_needs_a_restart(world: World, browser) -> None:
    row = made(world, make_type(world, "usual"))
    for field, value in (("firmware", "uefi"), ("machine", "i440fx"), ("io_class", "emulated")):
        other = make_type(world, value, **{field: value})
        with pytest.raises(InvalidInput) as refused:
            act(row, "resize", actor=None, type=other, allow_restart=True)
        assert refused.value.errors["type"] == [str(OTHER_CLASS)]
    assert str(OTHER_CLASS) in browser("alice").get(reverse("instances:resize", args=[row.pk])).content.decode()
    baseline = make_type(world, "baseline", cpu_mode="baseline")
    assert Resize(instance=row, type=baseline).way is Way.RESTART
    act(row, "resize", actor=None, type=baseline, allow_restart=True)
    drain()
    fresh = Instance.objects.get(pk=row.pk)
    assert (fresh.state, fresh.type) == ("running", baseline)
    assert design_domain(fresh, seed="/s", listen="127.0.0.1").cpu_model == "qemu64"
    Host.objects.update(traits=[])
    with pytest.raises(InvalidInput):
        act(fresh, "resize", actor=None, type=make_type(world, "huge", has_hugepages=True), allow_restart=True)
