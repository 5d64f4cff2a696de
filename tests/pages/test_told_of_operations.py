"""What people are told of their operations: how long, whether to cancel, what was undone; and the bell."""
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from portal import notifications, progress
from portal.kernel.models import Operation
from portal.kernel.operations import kinds
from tests.world import World

KIND = "instance.start"
pytestmark = pytest.mark.django_db


def operation(world: World, actor: str | None = "adam", *, project: object = None, **columns: object) -> Operation:
    now = timezone.now()
    values = {"kind": KIND, "region": world.region, "project": project or world.project,
              "actor": world.people[actor] if actor else None, "plan": kinds[KIND].plan, "run_after": now, "deadline": now,
              "state": "running", "started_at": now}
    return Operation.objects.create(**(values | columns))


def ended(world: World, actor: str | None = "adam", *, state: str = "succeeded", took_s: float = 10, at: datetime | None = None,
          **columns: object) -> Operation:
    at = at or timezone.now()
    return operation(world, actor, state=state, started_at=at - timedelta(seconds=took_s), finished_at=at, **columns)


@pytest.fixture
def quiet(world: World) -> World:
    """Nothing has happened to anybody yet."""
    Operation.objects.update(finished_at=timezone.now() - timedelta(days=60))
    return world


# -- how long --

def test_the_usual_time_is_the_median_of_the_last_that_went_well(world: World) -> None:
    old = timezone.now() - timedelta(days=1)
    for took in (500,) * 5:
        ended(world, took_s=took, at=old - timedelta(days=1))
    for took in (10, 20, 30, 40) * 5:
        ended(world, took_s=took, at=old)
    ended(world, took_s=9000, state="failed")
    assert progress.usual_durations({KIND}) == {KIND: pytest.approx(25)}


def test_nothing_is_promised_of_two(world: World, browser) -> None:
    ended(world), ended(world)
    assert progress.usual_durations({KIND}) == {}
    operation(world)
    assert "not known yet" in browser().get(reverse("operations:drawer")).content.decode()


def test_the_drawer_says_what_is_left_and_when_it_takes_longer(world: World, browser) -> None:
    for _ in range(3):
        ended(world, took_s=100)
    row = operation(world, started_at=timezone.now() - timedelta(seconds=40))
    assert "about 1 minute left" not in (text := browser().get(reverse("operations:drawer")).content.decode())
    assert "seconds left" in text
    Operation.objects.filter(pk=row.pk).update(started_at=timezone.now() - timedelta(seconds=400))
    assert "takes longer than usual (about 2 minutes)" in browser().get(reverse("operations:drawer")).content.decode()


def test_the_drawer_costs_the_same_for_many(world: World) -> None:
    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            progress.shown(Operation.objects.unfinished(), world.people["adam"])
        return len(captured)

    world.people["adam"].grants  # noqa: B018  (once a request)
    operation(world)
    before = statements()
    for _ in range(10):
        operation(world)
    assert statements() == before == 2


# -- cancelling and undoing --

def test_why_an_operation_cannot_be_cancelled_is_said(world: World, browser) -> None:
    adam, vera = world.people["adam"], world.people["vera"]
    row = operation(world)
    assert progress.cancel_refusal(row, adam) is None
    assert "role" in progress.cancel_refusal(row, vera)
    assert "asked for" in progress.cancel_refusal(operation(world, cancel_requested_at=timezone.now()), adam)
    assert "undone already" in progress.cancel_refusal(operation(world, undoing=True), adam)
    gone = next(kind for kind in kinds.values() if kind.pivot == kind.plan[0])
    assert "point of return" in progress.cancel_refusal(operation(world, kind=gone.name, plan=gone.plan), adam)
    assert progress.cancel_refusal(ended(world), adam) == ""


@pytest.mark.parametrize(("who", "may"), [("adam", True), ("vera", False)])
def test_cancel_is_a_button_or_says_why_not(world: World, browser, who: str, may: bool) -> None:
    row = operation(world)
    for address in (reverse("operations:detail", args=[row.pk]), reverse("operations:drawer")):
        text = browser(who).get(address).content.decode()
        assert (f'action="{reverse("operations:cancel", args=[row.pk])}"' in text) is may
        assert ('aria-disabled="true" aria-label="Cancel: Your role' in text) is not may


