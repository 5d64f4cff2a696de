"""What a budget means to real instances: what runs within it is stopped by an operation like any other, once; and new ones are
refused, with nothing left behind."""
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing import budgets
from billing.models import BudgetAlarm
from compute.instances.api import forecast
from compute.instances.models import Instance
from compute.instances.operations import create_instance
from portal.kernel.describing import update_resource
from portal.kernel.models import Operation, Resource
from portal.kernel.states import database_now
from tests.world import World, drain, make_world


@pytest.fixture
def world(db: None, tmp_path: Path, settings: Any) -> World:
    settings.DOORBELLS = False
    settings.STATE_DIR = tmp_path
    return make_world(tmp_path)


def test_running_instances_of_the_tag_are_stopped_and_no_others(world: World) -> None:
    now = database_now()
    for name in ("red", "blue"):
        create_instance(world.order(name=name), actor=world.people["alice"])
        drain()
        Resource.objects.filter(name=name).update(tags={"team": name})
    red = Instance.objects.get(name="red")
    assert {one.state for one in Instance.objects.all()} == {"running"}
    team = budgets.create_budget(
        world.project.organization, actor=None, name="Red", amount=Decimal(1), currency="CNY", tag_key="team", tag_value="red",
        thresholds=[{"percent": 100, "basis": "actual", "actions": ["stop"]}])
    month = budgets.month_of(now)
    budgets.stop_over(now=now)
    assert not Operation.objects.filter(kind="instance.stop").exists()
    BudgetAlarm.objects.create(budget=team, since=month.start, until=month.end, percent=100, basis="actual", actions=["stop"],
                               amount=1, currency="CNY", spent=2, forecast=3, at=now)
    for _beat in range(2):  # what is under way already is left alone
        budgets.stop_over(now=now + timedelta(seconds=1))
    assert [one.target_id for one in Operation.objects.filter(kind="instance.stop")] == [red.pk]


def test_a_new_instance_with_the_tag_is_refused_whole_and_others_are_made(world: World) -> None:
    """What is there already may be given the tag."""
    now, block = database_now(), {"percent": 100, "basis": "actual", "actions": ["block"]}
    red = budgets.create_budget(world.project.organization, actor=None, name="Red", amount=Decimal(1), currency="CNY",
                                tag_key="team", tag_value="red", thresholds=[block])
    month = budgets.month_of(now)
    BudgetAlarm.objects.create(budget=red, since=month.start, until=month.end, **block, amount=1, currency="CNY", spent=2,
                               forecast=3, at=now)
    with pytest.raises(budgets.BudgetReached):
        create_instance(world.order(name="red", tags={"team": "red"}), actor=world.people["alice"])
    assert not Resource.objects.filter(name__startswith="red").exists()
    assert forecast(world.order(name="red", tags={"team": "red"}))["allowed"] is False
    assert forecast(world.order(name="blue"))["allowed"] is True
    create_instance(world.order(name="blue"), actor=world.people["alice"])
    blue = Instance.objects.get(name="blue")
    update_resource(blue, actor=world.people["alice"], tags={"team": "red"})
    assert Instance.objects.get().tags == {"team": "red"}
