"""Budgets as stories: a team's month, a project that moves, what is refused and stopped, and who hears of it."""
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core import mail
from django.db import IntegrityError, transaction

from billing import budgets
from billing.budgets import telling
from billing.models import Budget, BudgetAlarm, Issuer
from portal.kernel.declarations import StoppingHook, registry
from portal.kernel.describing import update_resource
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.models import AuditEvent
from portal.kernel.states import database_now
from portal.notices import dispatch
from portal.notices.models import Notice
from portal.templatetags.ui import explain
from tenants.models import FormerPlace
from tenants.operations import create_project
from tenants.quotas import reserve
from tenants.structure import delete_project
from tests.billing.lamps import BIG, Shop
from tests.billing.months import HOUR, OCTOBER, october
from tests.billing.races import at_once

NOTIFY, BLOCK, STOP = (threshold_actions for threshold_actions in (["notify"], ["block"], ["stop"]))


def at(percent: int, basis: str = "actual", *actions: str) -> dict[str, Any]:
    return {"percent": percent, "basis": basis, "actions": list(actions or ("notify",))}


def budget(shop: Shop, amount: str = "100", *thresholds: dict[str, Any], **of: Any) -> Budget:
    return budgets.create_budget(shop.cast.organization, actor=shop.cast.alice, **{
        "name": "Team", "amount": Decimal(amount), "currency": "CNY", "thresholds": list(thresholds) or None, **of})


def fired(now: datetime) -> list[str]:
    return [f"{one.percent} {one.basis}" for one in budgets.watch(now=now)]


def test_a_teams_month(shop: Shop) -> None:
    """A big lamp costs 3.60 an hour. Of 100 a month 80 % are reached at 22.2… hours, and 100 % are to be expected from the first
    minute on, had it not been turned off each evening."""
    team = budget(shop)
    assert team.thresholds == [at(80), at(100, "forecast")]
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)  # 36.00
    assert fired(october(2)) == []
    team.refresh_from_db()
    assert (team.spent, team.forecast, team.month, team.counted_at) == (36, 36, "2026-10", october(2))
    lamp = shop.burnt(shop.lamp("hall"), october(2), None, reading=BIG)
    assert fired(october(2, 1)) == ["100 forecast"]  # 36 + 30 days of 24 hours
    team.refresh_from_db()
    assert (team.spent, team.forecast) == (Decimal("39.6"), 36 + Decimal("3.6") * 24 * 30)
    lamp.period = type(lamp.period)(october(2), october(2, 12))
    lamp.save()
    assert fired(october(3)) == []  # 79.20 spent, and to be expected no more
    shop.burnt(shop.lamp("desk"), october(3), october(3) + timedelta(minutes=13, seconds=20), reading=BIG)  # 0.80
    assert fired(october(4)) == ["80 actual"]
    assert fired(october(31)) == []
    alarm = BudgetAlarm.objects.get(basis="actual")
    assert (alarm.spent, alarm.forecast, alarm.amount, alarm.since, alarm.until) == (80, 80, 100, OCTOBER.start, OCTOBER.end)


def test_the_next_month_begins_anew(shop: Shop) -> None:
    budget(shop, "10", at(50))
    shop.burnt(shop.lamp(), october(31, 12), OCTOBER.end + timedelta(hours=2), reading=BIG)
    assert fired(OCTOBER.end - timedelta(microseconds=1)) == ["50 actual"]
    assert fired(OCTOBER.end + timedelta(hours=1)) == []
    assert fired(OCTOBER.end + timedelta(hours=2)) == ["50 actual"]
    assert BudgetAlarm.objects.count() == 2


def test_months_are_those_of_the_issuer(shop: Shop) -> None:
    Issuer.objects.create(pk=1, name="Waterworks", time_zone="Asia/Shanghai")
    team = budget(shop, "10", at(100))
    shop.burnt(shop.lamp(), october(31, 15), october(31, 17), reading=BIG)  # an hour before their November, one in it
    fired(october(31, 18))
    team.refresh_from_db()
    assert (team.month, team.spent) == ("2026-11", Decimal("3.6"))


