"""Drain and resume, and operations that another version of the code accepted: nothing is lost, nothing loops."""
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client

from compute.instances import tasks as instances
from compute.network import tasks as networks
from portal.kernel import maintenance, tasks
from portal.kernel.errors import HostFault
from portal.kernel.models import AuditEvent, Operation, PortalState, Region
from portal.kernel.operations import Kind, Run, Step, Wait, engine, kinds, submit
from tenants.models import User
from tests.world import drain

pytestmark = pytest.mark.django_db(transaction=True)
KIND = "test.upgraded"
CALLS: Counter[str] = Counter()
LONG_AGO = timedelta(hours=5)


def step(name: str, **options: object) -> Step:
    return Step(name, lambda run: CALLS.update([name]), lambda run: CALLS.update([f"undo {name}"]), **options)


def kind(*steps: Step, pivot: str | None = None) -> Kind:
    return Kind(name=KIND, label=KIND, steps=steps, pivot=pivot, succeeded=lambda run: {},
                failed=lambda run, error: CALLS.update(["failed"]))


@pytest.fixture
def region(transactional_db: None, settings) -> Iterator[Region]:
    settings.DOORBELLS = False
    CALLS.clear()
    kinds[KIND] = kind(step("a"), step("b"), step("c"))
    yield Region.objects.create(slug="r", name="R")
    kinds.pop(KIND, None)


def begin(region: Region) -> Operation:
    return submit(KIND, region=region, actor=None)


def fresh(operation: Operation) -> Operation:
    operation.refresh_from_db()
    return operation


def test_what_is_accepted_while_drained_waits_and_goes_on_afterwards(region: Region) -> None:
    maintenance.begin("an upgrade")
    operation = begin(region)
    assert not engine.advance(operation.pk) and tasks.sweep() == 0 and fresh(operation).state == "queued"
    assert maintenance.end() and not maintenance.end()
    assert tasks.sweep() == 1
    drain()
    assert fresh(operation).state == "succeeded"
    assert list(AuditEvent.objects.order_by("at").values_list("action", flat=True)) == ["portal.drain", "portal.resume"]


def test_the_step_at_work_ends_and_the_next_does_not_begin(region: Region) -> None:
    def draining(run: Run) -> None:
        CALLS["a"] += 1
        maintenance.begin()
    kinds[KIND] = kind(Step("a", draining), step("b"))
    operation = begin(region)
    engine.advance()
    assert (fresh(operation).step, operation.lease_until, operation.state) == (1, None, "running") and not CALLS["b"]
    maintenance.end()
    drain()
    assert fresh(operation).state == "succeeded" and Counter(a=1, b=1) == CALLS


def test_time_without_workers_uses_up_no_limit(region: Region) -> None:
    kinds[KIND] = kind(Step("a", lambda run: Wait(1) if not CALLS.update(["a"]) and CALLS["a"] == 1 else None), step("b"))
    operation = begin(region)
    engine.advance()
    # As if nobody had looked at it for five hours: far beyond the step's limit and the operation's deadline.
    moved = {name: F(name) - LONG_AGO for name in ("run_after", "updated_at", "deadline", "step_since")}
    Operation.objects.update(**moved)
    drain()
    assert fresh(operation).state == "succeeded" and not CALLS["undo a"]


def test_time_at_work_does_use_it_up(region: Region) -> None:
    kinds[KIND] = kind(Step("a", lambda run: Wait(1)), step("b"))
    operation = begin(region)
    engine.advance()
    Operation.objects.update(step_since=F("step_since") - LONG_AGO, run_after=F("run_after") - LONG_AGO)
    engine.advance()
    assert fresh(operation).state == "failed" and operation.error["code"] == "deadline_exceeded"


@pytest.mark.parametrize("steps", [(step("a"), step("renamed"), step("c")), (step("a"), step("c"))], ids=["renamed", "removed"])
def test_a_step_that_this_version_does_not_know_stops_for_a_person(region: Region, steps: tuple[Step, ...]) -> None:
    operation = begin(region)
    CALLS.clear()
    Operation.objects.update(step=1, state="running")  # the old version had done `a`
    kinds[KIND] = kind(*steps)
    engine.advance()
    assert fresh(operation).person_since is not None and operation.error["facts"]["steps"] == "b"
    assert operation.error["code"] == "other_version" and not CALLS, "something was done or undone"
    assert operation.lease_until is None and operation.run_after > operation.updated_at + timedelta(seconds=30), "it loops"
    assert operation.deadline > operation.updated_at + timedelta(seconds=300)
    kinds[KIND] = kind(step("a"), step("b"), step("c"))  # the version that knows them is back
    drain()
    assert fresh(operation).state == "succeeded" and operation.person_since is None and Counter(b=1, c=1) == CALLS


