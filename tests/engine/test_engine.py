"""The engine by its promises: claims, leases, pivot, undo, cancel, deadlines, holds. A toy kind; real PostgreSQL."""
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection, connections

from portal.admin.explained import explain
from portal.kernel.errors import Busy, HostFault, StateConflict
from portal.kernel.models import Hold, Operation, Region
from portal.kernel.operations import Kind, LeaseLost, Run, Step, Wait, engine, kinds, register, request_cancel, submit
from portal.queries.attention import needing_a_person
from tests.world import World, drain, make_world

pytestmark = pytest.mark.django_db(transaction=True)
CALLS: Counter[str] = Counter()
FAIL: dict[str, Exception] = {}
HOOK: dict[str, Callable[[Run], object]] = {}


def _do(name: str):
    def do(run: Run):
        CALLS[name] += 1
        if name in FAIL:
            raise FAIL[name]
        return HOOK[name](run) if name in HOOK else None
    return do


def _undo(name: str):
    def undo(run: Run) -> None:
        CALLS[f"undo {name}"] += 1
        if f"undo {name}" in FAIL:
            raise FAIL[f"undo {name}"]
    return undo


def _kind(name: str, pivot: str | None) -> Kind:
    return Kind(name=name, label=name, pivot=pivot,
                steps=tuple(Step(step, _do(step), _undo(step), limit_s=60) for step in "abcd"),
                succeeded=lambda run: _hook("succeeded", run), failed=lambda run, error: _hook("failed", run))


def _hook(name: str, run: Run) -> dict:
    CALLS[name] += 1
    run.facts[name] = "forgotten when it is rolled back"
    if name in FAIL:
        raise FAIL[name]
    return {}


for _name, _pivot in (("test.reversible", None), ("test.pivoted", "c")):
    if _name not in kinds:
        register(_kind(_name, _pivot))


@pytest.fixture
def region(transactional_db: None, settings) -> Region:
    settings.DOORBELLS = False
    CALLS.clear()
    FAIL.clear()
    HOOK.clear()
    return Region.objects.create(slug="r", name="R")


@pytest.fixture
def world(region: Region, tmp_path, settings) -> World:
    settings.STATE_DIR = tmp_path
    region.delete()
    return make_world(tmp_path)


def begin(region: Region, kind: str = "test.reversible") -> Operation:
    return submit(kind, region=region, actor=None)


def fresh(operation: Operation) -> Operation:
    operation.refresh_from_db()
    return operation


def test_all_steps_run_once_and_the_operation_settles_once(region: Region) -> None:
    operation = begin(region)
    drain()
    assert fresh(operation).state == "succeeded" and operation.progress == 100
    assert Counter(a=1, b=1, c=1, d=1, succeeded=1) == CALLS
    assert not engine.advance(operation.pk)


@pytest.mark.parametrize("step", "abcd")
def test_a_fault_before_the_pivot_undoes_what_was_done_backwards(region: Region, step: str) -> None:
    FAIL[step] = HostFault("broken")
    operation = begin(region)
    drain()
    done = "abcd"[:"abcd".index(step) + 1]
    assert (fresh(operation).state, operation.error["code"]) == ("failed", "host_fault")
    assert {name for name in CALLS if name.startswith("undo")} == {f"undo {name}" for name in done}
    assert [entry["step"] for entry in operation.history if entry["outcome"] == "undone"] == list(reversed(done))


def test_an_undo_that_fails_is_repeated_and_asks_for_a_person(region: Region, settings) -> None:
    settings.ENGINE = settings.ENGINE | {"person_after": 3}
    FAIL["b"], FAIL["undo a"] = HostFault("broken"), HostFault("still broken")
    operation = begin(region)
    for _turn in range(4):
        Operation.objects.update(run_after="2020-01-01T00:00:00Z")
        engine.advance()
    assert fresh(operation).state == "running" and operation.person_since is not None
    FAIL.pop("undo a")
    drain()
    assert fresh(operation).state == "failed" and CALLS["failed"] == 1


@pytest.mark.parametrize("hook", ["succeeded", "failed"])
def test_a_settling_that_fails_is_repeated_ever_more_slowly_and_asks_for_a_person(
        region: Region, settings, hook: str) -> None:
    settings.ENGINE = settings.ENGINE | {"person_after": 3}
    FAIL[hook] = ValueError("a hook of some room, hunter2")
    if hook == "failed":
        FAIL["b"] = HostFault("broken")
    operation, waits = begin(region), []
    for _turn in range(4):
        Operation.objects.update(run_after="2020-01-01T00:00:00Z")
        assert engine.advance()
        fresh(operation)
        assert operation.lease_until is None, "another worker would wait for the lease"
        waits.append(round((operation.run_after - operation.updated_at).total_seconds()))
    assert waits == list(settings.ENGINE["backoff_s"][:4]) and not engine.advance(), "it is not due yet"
    assert operation.is_live and (CALLS[hook], operation.attempts) == (4, 4) and hook not in operation.facts
    told = operation.facts["undo_error"] if hook == "failed" else operation.error
    assert told["code"] == "unexpected" and "hunter2" not in str(told)
    stuck_since = operation.person_since
    assert stuck_since is not None and operation in needing_a_person()
    assert "keeps it" in explain(operation).waits_for
    Operation.objects.update(run_after="2020-01-01T00:00:00Z")
    engine.advance()
    assert fresh(operation).person_since == stuck_since
    FAIL.pop(hook)
    drain()
    assert fresh(operation).state == hook and operation.person_since is None
    assert (operation.error or {}).get("code") == ("host_fault" if hook == "failed" else None)


