"""What is deleted waits in the recycle bin, whole and off: restored it is what it was, and its day passed it is gone."""
import re
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.instances import stopping
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.reconcile import reconcile_host
from compute.instances.recycling import purge_due
from compute.instances.suspension import stop_suspended
from portal.kernel.errors import StateConflict
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.states import database_now
from portal.queries import taken as counted
from portal.queries.attention import newest_and_odd
from storage.models import Attachment, Volume
from tenants.models import Organization
from tenants.quotas import lines
from tenants.structure import resume_organization, suspend_organization
from tests.instances.test_quota_and_capacity_races import at_once
from tests.world import World, drain


@pytest.fixture
def made(world: World) -> Instance:
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    return Instance.objects.get()


def do(instance: Instance, verb: str, actor: Any = None) -> Instance:
    act(instance, verb, actor=actor)
    drain()
    instance.refresh_from_db()
    return instance


def power(world: World, instance: Instance) -> Power | None:
    with hypervisor(world.host) as driver:
        view = driver.domain(instance.pk)
    return view.power if view else None


def taken(world: World) -> dict[str, int]:
    return {line.resource: line.used for line in lines(world.project, world.region)
            if line.resource in ("instances", "vcpus", "memory_mib", "volume_gib")}


def test_a_deleted_instance_is_off_and_keeps_all_it_has(world: World, made: Instance) -> None:
    before = taken(world)
    do(made, "delete", world.people["alice"])
    assert (made.state, made.deleted_at, power(world, made)) == ("recycled", None, Power.OFF)
    assert made.purge_at - made.recycled_at == timedelta(days=7)
    assert taken(world) == before and Claim.objects.filter(consumer=made).count() == 2
    assert Volume.objects.get(attachment__domain=made.pk).state == "in_use" and not Hold.objects.exists()
    assert set(UsageInterval.objects.filter(period__endswith=None).values_list("meter", flat=True)) == {
        "instance.recycled", "volume"}
    assert AuditEvent.objects.filter(action="instance.recycle", resource=made).count() == 1


def test_restored_it_is_stopped_and_starts(world: World, made: Instance) -> None:
    do(made, "delete")
    for verb in ("start", "delete", "stop"):
        with pytest.raises(StateConflict):
            act(made, verb, actor=None)
    do(made, "restore")
    assert (made.state, made.recycled_at, made.purge_at) == ("stopped", None, None)
    assert do(made, "start").state == "running" and power(world, made) == Power.RUNNING


@pytest.mark.parametrize("first", ["", "stop", "pause", "suspend"])
def test_every_rest_is_recycled_and_purged(world: World, made: Instance, first: str) -> None:
    if first:
        do(made, first)
    assert do(made, "delete").state == "recycled" and power(world, made) == Power.OFF
    assert do(made, "purge").state == "deleted" and power(world, made) is None
    assert not Claim.objects.exists() and not Attachment.objects.exists()
    assert not UsageInterval.objects.filter(period__endswith=None).exists()


def test_it_is_purged_when_its_day_has_passed_and_not_before(world: World, made: Instance, settings: Any) -> None:
    do(made, "delete")
    assert purge_due() == []
    Instance.objects.update(recycled_at=database_now() - timedelta(days=settings.RECYCLE_DAYS, seconds=1))
    [operation] = purge_due()
    assert (operation.kind, operation.actor) == ("instance.delete", None) and purge_due() == []
    drain()
    made.refresh_from_db()
    assert made.state == "deleted"


def test_who_restores_while_the_clock_purges_gets_one_of_both(world: World, made: Instance) -> None:
    do(made, "delete")
    Instance.objects.update(recycled_at=database_now() - timedelta(days=30))
    outcomes = at_once(4, lambda number: purge_due() if number % 2 else act(made, "restore", actor=None))
    assert Operation.objects.filter(kind__in=("instance.delete", "instance.restore")).count() == 1, outcomes
    drain()
    made.refresh_from_db()
    assert made.state in ("stopped", "deleted") and not Hold.objects.exists()


def test_a_restore_whose_host_is_away_leaves_it_in_the_bin_since_it_came_there(world: World, made: Instance) -> None:
    do(made, "delete")
    since = made.recycled_at
    SimulatedHost(world.host.endpoint.uri).fail("ensure_stopped", kind="error")
    do(made, "restore")
    assert (made.state, made.recycled_at) == ("recycled", since) and made.fault
    assert do(made, "restore").state == "stopped" and made.fault is None


def test_the_reconciler_takes_it_for_a_stopped_one(world: World, made: Instance) -> None:
    do(made, "delete")
    hand = SimulatedHost(world.host.endpoint.uri)
    hand.undefine(made.pk)
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, power(world, made)) == ("recycled", Power.OFF)
    with hypervisor(world.host) as driver:
        driver.ensure_started(made.pk, made.generation)
    reconcile_host(world.host.pk)
    made.refresh_from_db()
    assert (made.state, made.recycled_at) == ("running", None)


