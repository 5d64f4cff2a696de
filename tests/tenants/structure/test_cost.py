"""What a project costs with all below it, when projects move in the middle of a month: to the second, each second once."""
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from billing.models import Price, UsageInterval
from billing.money import Money
from billing.periods import Month
from billing.queries import month_usage
from billing.trees import cost_of_tree, costs_of
from portal.kernel.models import Resource
from tenants import operations, structure
from tenants.access import projects_ever
from tenants.models import Project, User
from tenants.roles import bind
from tests.network.networked import Networked

START, NOON, END = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 10, 20))
HOUR, CENTS = timedelta(hours=1), Decimal("0.36")
MONTH = {"start": START, "end": datetime(2026, 12, 1, tzinfo=UTC), "now": END}


@pytest.fixture
def net(net: Networked) -> Networked:
    Price.objects.filter(meter="instance.running").update(valid=DateTimeTZRange(START, None))
    return net


def make(net: Networked, name: str, parent: Project | None = None) -> Project:
    return operations.create_project(net.world.project.organization, name, actor=None, parent=parent)


def used(net: Networked, project: Project, since: datetime, until: datetime | None) -> None:
    """One small instance ran in the project."""
    resource = Resource.objects.create(kind="instance", project=project, region=net.world.region, name="i")
    UsageInterval.objects.create(resource=resource, project=project, region=net.world.region, meter="instance.running",
                                 sku="small", quantity=Decimal(1), period=DateTimeTZRange(since, until))


def move_at(monkeypatch: pytest.MonkeyPatch, when: datetime, project: Project, parent: Project | None) -> None:
    monkeypatch.setattr(structure, "database_now", lambda: when)
    structure.move_project(project, actor=None, parent=parent)


def amounts(*projects: Project) -> list[Decimal]:
    return [sum(cost.amount for cost in cost_of_tree(project, **MONTH)) for project in projects]


def test_cost_follows_from_the_second_of_the_move(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make(net, "a"), make(net, "b")
    child = make(net, "child", a)
    leaf = make(net, "leaf", child)
    used(net, leaf, NOON - HOUR, NOON + 3 * HOUR)
    assert amounts(a, b, child, leaf) == [4 * CENTS, 0, 4 * CENTS, 4 * CENTS]
    move_at(monkeypatch, NOON, child, b)
    assert amounts(a, b, child, leaf) == [CENTS, 3 * CENTS, 4 * CENTS, 4 * CENTS]
    move_at(monkeypatch, NOON + HOUR + timedelta(seconds=10), child, a)
    ten = CENTS * 10 / 3600
    assert amounts(a, b) == [3 * CENTS - ten, CENTS + ten]


def test_what_runs_on_goes_on_to_cost_where_it_is(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make(net, "a"), make(net, "b")
    child = make(net, "child", a)
    used(net, child, END - 2 * HOUR, None)
    used(net, a, END - HOUR, None)
    move_at(monkeypatch, END - HOUR, child, b)
    assert amounts(a, b) == [2 * CENTS, CENTS]


def test_a_project_deleted_meanwhile_is_paid_for(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make(net, "a")
    child = make(net, "child", a)
    used(net, child, NOON, NOON + HOUR)
    Resource.objects.filter(project=child).update(deleted_at=NOON + HOUR)
    structure.delete_project(child, actor=None)
    assert amounts(a) == [CENTS]


def test_each_by_itself_is_what_was_used_in_it(net: Networked, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make(net, "a"), make(net, "b")
    used(net, a, NOON, NOON + HOUR)
    move_at(monkeypatch, NOON + HOUR / 2, a, b)
    found = costs_of([a.pk, b.pk], **MONTH)
    assert found == {a.pk: [Money(CENTS, "CNY")]}


def test_the_bill_still_shows_what_a_deleted_project_cost(net: Networked) -> None:
    """To those who saw it by what is above it; to nobody whose role was in it alone, nor to a key of another project."""
    world = net.world
    alice, adam = world.people["alice"], world.people["adam"]
    gone = make(net, "gone", world.project)
    lone = User.objects.create(username="lone")
    bind(lone, "owner", gone)
    used(net, gone, NOON, NOON + HOUR)
    Resource.objects.filter(project=gone).update(deleted_at=NOON + HOUR)
    structure.delete_project(gone, actor=None)
    for user in (alice, adam):
        user = User.objects.get(pk=user.pk)
        assert UsageInterval.objects.visible_to(user).filter(project=gone).exists()
        assert month_usage(user, Month.of(NOON), project=None, page=1, now=END).sums == (Money(CENTS, "CNY"),)
        assert net.get("usage", by=user.username, project=str(gone.pk)).json()["results"]
    for user in (lone, world.people["mallory"]):
        user = User.objects.get(pk=user.pk)
        assert not UsageInterval.objects.visible_to(user).filter(project=gone).exists()
        assert gone.pk not in projects_ever(user, "usage.view")
    narrow = User.objects.get(pk=alice.pk)
    narrow.grants = narrow.grants.narrowed(scopes=[], project_id=world.project.pk)
    assert projects_ever(narrow, "usage.view") == {world.project.pk}