def test_after_the_pivot_it_only_goes_forward(region: Region) -> None:
    FAIL["c"] = HostFault("broken")
    operation = begin(region, "test.pivoted")
    for _turn in range(3):
        Operation.objects.update(run_after="2020-01-01T00:00:00Z")
        engine.advance()
    assert fresh(operation).state == "running" and CALLS["c"] == 3 and not CALLS["undo a"]
    with pytest.raises(StateConflict):
        request_cancel(operation)
    FAIL.clear()
    drain()
    assert fresh(operation).state == "succeeded"


def test_transient_faults_are_tried_again_until_the_steps_own_limit(region: Region) -> None:
    FAIL["b"] = HostFault("blinks", transient=True)
    operation = begin(region)
    engine.advance()
    assert fresh(operation).is_live and operation.attempts == 1
    Operation.objects.update(run_after="2020-01-01T00:00:00Z", step_since="2020-01-01T00:00:00Z")
    drain()
    assert (fresh(operation).state, operation.error["code"]) == ("failed", "deadline_exceeded")


def test_an_unexpected_fault_shows_no_internals(region: Region) -> None:
    FAIL["b"] = ValueError("the password is hunter2")
    operation = begin(region)
    drain()
    assert fresh(operation).error["code"] == "unexpected" and "hunter2" not in str(operation.error)


def test_cancel_is_honoured_between_steps(region: Region) -> None:
    operation = begin(region)
    HOOK["b"] = lambda run: Wait(60)
    engine.advance()
    request_cancel(operation)
    drain()
    assert fresh(operation).state == "cancelled" and CALLS["undo a"] == 1 and not CALLS["c"]


def test_of_two_workers_that_claim_at_once_one_gets_it(region: Region) -> None:
    operation, claimed, ready = begin(region), [], threading.Barrier(8)

    def claim() -> None:
        ready.wait()
        claimed.append(engine.claim(operation.pk))
        connections.close_all()

    threads = [threading.Thread(target=claim) for _number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([row for row in claimed if row]) == 1


def test_a_paused_worker_that_wakes_after_its_lease_changes_nothing(region: Region) -> None:
    operation = begin(region)

    def overtaken(run: Run) -> None:
        if CALLS["b"] == 1:
            Operation.objects.update(lease_until="2020-01-01T00:00:00Z")
            assert engine.claim(operation.pk)
            with pytest.raises(LeaseLost):
                run.check()
            with pytest.raises(LeaseLost), run.guarded():
                raise AssertionError("a stale worker got in")

    HOOK["b"] = overtaken
    engine.advance()
    assert fresh(operation).step == 1, "the stale worker moved the step"
    Operation.objects.update(lease_until="2020-01-01T00:00:00Z")
    drain()
    assert fresh(operation).state == "succeeded" and CALLS["succeeded"] == 1


def test_a_held_resource_answers_busy_and_names_the_holder(world: World) -> None:
    first = submit("test.reversible", region=world.region, project=world.project, target=world.image.resource, actor=None)
    with pytest.raises(Busy) as refused:
        submit("test.reversible", region=world.region, project=world.project, target=world.image.resource, actor=None)
    assert refused.value.facts["holder"] == first.pk
    drain()
    assert not Hold.objects.exists()


def test_of_fifty_conflicting_submissions_one_is_accepted(world: World) -> None:
    outcomes, ready = [], threading.Barrier(10)

    def attempt() -> None:
        ready.wait()
        for _number in range(5):
            try:
                submit("test.reversible", region=world.region, project=world.project, target=world.image.resource, actor=None)
                outcomes.append("accepted")
            except Busy:
                outcomes.append("busy")
        connections.close_all()

    threads = [threading.Thread(target=attempt) for _number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {"accepted": 1, "busy": 49}


def test_the_holds_table_itself_refuses_a_second_holder(world: World) -> None:
    submit("test.reversible", region=world.region, project=world.project, target=world.image.resource, actor=None)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kernel_hold WHERE resource_id = %s", [world.image.pk])
        assert cursor.fetchone() == (1,)