def test_what_was_undone_is_named(world: World, browser) -> None:
    first, last = kinds[KIND].plan[0], kinds[KIND].plan[-1]
    outcomes = ((first, "done"), (last, "host_fault"), (first, "undone"))
    history = [{"step": step, "outcome": outcome} for step, outcome in outcomes]
    row = ended(world, state="failed", history=history, error={"code": "host_fault", "detail": "", "facts": {}})
    label = str(kinds[KIND].step_labels.get(first, first))
    text = browser().get(reverse("operations:detail", args=[row.pk])).content.decode()
    assert "Undone:" in text and f"Undone: {label}" in text.replace("\n", " ")
    nothing = ended(world, state="failed", history=[], error={"code": "host_fault", "detail": "", "facts": {}})
    assert "Nothing had to be undone." in browser().get(reverse("operations:detail", args=[nothing.pk])).content.decode()


def test_only_operators_are_offered_to_retry_what_waits_for_a_person(world: World, browser) -> None:
    row = operation(world, person_since=timezone.now())
    address = reverse("operator:retry", args=[row.pk])
    assert address in browser("root").get(reverse("operations:detail", args=[row.pk])).content.decode()
    assert address not in browser("adam").get(reverse("operations:detail", args=[row.pk])).content.decode()


# -- the bell --

def unread(world: World, who: str) -> int:
    world.people[who].refresh_from_db()
    return notifications.activity(world.people[who]).unread


def test_the_bell_counts_ones_own_that_ended_and_all_that_failed(quiet: World) -> None:
    ended(quiet, "adam"), ended(quiet, "oscar"), ended(quiet, "oscar", state="failed"), operation(quiet, "adam")
    ended(quiet, "mallory", state="failed", project=quiet.rival_project)
    assert (unread(quiet, "adam"), unread(quiet, "oscar"), unread(quiet, "vera"), unread(quiet, "mallory")) == (2, 2, 1, 1)


def test_operators_hear_of_what_waits_for_a_person(quiet: World, browser) -> None:
    operation(quiet, "adam", person_since=timezone.now())
    assert (unread(quiet, "root"), unread(quiet, "adam")) == (1, 0)
    assert "needs a person" in browser("root").get(reverse("notifications:drawer")).content.decode()


def test_reading_empties_the_bell_and_keeps_the_list(quiet: World, browser) -> None:
    row = ended(quiet, "adam")
    client = browser("adam")
    assert 'class="bell-count">1<' in client.get(reverse("operations:button")).content.decode()
    answer = client.post(reverse("notifications:read"), HTTP_HX_REQUEST="true")
    assert answer["HX-Trigger"] == "mains:changed"
    assert "bell-count" not in client.get(reverse("operations:button")).content.decode()
    assert str(row.pk) in client.get(reverse("notifications:list")).content.decode()
    ended(quiet, "adam")
    assert unread(quiet, "adam") == 1


def test_of_very_many_the_newest_are_listed(quiet: World, monkeypatch) -> None:
    """Of one's own, of what failed, and of what waits for a person, each."""
    monkeypatch.setattr(notifications, "MOST_SHOWN", 2)
    for _number in range(3):
        ended(quiet, "adam"), ended(quiet, "oscar", state="failed"), ended(quiet, "root")
    operation(quiet, "oscar", person_since=timezone.now())
    own = list(Operation.objects.filter(actor=quiet.people["adam"]).order_by("-finished_at")[:2])
    failed = list(Operation.objects.filter(state="failed").order_by("-finished_at")[:2])
    assert {row.pk for row in notifications.notifications(quiet.people["adam"])} == {row.pk for row in own + failed}
    told = list(notifications.notifications(quiet.people["root"]))
    assert len(told) == 5 and told == sorted(told, key=lambda row: row.at, reverse=True)


def test_what_is_a_rivals_is_never_told(quiet: World, browser) -> None:
    row = ended(quiet, "adam", state="failed")
    for name in ("notifications:list", "notifications:drawer", "operations:drawer"):
        assert str(row.pk) not in browser("mallory").get(reverse(name)).content.decode()


def test_rest_tells_the_same_and_marks_it_as_read(quiet: World) -> None:
    row = ended(quiet, "adam", state="failed")
    client = APIClient()
    client.force_authenticate(quiet.people["adam"])
    told = client.get(reverse("api-notifications")).json()
    assert told["unread"] == 1
    assert [(one["operation"]["id"], one["unread"]) for one in told["results"]] == [(str(row.pk), True)]
    assert client.post(reverse("api-notifications-read")).json()["unread"] == 0
    assert client.get(reverse("api-notifications")).json()["results"][0]["unread"] is False


def test_the_bell_and_the_button_are_one_statement(quiet: World) -> None:
    adam = quiet.people["adam"]
    adam.grants  # noqa: B018  (once a request)
    with CaptureQueriesContext(connection) as captured:
        found = notifications.activity(adam)
    assert len(captured) == 1 and (found.live, found.unread_text) == (0, "0")
