"""What the ladder means to instances: none is made or started, what runs is stopped on its rung, and once paid may start."""
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing import ladder, ledger, payments, profiles
from billing.models import Account, Dunning, Entry, Invoice, Price, UsageInterval
from billing.prices import price_of
from compute.hosts.drivers.simulated import SimulatedHost
from compute.hosts.models import Claim
from compute.instances.models import Instance
from compute.instances.operations import act, create_instance
from compute.instances.recycling import purge_due
from compute.instances.suspension import stop_suspended
from compute.network.models import FloatingIp
from portal.kernel.errors import PrepaidUsedUp, StateConflict, Unpaid
from portal.kernel.models import Operation
from portal.kernel.states import database_now
from storage.models import Volume
from tenants.models import Organization
from tests.network.networked import API, Networked, add_network
from tests.world import World, drain, make_world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def net(db: None, tmp_path: Path, settings: Any) -> Networked:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return add_network(make_world(tmp_path))


def owe(world: World, days: int) -> None:
    """An invoice over 5 that has been due for so many days."""
    organization, now = world.project.organization, database_now()
    then = now - days * DAY
    invoice = Invoice.objects.create(
        organization=organization, number="T-1", month="2026-01", period=DateTimeTZRange(then - 40 * DAY, then - 14 * DAY),
        currency="CNY", subtotal=5, total=5, seller={}, buyer={}, issued_at=then - 14 * DAY, due_at=then)
    ledger.book(organization, "invoice:t", "invoice", {Account.RECEIVABLE: Decimal(5), Account.REVENUE: Decimal(-5)}, "CNY",
                invoice=invoice)


def climb(world: World, rung: str) -> None:
    """As far as that, a day for each rung."""
    now = database_now()
    for day in range(6):
        if ladder.follow(world.project.organization, now=now + day * DAY).rung == rung:
            return
    raise AssertionError(Dunning.objects.get())


def pay(world: World, amount: str = "5") -> None:
    payments.record(world.project.organization, Decimal(amount), "CNY", "manual", amount, None)


def body(net: Networked) -> dict[str, Any]:
    return net.scope | {"name": "web", "type": str(net.world.type.pk), "image": str(net.world.image.pk)}


def test_a_blocked_organization_makes_and_starts_nothing_and_its_instances_run_on(net: Networked) -> None:
    world = net.world
    create_instance(world.order(), actor=world.people["alice"])
    create_instance(world.order(name="off"), actor=world.people["alice"])
    drain()
    act(Instance.objects.get(name="off"), "stop", actor=None)
    drain()
    owe(world, 30)
    climb(world, "blocked")
    refused = net.post("instances", body(net))
    assert (refused.status_code, refused.json()["code"], refused.json()["rung"]) == (402, "unpaid", "blocked")
    assert net.api("alice").post(f"{API}/instances/?dry_run=true", body(net), format="json").json()["allowed"] is False
    assert net.post("floating-ips", net.scope).status_code == 402
    assert net.api("alice").post(f"{API}/instances/{Instance.objects.get(name='off').pk}/actions/start/").status_code == 402
    assert Instance.objects.count() == 2 and not FloatingIp.objects.exists()
    assert stop_suspended() == []
    pay(world)
    act(Instance.objects.get(name="off"), "start", actor=None)
    drain()
    assert {one.state for one in Instance.objects.all()} == {"running"}


def test_what_runs_is_stopped_once_and_starts_again_when_it_is_paid(net: Networked) -> None:
    world = net.world
    create_instance(world.order(), actor=world.people["alice"])
    create_instance(world.order(project=world.rival_project, name="theirs"), actor=world.people["mallory"])
    drain()
    owe(world, 30)
    climb(world, "stopped")
    assert len(stop_suspended()) == 1
    assert stop_suspended() == []  # it is under way
    drain()
    assert Instance.objects.get(name="web").state == "stopped" and Instance.objects.get(name="theirs").state == "running"
    with pytest.raises(Unpaid):
        act(Instance.objects.get(name="web"), "start", actor=None)
    pay(world)
    assert stop_suspended() == [] and Instance.objects.get(name="web").state == "stopped"  # whoever wants it starts it
    act(Instance.objects.get(name="web"), "start", actor=None)
    drain()
    assert Instance.objects.get(name="web").state == "running"


def test_on_the_last_rung_what_is_stopped_goes_to_the_recycle_bin_and_who_pays_restores_it(net: Networked) -> None:
    world = net.world
    create_instance(world.order(), actor=world.people["alice"])
    create_instance(world.order(project=world.rival_project, name="theirs"), actor=world.people["mallory"])
    drain()
    owe(world, 90)
    climb(world, "recycled")
    for state in ("stopped", "recycled"):  # first stopped, as on the rung before
        stop_suspended()
        drain()
        assert Instance.objects.get(name="web").state == state
    recycled = Operation.objects.get(kind="instance.recycle")
    assert (recycled.actor, Instance.objects.get(name="theirs").state) == (None, "running")
    assert stop_suspended() == [] and purge_due() == []
    assert not Operation.objects.filter(kind="instance.delete").exists()
    with pytest.raises(StateConflict):
        act(Instance.objects.get(name="web"), "start", actor=None)
    pay(world)
    for verb, state in (("restore", "stopped"), ("start", "running")):
        act(Instance.objects.get(name="web"), verb, actor=None)
        drain()
        assert Instance.objects.get(name="web").state == state