def test_a_kind_that_is_gone_stops_for_a_person(region: Region) -> None:
    operation = begin(region)
    declared = kinds.pop(KIND)
    engine.advance()
    assert fresh(operation).error["code"] == "other_version" and operation.person_since is not None
    kinds[KIND] = declared


def test_a_lost_pivot_never_turns_back(region: Region) -> None:
    kinds[KIND] = kind(step("a"), step("b"), step("c"), pivot="b")
    operation = begin(region)
    Operation.objects.update(step=2, state="running")
    kinds[KIND] = kind(step("a"), step("b"), step("c"), step("d"), pivot="d")
    engine.advance()
    assert fresh(operation).error["facts"]["steps"] == "d" and not operation.undoing and not CALLS


def test_a_step_keeps_its_former_names(region: Region) -> None:
    operation = begin(region)
    kinds[KIND] = kind(step("a"), step("better", formerly=("b",)), step("c"), pivot="better")
    drain()
    assert fresh(operation).state == "succeeded" and Counter(a=1, better=1, c=1) == CALLS


def test_an_added_step_is_not_for_plans_made_before(region: Region) -> None:
    operation = begin(region)
    kinds[KIND] = kind(step("a"), step("new"), step("b"), step("c"))
    drain()
    assert fresh(operation).state == "succeeded" and Counter(a=1, b=1, c=1) == CALLS


def test_undo_by_a_version_that_lost_the_step_keeps_the_tenants_reason(region: Region) -> None:
    def broken(run: Run) -> None:
        raise HostFault("broken")
    kinds[KIND] = kind(step("a"), Step("b", broken), step("c"))
    operation = begin(region)
    without_a = kind(step("x"), step("b"))
    kinds[KIND] = kind(step("a"), Step("b", broken, lambda run: kinds.update({KIND: without_a})), step("c"))
    engine.advance()
    assert fresh(operation).undoing and operation.error["code"] == "host_fault" and operation.person_since is not None
    assert operation.facts["undo_error"]["code"] == "other_version" and not CALLS["failed"]


def test_hosts_and_networks_are_left_alone_meanwhile(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_arguments: object) -> None:
        raise AssertionError("somebody looks for work")
    monkeypatch.setattr(instances.Host.objects, "followed", asked)
    monkeypatch.setattr(networks.Fabric.objects, "select_related", asked)
    monkeypatch.setattr(networks, "due", asked)
    for look in (instances.reconcile_all, networks.reconcile_all, networks.sweep):
        with pytest.raises(AssertionError, match="looks for work"):
            look()
    maintenance.begin()
    instances.reconcile_all()
    networks.reconcile_all()
    networks.sweep()


def test_the_commands_say_what_waits(region: Region) -> None:
    begin(region)
    out = StringIO()
    call_command("drain", "--reason", "new disks", stdout=out)
    assert "1 operations wait" in out.getvalue() and PortalState.objects.get().reason == "new disks"
    call_command("resume", stdout=out)
    assert "Maintenance has ended. 1 operations go on" in out.getvalue()
    call_command("resume", stdout=out)
    assert "There was no maintenance" in out.getvalue()


def test_drain_names_the_step_that_is_still_at_work(region: Region) -> None:
    operation = begin(region)
    engine.claim(operation.pk)
    with pytest.raises(CommandError, match=f"{KIND} {operation.pk} in a"):
        call_command("drain", "--wait", "0")


def test_load_balancers_and_scrapers_are_told(region: Region, client: Client) -> None:
    begin(region)
    maintenance.begin("x")
    assert client.get("/readyz").json()["maintenance"] is True
    text = client.get("/metrics").content.decode()
    assert "mains_maintenance 1.0" in text and "mains_backup_age_seconds" not in text
    PortalState.objects.update(backup_at="2020-01-01T00:00:00Z", backup_bytes=5)
    text = client.get("/metrics").content.decode()
    assert "mains_backup_bytes 5.0" in text
    age = next(line for line in text.splitlines() if line.startswith("mains_backup_age_seconds "))
    assert float(age.split()[1]) > 1e8


def test_pages_say_so_while_it_lasts(region: Region, client: Client) -> None:
    client.force_login(User.objects.create(username="vera"))
    assert b"data-maintenance" not in client.get("/").content
    maintenance.begin("<b>disks</b>")
    page = client.get("/").content
    assert b"data-maintenance" in page and b"&lt;b&gt;disks" in page
    maintenance.end()
    assert b"data-maintenance" not in client.get("/").content
