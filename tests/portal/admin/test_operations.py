"""An operation's page in admin says what it waits for, what went wrong, and what each push would do."""
from datetime import timedelta
from typing import Any

import pytest

from compute.hosts.models import Host
from compute.instances.models import Instance
from portal.admin.explained import explain
from portal.kernel.models import AuditEvent, Hold, Operation
from portal.kernel.operations import kinds
from portal.kernel.states import database_now
from tests.portal.admin.scene import page, said
from tests.portal.scenery import Scene

pytestmark = pytest.mark.django_db
SILENT = {"code": "host_silent", "detail": "", "facts": {"address": "10.0.0.9", "reason": "no route"}}


def operation(scene: Scene, kind: str = "instance.create", **columns: Any) -> Operation:
    now, instance = database_now(), scene.ours[Instance]
    made = Operation.objects.create(**{
        "kind": kind, "project": scene.cast.project, "region": scene.cast.region, "target": instance, "actor": scene.cast.alice,
        "plan": kinds[kind].plan, "state": "running", "run_after": now, "deadline": now + timedelta(minutes=10),
        "step_since": now} | columns)
    Hold.objects.filter(resource_id=instance.pk).delete()
    if made.is_live:
        Hold.objects.create(resource_id=instance.pk, operation=made)
    return made


def soon(seconds: int):
    return database_now() + timedelta(seconds=seconds)


@pytest.mark.parametrize(("columns", "words"), [
    ({"lease_until": 20}, "a worker is at it now"), ({"lease_until": -20}, "the one that had it is gone"),
    ({"run_after": -20}, "A worker of the queue region.lab"), ({"run_after": 20, "attempts": 3}, "failed 3 times in a row"),
    ({"run_after": 20}, "Work outside the portal"),
])
def test_what_it_waits_for(undone: Scene, columns: dict[str, int], words: str) -> None:
    times = {name: soon(value) if name != "attempts" else value for name, value in columns.items()}
    assert words in explain(operation(undone, **times)).waits_for


def test_before_the_pivot_a_cancel_names_what_it_undoes_and_after_it_says_no(undone: Scene) -> None:
    create = operation(undone, step=3)
    assert explain(create).if_cancelled.startswith("Undone, in this order: Make the root volume, Find a host")
    stop = operation(undone, "instance.stop")
    assert "only goes forward" in explain(stop).if_cancelled
    assert "one that runs does not" in explain(Operation(kind="of.tomorrow", state="running", plan=[], step=0, deadline=soon(1),
                                                         run_after=soon(0), pk=create.pk)).waits_for


def test_a_stuck_ones_page_explains_it_with_its_remedy_its_holds_and_its_hosts(undone: Scene) -> None:
    row = operation(undone, step=1, attempts=9, person_since=soon(-60), error=SILENT, run_after=soon(30))
    shown = undone.cast.browser("root").get(page(Operation, "change", row.pk)).content.decode()
    for words in ("needs a person", "No SSH server answers at 10.0.0.9: no route", "Check the address", "9 failed tries",
                  "Create instance – web-0", "Set up the network", "Find a host", undone.ours[Host].name, "Instance web-0"):
        assert words in shown, words
    assert page(Host, "change", undone.ours[Host].pk) in shown


def test_it_is_tried_again_and_cancelled_by_the_engines_own_verbs(undone: Scene) -> None:
    row, browser = operation(undone, attempts=9, person_since=soon(-60), run_after=soon(50)), undone.cast.browser("root")
    browser.post(page(Operation), {"action": "retry", "_selected_action": [row.pk]})
    row.refresh_from_db()
    assert (row.attempts, row.person_since) == (0, None)
    browser.post(page(Operation), {"action": "cancel", "_selected_action": [row.pk], "confirmed": "yes"})
    row.refresh_from_db()
    assert row.cancel_requested_at is not None
    acts = AuditEvent.objects.filter(operation=row, actor=undone.cast.root).values_list("action", flat=True)
    assert set(acts) == {"operation.retry", "operation.cancel"}


def test_a_finished_one_is_neither_tried_again_nor_cancelled(undone: Scene) -> None:
    row = operation(undone, state="succeeded", finished_at=soon(0))
    answer = undone.cast.browser("root").post(page(Operation), {"action": "retry", "_selected_action": [row.pk]}, follow=True)
    assert "This is not possible" in said(answer)
    shown = undone.cast.browser("root").get(page(Operation, "change", row.pk)).content.decode()
    assert 'value="retry" class="act" disabled' in shown


def test_the_list_and_the_first_page_show_what_needs_a_person_first(undone: Scene) -> None:
    row = operation(undone, attempts=9, person_since=soon(-60), error=SILENT, run_after=soon(30))
    browser = undone.cast.browser("root")
    found = browser.get(page(Operation), {"attention": "person"}).context["cl"].result_list
    assert row.pk in {one.pk for one in found} and all(one.is_live for one in found)
    index = browser.get("/admin/").content.decode()
    assert "Needs a person: Create instance · web-0" in index and "No SSH server answers" in index and "stuck" in index