def test_on_the_last_rung_what_a_rebuild_has_left_without_a_disk_gives_its_hosts_room_back(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    for name in ("web", "failed"):
        if name == "failed":
            SimulatedHost(world.host.endpoint.uri).fail("ensure_started", kind="error")
        create_instance(world.order(name=name), actor=alice)
        drain()
    SimulatedHost(world.host.endpoint.uri).fail("ensure_volume", kind="error")
    web = Instance.objects.get(name="web")
    act(web, "rebuild", actor=alice, image=world.image)
    drain()
    root = Volume.objects.get(attachment__domain=web.pk)
    assert {*Instance.objects.values_list("state", flat=True)} == {"error"} and Claim.objects.filter(consumer=web).exists()
    assert UsageInterval.objects.filter(resource=root, period__endswith=None).exists()  # its disk's place is kept, and costs
    owe(world, 90)
    climb(world, "stopped")
    assert stop_suspended() == [], "its owner may still pay and rebuild it"
    climb(world, "recycled")
    stop_suspended()
    drain()
    assert dict(Instance.objects.values_list("name", "state")) == {"web": "deleted", "failed": "error"}
    assert not Claim.objects.filter(consumer=web).exists()
    assert not UsageInterval.objects.filter(resource=root, period__endswith=None).exists()
    assert stop_suspended() == []


def test_what_is_to_be_stopped_is_not_kept_busy_and_comes_back_only_once_it_is_paid(net: Networked) -> None:
    world, alice = net.world, net.world.people["alice"]
    create_instance(world.order(), actor=alice)
    drain()
    owe(world, 90)
    climb(world, "stopped")
    web = Instance.objects.get()
    for verb in ("reboot", "pause", "suspend"):
        assert net.api("alice").post(f"{API}/instances/{web.pk}/actions/{verb}/").status_code == 402, verb
    assert Instance.objects.get().state == "running" and len(stop_suspended()) == 1
    drain()
    climb(world, "recycled")
    stop_suspended()
    drain()
    since = Instance.objects.get(state="recycled").recycled_at
    assert net.api("alice").post(f"{API}/instances/{web.pk}/actions/restore/").status_code == 402
    assert Instance.objects.get(state="recycled").recycled_at == since
    pay(world)
    assert net.api("alice").post(f"{API}/instances/{web.pk}/actions/restore/").status_code == 202


def test_while_nothing_starts_it_is_restored_and_not_started_or_resumed(net: Networked) -> None:
    world = net.world
    create_instance(world.order(), actor=world.people["alice"])
    create_instance(world.order(name="asleep"), actor=world.people["alice"])
    drain()
    act(Instance.objects.get(name="web"), "delete", actor=None)
    act(Instance.objects.get(name="asleep"), "suspend", actor=None)
    drain()
    owe(world, 30)
    climb(world, "blocked")
    act(Instance.objects.get(name="web"), "restore", actor=None)
    drain()
    assert Instance.objects.get(name="web").state == "stopped"
    for name, verb in (("web", "start"), ("asleep", "resume")):
        with pytest.raises(Unpaid):
            act(Instance.objects.get(name=name), verb, actor=None)


def test_the_look_is_rung_for_when_it_is_stopped(net: Networked, monkeypatch: pytest.MonkeyPatch,
                                                 django_capture_on_commit_callbacks: Callable) -> None:
    rung: list[str] = []
    monkeypatch.setattr("compute.instances.suspension.ring_task", lambda name, _queue: rung.append(name))
    owe(net.world, 30)
    with django_capture_on_commit_callbacks(execute=True):
        climb(net.world, "blocked")
    assert rung == []
    with django_capture_on_commit_callbacks(execute=True):
        climb(net.world, "stopped")
    assert rung and set(rung) == {"instances.stop_suspended"}


def test_who_pays_in_advance_starts_nothing_that_outruns_it(net: Networked) -> None:
    world = net.world
    organization = world.project.organization
    profiles.set_profile(organization, actor=world.people["root"], is_prepaid=True)
    refused = net.post("instances", body(net))
    assert (refused.status_code, refused.json()["code"], refused.json()["left"]) == (402, "no_credit", "0.00")
    assert "Top up first" in refused.json()["detail"]
    assert net.post("floating-ips", net.scope).status_code == 402
    pay(world, "10")
    create_instance(world.order(), actor=world.people["alice"])
    drain()
    instance = Instance.objects.get()
    act(instance, "stop", actor=None)
    drain()
    # All of it is used elsewhere meanwhile.
    now = database_now()
    Organization.objects.update(created_at=now - DAY)
    Price.objects.update(valid=DateTimeTZRange(now - DAY, None))
    UsageInterval.objects.create(resource=world.image, project=world.project, region=world.region, meter="instance.running",
                                 sku="small", quantity=1000, period=DateTimeTZRange(now - timedelta(minutes=2), now))
    with pytest.raises(PrepaidUsedUp):
        act(instance, "start", actor=None)
    pay(world, "100")
    act(instance, "start", actor=None)
    assert Entry.objects.filter(kind="payment").count() == 2


def test_what_is_about_to_run_counts_as_running(net: Networked) -> None:
    """Several one after the other, none of which runs yet, are not each the only one; nor are starts."""
    world = net.world
    organization = world.project.organization
    profiles.set_profile(organization, actor=world.people["root"], is_prepaid=True)
    hourly = price_of(organization, world.region, world.order().readings, database_now()).hourly.amount
    pay(world, str((hourly * Decimal("2.5")).quantize(Decimal("0.01"))))
    made = [net.post("instances", body(net) | {"name": f"web-{number}"}).status_code for number in range(4)]
    assert made == [202, 202, 402, 402]
    drain()
    assert net.post("instances", body(net) | {"name": "late"}).status_code == 402
    for row in Instance.objects.all():
        act(row, "stop", actor=None)
    drain()
    create_instance(world.order(name="web-2"), actor=None)
    starts = [net.api("alice").post(f"{API}/instances/{row.pk}/actions/start/").status_code
              for row in Instance.objects.filter(state="stopped")]
    assert starts == [202, 402]
