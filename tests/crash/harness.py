"""The crash harness: die at the k-th outside call, let the engine recover, compare database, host and files.

A warm parent forks a child for every k; the child advances the operation with every database statement, driver call
and file operation counted, and is gone (`os._exit`) at the k-th. The parent then lets the lease run out (it moves the
clock of the row, which is what waiting would do), drains, and takes the census. k grows until the child comes through.
"""
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from django.db import connection, connections

from billing.models import UsageInterval
from compute.hosts.connections import hypervisor
from compute.hosts.drivers.contract import Power
from compute.hosts.models import Claim
from compute.instances.models import Instance, Snapshot
from portal.kernel import crash
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.operations import engine
from storage.connections import volume_pool
from storage.models import Attachment, Volume
from tests.world import World, drain

KILLED = 137
AT_REST = {"running": Power.RUNNING, "rescued": Power.RUNNING, "paused": Power.PAUSED, "suspended": Power.SUSPENDED,
           "stopped": Power.OFF, "recycled": Power.OFF}


@dataclass
class Tally:
    """What a scenario went through."""

    points: int = 0
    reached: list[str] = field(default_factory=list)


def every_point(prepare: Callable[[], Operation], check: Callable[[Operation], None], *, first: int = 1,
                stride: int = 1, last: int = 5000, only: str = "") -> Tally:
    """Kill at k = first, first + stride, … until the operation completes untouched; `check` after each recovery.

    With `only`, just the points whose name has that word count ("step": the boundaries of steps).
    """
    tally = Tally()
    for k in range(first, last, stride):
        operation = prepare()
        survived = _advance_and_die(operation.pk, k, only)
        recover()
        operation.refresh_from_db()
        check(operation)
        if survived:
            return tally
        tally.points += 1
    raise AssertionError(f"the operation was still being killed at point {last}")


def _advance_and_die(operation_id: UUID, k: int, only: str) -> bool:
    """Advance in a child that is killed at its k-th crash point; True when it came through."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        _child(operation_id, k, only)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED), f"the child ended with {code} at point {k}"
    return code == 0


def _child(operation_id: UUID, k: int, only: str) -> None:
    passed = 0

    def count(what: str) -> None:
        nonlocal passed
        passed += only in what.split(" ", 2)[1:2] if only else 1
        if passed >= k:
            os._exit(KILLED)

    code = 1
    try:
        crash.arm(count)
        with connection.execute_wrapper(crash.statement_wrapper):
            for _turn in range(100):
                if not engine.advance(operation_id) and not _make_due(operation_id):
                    break
        code = 0
    finally:
        os._exit(code)


def _make_due(operation_id: UUID) -> bool:
    """A waiting operation need not be waited for here; False when it is settled."""
    rows = Operation.objects.unfinished().filter(pk=operation_id, lease_until=None)
    return bool(rows.update(run_after="2020-01-01T00:00:00Z"))


def recover() -> None:
    """What the sweeper would do once leases have run out."""
    Operation.objects.unfinished().update(lease_until=None, run_after="2020-01-01T00:00:00Z")
    drain()


def census(world: World) -> None:
    """Database, host and files agree, and nothing is left over. Raises AssertionError naming what is wrong."""
    assert not Operation.objects.unfinished().exists(), "an operation did not settle"
    assert not Hold.objects.exists(), "a hold is left"
    living = {row.pk: row for row in Instance.objects.exclude(state="deleted")}
    assert not [row for row in living.values() if row.in_flight], "an instance is in flight without an operation"
    on_host = {pk: row for pk, row in living.items() if row.state != "error"}
    with hypervisor(world.host) as driver:
        domains = {view.uuid: view for view in driver.domains() if view.is_ours}
    assert set(domains) == set(on_host), "domains and instances differ"
    for pk, row in on_host.items():
        expected = AT_REST[row.state]
        assert domains[pk].power == expected, f"{row.state} but {domains[pk].power}"
        if row.state in ("running", "rescued"):
            assert domains[pk].generation == row.generation
    _census_of_files(world, on_host)
    _census_of_money(on_host)
    assert set(Claim.objects.values_list("consumer_id", flat=True)) == set(on_host), "claims and instances differ"
    assert Claim.objects.count() == 2 * len(on_host)


def _census_of_files(world: World, on_host: dict[UUID, Instance]) -> None:
    attached = set(Attachment.objects.filter(domain__in=on_host).values_list("volume_id", flat=True))
    assert Attachment.objects.count() == len(attached) == len(on_host)
    assert set(Volume.objects.live().values_list("pk", flat=True)) == attached, "a volume without an instance"
    with volume_pool(world.pool) as pool:
        names = {file.name for file in pool.volumes() if not file.name.startswith("image-")}
    wanted = {f"volume-{pk}.qcow2" for pk in attached} | {f"seed-{pk}.iso" for pk in on_host}
    rescued = [pk for pk, row in on_host.items() if row.state == "rescued"]
    assert all((row.state == "rescued") == (row.rescue_image_id is not None) for row in on_host.values())
    wanted |= {f"rescue-{pk}.{suffix}" for pk in rescued for suffix in ("qcow2", "iso")}
    assert names == wanted, f"files left {names - wanted}, missing {wanted - names}"


def _census_of_money(on_host: dict[UUID, Instance]) -> None:
    open_now = {(row.resource_id, row.meter) for row in UsageInterval.objects.filter(period__endswith=None)}
    volumes = Attachment.objects.filter(domain__in=on_host).values_list("volume_id", flat=True)
    wanted = {(pk, reading.meter) for pk, row in on_host.items() for reading in row.readings(row.state)}
    wanted |= {(pk, "volume") for pk in volumes}
    wanted |= {(pk, "snapshot") for pk in Snapshot.objects.filter(state="active").values_list("pk", flat=True)}
    assert open_now == wanted, f"usage open {open_now - wanted}, missing {wanted - open_now}"


def one_audit_row(operation: Operation) -> None:
    """The act is in the trail exactly once, however often it was carried on."""
    assert AuditEvent.objects.filter(operation=operation, action=operation.kind).count() == 1