def test_those_that_cannot_be_stopped_keep_nobody_waiting(world: World, made: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    create_instance(world.order(count=4), actor=world.people["alice"])
    drain()
    monkeypatch.setattr(stopping, "AT_ONCE", 2)
    first = Instance.objects.order_by("pk").first()
    real = stopping.act

    def failing(instance: Instance, verb: str, **more: Any) -> Operation:
        if instance.pk == first.pk:
            raise RuntimeError("something unexpected")
        return real(instance, verb, **more)

    monkeypatch.setattr(stopping, "act", failing)
    Organization.objects.filter(pk=world.project.organization_id).update(
        suspended_at=database_now(), while_suspended=Organization.WhileSuspended.STOP)
    assert len(stop_suspended()) == 4
    drain()
    assert sorted(Instance.objects.values_list("state", flat=True)) == ["running", *4 * ["stopped"]]


# -- what people and programs see --


def test_the_list_shows_it_only_where_it_is_asked_for(made: Instance, browser) -> None:
    do(made, "delete")
    client, path = browser("alice"), reverse("instances:list")
    plain, binned = (client.get(path + query).content.decode() for query in ("", "?state=recycled"))
    assert str(made.pk) not in plain and re.search(r"Recycle bin \(1\)", plain)
    assert str(made.pk) in binned and f"deleted for good on {made.purge_at:%Y-%m-%d %H:%M} UTC" in binned
    offered = re.findall(r'formaction="/instances/bulk/(\w+)/"', binned)
    assert offered == ["restore", "purge"]
    page = client.get(reverse("instances:detail", args=[made.pk])).content.decode()
    assert f"{made.purge_at:%Y-%m-%d %H:%M}" in page and "/restore/" in page and "/purge/" in page and "/start/" not in page
    assert "<h1>Recycle bin</h1>" in re.sub(r"<h1[^>]*>\s*", "<h1>", binned) and "tab=console" not in client.get(
        reverse("instances:menu", args=[made.pk])).content.decode()
    has = counted.total(counted.taken([made.project_id]))
    assert (has["instances"], has["present"]) == (1, 0)
    assert newest_and_odd([made.project_id]) == ([], [])


def test_programs_list_restore_and_purge_it(made: Instance, browser) -> None:
    client = browser("alice")
    url = f"/api/v1/instances/{made.pk}/"
    assert client.delete(url).status_code == 202
    drain()
    found = client.get(url).json()
    assert found["state"] == "recycled" and found["purge_at"].startswith(f"{database_now() + timedelta(days=7):%Y-%m-%d}")
    assert client.get("/api/v1/instances/").json()["results"] == []
    assert [one["id"] for one in client.get("/api/v1/instances/?state=recycled").json()["results"]] == [str(made.pk)]
    again = client.delete(url)
    assert again.status_code == 409 and again.json()["verbs"] == "restore,purge"
    assert client.post(f"{url}actions/restore/", {}, content_type="application/json").status_code == 202
    drain()
    assert client.get(url).json()["purge_at"] is None
    assert client.delete(f"{url}?purge=maybe").status_code == 400
    assert client.delete(f"{url}?purge=true").status_code == 202
    drain()
    assert not Instance.objects.live().exists()


def test_the_box_on_the_confirmation_asks_for_the_name(made: Instance, browser) -> None:
    client, url = browser("alice"), reverse("instances:delete", args=[made.pk])
    asked = client.post(url).content.decode()
    assert 'name="purge"' in asked and "recycle bin" in asked and "typed_name" not in asked
    asked = client.post(url, {"confirmed": "1", "purge": "on"}).content.decode()
    assert "typed_name" in asked and f'action="/instances/{made.pk}/purge/"' in asked and "not the name" not in asked
    assert not Operation.objects.filter(kind__in=("instance.delete", "instance.recycle")).exists()
    assert client.post(f"/instances/{made.pk}/purge/", {"confirmed": "1", "typed_name": "wrong"}).status_code == 400
    client.post(f"/instances/{made.pk}/purge/", {"confirmed": "1", "typed_name": made.name})
    assert Operation.objects.filter(kind="instance.delete").count() == 1
    drain()


def test_one_in_error_is_purged_at_once(made: Instance, browser) -> None:
    Instance.objects.update(state="error", fault={"code": "no_capacity"})
    client, url = browser("alice"), reverse("instances:delete", args=[made.pk])
    assert "typed_name" in client.post(url).content.decode()
    client.post(url, {"confirmed": "1", "typed_name": made.name})
    drain()
    made.refresh_from_db()
    assert made.state == "deleted"


def test_what_a_suspended_organization_cannot_restore_is_not_purged(made: Instance) -> None:
    do(made, "delete")
    Instance.objects.update(recycled_at=database_now() - timedelta(days=8))
    organization = Organization.objects.get(pk=made.project.organization_id)
    suspend_organization(organization, reason="-", actor=None)
    Organization.objects.update(suspended_at=database_now() - timedelta(days=3))
    assert purge_due() == []
    resume_organization(organization, actor=None)
    assert purge_due() == []  # five days of seven: those in which nobody could restore it do not count
    made.refresh_from_db()
    assert made.purge_at - database_now() > timedelta(days=1, hours=23)
    Instance.objects.update(recycled_at=made.recycled_at - timedelta(days=2, minutes=1))
    assert len(purge_due()) == 1