def test_a_price_that_is_announced_is_in_the_forecast(shop: Shop) -> None:
    from billing import operations

    team = budget(shop)
    shop.burnt(shop.lamp(), october(1), None)
    operations.set_price(shop.book, region=shop.cast.region, meter="lamp", sku="small", price_per_hour=Decimal("0.72"),
                         actor=shop.cast.root, valid_from=october(16), now=october(1))
    fired(october(2))
    team.refresh_from_db()
    assert team.forecast == Decimal("0.36") * 24 * 15 + Decimal("0.72") * 24 * 16


def test_a_raised_budget_is_another_limit_and_a_lowered_one_was_told_already(shop: Shop) -> None:
    team = budget(shop, "10", at(100))
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    assert fired(october(2)) == ["100 actual"]
    budgets.change_budget(team, actor=shop.cast.alice, amount=Decimal(30))
    assert fired(october(2)) == ["100 actual"]
    budgets.change_budget(team, actor=shop.cast.alice, amount=Decimal(10))
    assert fired(october(2)) == []


def test_a_project_pays_for_what_stood_below_it_while_it_did(shop: Shop) -> None:
    """A lamp of `lab` burns all of October; `lab` stood below `web` until the 11th."""
    lab = create_project(shop.cast.organization, "lab", actor=None)
    web, other = budget(shop, project=shop.cast.project), budget(shop, project=lab)
    FormerPlace.objects.create(project=lab, path=[str(shop.cast.project.pk), str(lab.pk)], until=october(11))
    shop.burnt(shop.lamp(project=lab), october(1), None, reading=BIG)
    fired(october(21))
    for one in (web, other):
        one.refresh_from_db()
    assert web.spent == web.forecast == Decimal("3.6") * 24 * 10
    assert (other.spent, other.forecast) == (Decimal("3.6") * 24 * 20, Decimal("3.6") * 24 * 31)


def test_a_tag_is_of_one_value_in_one_organization(shop: Shop) -> None:
    team = budget(shop, tag_key="team", tag_value="red")
    for name, tags, project in (("a", {"team": "red"}, shop.cast.project), ("b", {"team": "blue"}, shop.cast.project),
                                ("c", {}, shop.cast.project), ("d", {"team": "red"}, shop.cast.rival_project)):
        shop.burnt(shop.lamp(name, project=project, tags=tags), october(1), october(1, 10), reading=BIG)
    fired(october(2))
    team.refresh_from_db()
    assert team.spent == 36
    assert [one.name for one in budgets.stopping.resources_of(team)] == ["a"]


def test_other_currencies_are_not_looked_at(shop: Shop) -> None:
    from billing.models import PriceBook

    PriceBook.objects.create(name="Euros", currency="EUR")
    team = budget(shop, "1", at(100), currency="EUR")
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    assert fired(october(2)) == []
    budgets.change_budget(team, actor=shop.cast.alice, currency="CNY")
    assert fired(october(2)) == ["100 actual"]


@pytest.fixture
def reached(shop: Shop) -> Budget:
    """A budget of the organization of a cent, used up in the month that it really is."""
    now = database_now()
    team = budget(shop, "0.01", at(100, "actual", "block", "stop"))
    shop.burnt(shop.lamp(), max(now - HOUR, budgets.month_of(now).start - HOUR), None, reading=BIG)
    budgets.watch(now=now + timedelta(minutes=1))
    return team


def make(shop: Shop, project: Any = None, *, by: str = "alice", **tags: str) -> None:
    """Something with a price."""
    budgets.require(project or shop.cast.project, tags, actor=getattr(shop.cast, by))


def test_what_is_new_is_refused_and_told_why(shop: Shop, reached: Budget) -> None:
    with pytest.raises(budgets.BudgetReached) as refused:
        make(shop)
    facts = refused.value.facts
    assert refused.value.status == 402
    assert (facts["budget"], facts["amount"], facts["currency"], facts["budget_id"]) == ("Team", "0.01", "CNY", str(reached.pk))
    assert Decimal(facts["spent"]) > Decimal("0.01")
    make(shop, shop.cast.rival_project)
    with transaction.atomic():  # what costs nothing
        reserve(shop.cast.project, None, {"api_keys": 1})
        reserve(shop.cast.project, shop.cast.region, {"vpcs": 1, "security_groups": 1})


