"""What about money stands on the dashboard under "Needs attention", and for whom: budgets that are reached, bills that are due,
and what is left when it ends soon."""
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.urls import reverse

from billing import attention, budgets
from billing.models import Budget, BudgetAlarm, Dunning
from portal.kernel import remembered
from portal.kernel.states import database_now
from tenants.operations import create_project
from tests.billing.lamps import Shop

ORGANIZATION, PROJECT = "All", "Web"


@pytest.fixture(autouse=True)
def nothing_is_remembered() -> None:
    remembered.forget()


def reach(shop: Shop, name: str, *actions: str, spent: int = 90, **of: object) -> Budget:
    """A budget of 100 that is reached at 80 %, in the month that it really is."""
    made = budgets.create_budget(
        shop.cast.organization, actor=None, name=name, amount=Decimal(100), currency="CNY",
        thresholds=[{"percent": 80, "basis": "actual", "actions": list(actions or ("notify",))}], **of)
    Budget.objects.filter(pk=made.pk).update(spent=spent, forecast=120, counted_at=database_now())
    month = budgets.month_of(now := database_now())
    BudgetAlarm.objects.create(budget=made, since=month.start, until=month.end, percent=80, basis="actual",
                               actions=list(actions or ("notify",)), amount=100, currency="CNY", spent=80, forecast=99, at=now)
    return made


def board(shop: Shop, name: str, language: str = "en", **query: str) -> str:
    answer = shop.cast.browser(name).get(reverse("dashboard"), query, headers={"accept-language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def stand(shop: Shop, **fields: object) -> Dunning:
    return Dunning.objects.create(organization=shop.cast.organization, **fields)


# -- budgets --

def test_reached_budgets_are_told_to_whoever_sees_them_with_what_is_done(shop: Shop) -> None:
    whole = reach(shop, ORGANIZATION, "block")
    own = reach(shop, PROJECT, "notify", spent=100, project=shop.cast.project)
    text = board(shop, "alice")
    assert reverse("budgets:detail", args=[whole.pk]) in text and "refuses what is new" in text
    assert "¥90.00 of ¥100.00 are spent (90 %), ¥120.00 are to be expected." in text
    assert "used up" in text
    text = board(shop, "vera")
    assert reverse("budgets:detail", args=[own.pk]) in text and reverse("budgets:detail", args=[whole.pk]) not in text
    assert "Needs attention" not in board(shop, "mallory")
    assert [one.budget.name for one in attention.reached(shop.cast.alice, None)] == [PROJECT, ORGANIZATION]


def test_within_one_project_those_above_it_are_told(shop: Shop) -> None:
    beside = create_project(shop.cast.organization, "beside", actor=None)
    reach(shop, ORGANIZATION)
    reach(shop, PROJECT, project=shop.cast.project)
    assert {one.budget.name for one in attention.reached(shop.cast.alice, beside)} == {ORGANIZATION}
    assert {one.budget.name for one in attention.reached(shop.cast.root, shop.cast.project)} == {ORGANIZATION, PROJECT}
    assert attention.reached(shop.cast.root, shop.cast.rival_project) == []


@pytest.mark.parametrize("change", [{"amount": Decimal(1000)}, {"thresholds": [
    {"percent": 99, "basis": "actual", "actions": ["notify"]}]}])
def test_what_the_budget_does_not_ask_any_more_is_not_told(shop: Shop, change: dict) -> None:
    made = reach(shop, ORGANIZATION)
    budgets.change_budget(made, actor=shop.cast.alice, **change)
    assert attention.reached(shop.cast.alice, None) == []


def test_nobody_is_shown_what_another_remembered(shop: Shop) -> None:
    reach(shop, ORGANIZATION)
    assert attention.reached(shop.cast.alice, None) and not attention.reached(shop.cast.vera, None)
    assert not attention.reached(shop.cast.mallory, None)


# -- bills, and what is left --

DUE = datetime.fromisoformat("2026-11-16T00:00:00+00:00")


@pytest.mark.parametrize(("fields", "words"), [
    ({"cause": "overdue", "began_at": DUE, "next_at": DUE + timedelta(days=3)},
     ["Payment is due", "<b>Acme:</b> an invoice is overdue since 2026-11-16.", "From 2026-11-19 00:00 UTC on: Reminded."]),
    ({"cause": "overdue", "began_at": DUE, "rung": "blocked", "since": DUE},
     ["Payment is due", "Nothing new starts", "Nothing new is made or started."]),
    ({"cause": "empty", "began_at": DUE, "rung": "stopped", "since": DUE},
     ["Payment is due", "Instances are stopped", "more than what was paid in advance is used since"]),
    ({"warned_hours": 24}, ["What is left in Acme ends soon", "within 24 hours"])])
def test_what_is_due_or_ends_soon_is_told_to_whoever_sees_bills(shop: Shop, fields: dict, words: list[str]) -> None:
    stand(shop, **fields)
    text = board(shop, "alice")
    part = text.partition('id="attention"')[2]
    assert part and [word for word in words if word not in part] == []
    assert f"{reverse('balance:page')}?organization={shop.cast.organization.pk}" in part
    for name in ("adam", "vera", "mallory"):
        assert 'id="attention"' not in board(shop, name), name
    of_project = board(shop, "root", project=str(shop.cast.project.pk))
    assert words[0] in of_project
    assert words[0] not in board(shop, "root", project=str(shop.cast.rival_project.pk))


def test_where_nothing_is_due_nothing_is_told(shop: Shop) -> None:
    stand(shop)
    assert attention.due(shop.cast.alice) == []


def test_in_chinese_too(shop: Shop) -> None:
    reach(shop, ORGANIZATION, "stop")
    stand(shop, warned_hours=2)
    assert "需要关注" in board(shop, "alice", "zh-hans")