def test_figures_of_a_budget_are_told_to_whoever_may_see_it(shop: Shop, reached: Budget) -> None:
    """Adam runs one project of the organization: its budget is not his to read, that of his project is."""
    with pytest.raises(budgets.BudgetReached) as refused:
        make(shop, by="adam")
    assert set(refused.value.facts) == {"until", "day"}
    said = refused.value.detail
    assert "A budget that counts here is reached" in said and "Team" not in said and said == explain(refused.value)
    budgets.delete_budget(reached, actor=shop.cast.alice)
    budget(shop, "0.01", at(100, "actual", "block"), project=shop.cast.project, name="Web")
    budgets.watch(now=database_now() + timedelta(minutes=2))
    with pytest.raises(budgets.BudgetReached) as refused:
        make(shop, by="adam")
    assert refused.value.facts["budget"] == "Web" and "0.01 CNY a month" in refused.value.detail


def reached_tag(shop: Shop, value: str = "red") -> Budget:
    """A budget of a tag that is used up in the month that it really is."""
    now = database_now()
    made = budget(shop, "0.01", at(100, "actual", "block"), tag_key="team", tag_value=value)
    shop.burnt(shop.lamp(value, tags={"team": value}), max(now - HOUR, budgets.month_of(now).start - HOUR), None, reading=BIG)
    budgets.watch(now=now + timedelta(minutes=1))
    return made


def test_a_tags_budget_refuses_what_is_made_with_the_tag_alone(shop: Shop) -> None:
    reached_tag(shop)
    with pytest.raises(budgets.BudgetReached) as refused:
        make(shop, team="red", stage="test")
    assert refused.value.facts["budget"] == "Team"
    make(shop)
    make(shop, team="blue")
    make(shop, team="Red")
    make(shop, crew="red")
    make(shop, shop.cast.rival_project, team="red")


def test_of_several_budgets_the_first_that_refuses_is_named(shop: Shop, reached: Budget) -> None:
    budget(shop, "0.01", at(100, "actual", "block"), project=shop.cast.project, name="Later")
    budgets.watch(now=database_now() + timedelta(minutes=2))
    with pytest.raises(budgets.BudgetReached) as refused:
        make(shop, team="red")
    assert refused.value.facts["budget"] == "Team"


def test_a_tag_may_be_put_on_later(shop: Shop) -> None:
    """What is there costs what it costs whatever it bears: only making it is refused."""
    reached_tag(shop)
    lamp = shop.lamp("later")
    update_resource(lamp, actor=shop.cast.alice, tags={"team": "red"})
    assert lamp.tags == {"team": "red"}


@pytest.mark.parametrize("change", [{"amount": Decimal(1000)}, {"thresholds": [at(100)]},
                                    {"thresholds": [at(99, "actual", "block")]}])
def test_a_block_ends_by_itself_when_the_budget_does_not_ask_for_it_any_more(shop: Shop, reached: Budget, change: dict) -> None:
    budgets.change_budget(reached, actor=shop.cast.alice, **change)
    make(shop)


def test_a_block_ends_with_the_budget_and_with_the_month(shop: Shop, reached: Budget) -> None:
    assert list(budgets.in_force(budgets.limits.Q(), "block", BudgetAlarm.objects.get().until)) == []
    budgets.delete_budget(reached, actor=shop.cast.alice)
    make(shop)


def test_a_projects_budget_blocks_what_is_below_it_alone(shop: Shop) -> None:
    below = create_project(shop.cast.organization, "below", parent=shop.cast.project, actor=None)
    beside = create_project(shop.cast.organization, "beside", actor=None)
    now = database_now()
    budget(shop, "0.01", at(1, "actual", "block"), project=shop.cast.project)
    shop.burnt(shop.lamp(project=below), max(now - HOUR, budgets.month_of(now).start - HOUR), None, reading=BIG)
    budgets.watch(now=now + timedelta(minutes=1))
    for project in (shop.cast.project, below):
        with pytest.raises(budgets.BudgetReached):
            make(shop, project)
    make(shop, beside)


def test_what_runs_is_stopped_while_the_alarm_is_in_force(shop: Shop, reached: Budget, monkeypatch: Any) -> None:
    asked: list[tuple[list[str], str]] = []
    monkeypatch.setattr(registry, "stopping_hooks", [StoppingHook(
        stop=lambda rows, why: asked.append(([row.name for row in rows], why)), permission="instance.operate")])
    shop.lamp("theirs", project=shop.cast.rival_project)
    budgets.stop_over(now=database_now())
    assert asked == [(["lamp"], "budget")]
    budgets.change_budget(reached, actor=shop.cast.alice, amount=Decimal(1000))
    budgets.stop_over(now=database_now())
    assert len(asked) == 1


def test_who_manages_budgets_hears_of_it_once(shop: Shop) -> None:
    budget(shop, "10", at(50), at(100, "forecast", "block"))
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    assert fired(october(2)) == ["50 actual", "100 forecast"]
    assert fired(october(2)) == []
    told = list(Notice.objects.filter(kind="budget.alarm").values_list("user__username", "act"))
    assert told == [("alice", "budget.alarm")]  # the other threshold tells nobody
    event = AuditEvent.objects.get(action="budget.alarm")
    assert event.after["reason"] == "36.00 / 10.00 CNY (360.0 %)", "what was reached, not what was asked for"
    assert event.organization_id == shop.cast.organization.pk


@pytest.mark.parametrize(("language", "said"), [
    ("en", "in 2026-10 ¥1,800.00 of ¥5.00 are spent (36,000.0 %), so the threshold of 80 % is reached."),
    ("zh-hans", "¥1,800.00")])
def test_the_mail_is_read_by_a_finance_department(shop: Shop, language: str, said: str) -> None:
    EmailAddress.objects.create(user=shop.cast.alice, email="alice@example.org", verified=True, primary=True)
    type(shop.cast.alice).objects.filter(pk=shop.cast.alice.pk).update(language=language)
    one = budget(shop, "5", at(80), at(500, "forecast"))
    shop.burnt(shop.lamp(), october(1), october(21, 20), reading=BIG)
    assert fired(october(22)) == ["80 actual", "500 forecast"]
    dispatch.run()
    text = "".join(one.body for one in mail.outbox)
    assert said in text and f"/budgets/{one.pk}/" in text and "%(" not in text
    if language == "en":
        assert "Budget “Team” of Acme: by the end of 2026-10 ¥1,800.00 of ¥5.00 are to be expected (36,000.0 %)" in text


def test_a_percentage_is_never_more_than_is_so(shop: Shop) -> None:
    facts = {"month": "2026-10", "percent": 1, "amount": "3", "currency": "CNY", "spent": "2.9999999", "forecast": "3"}
    words = telling.words(facts)
    assert (words["spent_percent"], words["forecast_percent"], words["spent"]) == ("99.9", "100.0", "¥3.00")
    assert set(telling.words({"target": "Team"}).values()) == {"–"}, "a notice of an older version is told all the same"


def test_of_a_projects_budget_its_administrators_hear_too(shop: Shop) -> None:
    budget(shop, "10", at(50), project=shop.cast.project)
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    fired(october(2))
    assert {one.user.username for one in Notice.objects.filter(kind="budget.alarm")} == {"alice", "adam"}


def test_one_that_cannot_be_counted_keeps_nobody_back(shop: Shop, monkeypatch: Any) -> None:
    broken, whole = budget(shop, "1", at(100)), budget(shop, "2", at(100))
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    real = budgets.alarms.spending_of

    def fails(one: Budget, *rest: Any) -> budgets.Spending:
        if one.pk == broken.pk:
            raise ArithmeticError
        return real(one, *rest)

    monkeypatch.setattr(budgets.alarms, "spending_of", fails)
    assert [one.budget for one in budgets.watch(now=october(2))] == [whole]


def test_a_run_that_takes_long_ends_and_the_next_begins_where_it_ended(shop: Shop) -> None:
    budget(shop, "1", at(100))
    budget(shop, "2", at(100))
    for day in (2, 3):
        budgets.watch(now=october(day), longest=timedelta(0))
    assert {row.counted_at for row in Budget.objects.all()} == {october(2), october(3)}


def test_a_deleted_project_takes_its_budget_with_it(shop: Shop) -> None:
    project = create_project(shop.cast.organization, "short", actor=None)
    one = budget(shop, project=project)
    delete_project(project, actor=shop.cast.alice)
    one.refresh_from_db()
    assert one.deleted_at is not None
    with pytest.raises(NotFound):
        budgets.change_budget(one, actor=shop.cast.alice, name="Other")


# -- what is refused --

WRONG = [
    ({"amount": Decimal(-1)}, "amount"), ({"amount": Decimal(0)}, "amount"), ({"amount": Decimal("9" * 30)}, "amount"),
    ({"amount": Decimal("1.005")}, "amount"), ({"amount": Decimal("NaN")}, "amount"), ({"currency": "XXX"}, "currency"),
    ({"currency": ""}, "currency"), ({"name": ""}, "name"), ({"name": "a\nb"}, "name"), ({"name": "n" * 101}, "name"),
    ({"thresholds": []}, "thresholds"), ({"thresholds": [at(0)]}, "thresholds"), ({"thresholds": [at(1001)]}, "thresholds"),
    ({"thresholds": [at(80), at(80, "actual", "block")]}, "thresholds"), ({"thresholds": [at(80, "wish")]}, "thresholds"),
    ({"thresholds": [at(80, "actual", "explode")]}, "thresholds"), ({"thresholds": [{"percent": 80}]}, "thresholds"),
    ({"thresholds": [at(True)]}, "thresholds"), ({"thresholds": [at(one) for one in range(1, 12)]}, "thresholds"),
    ({"tag_value": "red"}, "tag"), ({"tag_key": "a:b"}, "tag"), ({"tag_key": "k" * 61}, "tag")]


@pytest.mark.parametrize(("values", "field"), WRONG)
def test_what_makes_no_sense_is_refused_by_name(shop: Shop, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        budget(shop, **values)
    assert list(refused.value.errors) == [field]
    if field != "tag":
        one = budget(shop)
        with pytest.raises(InvalidInput) as refused:
            budgets.change_budget(one, actor=shop.cast.alice, **values)
        assert list(refused.value.errors) == [field]


def test_projects_of_others_are_refused(shop: Shop) -> None:
    with pytest.raises(InvalidInput) as refused:
        budget(shop, project=shop.cast.rival_project)
    assert list(refused.value.errors) == ["project"]
    with pytest.raises(InvalidInput) as refused:
        budget(shop, project=shop.cast.project, tag_key="team")
    assert list(refused.value.errors) == ["tag"]


def test_an_alarm_is_never_changed(shop: Shop, reached: Budget) -> None:
    for doing in (lambda: BudgetAlarm.objects.update(percent=1), lambda: BudgetAlarm.objects.all().delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            doing()


# -- races --

@pytest.mark.django_db(transaction=True)
def test_two_that_watch_at_once_fire_once(shop: Shop) -> None:
    for number in range(3):
        budget(shop, "10", at(50), at(100), name=f"Team {number}")
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)
    assert at_once(lambda _which: budgets.watch(now=october(2)), 4) == []
    assert BudgetAlarm.objects.count() == 6
    assert AuditEvent.objects.filter(action="budget.alarm").count() == 6


def test_one_that_is_killed_while_it_fires_fires_the_next_time(shop: Shop, monkeypatch: Any) -> None:
    budget(shop, "10", at(50))
    shop.burnt(shop.lamp(), october(1), october(1, 10), reading=BIG)

    def killed(*_arguments: Any, **_more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(budgets.alarms.audit, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            budgets.watch(now=october(2))
    assert BudgetAlarm.objects.count() == 0
    assert fired(october(2)) == ["50 actual"]


def test_what_cannot_be_stopped_keeps_no_other_budget_from_stopping(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    month = budgets.month_of(october(15))
    for name in ("first", "second"):
        row = budget(shop, "1", at(100, "actual", "stop"), name=name)
        BudgetAlarm.objects.create(budget=row, since=month.start, until=month.end, percent=100, basis="actual", actions=STOP,
                                   amount=1, currency="CNY", spent=2, forecast=3, at=october(15))
    asked: list[Any] = []

    def hook(resources: Any, _why: str) -> None:
        asked.append(resources)
        if len(asked) == 1:
            raise RuntimeError("broken")

    monkeypatch.setattr(registry, "stopping_hooks", [StoppingHook(stop=hook, permission="instance.operate")])
    budgets.stop_over(now=october(15))
    assert len(asked) == 2
